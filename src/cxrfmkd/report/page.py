"""The report as one page of HTML."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
import vl_convert
import yaml
from markupsafe import Markup

from cxrfmkd.report import charts, erasure, methods, overview, prose, reference, tables
from cxrfmkd.report.data import ReportData
from cxrfmkd.report.headlines import headlines
from cxrfmkd.report.markup import TEMPLATES, inline_svg
from cxrfmkd.report.performance_sentences import TRANSFERRED
from cxrfmkd.runtime.seals import verify
from cxrfmkd.tables.gathering import read_result
from cxrfmkd.tables.selecting import where
from cxrfmkd.vocabulary.figures import KINDS
from cxrfmkd.vocabulary.models import MODELS
from cxrfmkd.vocabulary.titles import dataset_title

HERE = Path(__file__).parent
# Headings by the id of their section; `page.html` has the sections.
SECTIONS = {
    "results": "Key results",
    "warnings": "Warnings",
    "study": "What was run",
    "data": "Data",
    "distillation": "Distillation",
    "performance": "Performance",
    "transfer": "Transfer",
    "subgroups": "Subgroups",
    "reference": "Against experts",
    "bias": "Bias of the embeddings",
    "tradeoff": "Performance against bias",
    "thesis": "Against the thesis",
    "methods": "Methods and switches",
    "provenance": "Provenance and cost",
    "caveats": "Caveats",
}
# Figures that a reader opens when the first ones raise a question.
FOLDED = {"training", "auc-pr", "youden", "calibration", "relative", "pca-3-4", "tsne"}


@dataclass(frozen=True)
class Figure:
    """A figure with its number on the page; subject: a dataset, a transfer or `study`."""

    number: int
    subject: str
    kind: str
    path: Path
    numbers: pd.DataFrame
    chart: tuple[charts.Spec, pd.DataFrame] | None

    @property
    def title(self) -> str:
        """What it shows, and of which dataset or transfer."""
        subject = "" if self.subject == "study" else f", {prose.subject_title(self.subject)}"
        return f"{KINDS[self.kind].title}{subject}"

    @property
    def about(self) -> str:
        """One sentence on what it shows."""
        return KINDS[self.kind].about

    @property
    def reading(self) -> str:
        """How to read its chart, or its picture where it has none."""
        return KINDS[self.kind].chart if self.chart else KINDS[self.kind].reading

    @property
    def folded(self) -> bool:
        """Whether it stands behind a fold."""
        return self.kind in FOLDED

    @property
    def of_models(self) -> bool:
        """Whether its chart's marks stand for models."""
        return self.chart is not None and bool(self.chart[1]["name"].ne("").any())

    @property
    def alt(self) -> str:
        """What it shows, for those who do not see it: its result where that can be computed."""
        result = charts.result(self.kind, self.chart[1]) if self.chart else self.about
        return f"{self.title}. {result}"

    @property
    def svg(self) -> Markup:
        """The picture, labelled for screen readers."""
        return inline_svg(self.path, f"figure-{self.number}", self.alt)


def numbered_figures(data: ReportData) -> dict[str, list[Figure]]:
    """The figures of every section, numbered through the page; InputError for an altered file."""
    for path in data.figures:
        verify(path)  # of most the page shows a chart of the numbers, and names the picture
    found = {section: data.figures_of(section) for section in SECTIONS}
    numbers = {
        path: read_result(csv) if (csv := path.with_suffix(".csv")).exists() else pd.DataFrame()
        for figures in found.values()
        for _, _, path in figures
    }
    images = _images_measured(numbers)
    figures: dict[str, list[Figure]] = {}
    number = 0
    for section in SECTIONS:
        figures[section] = []
        for subject, kind, path in found[section]:
            number += 1
            drawn = charts.chart(kind, numbers[path], images)
            figures[section].append(Figure(number, subject, kind, path, numbers[path], drawn))
    return figures


def _images_measured(numbers: Mapping[Path, pd.DataFrame]) -> dict[tuple[str, str], int]:
    """Test images by dataset and population, and `main` of the bias analysis; the most of any row.

    What is suppressed everywhere, in a study of few patients, is left out. numbers: those of the
    figures, by their file.
    """
    counts: dict[tuple[str, str], int] = {}
    for path, table in numbers.items():
        if path.stem in ("performance", "encoding") and len(table):
            over = table.get("population", pd.Series("main", table.index))
            most = table.n.groupby([table.dataset, over]).max().dropna()
            counts |= {(str(name), str(which)): int(n) for (name, which), n in most.items()}
    return counts


def embedded(value: object) -> Markup:
    """JSON that can stand in a script element: no `<` that could end it."""
    return Markup(_json(value).replace("<", "\\u003c"))


def packed(text: str) -> str:
    """Text as base64 of its gzip, a quarter as long; `unpacked` in `page.js` reads it."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@cache
def chart_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, from the package vl-convert."""
    return vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub has no default


def facts(data: ReportData) -> list[tuple[str, str]]:
    """The study in a few numbers; patients by dataset, since two may be of the same people."""
    several = len(data.sizes) > 1
    sizes = [
        (
            f"{images:,}",
            f"images of {prose.count(patients, 'patient')}"
            + (f", {dataset_title(name)}" if several else ""),
        )
        for name, (images, patients) in data.sizes.items()
    ]
    costs = data.table("costs")
    hours = where(costs, what=["student", "classifier"]).hours.sum() if len(costs) else 0.0
    runs = [(f"{len(data.documents('run')):,}", "runs")]
    return sizes + runs + ([(f"{hours:,.1f}", "hours of training")] if hours else [])


def settings_yaml(settings: dict) -> str:
    """The settings as YAML, without the paths of somebody's data."""
    shown = {key: value for key, value in settings.items() if key not in ("folders", "pathvars")}
    shown["datasets"] = {
        name: {key: value for key, value in dataset.items() if key not in ("tables", "images")}
        | {"teacher": _without_path(dataset["teacher"])}
        | {"teachers": {t: _without_path(s) for t, s in dataset.get("teachers", {}).items()}}
        | {"reference": _without_table(dataset.get("reference"))}
        for name, dataset in settings["datasets"].items()
    }
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100)


def _without_path(source: dict) -> dict:
    """A teacher's source, without where its vectors or its model are."""
    return {key: value for key, value in source.items() if key != "path"}


def _without_table(reference: dict | None) -> dict | None:
    """How experts' labels are read, without where they are."""
    return reference and {key: value for key, value in reference.items() if key != "table"}


def page(data: ReportData, code: str) -> str:
    """The whole page; deterministic for the same data. code: hash of the code that writes it."""

    def without(*attributes: str, stage: str) -> list[str]:
        """Datasets of which something else is analysed, but none of these attributes."""
        asked = {name: data.attributes[name][stage] for name in data.trained}
        return [name for name, of in asked.items() if of and not {*attributes} & {*of}]

    def scope(names: list[str]) -> str:
        """Datasets by name, or `this study` for all that classifiers were trained on."""
        return "this study" if names == list(data.trained) else prose.dataset_names(names)

    figures, experts = numbered_figures(data), len(data.table("reference_counts")) > 0
    drawn = [figure for section in figures.values() for figure in section]
    shown = {
        figure.number: {"spec": figure.chart[0], "rows": charts.columnar(figure.chart[1])}
        for figure in drawn
        if figure.chart
    }
    documents = (*data.documents("run"), *data.documents("quality"))
    classifiers = [MODELS[name].title for name in data.settings["classification"]["models"]]
    return TEMPLATES.get_template("page.html").render(
        data=data,
        settings=data.settings,
        headings={id: heading for id, heading in SECTIONS.items() if id != "reference" or experts},
        facts=facts(data),
        headlines=headlines(data),
        figures=figures,
        charts=packed(_json(shown)),
        numbers=packed(_json({figure.number: charts.columnar(figure.numbers) for figure in drawn})),
        library=packed(chart_library() if shown else ""),
        tables=tables,
        overview=overview,
        reference=reference,
        erasure=erasure,
        methods=methods,
        glossary=embedded(overview.GLOSSARY["columns"]),
        prose=prose,
        classifiers=classifiers,
        strategies=[TRANSFERRED[name] for name in data.settings["transfer"]["strategies"]],
        distilled=set(data.table("students").get("dataset", [])),
        with_subgroups=any(data.attributes[name]["evaluation"] for name in data.trained),
        without=without,
        scope=scope,
        finished=max((document.get("finished", "") for document in documents), default=""),
        settings_yaml=settings_yaml(data.settings),
        code=code,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
    )
