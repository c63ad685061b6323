"""The test set with equal race shares, equal disease prevalence and equal age distribution, as a
weight per image.

No image is drawn twice into a table: what the published method writes as duplicated rows is a count
here, and a weighted metric equals the metric on duplicated rows exactly. Source: chexpert.resample
notebook of biomedia-mira/chexploration (eBioMedicine 2023;89:104467).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_table

METHODS = ("draws", "weights", "none")
# Cells with fewer patients are not shown.
SMALLEST = 10


@dataclass(frozen=True)
class Groups:
    """Race, disease and age bin of every image as codes 0, 1, …, in order of first appearance, each
    shape (n,), int64.

    names: for each of the three, what the codes stand for.
    """

    race: np.ndarray
    disease: np.ndarray
    age: np.ndarray
    names: tuple[list[str], list[str], list[str]]

    def counts(self) -> np.ndarray:
        """Images in each cell, shape (races, diseases, age bins), float64."""
        cells = np.zeros([len(names) for names in self.names])
        np.add.at(cells, (self.race, self.disease, self.age), 1)
        return cells


def groups(race: pd.Series, disease: pd.Series, age: pd.Series) -> Groups:
    """The cells of images; a blank age bin is a bin of its own, a blank race is an InputError."""
    if race.isna().any():
        raise InputError(
            f"{race.isna().sum()} of {len(race)} test images have no race, so race shares cannot "
            "be made equal."
        )
    coded = [
        pd.factorize(column.astype("object").fillna("blank")) for column in (race, disease, age)
    ]
    codes = [code.astype(np.int64) for code, _ in coded]
    return Groups(*codes, tuple([str(name) for name in names] for _, names in coded))


def draw(cells: Groups, factor: int = 3, seed: int = 42) -> np.ndarray:
    """The published draws: row positions in drawn order, shape (factor * n,), int64.

    Three nested draws, each with replacement: factor * n rows by 1 / race share; within a race, its
    rows by overall over own disease share; within race and disease, those rows by overall over own
    age share. Races come in order of their first draw, diseases of their first appearance. torch's
    generator is seeded once; the draws are those of WeightedRandomSampler on the global generator
    after `torch.manual_seed(seed)`, which is left alone. Another version of torch may draw
    otherwise.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)

    def sample(among: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
        chosen = torch.multinomial(torch.from_numpy(weights), size, True, generator=generator)
        return among[chosen.numpy()]

    n = len(cells.race)
    overall = _shares(cells.disease)
    by_disease = [_shares(cells.age[cells.disease == kind]) for kind in range(len(overall))]
    drawn = sample(np.arange(n), (1 / _shares(cells.race))[cells.race], n * factor)
    blocks = []
    for race in pd.unique(cells.race[drawn]):
        rows = drawn[cells.race[drawn] == race]
        rows = sample(rows, _weights(overall, cells.disease[rows]), len(rows))
        for kind in range(len(overall)):
            part = rows[cells.disease[rows] == kind]
            if len(part):
                blocks.append(sample(part, _weights(by_disease[kind], cells.age[part]), len(part)))
    return np.concatenate(blocks)


def exact(cells: Groups) -> np.ndarray:
    """Weights that meet the targets of the draws exactly, mean 1, shape (n,), float64.

    Equal shares of the races; within a race, the overall disease shares; within race and disease,
    the overall age shares of that disease. Where a cell has no image, its share goes to the other
    cells of the same race and disease, and that of an empty race x disease to the race's other
    diseases, each in proportion: as in the draws, which cannot draw what is not there. `balance`
    names such cells.
    """
    counts = cells.counts()
    overall = counts.sum(axis=0)
    disease = _normalised(overall.sum(axis=1) * (counts.sum(axis=2) > 0))
    age = _normalised(overall * (counts > 0))
    wanted = disease[:, :, None] * age * (len(cells.race) / len(counts))
    ratio = np.divide(wanted, counts, out=np.zeros_like(counts), where=counts > 0)
    return ratio[cells.race, cells.disease, cells.age]


def weigh(cells: Groups, method: str = "weights", factor: int = 3, seed: int = 42) -> np.ndarray:
    """One weight per image, shape (n,), float64: draw counts, exact weights of mean 1, or 1."""
    if method not in METHODS:
        raise InputError(f"resampling.method is {method!r}; choose one of {', '.join(METHODS)}.")
    n = len(cells.race)
    if method == "draws":
        return np.bincount(draw(cells, factor, seed), minlength=n).astype(float)
    return exact(cells) if method == "weights" else np.ones(n)


def resample(
    records: pd.DataFrame, method: str, factor: int, seed: int, dataset: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Weights of a test set's records (image_id, weight) and its balance (see `balance`).

    Logs how many images of each race the weights are worth. `dataset` is named in messages alone.
    """
    if records.empty:
        raise InputError(f"{dataset}: the test set has no records to resample.")
    race = records.race.fillna("blank") if method == "none" else records.race
    needed = {"race": race, "age": records.age_bin}
    if method != "none" and (absent := [k for k, column in needed.items() if column.isna().all()]):
        raise InputError(
            f"{dataset}: no test image has a known {' or '.join(absent)}, which the resampled test "
            "set needs. Set "
            f"datasets.{dataset}.resampling: none, and name the attributes that there are in "
            f"datasets.{dataset}.attributes."
        )
    if race.isna().any():
        raise InputError(
            f"{dataset}: {race.isna().sum()} of {len(race)} test images have no race, so race "
            "shares cannot be made "
            f"equal. Set datasets.{dataset}.resampling: none, or keep only images of known race: "
            f"datasets.{dataset}.keep: {{race: [White, Asian, Black]}}."
        )
    cells = groups(race, records.disease, records.age_bin)
    weight = weigh(cells, method, factor, seed)
    worth = ", ".join(
        f"{race} {n:,.0f}" if n >= SMALLEST else f"{race} fewer than {SMALLEST}"
        for race, n in effective(cells, weight).items()
    )
    logging.info("%s: effective number of test images: %s of %d", method, worth, len(records))
    table = balance(cells, weight, records.patient_id)
    return pd.DataFrame({"image_id": records.image_id, "weight": weight}), table


def read_weights(path: Path) -> pd.DataFrame:
    """The columns image_id and weight of a dataset's `test_resampled.csv`."""
    return read_table(path, dtype={"image_id": str}, usecols=["image_id", "weight"])


def weights_in_order(weights: pd.DataFrame, image_ids: pd.Series) -> np.ndarray:
    """The weight of each image in `image_ids`, float64.

    weights: columns image_id and weight; images beyond `image_ids` may be among them. Raises
    InputError for a duplicate image_id, an image without a weight, and a weight below 0.
    """
    given = weights.set_index("image_id").weight
    duplicates, absent = given.index.duplicated().sum(), (~image_ids.isin(given.index)).sum()
    if duplicates or absent:
        raise InputError(
            f"test_resampled.csv: {absent} of {len(image_ids)} test images have no weight, and "
            f"{duplicates} rows have a duplicate image_id. It was made from other records; make it "
            "again."
        )
    weight = given.reindex(image_ids).to_numpy(float)
    if bad := int((~np.isfinite(weight) | (weight < 0)).sum()):
        raise InputError(
            f"test_resampled.csv: {bad} of {len(image_ids)} test images have a weight that is "
            "negative or not finite. Make it again."
        )
    return weight


def effective(cells: Groups, weight: np.ndarray) -> dict[str, float]:
    """Kish's effective number of images of each race: (sum of weights)² / sum of squared weights."""
    total = np.bincount(cells.race, weight) ** 2 / np.bincount(cells.race, weight**2)
    return dict(zip(cells.names[0], total.tolist(), strict=True))


def balance(cells: Groups, weight: np.ndarray, patients: pd.Series) -> pd.DataFrame:
    """Each race x disease x age bin before and after: one row a cell, in alphabetical order.

    images, patients: how many are in it; used: images of weight above 0; share_before, share_after:
    of all images, and of the weight of all. Numbers of cells with fewer than `SMALLEST` patients
    are blank, with the note "suppressed"; those without an image say "empty".
    """
    keys = ["race", "disease", "age_bin"]
    coded = zip(keys, (cells.race, cells.disease, cells.age), cells.names, strict=True)
    frame = pd.DataFrame({name: np.asarray(names, object)[code] for name, code, names in coded})
    frame = frame.assign(patient=patients.to_numpy(), weight=weight, used=weight > 0)
    grouped = frame.groupby(keys)
    table = pd.DataFrame(
        {
            "images": grouped.size(),
            "patients": grouped.patient.nunique(),
            "used": grouped.used.sum(),
            "share_before": grouped.size() / len(frame),
            "share_after": grouped.weight.sum() / weight.sum(),
        }
    )
    every = pd.MultiIndex.from_product([sorted(names) for names in cells.names], names=keys)
    table = table.reindex(every)
    table["note"] = np.select(
        [table.images.isna(), table.patients < SMALLEST], ["empty", "suppressed"], ""
    )
    numbers = [name for name in table if name != "note"]
    table[numbers] = table[numbers].mask(table.note.ne(""))
    whole = dict.fromkeys(("images", "patients", "used"), "Int64")
    return table.astype(whole).round({"share_before": 6, "share_after": 6}).reset_index()


def _shares(codes: np.ndarray) -> np.ndarray:
    return np.bincount(codes) / len(codes)


def _weights(wanted: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Overall over own share of each row's code."""
    own = np.bincount(codes, minlength=len(wanted)) / len(codes)
    return np.divide(wanted, own, out=np.zeros_like(wanted), where=own > 0)[codes]


def _normalised(shares: np.ndarray) -> np.ndarray:
    """Shares along the last axis that sum to 1, or 0 where there is nothing to share."""
    total = shares.sum(axis=-1, keepdims=True)
    return np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
