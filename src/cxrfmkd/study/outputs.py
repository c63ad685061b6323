"""Which figures and tables a study has, and what each is made from. Standard library only.

A figure is called `<subject>/<kind>`, where the subject is a dataset, a `<source>-to-<target>` pair
or `study`; its files are `results/figures/<subject>/<kind>.svg`, `.png` and `.csv`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# The tables for people: what `workflow/scripts/make_tables.py` writes, always all of them.
TABLES = (
    "cohort",
    "performance_detailed",
    "performance_focused",
    "transfer",
    "students",
    "subgroups",
    "bias",
    "costs",
)
TRADEOFF = ("performance_vs_bias", "correlation")

# Files below the results by what they are: the name of the table, or of the kind of document.
Files = dict[str, list[str]]


@dataclass(frozen=True)
class Kind:
    """A kind of figure: its section of the report, its title, and one sentence about it."""

    section: str
    title: str
    about: str


KINDS = {
    "flow": Kind(
        "data",
        "Flow of images",
        "How the raw files became the study’s records, and what was left out.",
    ),
    "resampling": Kind(
        "data", "Balanced test set", "Shares of race, disease and age before and after balancing."
    ),
    "distillation": Kind(
        "distillation",
        "What the students kept",
        "Agreement with the teacher on validation data, beside controls that know nothing of the "
        "single image.",
    ),
    "training": Kind(
        "distillation", "Training of the students", "Loss by epoch, every seed a line."
    ),
    "performance": Kind(
        "performance",
        "Performance",
        "Mean of the 14 findings by model, with intervals over patients and seeds.",
    ),
    "auc-roc": Kind(
        "performance", "AUC-ROC by finding", "Area under the ROC curve of every finding and model."
    ),
    "auc-pr": Kind(
        "performance",
        "AUC-PR by finding",
        "Average precision of every finding and model; its floor is the finding’s prevalence.",
    ),
    "youden": Kind(
        "performance",
        "Youden’s J by finding",
        "Sensitivity + specificity - 1 at the operating point of every finding and model.",
    ),
    "focused": Kind(
        "performance",
        "Focused comparison",
        "The thesis’s seven most relevant findings as parallel coordinates.",
    ),
    "differences": Kind(
        "performance",
        "Paired differences",
        "Differences from the reference models on the same patients.",
    ),
    "curves": Kind(
        "performance",
        "ROC and precision-recall curves",
        "Curves of the findings with the operating point that validation chose.",
    ),
    "calibration": Kind("performance", "Calibration", "Predicted against observed frequency."),
    "transfer": Kind(
        "transfer",
        "Transfer",
        "The transfer strategies side by side, and the same models trained on the target.",
    ),
    "subgroups": Kind(
        "subgroups",
        "Performance by subgroup",
        "AUC-ROC of every group of patients, with intervals.",
    ),
    "relative": Kind(
        "subgroups", "Relative differences", "The same, relative to the mean of the groups."
    ),
    "gaps": Kind(
        "subgroups",
        "Gaps between subgroups",
        "Difference between the best and the worst served group.",
    ),
    "ks": Kind(
        "bias",
        "Kolmogorov-Smirnov distances",
        "Largest distance between two groups’ distributions along each PCA mode.",
    ),
    "score": Kind(
        "bias",
        "Bias score",
        "The thesis’s score with the range that it has when nothing is encoded.",
    ),
    "encoding": Kind(
        "bias", "Encoding of attributes", "How well the whole embedding tells a patient’s group."
    ),
    "pca": Kind(
        "bias",
        "Embeddings, first two PCA modes",
        "Every dot an image; curves: distribution of each group.",
    ),
    "pca-3-4": Kind(
        "bias",
        "Embeddings, PCA modes 3 and 4",
        "Every dot an image; curves: distribution of each group.",
    ),
    "tsne": Kind("bias", "Embeddings, t-SNE", "Every dot an image; for looking, not for testing."),
    "performance-vs-bias": Kind(
        "tradeoff", "Performance against bias", "One point a model, with the rank correlation."
    ),
    "against-thesis": Kind(
        "thesis", "Against the thesis", "Our means beside the thesis’s logged ones."
    ),
}


@dataclass(frozen=True)
class Shape:
    """What a study consists of, as far as its figures, tables and report depend on it.

    datasets: all of them; students: losses of the students of each dataset; seeds: of the students;
    trained: datasets with classifiers of their own; evaluated: datasets on which some classifier is
    tested; pairs: transfers; analysed: models of the bias analysis; runs: folders of all
    classifiers, below the results; resampled: datasets whose test set is balanced; attributes: of
    each dataset's subgroups, none to leave these out; tsne: the bias analysis has t-SNE pictures;
    thesis: there is a comparison with the thesis's numbers.
    """

    datasets: Sequence[str]
    students: Mapping[str, Sequence[str]]
    seeds: Sequence[int]
    trained: Sequence[str]
    evaluated: Sequence[str]
    pairs: Sequence[tuple[str, str]]
    analysed: Sequence[str]
    runs: Sequence[str]
    resampled: Sequence[str]
    attributes: Mapping[str, Sequence[str]]
    tsne: bool
    thesis: bool

    def catalogue(self) -> dict[str, Files]:
        """Every figure and the files that it is drawn from."""
        figures: dict[str, Files] = {}
        for name in self.datasets:
            figures[f"{name}/flow"] = {
                "records": [f"{name}/records/summary.json"],
                "excluded": [f"{name}/images/excluded.csv"],
            }
            if name in self.resampled:
                figures[f"{name}/resampling"] = _tables(f"{name}/records", "test", "test_resampled")
        for name, losses in self.students.items():
            if losses:
                folders = self._student_runs(name)
                figures[f"{name}/distillation"] = {"quality": self._of_students("quality", [name])}
                figures[f"{name}/training"] = {"history": [f"{f}/history.csv" for f in folders]}
        for name in self.trained:
            figures |= self._evaluation(name) | (self._bias(name) if self.analysed else {})
        for source, target in self.pairs:
            figures[f"{source}-to-{target}/transfer"] = _tables(f"evaluation/{target}", "summary")
        if self.analysed and self.trained:
            figures["study/performance-vs-bias"] = _tables("bias", *TRADEOFF)
        if self.thesis:
            figures["study/against-thesis"] = _tables("tables", "against_thesis")
        return figures

    def tables(self) -> Files:
        """What the tables for people are made from."""
        return self._documents() | self._evaluations("metrics", "summary", "subgroups")

    def report(self) -> Files:
        """What the report is written from, besides its figures."""
        return (
            self._documents()
            | {
                "pixels": [f"{name}/records/pixels.json" for name in self.datasets],
                "teacher": [f"{name}/teacher/meta.json" for name in self.datasets],
                "patients": [
                    f"{source}-to-{target}/patients.json" for source, target in self.pairs
                ],
            }
            | self._evaluations("summary", "comparisons", "gaps")
            | (_tables("bias", *TRADEOFF) if self.analysed and self.trained else {})
            | _tables("tables", "cohort", "students", "costs")
            | (_tables("tables", "against_thesis") if self.thesis else {})
        )

    def _student_runs(self, name: str) -> list[str]:
        losses = self.students[name]
        return [f"{name}/students/{loss}/seed{seed}" for loss in losses for seed in self.seeds]

    def _of_students(self, document: str, names: Iterable[str]) -> list[str]:
        return [
            f"{name}/students/{loss}/{document}.json"
            for name in names
            for loss in self.students[name]
        ]

    def _documents(self) -> Files:
        """Facts about the datasets, the students, all runs, and the bias scores."""
        runs = [folder for name in self.students for folder in self._student_runs(name)]
        scored = self.trained if self.analysed else []
        return {
            "records": [f"{name}/records/summary.json" for name in self.datasets],
            "quality": self._of_students("quality", self.students),
            "selected": self._of_students("selected", self.students),
            "run": [f"{folder}/run.json" for folder in (*runs, *self.runs)],
            "scores": [f"bias/{name}/scores.csv" for name in scored],
        }

    def _evaluations(self, *tables: str) -> Files:
        return {t: [f"evaluation/{name}/{t}.csv" for name in self.evaluated] for t in tables}

    def _evaluation(self, name: str) -> dict[str, Files]:
        """Figures of the classifiers that were trained and tested on one dataset."""
        sources = {
            kind: ["summary"] for kind in ("performance", "auc-roc", "auc-pr", "youden", "focused")
        } | {
            "differences": ["comparisons"],
            "curves": ["curves", "thresholds"],
            "calibration": ["calibration"],
        }
        if self.attributes[name]:
            sources |= {"subgroups": ["subgroups"], "relative": ["subgroups"], "gaps": ["gaps"]}
        return {
            f"{name}/{kind}": _tables(f"evaluation/{name}", *tables)
            for kind, tables in sources.items()
        }

    def _bias(self, name: str) -> dict[str, Files]:
        """Figures of what the embeddings of one dataset's models reveal."""
        figures = {
            f"{name}/{kind}": {
                table: [f"bias/{name}/{model}/{table}.csv" for model in self.analysed]
                for table in tables
            }
            for kind, tables in (
                ("ks", ["ks"]),
                ("score", ["score", "null"]),
                ("encoding", ["encoding"]),
            )
        }
        shown = representatives(self.analysed)
        points = [f"{name}/models/{model}/projection.parquet" for model in shown]
        for kind in ("pca", "pca-3-4", "tsne") if self.tsne else ("pca", "pca-3-4"):
            figures[f"{name}/{kind}"] = {"projection": points} | _tables(f"{name}/records", "test")
        return figures


def _tables(folder: str, *names: str) -> Files:
    """The CSV tables `names` of a folder."""
    return {name: [f"{folder}/{name}.csv"] for name in names}


def representatives(models: Sequence[str]) -> list[str]:
    """One of each kind of model, the first of its losses, so that pictures stay readable."""
    first: dict[str, str] = {}
    for model in models:
        first.setdefault(model.partition(".")[0], model)
    return list(first.values())


def assets() -> str:
    """Hash of what the pictures and the page are made with besides code: style, fonts, template."""
    package = Path(__file__).parent.parent
    files = [
        path
        for folder in ("figures", "report")
        for path in (package / folder).rglob("*")
        if path.suffix in (".mplstyle", ".ttf", ".html", ".css", ".js")
    ]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]
