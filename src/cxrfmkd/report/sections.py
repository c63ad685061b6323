"""The sections of the report: which tables and figures each shows, and what it says where it has none."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from cxrfmkd.report import appendix, views
from cxrfmkd.report.data import ReportData
from cxrfmkd.report.headlines import STRATEGY_TITLES
from cxrfmkd.report.markup import table
from cxrfmkd.report.prose import count, dataset_title, listing, losses
from cxrfmkd.report.section import Plates, Section
from cxrfmkd.vocabulary.models import MODELS


def paragraph(text: str) -> Markup:
    return Markup("<p>{}</p>").format(text)


def names(datasets: list[str]) -> str:
    return listing([dataset_title(name) for name in datasets])


def whole_or(m: ReportData, datasets: list[str]) -> str:
    """This study, if it is true of all that classifiers were trained on, or those datasets."""
    return "this study" if datasets == m.trained else names(datasets)


def study(m: ReportData, plates: Plates) -> Section:
    s = m.settings
    made = Section("study", "What was run", "")
    trained, classes = listing([dataset_title(n) for n in m.trained]), s["classification"]
    models = [MODELS[name].title for name in classes["models"]]
    made.parts.append(
        paragraph(
            f"Students were distilled from {s['teacher']['name']} on "
            f"{listing([dataset_title(n) for n in s['distillation']['datasets']]) or 'no dataset'} "
            "with "
            f"{count(len(s['distillation']['losses']), 'loss', 'losses')} "
            f"({losses(s['distillation']['losses'])}) and "
            f"{count(len(s['distillation']['seeds']), 'seed')} each. On {trained}, "
            f"{count(len(models), 'kind')} of classifier were trained with "
            f"{count(len(classes['seeds']), 'seed')} each: {listing(models)}."
        )
    )
    if s["transfer"]["pairs"] and s["transfer"]["strategies"]:
        pairs = listing(
            [f"{dataset_title(a)} to {dataset_title(b)}" for a, b in s["transfer"]["pairs"]]
        )
        made.parts.append(
            paragraph(
                f"Models were transferred from {pairs}: "
                f"{listing([STRATEGY_TITLES[name] for name in s['transfer']['strategies']])}."
            )
        )
    metas = {d["about"].get("dataset"): d for d in m.documents("teacher")}
    rows = []
    for name in m.datasets:
        given = s["datasets"][name]
        teacher = metas.get(name, {})
        variant = teacher.get("variant", given["teacher"].get("variant", "–"))
        rows.append(
            (
                dataset_title(name),
                given["adapter"],
                variant,
                str(teacher.get("licence", "–")),
                *m.sizes.get(name, (None, None)),
            )
        )
    heads = ("dataset", "reader", "teacher’s variant", "licence", "images", "patients")
    columns = {head: [row[i] for row in rows] for i, head in enumerate(heads)}
    made.parts.append(
        table(
            columns, "Datasets", dict.fromkeys(heads[4:], views.whole), name="datasets", sort=False
        )
    )
    return made


def data(m: ReportData, plates: Plates) -> Section:
    made = Section(
        "data",
        "Data",
        "Every image that entered or left the study is counted, and no patient stands in two "
        "splits.",
    )
    plates.of(made, "data")
    if len(m.gates):
        made.parts.append(views.gates(m))
    if len(m.table("cohort")):
        made.parts.append(views.cohort(m))
    if unbalanced := [name for name in m.datasets if name not in m.balanced]:
        whose = f" of {names(unbalanced)}" if m.balanced else ""
        made.parts.append(
            paragraph(
                f"The test sets{whose} were not balanced (resampling: none), so all numbers{whose} "
                "are of the natural test sets."
            )
        )
    return made


def distillation(m: ReportData, plates: Plates) -> Section:
    made = Section(
        "distillation",
        "Distillation",
        "Teacher vectors share a large common part, which any student reproduces. What counts is "
        "the part that differs from image to image, beside controls that know nothing of it.",
    )
    known = set(m.table("students").get("dataset", []))
    if not known:
        made.parts.append(paragraph("No student was distilled in this study."))
        return made
    plates.of(made, "distillation")
    made.parts += [
        views.students(m, name) for name in m.settings["distillation"]["datasets"] if name in known
    ]
    return made


def performance(m: ReportData, plates: Plates) -> Section:
    made = Section(
        "performance",
        "Performance",
        "Intervals resample patients and seeds; differences are paired. Hollow dots are linear "
        "probes, filled ones full fine-tunes.",
    )
    if m.settings["evaluation"]["unit"] == "row":
        made.lead = "Intervals resample rows within label strata, as in the thesis, and are too narrow where a patient has several images. Hollow dots are linear probes, filled ones full fine-tunes."
    made.parts += [views.performance(m, name) for name in m.trained]
    plates.of(made, "performance")
    return made


def transfer(m: ReportData, plates: Plates) -> Section:
    made = Section(
        "transfer",
        "Transfer",
        "What a model trained on one dataset is worth on another: as it is, with a new head, or "
        "trained on.",
    )
    if not m.figures_of("transfer"):
        made.parts.append(
            paragraph(
                "No transfer was asked for (transfer.pairs is empty), so this section has no "
                "numbers."
            )
        )
        return made
    made.parts += [views.transfer(m, *pair) for pair in m.settings["transfer"]["pairs"]]
    plates.of(made, "transfer")
    return made


def subgroups(m: ReportData, plates: Plates) -> Section:
    made = Section(
        "subgroups",
        "Subgroups",
        f"Groups that rest on fewer than {m.minimum_cell} patients are not shown.",
    )
    asked = {name: m.attributes[name]["evaluation"] for name in m.trained}
    if not any(asked.values()):
        made.parts.append(
            paragraph("No patient attributes were asked for (evaluation.attributes is empty).")
        )
        return made
    if absent := [name for name, attributes in asked.items() if "race" not in attributes]:
        made.parts.append(
            paragraph(
                f"Race is not among the attributes of {whole_or(m, absent)}, so it has no groups "
                "by race."
            )
        )
    plates.of(made, "subgroups")
    return made


def bias(m: ReportData, plates: Plates) -> Section:
    made = Section(
        "bias",
        "Bias of the embeddings",
        "The thesis’s score counts significant tests and grows with their number; beside it stand "
        "distances, which do not, what a probe can read, and what permuted attributes give.",
    )
    if not m.figures_of("bias"):
        made.parts.append(paragraph("No bias analysis is among the results of this study."))
        return made
    absent = [name for name in m.trained if "race" not in m.attributes[name]["bias"]]
    if absent:
        made.parts.append(
            paragraph(
                f"Race is not analysed in {whole_or(m, absent)}, so the combined score is that of "
                "sex alone."
            )
        )
    made.parts += [views.bias(m, name) for name in m.trained]
    plates.of(made, "bias")
    return made


def tradeoff(m: ReportData, plates: Plates) -> Section:
    made = Section(
        "tradeoff",
        "Performance against bias",
        "One point a model. Models that share a backbone are no independent witnesses, so the "
        "interval draws whole families.",
    )
    if not m.figures_of("tradeoff"):
        made.parts.append(
            paragraph("Without a bias analysis there is nothing to set performance against.")
        )
        return made
    plates.of(made, "tradeoff")
    made.parts.append(views.correlation(m))
    return made


def thesis(m: ReportData, plates: Plates) -> Section:
    made = Section(
        "thesis",
        "Against the thesis",
        "The thesis’s logged means of five seeds beside ours, for the runs that both studies have.",
    )
    if m.table("against_thesis").empty:
        made.parts.append(
            paragraph(
                "None of this study’s runs is one of the thesis’s, which used CheXpert and "
                "MIMIC-CXR."
            )
        )
        return made
    plates.of(made, "thesis")
    return made


def all_sections(m: ReportData, code: str) -> list[Section]:
    """Every section, in order; figures are numbered through."""
    plates = Plates(m)
    builders: list[Callable[[ReportData, Plates], Section]] = [
        study,
        data,
        distillation,
        performance,
        transfer,
        subgroups,
        bias,
        tradeoff,
        thesis,
    ]
    body = [build(m, plates) for build in builders]
    return [*body, appendix.methods(m), appendix.provenance(m, code), appendix.caveats(m)]
