"""The test set with equal race shares, disease prevalence and ages, as a weight per image.

No image is drawn twice into a table: what the published method writes as duplicated rows is a count
here, and a weighted metric equals the metric on duplicated rows exactly. Source: chexpert.resample
notebook of biomedia-mira/chexploration (eBioMedicine 2023;89:104467).
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
import pandas as pd

from cxrfmkd.datasets.groups import groups_of
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.statistics.suppression import suppressed
from cxrfmkd.study.settings import Resampling
from cxrfmkd.vocabulary.attributes import PRESETS, Attributes


class Strata(NamedTuple):
    """Race, disease and age bin of every image as codes 0, 1, …, each shape (n,), int64.

    Codes stand in order of first appearance. names: for each of the three, what they stand for.
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


def stratify(race: pd.Series, disease: pd.Series, age: pd.Series) -> Strata:
    """The strata of images; a blank age bin is a bin of its own, a blank race is an InputError."""
    if race.isna().any():
        raise InputError(
            f"{race.isna().sum()} of {len(race)} test images have no race, so race shares cannot "
            "be made equal."
        )
    columns = [column.astype("object").fillna("blank") for column in (race, disease, age)]
    codes, labels = zip(*map(pd.factorize, columns), strict=True)
    races, diseases, ages = (array.astype(np.int64) for array in codes)
    race_names, disease_names, age_names = ([str(name) for name in names] for names in labels)
    return Strata(races, diseases, ages, (race_names, disease_names, age_names))


def draw_rows(strata: Strata, factor: int = 3, seed: int = 42) -> np.ndarray:
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
        drawn = torch.multinomial(torch.from_numpy(weights), size, True, generator=generator)
        return among[drawn.numpy()]

    n = len(strata.race)
    overall = _shares(strata.disease)
    by_disease = [_shares(strata.age[strata.disease == kind]) for kind in range(len(overall))]
    drawn = sample(np.arange(n), (1 / _shares(strata.race))[strata.race], n * factor)
    blocks = []
    for race in pd.unique(strata.race[drawn]):
        rows = drawn[strata.race[drawn] == race]
        rows = sample(rows, _weights(overall, strata.disease[rows]), len(rows))
        for kind, age_shares in enumerate(by_disease):
            cell = rows[strata.disease[rows] == kind]
            if len(cell):
                blocks.append(sample(cell, _weights(age_shares, strata.age[cell]), len(cell)))
    return np.concatenate(blocks)


def exact_weights(strata: Strata) -> np.ndarray:
    """Weights that meet the targets of the draws exactly, mean 1, shape (n,), float64.

    Equal shares of the races; within a race, the overall disease shares; within race and disease,
    the overall age shares of that disease. Where a cell has no image, its share goes to the other
    cells of the same race and disease, and that of an empty race x disease to the race's other
    diseases, each in proportion: as in the draws, which cannot draw what is not there. `balance`
    names such cells.
    """
    counts = strata.counts()
    overall = counts.sum(axis=0)
    disease = _normalised(overall.sum(axis=1) * (counts.sum(axis=2) > 0))
    age = _normalised(overall * (counts > 0))
    target = disease[:, :, None] * age * (len(strata.race) / len(counts))
    ratio = np.divide(target, counts, out=np.zeros_like(counts), where=counts > 0)
    return ratio[strata.race, strata.disease, strata.age]


def weigh(strata: Strata, method: str = "weights", factor: int = 3, seed: int = 42) -> np.ndarray:
    """One weight per image, shape (n,), float64: draw counts, exact weights of mean 1, or 1."""
    n = len(strata.race)
    if method == "draws":
        return np.bincount(draw_rows(strata, factor, seed), minlength=n).astype(float)
    return exact_weights(strata) if method == "weights" else np.ones(n)


def resample(
    records: pd.DataFrame,
    settings: Resampling,
    dataset: str,
    minimum_cell: int,
    known: Attributes = PRESETS,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Weights of a test set's records (image_id, weight) and its balance (see `balance`).

    Of draws also `first`: where in the drawn order an image comes first, blank if never. Logs how
    many images of each race the weights are worth. dataset: its name, for messages.
    minimum_cell: patients that a shown cell has at least. known: the study's attributes.
    """
    if records.empty:
        raise InputError(f"{dataset}: the test set has no records to resample.")
    balanced = settings.method != "none"
    by = settings.by
    race = groups_of(records, known[by]).rename(by)
    race = race if balanced else race.fillna("blank")
    attributes = {by: race, "age": records.age_bin}
    absent = [name for name, column in attributes.items() if column.isna().all()]
    if balanced and absent:
        raise InputError(
            f"{dataset}: no test image has a known {' or '.join(absent)}, which the resampled test "
            f"set needs. Set datasets.{dataset}.resampling: none, and name the attributes that "
            f"there are in datasets.{dataset}.attributes."
        )
    if race.isna().any():
        raise InputError(
            f"{dataset}: {race.isna().sum()} of {len(race)} test images have no {by}, so {by} "
            f"shares cannot be made equal. Set datasets.{dataset}.resampling: none, or keep only "
            f"images of known {by}: datasets.{dataset}.keep: "
            f"{{{by}: [{', '.join(known[by].groups)}]}}."
        )
    strata = stratify(race, records.disease, records.age_bin)
    table = pd.DataFrame({"image_id": records.image_id})
    if settings.method == "draws":
        drawn = draw_rows(strata, settings.factor, settings.seed)
        table["weight"] = np.bincount(drawn, minlength=len(records)).astype(float)
        rows, first = np.unique(drawn, return_index=True)
        table["first"] = pd.Series(first, rows, dtype="Int64").reindex(range(len(records))).array
    else:
        table["weight"] = weigh(strata, settings.method)
    weight = table.weight.to_numpy()
    hidden = records.groupby(race).patient_id.nunique() < minimum_cell
    sizes = ", ".join(
        f"{race} {'suppressed' if hidden[race] else format(n, ',.0f')}"
        for race, n in effective(strata, weight).items()
    )
    logging.info(
        "%s: effective number of test images: %s of %d", settings.method, sizes, len(records)
    )
    return table, balance(strata, weight, records.patient_id, minimum_cell, by)


def effective(strata: Strata, weight: np.ndarray) -> dict[str, float]:
    """Kish's effective number of images of each race: (sum of weights)² / sum of squares."""
    total = np.bincount(strata.race, weight) ** 2 / np.bincount(strata.race, weight**2)
    return dict(zip(strata.names[0], total.tolist(), strict=True))


def balance(
    strata: Strata, weight: np.ndarray, patients: pd.Series, minimum_cell: int, by: str = "race"
) -> pd.DataFrame:
    """Each race x disease x age bin before and after: one row a cell, in alphabetical order.

    images, patients: how many are in it; used: images of weight above 0; share_before, share_after:
    of all images, and of the weight of all. Small cells, and those that would follow from the
    totals of a race, disease or age bin, are blank with the note "suppressed"; those without an
    image say "empty".
    """
    keys = [by, "disease", "age_bin"]
    names = [np.asarray(labels, object) for labels in strata.names]
    columns = zip(keys, names, strata[:3], strict=True)
    frame = pd.DataFrame({key: labels[codes] for key, labels, codes in columns})
    frame = frame.assign(patient=patients.to_numpy(), weight=weight, used=weight > 0)
    table = frame.groupby(keys).agg(
        images=("used", "size"),
        patients=("patient", "nunique"),
        used=("used", "sum"),
        share_before=("used", "size"),
        share_after=("weight", "sum"),
    )
    table["share_before"] /= len(frame)
    table["share_after"] /= weight.sum()
    every_cell = pd.MultiIndex.from_product([sorted(labels) for labels in names], names=keys)
    table = table.reindex(every_cell)
    margins = (every_cell.get_level_values(key).to_numpy() for key in keys)
    counts = table.patients.fillna(0).to_numpy(int)
    hidden = suppressed(counts, minimum_cell, *margins)
    numbers = list(table)
    table["note"] = np.select([counts == 0, hidden], ["empty", "suppressed"], "")
    table[numbers] = table[numbers].mask(table.note.ne(""))
    integers = dict.fromkeys(("images", "patients", "used"), "Int64")
    return table.astype(integers).round({"share_before": 6, "share_after": 6}).reset_index()


def _shares(codes: np.ndarray) -> np.ndarray:
    return np.bincount(codes) / len(codes)


def _weights(target: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Target over present share of each row's code."""
    present = np.bincount(codes, minlength=len(target)) / len(codes)
    return np.divide(target, present, out=np.zeros_like(target), where=present > 0)[codes]


def _normalised(shares: np.ndarray) -> np.ndarray:
    """Shares along the last axis that sum to 1, or 0 where there is nothing to share."""
    total = shares.sum(axis=-1, keepdims=True)
    return np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
