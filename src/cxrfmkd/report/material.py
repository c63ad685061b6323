"""Everything that the report is written from, and the figures in the order in which they are numbered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from cxrfmkd.runtime.files import read_json
from cxrfmkd.study.outputs import KINDS
from cxrfmkd.study.settings import on_dataset
from cxrfmkd.tables.gathering import about, documents, gather


@dataclass(frozen=True)
class Material:
    """settings: of the whole study; files: result files by name; figures: their files, of which the SVGs are shown; thesis: content of config/thesis.yaml."""

    settings: dict
    files: Mapping[str, Sequence[Path]]
    figures: Sequence[Path]
    thesis: dict

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        return gather(self.files)

    def table(self, name: str) -> pd.DataFrame:
        """A table by its name; empty where the study has none."""
        return self.tables.get(name, pd.DataFrame())

    def documents(self, name: str) -> list[dict]:
        """JSON files by the name of their kind."""
        return documents(self.files.get(name, []))

    @cached_property
    def gates(self) -> pd.DataFrame:
        """What was checked of every dataset, on its records and on its pixels, and of every transfer."""
        rows = [
            {"dataset": summary["dataset"], **gate}
            for summary in self.documents("records")
            for gate in summary.get("gates", [])
        ]
        for path in self.files.get("pixels", []):
            rows += [{"dataset": about(path)["dataset"], **gate} for gate in read_json(path)]
        for path in self.files.get("patients", []):
            rows += [{"dataset": path.parent.name, **gate} for gate in read_json(path)]
        table = pd.DataFrame(rows).drop_duplicates(ignore_index=True)
        return (
            table.sort_values("dataset", kind="stable", ignore_index=True) if len(table) else table
        )

    @cached_property
    def drawn(self) -> dict[str, Path]:
        """Figures by name, `<subject>/<kind>`."""
        return {
            f"{path.parent.name}/{path.stem}": path
            for path in self.figures
            if path.suffix == ".svg"
        }

    def of_section(self, section: str) -> list[tuple[str, str, Path]]:
        """(subject, kind, file) of a section's figures: kinds in the catalogue's order, subjects as given."""
        names = [name.rpartition("/") for name in self.drawn]
        return [
            (subject, kind, self.drawn[f"{subject}/{kind}"])
            for kind, known in KINDS.items()
            if known.section == section
            for subject, _, own in names
            if own == kind
        ]

    @property
    def trained(self) -> list[str]:
        """Datasets with classifiers of their own."""
        return list(self.settings["classification"]["datasets"])

    @property
    def datasets(self) -> list[str]:
        """Datasets that take part."""
        s = self.settings
        named = [
            *s["distillation"]["datasets"],
            *self.trained,
            *(name for pair in s["transfer"]["pairs"] for name in pair),
        ]
        return list(dict.fromkeys(named))

    @cached_property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Images and patients of each dataset; its splits share none, but a patient may be in several datasets."""
        return {
            d["dataset"]: tuple(
                sum(part[what] for part in d["counts"].values()) for what in ("images", "patients")
            )
            for d in self.documents("records")
        }

    def on(self, section: str, dataset: str) -> dict:
        """A section's settings as they hold on one dataset."""
        return on_dataset(section, self.settings[section], self.settings["datasets"][dataset])

    @property
    def unbalanced(self) -> list[str]:
        """Datasets without a resampled test set."""
        return [n for n in self.datasets if self.on("resampling", n)["method"] == "none"]

    @property
    def minimum_cell(self) -> int:
        return self.settings["evaluation"]["minimum_cell"]
