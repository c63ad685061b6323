"""Which figures and tables a study has, and what each is drawn from. Standard library only.

A figure is called `<subject>/<kind>`, where the subject is a dataset, a `<source>-to-<target>` pair
or `study`; its files are `results/figures/<subject>/<kind>.svg`, `.png` and `.csv`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What `workflow/scripts/make_tables.py` writes, always all of it.
TABLES = (
    "cohort.csv",
    "performance_detailed.csv",
    "performance_focused.csv",
    "transfer.csv",
    "students.csv",
    "subgroups.csv",
    "bias.csv",
    "costs.csv",
)


TRADEOFF = ("bias/performance_vs_bias.csv", "bias/correlation.csv")
AGAINST_THESIS = "tables/against_thesis.csv"


@dataclass(frozen=True)
class Kind:
    """A kind of figure: the section of the report that it stands in, and what it is about, in one sentence."""

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
    """What a study consists of, as far as its figures, tables and report depend on it; paths are
    below the results.

    datasets: all of them; students: losses of the students of each dataset; seeds: of the students;
    trained: datasets with classifiers of their own; evaluated: datasets on which some classifier is
    tested; pairs: transfers;
    analysed: models of the bias analysis; runs: folders of all classifiers; resampled: datasets
    whose test set is balanced; attributes: of each dataset's subgroups, none to leave these out;
    tsne: the bias analysis has t-SNE pictures; thesis: there is a comparison with the thesis's
    numbers.
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

    def catalogue(self) -> dict[str, list[str]]:
        """Every figure and the files that it is drawn from."""
        figures: dict[str, list[str]] = {}
        for name in self.datasets:
            figures[f"{name}/flow"] = [
                f"{name}/records/summary.json",
                f"{name}/images/excluded.csv",
            ]
            if name in self.resampled:
                parts = ("test", "test_resampled")
                figures[f"{name}/resampling"] = [f"{name}/records/{part}.csv" for part in parts]
        for name, losses in self.students.items():
            if losses:
                folders = [f"{name}/students/{loss}" for loss in losses]
                figures[f"{name}/distillation"] = [f"{folder}/quality.json" for folder in folders]
                figures[f"{name}/training"] = [
                    f"{folder}/history.csv" for folder in self._student_runs(name)
                ]
        for name in self.trained:
            figures |= self._evaluation(name) | (self._bias(name) if self.analysed else {})
        for source, target in self.pairs:
            figures[f"{source}-to-{target}/transfer"] = [f"evaluation/{target}/summary.csv"]
        if self.analysed and self.trained:
            figures["study/performance-vs-bias"] = list(TRADEOFF)
        if self.thesis:
            figures["study/against-thesis"] = [AGAINST_THESIS]
        return figures

    def tables(self) -> list[str]:
        """What the tables for people are made from."""
        parts = ("metrics", "summary", "subgroups")
        return [
            *(f"{name}/records/summary.json" for name in self.datasets),
            *self._agreement(),
            *self._run_files(),
            *(f"evaluation/{name}/{part}.csv" for name in self.evaluated for part in parts),
            *self._bias_scores(),
        ]

    def report(self) -> list[str]:
        """What the report is written from, besides its figures."""
        records = [
            f"{name}/{path}"
            for name in self.datasets
            for path in ("records/summary.json", "records/pixels.json", "teacher/meta.json")
        ]
        parts = ("summary", "comparisons", "gaps")
        return [
            *records,
            *(f"{source}-to-{target}/patients.json" for source, target in self.pairs),
            *self._agreement(),
            *self._run_files(),
            *(f"evaluation/{name}/{part}.csv" for name in self.evaluated for part in parts),
            *self._bias_scores(),
            *(TRADEOFF if self._bias_scores() else ()),
            *(f"tables/{name}" for name in ("cohort.csv", "students.csv", "costs.csv")),
            *([AGAINST_THESIS] if self.thesis else []),
        ]

    def _student_runs(self, name: str) -> list[str]:
        return [
            f"{name}/students/{loss}/seed{seed}"
            for loss in self.students[name]
            for seed in self.seeds
        ]

    def _run_files(self) -> list[str]:
        folders = [folder for name in self.students for folder in self._student_runs(name)]
        return [f"{folder}/run.json" for folder in (*folders, *self.runs)]

    def _agreement(self) -> list[str]:
        folders = [
            f"{name}/students/{loss}" for name, losses in self.students.items() for loss in losses
        ]
        return [f"{folder}/{part}.json" for folder in folders for part in ("quality", "selected")]

    def _bias_scores(self) -> list[str]:
        return [f"bias/{name}/scores.csv" for name in self.trained] if self.analysed else []

    def _evaluation(self, name: str) -> dict[str, list[str]]:
        """Figures of the classifiers that were trained and tested on one dataset."""
        folder = f"evaluation/{name}"
        summed = ("performance", "auc-roc", "auc-pr", "youden", "focused")
        figures = {f"{name}/{kind}": [f"{folder}/summary.csv"] for kind in summed}
        figures[f"{name}/differences"] = [f"{folder}/comparisons.csv"]
        figures[f"{name}/curves"] = [f"{folder}/curves.csv", f"{folder}/thresholds.csv"]
        figures[f"{name}/calibration"] = [f"{folder}/calibration.csv"]
        if self.attributes[name]:
            figures |= {
                f"{name}/{kind}": [f"{folder}/subgroups.csv"] for kind in ("subgroups", "relative")
            }
            figures[f"{name}/gaps"] = [f"{folder}/gaps.csv"]
        return figures

    def _bias(self, name: str) -> dict[str, list[str]]:
        """Figures of what the embeddings of one dataset's models reveal."""
        folders = [f"bias/{name}/{model}" for model in self.analysed]
        figures = {
            f"{name}/ks": [f"{folder}/ks.csv" for folder in folders],
            f"{name}/score": [
                f"{folder}/{part}.csv" for folder in folders for part in ("score", "null")
            ],
            f"{name}/encoding": [f"{folder}/encoding.csv" for folder in folders],
        }
        shown = [
            f"{name}/models/{model}/projection.parquet" for model in representatives(self.analysed)
        ]
        for kind in ("pca", "pca-3-4", "tsne") if self.tsne else ("pca", "pca-3-4"):
            figures[f"{name}/{kind}"] = shown
        return figures


def representatives(models: Sequence[str]) -> list[str]:
    """One of each kind of model, the first of its losses, so that a picture of them all stays readable."""
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
