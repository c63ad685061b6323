"""The end of the report: methods and switches, provenance and cost, caveats."""

from __future__ import annotations

import yaml
from markupsafe import Markup, escape

from cxrfmkd.report import views
from cxrfmkd.report.data import ReportData
from cxrfmkd.report.markup import coded, table
from cxrfmkd.report.prose import count, dataset_title, listing
from cxrfmkd.report.section import Section
from cxrfmkd.report.switches import compare


def methods(m: ReportData) -> Section:
    made = Section(
        "methods",
        "Methods and switches",
        "Where sound practice and the thesis differ, one setting decides.",
    )
    found = compare(m.settings, m.thesis)
    columns = {name: found[name].tolist() for name in found}
    columns["follows"] = [
        Markup('<span class="mark {}">{}</span>').format(name.split()[0], name)
        for name in found.follows
    ]
    columns["meaning"] = [coded(text) for text in found.meaning]
    made.parts.append(
        table(columns, "Settings for which the thesis and sound practice differ", name="switches")
    )
    made.parts.append(Markup(METHODS))
    return made


METHODS = """
<dl class="methods">
<dt>AUC-ROC, AUC-PR</dt><dd>Area under the ROC curve; average precision (steps, no interpolation). Macro: unweighted mean of the 14 findings.</dd>
<dt>Youden’s J</dt><dd>Sensitivity + specificity − 1: its maximum over thresholds, and at the ROC vertex nearest to the target false-positive rate.</dd>
<dt>Intervals</dt><dd>Percentiles over bootstrap replicates; a replicate draws patients with all their images, and seeds.</dd>
<dt>Populations</dt><dd>Natural: every test image once. Resampled: images weighted so that races have equal shares, prevalence and ages.</dd>
<dt>Bias score</dt><dd>Two-sample Kolmogorov-Smirnov tests of the first PCA modes, adjusted by Benjamini and Yekutieli; 100 points below 0.05 and 150 below 0.001, weighted by the modes’ share of variance; mean of race and sex.</dd>
<dt>By chance</dt><dd>Central 95 % of the score when race and sex are exchanged between patients of the same disease, age and view.</dd>
</dl>
"""


def provenance(m: ReportData, code: str) -> Section:
    made = Section("provenance", "Provenance and cost", "")
    versions: dict[str, set[str]] = {}
    finished = []
    for name in ("run", "quality"):
        for document in m.documents(name):
            finished.append(document.get("finished", ""))
            for package, version in document.get("versions", {}).items():
                versions.setdefault(package, set()).add(version)
    if versions:
        names = sorted(versions)
        rows = {"software": names, "version": [listing(sorted(versions[name])) for name in names]}
        made.parts.append(
            table(rows, "Software that the runs recorded", name="versions", sort=False)
        )
    if len(m.table("costs")):
        made.parts.append(views.costs(m))
    last = max(finished, default="")
    made.parts.append(
        Markup('<p class="hash">Code of this page: <code>{}</code>{}</p>').format(
            code, f" · last run finished {last}" if last else ""
        )
    )
    made.further.append(
        Markup('<pre class="config" tabindex="0">{}</pre>').format(_yaml(m.settings))
    )
    return made


def _yaml(settings: dict) -> str:
    """The settings as YAML, without the places where somebody's data lie."""
    shown = {key: value for key, value in settings.items() if key not in ("folders", "pathvars")}
    shown["datasets"] = {
        name: {key: value for key, value in given.items() if key not in ("tables", "images")}
        | {"teacher": {key: value for key, value in given["teacher"].items() if key != "path"}}
        for name, given in settings["datasets"].items()
    }
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100)


def caveats(m: ReportData) -> Section:
    made = Section("caveats", "Caveats", "")
    s, seeds = m.settings, len(m.settings["classification"]["seeds"])
    items = [
        "The model with the highest number was found on the test set that the number is from; the "
        "best of many is flattered by chance. Compare intervals, not ranks."
    ]
    if s["synthetic"]:
        items.append(
            "The images are synthetic: the numbers show that the workflow runs, and nothing about "
            "patients."
        )
    stand_in = [n for n in m.datasets if s["datasets"][n]["teacher"].get("variant") == "demo"]
    if stand_in:
        items.append(
            f"The teacher of {listing([dataset_title(n) for n in stand_in])} is a stand-in with "
            "CXR-FM’s signature, not CXR-FM."
        )
    if s["network"]["weights"] == "none":
        items.append(
            "The networks started from random weights, not from ImageNet’s; “undistilled” then "
            "means untrained."
        )
    if seeds < 5:
        items.append(f"With {count(seeds, 'seed')}, the spread over seeds is poorly known.")
    items.append(
        "Labels were mined from reports by a program; they are not diagnoses. Race is as recorded "
        "by hospitals, a social and not a biological category."
    )
    items.append(
        "That an embedding encodes an attribute is no proof that a classifier uses it, and an "
        "equal AUC is no proof of equal benefit."
    )
    if m.balanced:
        items.append(
            "The resampled test set answers what would happen if groups had equal shares, "
            "prevalence and ages; the natural one what happened."
        )
    made.parts.append(
        Markup("<ul>{}</ul>").format(
            Markup("").join(Markup("<li>{}</li>").format(escape(item)) for item in items)
        )
    )
    return made
