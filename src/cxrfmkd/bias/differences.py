"""Paired differences in bias between models, on the same patients and the same replicates.

Does a student reveal less about patients than its teacher, or than the same network without
distillation? The sample's difference, with the interval and the tests that its standard error over
patients and seeds gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_table
from cxrfmkd.statistics.multiple import adjust_by_family, deviations, max_t_by_family, tost
from cxrfmkd.statistics.uncertainty import errors, paired_seed_variance, plain_interval
from cxrfmkd.vocabulary.losses import CONTROLS, control_of
from cxrfmkd.vocabulary.models import reference_model, split_model

KINDS = ("teacher", "baseline", *CONTROLS)
KEYS = ["measure", "attribute"]
COLUMNS = (
    "dataset model loss kind reference measure attribute difference low high p p_adjusted p_max_t "
    "family margin p_noninferior p_equivalent n_seeds"
).split()
CONFIDENCE = 0.95
# Of measures that do not end at 1. Not read from `score`, whose edits need no new differences.
LARGEST = {"score": 150.0}


def bias_differences(
    paths: Sequence[str | Path], models: Sequence[str], margin: float, method: str
) -> pd.DataFrame:
    """The table `differences.csv` of a dataset (columns: docs/bias.md).

    paths: the models' tables `replicates`; models: as wildcards, in order; margin: of equivalence,
    as a share of a measure's largest possible value; method: of adjustment. A family of tests is a
    kind of reference and a measure. Negative is less bias than the reference.
    """
    by_model = {split_model(name): name for name in models}
    tables = dict(_read(path) for path in paths)
    if absent := [name for name in models if name not in tables]:
        raise InputError(f"{absent}: no replicates of these models are among the files given.")
    dataset = next(iter(tables.values())).dataset.iloc[0] if tables else ""
    rows, replicates = [], []
    for kind in KINDS:
        for (model, loss), name in by_model.items():
            pair = reference_model(kind, model, loss)
            if kind in CONTROLS:
                pair = (model, control_of(loss, kind))
            reference = by_model.get(pair)
            if reference in (None, name):
                continue
            about = {"model": model, "loss": loss, "kind": kind, "reference": reference}
            for line, drawn in _differences(tables[name], tables[reference], margin):
                rows.append(about | line)
                replicates.append(drawn)
    if not rows:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.DataFrame(rows).assign(dataset=dataset)
    table["family"] = table.kind + ": " + table.measure
    table = adjust_by_family(table, ["family"], method)
    return max_t_by_family(table, np.array(replicates))[COLUMNS]


def _read(path: str | Path) -> tuple[str, pd.DataFrame]:
    """A model's wildcard and its replicates, indexed by measure and attribute."""
    table = read_table(Path(path))
    return str(table.model.iloc[0]), table.set_index(KEYS)


def _differences(
    model: pd.DataFrame, reference: pd.DataFrame, margin: float
) -> list[tuple[dict, np.ndarray]]:
    """A row per measure and attribute that both have, with its deviations in standard errors."""
    lines = []
    for key in dict.fromkeys(model.index[model.index.isin(reference.index)]):
        of_measure = margin * LARGEST.get(key[0], 1.0)
        line, drawn = paired_difference(_values(model, key), _values(reference, key), of_measure)
        about = dict(zip(KEYS, key, strict=True)) | {"margin": of_measure}
        lines.append((about | line, drawn))
    return lines


def paired_difference(a: np.ndarray, b: np.ndarray, margin: float) -> tuple[dict, np.ndarray]:
    """Difference a - b with interval and tests, and its replicates' deviations.

    a, b: (seeds, 1 + replicates), of one measure of two models on the same replicates, the sample
    first; less is better.
    """
    difference = (a.mean(axis=0) - b.mean(axis=0))[:, None]
    error = errors(difference, *(paired_seed_variance(values[..., None]) for values in (a, b)))
    estimate = difference[0]
    low, high = plain_interval(estimate, error, CONFIDENCE)
    better, alike = tost(-estimate, margin, error.p_values)
    line = {
        "difference": estimate,
        "low": low,
        "high": high,
        "p": error.p_values(estimate),
        "p_noninferior": better,
        "p_equivalent": alike,
    }
    line = {name: float(value[0]) for name, value in line.items()} | {"n_seeds": len(a)}
    return line, deviations(difference[1:, 0])


def _values(table: pd.DataFrame, key: tuple[str, str]) -> np.ndarray:
    """Sample and replicates of each seed, (seeds, 1 + replicates)."""
    rows = table.loc[[key]].drop(columns=["dataset", "model", "seed"])
    return rows.to_numpy(float)
