"""The sections of the report: which tables and figures each shows, and what it says where it has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from markupsafe import Markup, escape

from cxrfmkd.figures.catalogue import KINDS
from cxrfmkd.report import views
from cxrfmkd.report.headlines import STRATEGY_TITLES
from cxrfmkd.report.markup import inline, table
from cxrfmkd.report.material import Material
from cxrfmkd.report.prose import count, dataset_title, listing, losses
from cxrfmkd.report.switches import compare
from cxrfmkd.zoo import MODELS

# Figures that a reader opens when the first ones raise a question.
FURTHER = {"training", "auc-pr", "youden", "calibration", "relative", "pca-3-4", "tsne"}


@dataclass
class Section:
    """id, title: of the heading; lead: what the section answers; parts: tables and figures; further: behind a fold."""

    id: str
    title: str
    lead: str
    parts: list[Markup] = field(default_factory=list)
    further: list[Markup] = field(default_factory=list)


class Plates:
    """Figures with their numbers, in the order in which they are asked for."""

    def __init__(self, material: Material) -> None:
        self.material, self.number = material, 0

    def of(self, section: Section, name: str) -> None:
        """Add the figures of the catalogue's section `name`."""
        for subject, kind, path in self.material.of_section(name):
            self.number += 1
            known, ref = KINDS[kind], f"figure-{self.number}"
            source, _, target = subject.partition("-to-")
            where = f"{dataset_title(source)} to {dataset_title(target)}" if target else dataset_title(subject)
            where = "" if subject == "study" else f", {where}"
            label = f"{known.title}{where}. {known.about}"
            caption = Markup("<b>Figure {}.</b> {}{}. {} <span class=\"data\">Numbers: figures/{}/{}.csv</span>").format(
                self.number, known.title, where, known.about, subject, kind
            )
            plate = Markup('<figure id="{}"><div class="plate">{}</div><figcaption>{}</figcaption></figure>').format(
                ref, inline(path, ref, label), caption
            )
            (section.further if kind in FURTHER else section.parts).append(plate)


def paragraph(text: str) -> Markup:
    return Markup("<p>{}</p>").format(text)


def study(m: Material, plates: Plates) -> Section:
    s = m.settings
    made = Section("study", "What was run", "")
    trained, classes = listing([dataset_title(n) for n in m.trained]), s["classification"]
    models = [MODELS[name].title for name in classes["models"]]
    made.parts.append(paragraph(
        f"Students were distilled from {s['teacher']['name']} on {listing([dataset_title(n) for n in s['distillation']['datasets']]) or 'no dataset'} with "
        f"{count(len(s['distillation']['losses']), 'loss', 'losses')} ({losses(s['distillation']['losses'])}) and "
        f"{count(len(s['distillation']['seeds']), 'seed')} each. On {trained}, {count(len(models), 'kind')} of classifier were trained with "
        f"{count(len(classes['seeds']), 'seed')} each: {listing(models)}."
    ))  # fmt: skip
    if s["transfer"]["pairs"] and s["transfer"]["strategies"]:
        pairs = listing([f"{dataset_title(a)} to {dataset_title(b)}" for a, b in s["transfer"]["pairs"]])
        made.parts.append(paragraph(f"Models were transferred from {pairs}: {listing([STRATEGY_TITLES[name] for name in s['transfer']['strategies']])}."))
    counts = {d["dataset"]: d["counts"] for d in m.documents("summary.json")}
    metas = {d["about"].get("dataset"): d for d in m.documents("meta.json")}
    rows = []
    for name in m.datasets:
        given, found = s["datasets"][name], counts.get(name, {})
        teacher = metas.get(name, {})
        variant = teacher.get("variant", given["teacher"].get("variant", "–"))
        sizes = [sum(part[what] for part in found.values()) or None for what in ("images", "patients")]
        rows.append((dataset_title(name), given["adapter"], variant, str(teacher.get("licence", "–")), *sizes))
    heads = ("dataset", "reader", "teacher’s variant", "licence", "images", "patients")
    columns = {head: [row[i] for row in rows] for i, head in enumerate(heads)}
    made.parts.append(table(columns, "Datasets", dict.fromkeys(heads[4:], views.whole), name="datasets", sort=False))
    return made


def data(m: Material, plates: Plates) -> Section:
    made = Section("data", "Data", "Every image that entered or left the study is counted, and no patient stands in two splits.")
    plates.of(made, "data")
    if len(m.gates):
        made.parts.append(views.gates(m))
    if len(m.table("cohort.csv")):
        made.parts.append(views.cohort(m))
    if not any(kind == "resampling" for _, kind, _ in m.of_section("data")):
        made.parts.append(paragraph("The test sets were not balanced (resampling.method: none), so all numbers are of the natural test sets."))
    return made


def distillation(m: Material, plates: Plates) -> Section:
    made = Section("distillation", "Distillation", "Teacher vectors share a large common part, which any student reproduces. What counts is the part that differs from film to film, beside controls that know nothing of it.")
    known = set(m.table("students.csv").get("dataset", []))
    if not known:
        made.parts.append(paragraph("No student was distilled in this study."))
        return made
    plates.of(made, "distillation")
    made.parts += [views.students(m, name) for name in m.settings["distillation"]["datasets"] if name in known]
    return made


def performance(m: Material, plates: Plates) -> Section:
    made = Section("performance", "Performance", "Intervals resample patients and seeds; differences are paired. Hollow dots are linear probes, filled ones full fine-tunes.")
    if m.settings["evaluation"]["unit"] == "row":
        made.lead = "Intervals resample rows within label strata, as in the thesis, and are too narrow where a patient has several films. Hollow dots are linear probes, filled ones full fine-tunes."
    made.parts += [views.performance(m, name) for name in m.trained]
    plates.of(made, "performance")
    return made


def transfer(m: Material, plates: Plates) -> Section:
    made = Section("transfer", "Transfer", "What a model trained on one dataset is worth on another: as it is, with a new head, or trained on.")
    if not m.of_section("transfer"):
        made.parts.append(paragraph("No transfer was asked for (transfer.pairs is empty), so this section has no numbers."))
        return made
    made.parts += [views.transfer(m, *pair) for pair in m.settings["transfer"]["pairs"]]
    plates.of(made, "transfer")
    return made


def subgroups(m: Material, plates: Plates) -> Section:
    made = Section("subgroups", "Subgroups", f"Groups that rest on fewer than {m.minimum_cell} patients are not shown.")
    attributes = m.settings["evaluation"]["attributes"]
    if not attributes:
        made.parts.append(paragraph("No patient attributes were asked for (evaluation.attributes is empty)."))
        return made
    if "race" not in attributes:
        made.parts.append(paragraph("Race is not among the attributes of this study (evaluation.attributes), so it has no groups by race."))
    plates.of(made, "subgroups")
    return made


def bias(m: Material, plates: Plates) -> Section:
    made = Section("bias", "Bias of the embeddings", "The thesis’s score counts significant tests and grows with their number; beside it stand distances, which do not, what a probe can read, and what permuted attributes give.")
    if not m.of_section("bias"):
        made.parts.append(paragraph("No bias analysis is among the results of this study."))
        return made
    if "race" not in m.settings["bias"]["attributes"]:
        made.parts.append(paragraph("Race is not analysed in this study (bias.attributes), so the combined score is that of sex alone."))
    made.parts += [views.bias(m, name) for name in m.trained]
    plates.of(made, "bias")
    return made


def tradeoff(m: Material, plates: Plates) -> Section:
    made = Section("tradeoff", "Performance against bias", "One point a model. Models that share a body are no independent witnesses, so the interval draws whole families.")
    if not m.of_section("tradeoff"):
        made.parts.append(paragraph("Without a bias analysis there is nothing to set performance against."))
        return made
    plates.of(made, "tradeoff")
    made.parts.append(views.correlation(m))
    return made


def thesis(m: Material, plates: Plates) -> Section:
    made = Section("thesis", "Against the thesis", "The thesis’s logged means of five seeds beside ours, for the runs that both studies have.")
    if m.table("against_thesis.csv").empty:
        made.parts.append(paragraph("None of this study’s runs is one of the thesis’s, which used CheXpert and MIMIC-CXR."))
        return made
    plates.of(made, "thesis")
    return made


def methods(m: Material, plates: Plates) -> Section:
    made = Section("methods", "Methods and switches", "Where sound practice and the thesis differ, one setting decides.")
    found = compare(m.settings, m.thesis)
    columns = {name: found[name].tolist() for name in found}
    columns["follows"] = [Markup('<span class="mark {}">{}</span>').format(name.split()[0], name) for name in found.follows]
    made.parts.append(table(columns, "Settings for which the thesis and sound practice differ", name="switches"))
    made.parts.append(Markup(METHODS))
    return made


METHODS = """
<dl class="methods">
<dt>AUC-ROC, AUC-PR</dt><dd>Area under the ROC curve; average precision (steps, no interpolation). Macro: unweighted mean of the 14 findings.</dd>
<dt>Youden’s J</dt><dd>Sensitivity + specificity − 1: its maximum over thresholds, and at the ROC vertex nearest to the target false-positive rate.</dd>
<dt>Intervals</dt><dd>Percentiles over bootstrap replicates; a replicate draws patients with all their films, and seeds.</dd>
<dt>Populations</dt><dd>Natural: every test film once. Resampled: films weighted so that races have equal shares, prevalence and ages.</dd>
<dt>Bias score</dt><dd>Two-sample Kolmogorov-Smirnov tests of the first PCA modes, adjusted by Benjamini and Yekutieli; 100 points below 0.05 and 150 below 0.001, weighted by the modes’ share of variance; mean of race and sex.</dd>
<dt>By chance</dt><dd>Central 95 % of the score when race and sex are exchanged between patients of the same disease, age and view.</dd>
</dl>
"""


def provenance(m: Material, plates: Plates, code: str) -> Section:
    made = Section("provenance", "Provenance and cost", "")
    versions: dict[str, set[str]] = {}
    finished = []
    for name in ("run.json", "quality.json"):
        for document in m.documents(name):
            finished.append(document.get("finished", ""))
            for package, version in document.get("versions", {}).items():
                versions.setdefault(package, set()).add(version)
    if versions:
        names = sorted(versions)
        rows = {"software": names, "version": [listing(sorted(versions[name])) for name in names]}
        made.parts.append(table(rows, "Software that the runs recorded", name="versions", sort=False))
    if len(m.table("costs.csv")):
        made.parts.append(views.costs(m))
    last = max(finished, default="")
    made.parts.append(Markup('<p class="hash">Code of this page: <code>{}</code>{}</p>').format(code, f" · last run finished {last}" if last else ""))
    made.further.append(Markup('<pre class="config" tabindex="0">{}</pre>').format(_yaml(m.settings)))
    return made


def _yaml(settings: dict) -> str:
    """The settings as YAML, without the places where somebody's data lie."""
    import yaml

    shown = {key: value for key, value in settings.items() if key not in ("folders", "pathvars")}
    shown["datasets"] = {
        name: {key: value for key, value in given.items() if key not in ("tables", "images")}
        | {"teacher": {key: value for key, value in given["teacher"].items() if key != "path"}}
        for name, given in settings["datasets"].items()
    }
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100)


def caveats(m: Material, plates: Plates) -> Section:
    made = Section("caveats", "Caveats", "")
    s, seeds = m.settings, len(m.settings["classification"]["seeds"])
    items = ["The model with the highest number was found on the test set that the number is from; the best of many is flattered by chance. Compare intervals, not ranks."]
    if s["synthetic"]:
        items.append("The films are synthetic: the numbers show that the workflow runs, and nothing about patients.")
    stand_in = [n for n in m.datasets if s["datasets"][n]["teacher"].get("variant") == "demo"]
    if stand_in:
        items.append(f"The teacher of {listing([dataset_title(n) for n in stand_in])} is a stand-in with CXR-FM’s signature, not CXR-FM.")
    if s["network"]["weights"] == "none":
        items.append("The networks started from random weights, not from ImageNet’s; “undistilled” then means untrained.")
    if seeds < 5:
        items.append(f"With {count(seeds, 'seed')}, the spread over seeds is poorly known.")
    items.append("Labels were mined from reports by a program; they are not diagnoses. Race is as recorded by hospitals, a social and not a biological category.")
    items.append("That an embedding encodes an attribute is no proof that a classifier uses it, and an equal AUC is no proof of equal benefit.")
    if s["resampling"]["method"] != "none":
        items.append("The resampled test set answers what would happen if groups had equal shares, prevalence and ages; the natural one what happened.")
    made.parts.append(Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(escape(item)) for item in items)))
    return made


def all_sections(m: Material, code: str) -> list[Section]:
    """Every section, in order; figures are numbered through."""
    plates = Plates(m)
    builders: list[Callable[[Material, Plates], Section]] = [
        study, data, distillation, performance, transfer, subgroups, bias, tradeoff, thesis, methods,
        partial(provenance, code=code), caveats,
    ]  # fmt: skip
    return [build(m, plates) for build in builders]
