"""Which figures and tables a study has, and what each is made from. Standard library only.

A figure is called `<subject>/<kind>`, where the subject is a dataset, a `<source>-to-<target>` pair
or `study`; its files are `results/figures/<subject>/<kind>.svg`, `.png` and `.csv`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cxrfmkd.vocabulary.datasets import SPLITS
from cxrfmkd.vocabulary.teachers import TEACHER, teacher_folder

# The tables for people: what `workflow/scripts/make_tables.py` writes, always all of them.
TABLES = (
    "cohort performance_detailed performance_focused transfer students subgroups bias costs"
).split()
# What the report tells of a reference standard of experts.
REFERENCE = tuple(f"reference_{name}" for name in ("counts", "agreement", "summary", "ranks"))
TRADEOFF = ("performance_vs_bias", "correlation")
# What every run recorded, gathered: the report's plan follows one file instead of one a run.
RUNS = "tables/runs.json"

# Files below the results by what they are: the name of the table, or of the kind of document.
Files = dict[str, list[str]]


@dataclass(frozen=True)
class Shape:
    """What a study consists of, as far as its figures, tables and report depend on it.

    datasets: all of them; students: losses of the students of each dataset; seeds: of the students;
    trained: datasets with classifiers of their own; evaluated: datasets on which some classifier is
    tested; pairs: transfers; analysed: models of each dataset's bias analysis; runs: folders of all
    classifiers, below the results; resampled: datasets whose test set is balanced; attributes: of
    each dataset's subgroups, none to leave these out; tsne: the bias analysis has t-SNE pictures;
    thesis: there is a comparison with the thesis's numbers; backbones: of the students; teachers:
    beside the first of every dataset; referenced: evaluated datasets with labels of experts;
    erased: models of each dataset whose probes have attributes erased.
    """

    datasets: Sequence[str]
    students: Mapping[str, Sequence[str]]
    seeds: Sequence[int]
    trained: Sequence[str]
    evaluated: Sequence[str]
    pairs: Sequence[tuple[str, str]]
    analysed: Mapping[str, Sequence[str]]
    runs: Sequence[str]
    resampled: Sequence[str]
    attributes: Mapping[str, Sequence[str]]
    tsne: bool
    thesis: bool
    backbones: Sequence[str]
    teachers: Sequence[str] = ()
    referenced: Sequence[str] = ()
    erased: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def compared(self) -> list[str]:
        """Datasets of which both performance and bias are measured."""
        return [name for name in self.trained if self.analysed[name]]

    @property
    def sized(self) -> bool:
        """Whether the sizes of the students' backbones are measured: there is one to compare."""
        return len(self.backbones) > 1

    def catalogue(self) -> dict[str, Files]:
        """Every figure and the files that it is drawn from."""
        figures: dict[str, Files] = {}
        for name in self.datasets:
            figures[f"{name}/flow"] = {
                "records": [f"{name}/records/summary.json"],
                "unreadable": [f"{name}/images/excluded.csv"],
                "without_embedding": self._of_teachers(name, "excluded.csv"),
            }
            if name in self.resampled:
                figures[f"{name}/resampling"] = _tables(f"{name}/records", "test", "test_resampled")
        for name, losses in self.students.items():
            if losses:
                folders = self._student_runs(name)
                figures[f"{name}/distillation"] = {"quality": self._of_students("quality", [name])}
                figures[f"{name}/training"] = {"history": [f"{f}/history.csv" for f in folders]}
        for name in self.trained:
            figures |= self._evaluation(name) | (self._bias(name) if self.analysed[name] else {})
        for source, target in self.pairs:
            figures[f"{source}-to-{target}/transfer"] = _tables(f"evaluation/{target}", "summary")
        if self.compared:
            figures["study/performance-vs-bias"] = _tables("bias", *TRADEOFF)
        if self.compared and self.sized:
            points = _tables("bias", "performance_vs_bias")
            figures["study/size"] = points | _tables("tables", "sizes")
        if self.thesis:
            figures["study/against-thesis"] = _tables("tables", "against_thesis")
        return figures

    def tables(self) -> Files:
        """What the tables for people are made from."""
        return (
            self._documents([f"{folder}/run.json" for folder in self._all_runs()])
            | {s: [f"{name}/records/{s}.csv" for name in self.datasets] for s in SPLITS}
            | self._evaluations("metrics", "summary", "subgroups")
        )

    def report(self) -> Files:
        """What the report is written from, besides its figures."""
        return (
            self._documents([RUNS])
            | {
                "attributes": [f"{name}/records/attributes.json" for name in self.datasets],
                "pixels": [f"{name}/records/pixels.json" for name in self.datasets],
                "teacher": [
                    path for name in self.datasets for path in self._of_teachers(name, "meta.json")
                ],
                "patients": [
                    f"{source}-to-{target}/patients.json" for source, target in self.pairs
                ],
            }
            | self._evaluations("summary", "comparisons", "gaps", "exclusions")
            | {t: [f"evaluation/{n}/{t}.csv" for n in self.referenced] for t in REFERENCE}
            | {
                name: [f"bias/{n}/{m}/{table}.csv" for n, ms in self.erased.items() for m in ms]
                for name, table in (("erasure", "erasure"), ("attribute_probes", "attributes"))
            }
            | (_tables("bias", *TRADEOFF) if self.compared else {})
            | _tables("tables", "cohort", "students", "costs")
            | (_tables("tables", "against_thesis") if self.thesis else {})
        )

    def _of_teachers(self, dataset: str, file: str) -> list[str]:
        """A file of the embeddings of every teacher."""
        return [f"{dataset}/{teacher_folder(name)}/{file}" for name in (TEACHER, *self.teachers)]

    def _student_runs(self, name: str) -> list[str]:
        losses = self.students[name]
        return [f"{name}/students/{loss}/seed{seed}" for loss in losses for seed in self.seeds]

    def _of_students(self, document: str, names: Iterable[str]) -> list[str]:
        return [
            f"{name}/students/{loss}/{document}.json"
            for name in names
            for loss in self.students[name]
        ]

    def _all_runs(self) -> list[str]:
        students = [folder for name in self.students for folder in self._student_runs(name)]
        return [*students, *self.runs]

    def _documents(self, runs: list[str]) -> Files:
        """Facts about the datasets, the students, all runs (`runs`), and the bias scores."""
        return {
            "records": [f"{name}/records/summary.json" for name in self.datasets],
            "quality": self._of_students("quality", self.students),
            "selected": self._of_students("selected", self.students),
            "run": runs,
            "scores": [f"bias/{name}/scores.csv" for name in self.compared],
            "bias_differences": [f"bias/{name}/differences.csv" for name in self.compared],
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
                table: [f"bias/{name}/{model}/{table}.csv" for model in self.analysed[name]]
                for table in tables
            }
            for kind, tables in (
                ("ks", ["ks"]),
                ("score", ["score", "null"]),
                ("encoding", ["encoding"]),
            )
        }
        compared = [f"bias/{name}/differences.csv"]
        figures[f"{name}/bias-differences"] = {"bias_differences": compared}
        shown = representatives(self.analysed[name])
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
    """Hash of what pictures and page are made with besides code: style, fonts, templates, words."""
    package = Path(__file__).parent.parent
    files = [
        path
        for folder in ("figures", "report", "vocabulary")
        for path in (package / folder).rglob("*")
        if path.suffix in (".mplstyle", ".ttf", ".html", ".css", ".js", ".toml", ".bib")
    ]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]
