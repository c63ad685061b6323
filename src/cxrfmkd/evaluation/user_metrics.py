"""Metrics of a user's own file, beside the four: measured by calls of their functions.

One call for each seed, finding and replicate, where the four take one pass over a ranking for many
replicates: 2,000 replicates of 14 findings and five seeds are 140,000 calls for each model on each
test set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.evaluation.comparisons import Compared, difference_columns, paired, paired_errors
from cxrfmkd.evaluation.measurement import patients_of
from cxrfmkd.evaluation.metrics import with_averages
from cxrfmkd.evaluation.operating_points import probabilities
from cxrfmkd.evaluation.populations import Population
from cxrfmkd.runtime import plugins
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.intervals import deviation
from cxrfmkd.statistics.multiple import deviations
from cxrfmkd.statistics.sweep import Drawn
from cxrfmkd.statistics.uncertainty import (
    SeedVariance,
    errors,
    paired_seed_variance,
    plain_interval,
)
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS

# Truth (0 or 1), probabilities and weights of the labelled images, each (n,) -> the metric.
Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


def registered(names: Iterable[str]) -> dict[str, Metric]:
    """The functions of users' metrics, of files that this process has run."""
    return {name: plugins.REGISTERED["metric"][name] for name in names}


class UserMeasurement:
    """Users' metrics of one model, which calls for blocks of replicates fill.

    scores: shape (n, f), probabilities. values: of the sample and of every replicate, their first
    axis, (1 + replicates, f, metrics); NaN where a finding has weight in one class only,
    or is none that the model tells.
    """

    def __init__(self, sample: Sample, scores: np.ndarray, metrics: Mapping[str, Metric]) -> None:
        self._targets, self._scores, self._metrics = sample.targets, scores, metrics
        shape = (1 + sample.replicates, scores.shape[1], len(metrics))
        self.values = np.full(shape, np.nan)

    def __call__(self, start: int, stop: int, drawn: Drawn) -> None:
        """Measure the replicates from `start` to `stop`."""
        for replicate in range(start, stop):
            weights = drawn.of(replicate - start)
            for k, targets in enumerate(self._targets.T):
                of_finding = weights[k if len(weights) > 1 else 0]
                self.values[replicate, k] = self._measure(targets, self._scores[:, k], of_finding)

    def _measure(
        self, targets: np.ndarray, scores: np.ndarray, weights: np.ndarray
    ) -> list[float] | float:
        used = (weights > 0) & ~np.isnan(targets)
        arrays = [values[used] for values in (targets, scores, weights)]
        if not used.any() or arrays[0].min() == arrays[0].max() or np.isnan(arrays[1]).any():
            return np.nan
        for array in arrays:
            array.flags.writeable = False  # every metric gets the same
        return [_called(name, function, arrays) for name, function in self._metrics.items()]


def _called(name: str, function: Metric, arrays: list[np.ndarray]) -> float:
    """What a user's function gives; InputError where it fails, or gives no finite number or NaN."""
    try:
        value = float(function(*arrays))
    except Exception as error:
        raise InputError(f"plugins: metric {name}: {type(error).__name__}: {error}") from error
    if np.isinf(value):
        raise InputError(f"plugins: metric {name}: it gives {value}; give a number, or NaN.")
    return value


@dataclass(frozen=True)
class UserMetrics:
    """Users' metrics of a family: names, and values of each seed, the sample and every replicate.

    values: shape (seeds, 1 + replicates, findings and averages, metrics).
    """

    names: Sequence[str]
    values: np.ndarray

    @cached_property
    def metrics(self) -> np.ndarray:
        """Of the mean over seeds, (1 + replicates, findings and averages, metrics)."""
        return self.values.mean(axis=0)

    @cached_property
    def seeds(self) -> SeedVariance:
        """The variance over seeds of their mean."""
        return paired_seed_variance(self.values)

    @property
    def compared(self) -> Compared:
        """What a comparison with another family needs."""
        return Compared(self.metrics, self.seeds, self.values[:, 0])


def measure(
    models: Sequence[np.ndarray], population: Population, metrics: Mapping[str, Metric]
) -> UserMetrics:
    """Measure a family. models: logits of each seed's model, shape (n, f), in order."""
    sample = population.sample
    measurements = [UserMeasurement(sample, probabilities(one), metrics) for one in models]
    sample.for_each_block(*measurements)
    values = np.stack([measurement.values for measurement in measurements])
    return UserMetrics(
        list(metrics), with_averages(values, values[0, 0], population.cells.findings)
    )


def metrics_table(measured: UserMetrics, seeds: list[int], population: Population) -> pd.DataFrame:
    """Rows of `metrics`: each seed's model, with its interval over patients."""
    alone = SeedVariance(np.zeros(measured.values.shape[2:]), np.inf)
    bounds = [_bounds(values, alone, population) for values in measured.values]
    low, high = (np.stack(side) for side in zip(*bounds, strict=True))
    axes = {"seed": seeds, "finding": population.cells.findings.rows, "metric": measured.names}
    return long(axes, estimate=measured.values[:, 0], low=low, high=high)


def summary_table(measured: UserMetrics, population: Population) -> pd.DataFrame:
    """Rows of `summary`: mean and SD over seeds, with intervals over patients and seeds."""
    mean = measured.metrics
    low, high = _bounds(mean, measured.seeds, population)
    axes = {"finding": population.cells.findings.rows, "metric": measured.names}
    sd = deviation(measured.values[:, 0])
    return long(axes, mean=mean[0], sd=sd, low=low, high=high)


def _bounds(
    values: np.ndarray, seeds: SeedVariance, population: Population
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals; values: (1 + replicates, findings and averages, metrics), the sample first."""
    fewest = np.minimum(*patients_of(population.cells))[:, None]
    error = errors(values, seeds, patients=np.broadcast_to(fewest, values.shape[1:]))
    return plain_interval(values[0], error, population.settings.confidence)


def comparison_table(
    a: UserMetrics,
    b: UserMetrics,
    fewest: pd.Series,
    confidence: float,
    findings: Findings = THESIS,
) -> tuple[pd.DataFrame, np.ndarray]:
    """As `comparisons.comparison_table`, but for margins, which are of the four's scale."""
    compared, difference, seeds = paired(a.compared, b.compared, findings)
    error = paired_errors(difference, *seeds, patients=fewest[compared].to_numpy()[:, None])
    axes = {"finding": compared, "metric": a.names}
    table = long(axes, **difference_columns(difference[0], error, confidence))
    return table, deviations(difference[1:]).reshape(-1, len(table)).T
