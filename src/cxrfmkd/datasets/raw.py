"""The raw tables of a dataset: read as text, columns checked, every excluded row counted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cxrfmkd.datasets.records import LABELS, years
from cxrfmkd.runtime.cells import UNITS, numbers, reject
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.seals import sha256
from cxrfmkd.runtime.text_tables import read_header, read_text_table
from cxrfmkd.study.settings import Dataset, Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.attributes import PRESETS, Attributes
from cxrfmkd.vocabulary.findings import FINDINGS

# Codes of the sex in small letters.
SEX_CODES = {"m": "Male", "male": "Male", "f": "Female", "female": "Female", "unknown": None}
# Header cells that pandas writes for an index without a name; they pile up when a file is read and
# written again.
UNNAMED = re.compile(r"^(Unnamed: \d+(\.\d+)*)?$")


@dataclass(frozen=True)
class Raw:
    """The configured tables of one dataset.

    name: the dataset's name in the configuration; settings: its settings; study: the findings that
    the study wants, of which an adapter gives those that the dataset knows of; attributes: of the
    study.
    """

    name: str
    settings: Dataset
    study: Findings = THESIS
    attributes: Attributes = field(default_factory=lambda: PRESETS)

    def setting(self, key: str) -> str:
        """The name of a table's setting, for messages."""
        return f"datasets.{self.name}.tables.{key}"

    def source(self, key: str) -> str:
        """The setting and the file of a table, for messages."""
        return f"{self.setting(key)} ({self.path(key).name})"

    def has(self, key: str) -> bool:
        """Whether the table is configured."""
        return key in self.settings.tables

    def path(self, key: str) -> Path:
        """File of the table."""
        return Path(self.settings.tables[key])

    def require(self, needed: tuple[str, ...], optional: tuple[str, ...]) -> None:
        """Raise InputError with every table that is not configured, not known or not on disk."""
        tables = self.settings.tables
        problems = [f"{self.setting(key)} is not set" for key in needed if key not in tables]
        for key in tables:
            if key not in (*needed, *optional):
                problems.append(
                    f"{self.setting(key)}: adapter {self.settings.adapter} has no such table, "
                    f"only {some((*needed, *optional), 9)}"
                )
            elif not self.path(key).is_file() and not any(self._files(key)):
                path = self.path(key)
                other = path.with_suffix("") if path.suffix == ".gz" else Path(f"{path}.gz")
                hint = f", but {other.name} is there" if other.is_file() else ""
                problems.append(f"{self.setting(key)} is {path}, which does not exist{hint}")
        if problems:
            raise InputError("\n".join(("The raw tables are not complete.", *problems)))

    def header(self, key: str) -> list[str]:
        """Names of a raw table's columns."""
        return read_header(self.path(key), self.source(key))

    def table(
        self,
        key: str,
        columns: tuple[str, ...],
        also: tuple[str, ...] = (),
        lists: Collection[str] = (),
    ) -> pd.DataFrame:
        """A raw table's `columns`, and those of `also` that it has, as text; blank is missing.

        lists: columns that may hold lists of texts. The index is the line of each row (see
        `read_text_table`).
        """
        frame = read_text_table(self.path(key), self.source(key), columns, also, lists)
        return frame[[name for name in frame if not UNNAMED.match(str(name))]]

    def _files(self, key: str) -> list[Path]:
        """The text files of a table that is a folder of them, by name."""
        return sorted(self.path(key).glob("*.txt"))

    def texts(self, key: str) -> pd.Series:
        """The content of every text file of a folder, by its name without `.txt`.

        A byte that is no UTF-8 becomes the replacement character.
        """
        files = self._files(key)
        if not files:
            raise InputError(f"{self.source(key)} is no folder with text files.")
        contents = [file.read_text(encoding="utf-8", errors="replace") for file in files]
        return pd.Series(contents, [file.stem for file in files], dtype="str")

    def numbers(self, frame: pd.DataFrame, column: str, key: str) -> pd.Series:
        """A text column of a raw table as float64."""
        return numbers(frame[column], self.source(key))

    def years(self, frame: pd.DataFrame, column: str, key: str) -> pd.Series:
        """A text column of ages as years, float64; possible or not (see `records.years`)."""
        return years(frame[column], self.source(key))

    def codes(
        self, frame: pd.DataFrame, column: str, key: str, meaning: Mapping[str, str | None]
    ) -> pd.Series:
        """A coded column in our words; small and capital letters are one. Unknown: InputError.

        meaning: what each code stands for, in small letters; None for unknown.
        """
        codes = frame[column].str.lower()
        unknown = codes.notna() & ~codes.isin(list(meaning))
        problem = f"are none of {', '.join(meaning)}, blank"
        remedy = "Correct them in the file, or make them blank where nothing is known."
        self.reject(unknown, key, column, problem, frame[column], remedy)
        words = codes.map(dict(meaning))
        return words.astype("str").where(words.notna())

    @property
    def chexpert_findings(self) -> tuple[str, ...]:
        """Those of the 14 findings that the study wants."""
        return tuple(name for name in FINDINGS if name in self.study.names)

    def findings(self, frame: pd.DataFrame, key: str) -> dict[str, pd.Series]:
        """The findings of a raw table in CheXpert's form, as float64."""
        return {finding: self.labels(frame, finding, key) for finding in self.chexpert_findings}

    def labels(self, frame: pd.DataFrame, column: str, key: str) -> pd.Series:
        """A text column of labels as float64: 1, 0, -1 or missing."""
        values = self.numbers(frame, column, key)
        problem = "are not labels of 1, 0, -1 (uncertain) or blank"
        self.reject(values.notna() & ~values.isin(LABELS), key, column, problem, values)
        return values

    def reject(
        self,
        rows: pd.Series,
        key: str,
        column: str,
        problem: str,
        values: pd.Series | None = None,
        remedy: str = "",
    ) -> None:
        """Raise InputError if any of a table's `rows` is true; see `records.reject`."""
        reject(rows, f"{self.source(key)}, column {column}", f"rows {problem}", values, remedy)

    def unique(self, frame: pd.DataFrame, by: list[str], key: str) -> pd.DataFrame:
        """`frame`, in which no two rows have the same key `by` and none has a blank one."""
        remedy = "Each row needs a key of its own; repair the file."
        names = " and ".join(by)
        duplicate, blank = frame.duplicated(by, keep=False), frame[by].isna().any(axis=1)
        reject(duplicate, self.source(key), f"rows have a duplicate {names}", remedy=remedy)
        reject(blank, self.source(key), f"rows have a blank {names}", remedy=remedy)
        return frame

    def facts(self) -> dict[str, dict[str, str]]:
        """File name and hash of every raw table, of a folder that of its files, for provenance."""
        return {
            key: {"file": self.path(key).name, "sha256": self._hash(key)}
            for key in self.settings.tables
        }

    def _hash(self, key: str) -> str:
        if self.path(key).is_file():
            return sha256(self.path(key))
        contents = [f"{sha256(file)} {file.name}" for file in self._files(key)]
        return hashlib.sha256("\n".join(contents).encode()).hexdigest()


class Flow:
    """What happened to the images on their way into the study, step by step.

    steps: `step`, images `kept` and `excluded`, `patients` kept, and the `reason`.
    listed: image_id, reason, where, of images that were left out because something is wrong with
    them, as against those that the study's design does not want. table: whose rows the images are;
    image_ids: of all images at the start.
    """

    def __init__(self, frame: pd.DataFrame, step: str) -> None:
        self.table, self.image_ids = step, frame.image_id
        self.steps: list[dict] = []
        self.listed: list[pd.DataFrame] = []
        self._note(frame, step, 0, "")

    def keep(
        self, frame: pd.DataFrame, mask: pd.Series, step: str, reason: str, listed: bool = False
    ) -> pd.DataFrame:
        """The rows where `mask` holds; the others are counted under `reason`, or also listed.

        The list says in which line of its table an image stands, where that is known.
        """
        mask = mask.to_numpy(bool)
        if listed and not mask.all():
            excluded = frame.loc[~mask, ["image_id"]]
            unit = excluded.index.name
            where = f"{self.table}, {unit} " + excluded.index.astype("str")
            where = where if unit in UNITS else ""
            self.listed.append(excluded.assign(reason=reason, where=where))
        remaining = frame[mask]
        self._note(remaining, step, int((~mask).sum()), reason)
        if remaining.empty:
            raise InputError(
                f"No image is left after the step `{step}`, which excludes: {reason}.\n"
                + self.report()
            )
        return remaining

    def _note(self, frame: pd.DataFrame, step: str, excluded: int, reason: str) -> None:
        counts = {"kept": len(frame), "excluded": excluded}
        patients = int(frame.patient_id.nunique())
        self.steps.append({"step": step} | counts | {"patients": patients, "reason": reason})

    def excluded(self) -> pd.DataFrame:
        """The listed images: image_id, reason, and where in its table each stands."""
        empty = pd.DataFrame({"image_id": [], "reason": [], "where": []}, dtype="str")
        return pd.concat([empty, *self.listed])

    def report(self) -> str:
        """The steps as lines of text."""
        return "\n".join(
            f"  {s['step']}: {s['kept']:,} images of {s['patients']:,} patients"
            + (f" ({s['excluded']:,} excluded: {s['reason']})" if s["excluded"] else "")
            for s in self.steps
        )


@dataclass(frozen=True)
class Reading:
    """What an adapter makes of the raw tables.

    records: the columns of records but `disease` and `age_bin`, and `split` where the dataset
    brings one.
    flow: the steps so far. joined: share of images whose patient is in the demographic table, where
    there is one.
    identities: key column -> pattern whose first group is that key in an image's path.
    notes: what a reader of the summary should know.
    """

    records: pd.DataFrame
    flow: Flow
    joined: float | None = None
    identities: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
