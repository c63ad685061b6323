"""Everything that is measured of one run family on one population, averaged over its seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrfmkd.datasets.splits import HALVES
from cxrfmkd.evaluation import calibration, curves, operating_points
from cxrfmkd.evaluation.bootstrap import Sample, measure_names, seed_shares
from cxrfmkd.evaluation.metrics import measures, names, with_groups
from cxrfmkd.evaluation.subgroups import Cells
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics import delong
from cxrfmkd.statistics.intervals import percentile_interval
from cxrfmkd.study.settings import Evaluation
from cxrfmkd.vocabulary.findings import FINDINGS, GROUPS
from cxrfmkd.vocabulary.metrics import METRICS

MEASURES = measure_names(cuts=2)


@dataclass(frozen=True)
class Measured:
    """Numbers of one family. First axes: "replicates" has the sample itself first, "seeds" one
    model each.

    values: measures of the mean over seeds, (MEASURES, replicates, 14, groups). by_seed: (MEASURES,
    seeds, 14, groups). low, high: intervals of each seed's metrics, (seeds, 17, 4).
    worth: of operating points, (replicates, 14, rules, measures). cuts: their thresholds, (seeds,
    14, rules).
    calibrated, observed, predicted: as from `calibration.replicate`. curves: (seeds, 14, 2, grid).
    halves: metrics of each seed on either half of the patients, (seeds, 2, 14, 4).
    influence: of the mean areas; None where images have weights, which DeLong's variance does not
    know.
    """

    values: np.ndarray
    by_seed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    worth: np.ndarray
    cuts: np.ndarray
    calibrated: np.ndarray
    observed: np.ndarray
    predicted: np.ndarray
    curves: np.ndarray
    halves: np.ndarray
    influence: delong.Influence | None


def measure(
    name: str,
    models: Iterable[np.ndarray],
    cuts: np.ndarray,
    sample: Sample,
    side: np.ndarray,
    settings: Evaluation,
) -> Measured:
    """Measure a family.

    models: logits of each seed's model, shape (n, 14), in order. cuts: shape (seeds, 14, 2),
    thresholds from validation images and from those of the source, NaN where there is none. side:
    half of the patients that each image belongs to, 0 or 1, shape (n,).
    """
    shares = seed_shares(len(cuts), settings.replicates, settings.seed, name)
    totals: dict[str, np.ndarray] = {}
    single: dict[str, list] = {
        key: [] for key in ("by_seed", "low", "high", "cuts", "curves", "halves")
    }
    influences = []

    def add(key: str, part: np.ndarray, share: np.ndarray) -> None:
        part *= share
        totals[key] = np.add(totals[key], part, out=part) if key in totals else part

    for logits, cut, share in zip(models, cuts, shares, strict=True):
        found = sample.replicate(logits, cut, settings.target_fpr)
        low, high = percentile_interval(whole(found)[1:], settings.confidence)
        own = operating_points.thresholds(sample.truth, logits, settings.target_fpr, sample.weights)
        drawn = curves.curves(sample.truth, logits, sample.weights)
        halves = [
            measures(sample.truth[half], logits[half], sample.weights[half], settings.target_fpr)
            for half in (side == 0, side == 1)
        ]
        kept = found[:, 0].copy(), low, high, np.column_stack([cut, own]), drawn, halves
        for key, part in zip(single, kept, strict=True):
            single[key].append(part)
        share = share[:, None, None, None]
        add("worth", operating_points.worth_of_rules(found[..., 0], MEASURES), share)
        add("values", found, share[..., 0])
        parts = calibration.replicate(sample, operating_points.chances(logits))
        for key, part in zip(("calibrated", "observed"), parts, strict=False):
            add(key, part, share[..., 0])
        add("predicted", parts[2], share[0, 0, 0])
        if (sample.weights == 1).all():
            influences.append(delong.influence(sample.truth, logits, sample.patients))
    arrays = {key: np.array(parts) for key, parts in single.items()}
    arrays["by_seed"] = np.moveaxis(arrays["by_seed"], 0, 1)
    return Measured(**totals, **arrays, influence=delong.mean(influences) if influences else None)


def whole(values: np.ndarray) -> np.ndarray:
    """Metrics of findings and their groups on everyone: (MEASURES, ..., 14, groups) to (..., 17, 4)."""
    return with_groups(np.moveaxis(values[: len(METRICS), ..., 0], 0, -1))


def metrics_tables(measured: Measured, cells: Cells) -> list[pd.DataFrame]:
    """One table per seed: metrics of findings and groups with intervals over patients."""
    estimates = whole(measured.by_seed)
    return [
        _with_counts(
            measured, cells, estimate=estimates[k], low=measured.low[k], high=measured.high[k]
        )
        for k in range(len(estimates))
    ]


def summary_table(measured: Measured, cells: Cells, confidence: float) -> pd.DataFrame:
    """Mean and SD over seeds, with intervals over patients and seeds."""
    values, seeds = whole(measured.values), whole(measured.by_seed)
    sd = seeds.std(axis=0, ddof=1) if len(seeds) > 1 else np.full(seeds.shape[1:], np.nan)
    low, high = percentile_interval(values[1:], confidence)
    return _with_counts(
        measured, cells, mean=values[0], sd=sd, n_seeds=np.array(len(seeds)), low=low, high=high
    )


def halves_table(measured: Measured) -> pd.DataFrame:
    """Mean over seeds of the groups of findings, in each of HALVES (column `half`)."""
    values = with_groups(measured.halves.mean(axis=0))[:, len(FINDINGS) :]
    axes = {"half": list(HALVES), "finding": list(GROUPS), "metric": list(METRICS)}
    return long(axes, mean=values)


def _with_counts(measured: Measured, cells: Cells, **columns: np.ndarray) -> pd.DataFrame:
    """Columns of shape (17, 4) with what they rest on; small counts and what they would follow from are blank."""
    undefined = np.isnan(measured.values[0, 0, :, 0])
    prevalence = measured.values[MEASURES.index("prevalence"), 0, :, 0]
    hidden = cells.hidden("prevalence")[:, 0]
    blank = np.full(len(GROUPS), np.nan)
    lost = [sum(undefined[FINDINGS.index(name)] for name in members) for members in GROUPS.values()]
    counts = {
        "n": np.r_[cells.images[:, 0], blank + cells.images[:, 0].max()],
        "positives": np.r_[np.where(hidden, np.nan, cells.positives[:, 0]), blank],
        "prevalence": np.r_[np.where(hidden, np.nan, prevalence), blank],
        "undefined": np.r_[undefined, lost].astype(int),
    }
    axes = {"finding": names(), "metric": list(METRICS)}
    return long(axes, **columns, **{key: part[:, None] for key, part in counts.items()})
