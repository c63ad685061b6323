"""Everything that the report is written from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from cxrfmkd.runtime.files import read_json
from cxrfmkd.study.settings import Findings
from cxrfmkd.tables.gathering import about, gather, read_documents
from cxrfmkd.vocabulary.datasets import MINED
from cxrfmkd.vocabulary.figures import KINDS


@dataclass(frozen=True)
class ReportData:
    """The settings of a study, the facts of its plan, and its results.

    settings: all of them. datasets: all that take part; trained: those with classifiers of their
    own; balanced: those with a resampled test set; attributes: of each dataset, by the settings'
    section that analyses them. files: result files by name, as in `study.outputs`. figures: their
    files, of which the SVGs are shown. thesis: content of config/thesis.yaml.
    """

    settings: dict
    datasets: Sequence[str]
    trained: Sequence[str]
    balanced: Sequence[str]
    attributes: Mapping[str, Mapping[str, Sequence[str]]]
    files: Mapping[str, Sequence[Path]]
    figures: Sequence[Path]
    thesis: dict

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        return gather(self.files)

    def table(self, name: str) -> pd.DataFrame:
        """The tables of one name, one below the other; empty where the study has none."""
        return self._tables.get(name, pd.DataFrame())

    @cached_property
    def _documents(self) -> dict[str, list[dict]]:
        return {}

    def documents(self, name: str) -> list[dict]:
        """The JSON files of one name, each with what its path says under `about`."""
        if name not in self._documents:
            self._documents[name] = read_documents(self.files.get(name, ()))
        return self._documents[name]

    @cached_property
    def versions(self) -> dict[str, list[str]]:
        """What the runs recorded of software and machine, by name; usually one of each."""
        found: dict[str, set[str]] = {}
        for document in (*self.documents("run"), *self.documents("quality")):
            for name, version in document.get("versions", {}).items():
                found.setdefault(name, set()).add(version)
        return {name: sorted(found[name]) for name in sorted(found)}

    @cached_property
    def gates(self) -> pd.DataFrame:
        """Columns dataset, name, status, found: checks of records, attributes, pixels, transfers.

        A transfer's `dataset` is `source-to-target`.
        """
        rows = [
            {"dataset": summary["dataset"], **gate}
            for summary in self.documents("records")
            for gate in summary.get("gates", [])
        ]
        for path in (*self.files.get("attributes", ()), *self.files.get("pixels", ())):
            rows += [{"dataset": about(path)["dataset"], **gate} for gate in read_json(path)]
        for path in self.files.get("patients", ()):
            rows += [{"dataset": path.parent.name, **gate} for gate in read_json(path)]
        columns = ["dataset", "name", "status", "found"]
        gates = pd.DataFrame(rows, columns=columns).drop_duplicates()
        return gates.sort_values("dataset", kind="stable", ignore_index=True)

    def figures_of(self, section: str) -> list[tuple[str, str, Path]]:
        """(subject, kind, file) of a section's figures: kinds in the order of `KINDS`."""
        return [
            (path.parent.name, kind, path)
            for kind in KINDS
            if KINDS[kind].section == section
            for path in self.figures
            if path.suffix == ".svg" and path.stem == kind
        ]

    @cached_property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Images and patients of each dataset, over its splits, which share none.

        Sizes of two datasets must not be added: they may have patients in common.
        """
        return {
            summary["dataset"]: (
                sum(split["images"] for split in summary["counts"].values()),
                sum(split["patients"] for split in summary["counts"].values()),
            )
            for summary in self.documents("records")
        }

    @cached_property
    def findings(self) -> Findings:
        """The study's findings."""
        return Findings.of_spec(self.settings)

    @cached_property
    def findings_of(self) -> dict[str, list[str]]:
        """The findings that each dataset has."""
        return {
            summary["dataset"]: list(summary["counts"]["test"]["findings"])
            for summary in self.documents("records")
        }

    def _real_members(self, name: str) -> list[str]:
        """The members of a pool, else the dataset itself; none that is synthetic."""
        members = self.settings["datasets"][name]["pool"] or [name]
        return [member for member in members if member not in self.settings["synthetic"]]

    @cached_property
    def mined(self) -> list[str]:
        """Datasets with labels that a program mined from reports."""
        adapters = {name: read["adapter"] for name, read in self.settings["datasets"].items()}
        return [
            name
            for name in self.datasets
            if any(adapters[member] in MINED for member in self._real_members(name))
        ]

    @property
    def uses_race(self) -> bool:
        """Whether the race of real patients is analysed, or the test set balanced by it."""
        by_race = self.settings["resampling"]["by"] == "race"
        return any(
            (by_race and name in self.balanced)
            or any("race" in names for names in self.attributes[name].values())
            for name in self.datasets
            if self._real_members(name)
        )

    @property
    def left_out(self) -> int:
        """Validation and test images of all datasets that no model is measured on."""
        counts = self.table("exclusions")
        return int((counts.images - counts.measured).sum()) if len(counts) else 0

    @property
    def minimum_cell(self) -> int:
        """The fewest patients that a published group rests on."""
        return self.settings["evaluation"]["minimum_cell"]
