"""The largest gap between groups of patients, and calibration errors: what noise makes larger."""

from __future__ import annotations

import numpy as np
from cases import AT_LEAST, AT_MOST, Case, Hits
from scipy.stats import norm
from worlds import clustered, covers

from cxrfmkd.evaluation import calibration, gaps, subgroups
from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.study.settings import Evaluation
from cxrfmkd.vocabulary.findings import FINDINGS

REPLICATES = 200
SETTINGS = Evaluation()


def of_groups(groups: int, gap: float, shape: str):
    """A world of groups of unequal size; gap: in standard errors of a typical group."""
    sizes = np.linspace(150, 50, groups).astype(int)
    error = 0.033  # of an AUC-ROC of 0.8 of a typical group here
    steps = {"even": np.linspace(0, 1, groups), "one apart": np.eye(groups)[0]}[shape]
    areas = 0.8 + gap * error * (steps - 1 * (gap > 0))
    shifts = np.sqrt(2) * norm.ppf(areas)
    true = float(np.ptp(areas))

    def simulate(rng: np.random.Generator) -> Hits:
        group = np.repeat(np.arange(groups), sizes)
        patients = np.repeat(np.arange(len(group)), rng.integers(1, 5, len(group)))
        of_image, sick = group[patients], (rng.random(len(group)) < 0.35)[patients]
        targets = np.full((len(patients), len(FINDINGS)), np.nan)
        targets[:, 0] = sick
        scores = np.zeros_like(targets)
        scores[:, 0] = shifts[of_image] * sick + clustered(rng, patients)
        codes = np.stack([np.zeros(len(patients)), 1 + of_image], axis=1).astype(np.int16)
        names = ["all", *(f"group {g}" for g in range(groups))]
        of = subgroups.PatientGroups(codes, ["all"] + ["sex"] * groups, names)
        counts = [np.zeros((len(FINDINGS), groups + 1), np.int64) for _ in range(5)]
        for g in range(groups):
            members = of_image == g
            for table, chosen in zip(
                counts,
                (members, members & sick, members, members & sick, members & ~sick),
                strict=True,
            ):
                table[0, 1 + g] = len(np.unique(patients[chosen]))
        cells = subgroups.Cells(of, *counts, 5, None)
        seed = int(rng.integers(2**31))
        sample = Sample(targets, patients, np.ones(len(patients)), codes, REPLICATES, seed=seed)
        measured = sample.measure(scores)
        measures = {"auc_roc": measured.metrics[:, 1]}
        by_seed = {"auc_roc": measured.metrics[:1, 1]}
        result = gaps.invert_range("sex", "auc_roc", measures, by_seed, cells, SETTINGS)
        hits: dict = {"range of AUC-ROC": covers(result.low[0], true, result.high[0])}
        if gap == 0:
            hits["test of the range"] = bool(result.p[0] < 0.05)
        return hits

    return simulate


def of_calibration(bias: float, prevalence: float):
    """A model whose logits are off by `bias`."""
    rng = np.random.default_rng(0)
    logits = rng.normal(np.log(prevalence / (1 - prevalence)), 1.0, 400_000)
    said, right = 1 / (1 + np.exp(-logits - bias)), 1 / (1 + np.exp(-logits))
    bins = calibration.equal_weight_bins(said, np.ones(len(said)))
    apart = np.array([(said - right)[bins == b].mean() for b in range(calibration.BINS)])
    true = float(np.abs(apart).mean()), float(np.sqrt((apart**2).mean()))

    def simulate(rng: np.random.Generator) -> Hits:
        patients = np.repeat(np.arange(400), rng.integers(1, 4, 400))
        mean = np.log(prevalence / (1 - prevalence))
        logits = mean + clustered(rng, patients)
        # A patient's images share a draw, so that their findings come together as well.
        luck = norm.cdf(clustered(rng, patients, 0.6))
        targets = (luck < 1 / (1 + np.exp(-logits))).astype(float)
        said = 1 / (1 + np.exp(-logits - bias))
        n, seed = len(patients), int(rng.integers(2**31))
        everyone = np.zeros((n, 1), np.int16)
        sample = Sample(targets[:, None], patients, np.ones(n), everyone, REPLICATES, seed=seed)
        result = calibration.calibrate(sample, said[:, None])
        one = calibration.Calibration(
            *(array[:1] for array in result[:3]), *(array[None] for array in result[3:])
        )
        sick = np.array([len(np.unique(patients[targets > 0]))])
        hits = {}
        for name, kind, expected in (
            ("expected calibration error", calibration.ABSOLUTE, true[0]),
            ("root mean square calibration error", calibration.ROOT_MEAN_SQUARE, true[1]),
        ):
            k = calibration.CALIBRATION_MEASURES.index(
                "ece" if kind == calibration.ABSOLUTE else "rmsce_debiased"
            )
            values, of_seeds = result.measures[..., k], one.measures[..., k]
            low, high = calibration.distance_bounds(kind, values, of_seeds, one, sick, 0.95)
            hits[name] = covers(low[0], expected, high[0])
        return hits

    return simulate


CASES = [
    Case(
        "Range gaps",
        f"{groups} groups of 50 to 150 patients, "
        + (f"gap of {gap} standard errors, {shape}" if gap else "no gap"),
        of_groups(groups, gap, shape),
        worlds=1000 if groups == 2 else 400,
        kinds={"test of the range": AT_MOST}
        | ({"range of AUC-ROC": AT_LEAST} if groups > 3 else {}),
    )
    for groups, gap, shape in (
        (2, 0, "even"),
        (3, 0, "even"),
        (8, 0, "even"),
        (2, 1, "even"),
        (3, 1, "even"),
        (8, 1, "even"),
        (2, 3, "even"),
        (3, 3, "even"),
        (8, 3, "even"),
        (8, 3, "one apart"),
    )
] + [
    Case(
        "Calibration errors",
        f"400 patients, prevalence near {prevalence:.0%}, logits off by {bias:g}",
        of_calibration(bias, prevalence),
        worlds=400,
        kinds={"expected calibration error": AT_LEAST},
    )
    for bias, prevalence in ((0.0, 0.3), (0.0, 0.1), (0.4, 0.3), (1.0, 0.3))
]
