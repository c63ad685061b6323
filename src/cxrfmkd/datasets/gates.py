"""Gates: what must hold of records before anything is trained on them.

Each gate says what it looked for and what it found, in counts; ids stay out of messages, which end
up in logs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from cxrfmkd.datasets.records import LABELS, OLDEST, findings_of
from cxrfmkd.runtime.cells import UNITS, lines
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.attributes import PRESETS, Attributes
from cxrfmkd.vocabulary.datasets import SPLITS
from cxrfmkd.vocabulary.groups import ATTRIBUTES, RACES

# A demographic table whose keys are written in another way joins nothing. That of MIMIC-IV knows
# only patients who were admitted, so the bar is low; the share itself is always reported.
JOINED = 0.5
FEW = 10  # images below which a message counts none
# Images of the samples that the thesis used (Glocker et al. 2023, 10.1148/ryai.230060), by adapter.
PUBLISHED = {
    "chexpert": ("CheXpert 1.0", 127_118),
    "mimic-cxr": ("MIMIC-CXR-JPG 2.0.0", 183_207),
}


@dataclass(frozen=True)
class Gate:
    """One check.

    status: "passed", "failed" (the study stops) or "noted" (worth knowing, no fault in itself).
    """

    name: str
    status: str
    found: str


def _gate(
    name: str, violations: int | np.integer, if_violated: str, if_met: str, status: str = "failed"
) -> Gate:
    return Gate(name, status if violations else "passed", if_violated if violations else if_met)


def patients(records: pd.DataFrame) -> Gate:
    """No patient is in two splits."""
    total = records.patient_id.nunique()
    shared = _shared(records, "patient_id")
    message = f"{shared.sum()} of {total} patients are in more than one split: {_pairs(shared)}"
    otherwise = f"{total} patients, each in one split"
    return _gate("patients in one split", len(shared), message, otherwise)


def patients_of_both(source: pd.DataFrame, target: pd.DataFrame) -> Gate:
    """No patient is in different splits of a transfer's source and target; all splits given."""
    columns = ["patient_id", "split"]
    shared = _shared(pd.concat([source[columns], target[columns]]), "patient_id")
    common = len(set(source.patient_id) & set(target.patient_id))
    message = (
        f"{shared.sum()} of {common} patients of both datasets are in different splits: "
        f"{_pairs(shared)}. Draw both datasets' splits with the same shares, seed and limit, or "
        "give both the same split file"
    )
    otherwise = f"{common} patients are in both datasets, each in the same split"
    return _gate("patients in one split of source and target", len(shared), message, otherwise)


def identities(records: pd.DataFrame, patterns: dict[str, str]) -> Gate:
    """The patient or study that an image's path names is that of its row."""
    problems = []
    for column, pattern in patterns.items():
        named = records.path.str.extract(pattern)[0]
        other = named.notna() & named.ne(records[column])
        problems += _counted(named.isna(), f"paths name no {column}")
        problems += _counted(other, f"paths are of another {column} than their row")
    checked = " and ".join(patterns) or "nothing: the paths' form is not known"
    return _gate("path and row agree", len(problems), "; ".join(problems), f"checked {checked}")


def keys(records: pd.DataFrame) -> Gate:
    """No duplicate image_id and no duplicate path."""
    problems = []
    for column in ("image_id", "path"):
        duplicate = records[column].duplicated(keep=False)
        problems += _counted(duplicate, f"rows share their {column}")
    return _gate("one row an image", len(problems), "; ".join(problems), f"{len(records)} keys")


def labels(records: pd.DataFrame) -> Gate:
    """Every label is 1, 0, -1 or blank."""
    values = records[list(findings_of(records))]
    invalid = (values.notna() & ~values.isin(LABELS)).sum()
    counts = ", ".join(f"{name} {count}" for name, count in invalid[invalid > 0].items())
    return _gate("labels 1, 0, -1 or blank", invalid.sum(), f"other values: {counts}", "all are")


def ages(records: pd.DataFrame) -> Gate:
    """Every age is possible."""
    invalid = records.age.notna() & ~records.age.between(0, OLDEST)
    message = "".join(_counted(invalid, f"ages are not from 0 to {OLDEST}"))
    return _gate("possible ages", invalid.sum(), message, f"{records.age.isna().sum()} blank")


def demographics(joined: float | None) -> Gate:
    """The demographic table is of these patients."""
    if joined is None:
        return Gate("demographics joined", "passed", "this dataset has no table to join")
    message = f"{joined:.1%} of the images have their patient in the demographic table"
    question = "are the two tables of the same release and their keys written alike?"
    warning = f"{message}, less than {JOINED:.0%}: {question}"
    return _gate("demographics joined", joined < JOINED, warning, message)


def splits(records: pd.DataFrame) -> Gate:
    """No split is empty."""
    sizes = records.split.value_counts().reindex(list(SPLITS), fill_value=0)
    message = ", ".join(f"{name} {size}" for name, size in sizes.items())
    remedy = "Give more patients, or other shares of the split"
    return _gate("no split is empty", (sizes == 0).sum(), f"{message}. {remedy}", message)


def strata(
    records: pd.DataFrame, findings: Findings = THESIS, races: Sequence[str] = RACES
) -> Gate:
    """Test strata that resampling cannot restore, since no image is there."""
    test = records[records.split == "test"]
    if test.race.isna().all():
        return Gate("no empty stratum", "passed", "no race, so no strata to resample")
    present = set(zip(test.race, test.disease, strict=True))
    empty = [
        f"{race} x {kind}"
        for race, kind in product(races, findings.levels_of_disease)
        if (race, kind) not in present
    ]
    message, otherwise = (
        f"no test image of {some(empty, 9)}",
        "every race x disease has test images",
    )
    return _gate("no empty stratum", len(empty), message, otherwise, "noted")


def learnable(records: pd.DataFrame) -> Gate:
    """Every finding has both classes in each split; else its metrics are undefined there."""
    classes = records[list(findings_of(records))].eq(1).groupby(records.split).nunique().stack()
    cells = [f"{finding} in {split}" for split, finding in classes[classes == 1].index]
    message = f"one class alone: {some(cells, 42)}"
    return _gate("both classes of every finding", len(cells), message, "all", "noted")


def contradictions(records: pd.DataFrame, findings: Findings = THESIS) -> Gate:
    """The finding that means none together with a class that then wins, as an effusion does."""
    none, classes = findings.none, findings.classes
    stronger = classes[: classes.index(none)] if none in classes else []
    if none is None or not stronger:
        return Gate("no class beside none", "passed", "no class goes before one that means none")
    both = (records[none].eq(1) & records[stronger].eq(1).any(axis=1)).sum()
    names = f"{none} and {' or '.join(stronger)}"
    number = both if both >= FEW else "a few"  # a cell of two findings, in logs and on the page
    message = f"{number} images have {names} at once; they count as the latter"
    return _gate(
        f"{none} means none", both, message, f"never beside {' or '.join(stronger)}", "noted"
    )


def published(records: pd.DataFrame, adapter: str) -> Gate:
    """Whether a table has as many images as the published sample that the thesis used."""
    release, images = PUBLISHED[adapter]
    message = (
        f"{len(records):,} images; the sample of {release} has {images:,}. This is another "
        "release, a part of it, or other rules of who is left out"
    )
    otherwise = f"{images:,} images, as the published sample of {release}"
    return _gate("the published sample", len(records) != images, message, otherwise, "noted")


def check(
    records: pd.DataFrame,
    patterns: dict[str, str],
    joined: float | None,
    findings: Findings = THESIS,
    attributes: Attributes = PRESETS,
) -> list[Gate]:
    """All gates of records. findings, attributes: of the study."""
    findings = findings.within(findings_of(records))
    return [
        patients(records),
        identities(records, patterns),
        keys(records),
        labels(records),
        ages(records),
        demographics(joined),
        splits(records),
        strata(records, findings, attributes["race"].groups),
        learnable(records),
        contradictions(records, findings),
    ]


def enforce(gates: Sequence[Gate], source: str) -> None:
    """Raise InputError with a report of all gates if one has failed."""
    failed = sum(gate.status == "failed" for gate in gates)
    if failed:
        report = "\n".join(f"  {gate.status:6}  {gate.name}: {gate.found}" for gate in gates)
        raise InputError(
            f"{source}: {failed} of {len(gates)} gates failed, so nothing is built on these "
            f"records.\n{report}"
        )


def attributes(dataset: str, counts: dict, asked: dict[str, list[str]]) -> Gate:
    """Every attribute that the study asks for is known of some test image.

    counts: of the test images, from `counting.counts`. asked: attribute -> the settings that ask.
    """
    names = dict.fromkeys((*ATTRIBUTES, *asked))
    known = [name for name in names if any(_levels(counts, name))]
    absent = {name: settings for name, settings in asked.items() if name not in known}
    message = "; ".join(
        f"no test image has a known {name}, which {' and '.join(settings)} ask for"
        for name, settings in absent.items()
    )
    remedy = f". Name what the dataset has: datasets.{dataset}.attributes: [{', '.join(known)}]"
    found = ", ".join(asked) or "none"
    return _gate("attributes that are asked for", len(absent), message + remedy, found)


def balance(
    dataset: str,
    counts: dict,
    balanced: bool,
    by: str = "race",
    groups: Sequence[str] = RACES,
) -> Gate:
    """What a resampled test set needs: the race of every test image, the age of some.

    counts: of the test images, from `counting.counts`. balanced: whether it is resampled;
    by, groups: the attribute that has equal shares, if not race, and its groups.
    """
    name = f"{by} and age to balance the test set by"
    if not balanced:
        return Gate(name, "passed", "the test set is not resampled")
    problems = [
        f"no test image has a known {attribute}"
        for attribute in (by, "age")
        if not any(_levels(counts, attribute))
    ]
    blank = counts.get(by, {}).get("blank", 0)
    remedy = f". Set datasets.{dataset}.resampling: none"
    if blank and not problems:
        problems = [f"{blank} of {counts['images']} test images have no {by}"]
        known = f"{{{by}: [{', '.join(groups)}]}}"
        remedy += f", or keep images of known {by}: datasets.{dataset}.keep: {known}"
    return _gate(name, len(problems), "; ".join(problems) + remedy, "both are known")


def _levels(counts: dict, attribute: str) -> list[str]:
    """The values of an attribute that some image has."""
    column = counts.get("age_bin" if attribute == "age" else attribute, {})
    return [level for level, images in column.items() if level != "blank" and images]


def identical(records: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Images of different splits that are equal pixel for pixel: image_id, split, sha256.

    records: of all splits. images: index of the packed images, with `image_id` and the `sha256` of
    the pixels. Records that were not packed are skipped.
    """
    hashed = records[["image_id", "split"]].merge(images[["image_id", "sha256"]], on="image_id")
    twins = hashed[hashed.groupby("sha256").split.transform("nunique") > 1]
    return twins.sort_values(["sha256", "split", "image_id"], ignore_index=True)


def pixels(twins: pd.DataFrame) -> Gate:
    """No image is in two splits under two names. twins: as from `identical`."""
    shared = _shared(twins, "sha256")
    message = (
        f"{len(twins)} records show {shared.sum()} images that are in more than one split: "
        f"{_pairs(shared)}. Leave them out by naming a CSV with their image_id as "
        "datasets.<name>.tables.exclude"
    )
    return _gate("images in one split", len(twins), message, "no image is in two splits")


def faint(count: int, images: int) -> Gate:
    """Almost constant images, which are kept. count: how many of the packed `images`."""
    message = f"{count} of {images} images are almost constant; images/faint.csv lists them"
    return _gate("images with contrast", count, message, "all", "noted")


def _shared(rows: pd.DataFrame, column: str) -> pd.Series:
    """How many values of `column` are in which splits, of those that are in more than one."""
    pairs = rows[[column, "split"]].drop_duplicates()
    pairs = pairs[pairs[column].duplicated(keep=False)]
    names = pairs.groupby(column).split.agg(lambda s: " and ".join(sorted(s, key=SPLITS.index)))
    return names.value_counts()


def _pairs(shared: pd.Series) -> str:
    return ", ".join(f"{count} in {names}" for names, count in shared.items())


def _counted(rows: pd.Series, problem: str) -> list[str]:
    """The problem with the number and the lines of its rows, or nothing if there are none."""
    if not rows.any():
        return []
    named = rows.index.name in UNITS  # else the records have another order than the table
    positions = np.flatnonzero(rows) + 1
    return [
        f"{len(positions)} {problem} ({lines(rows, 5) if named else f'rows {some(positions)}'})"
    ]
