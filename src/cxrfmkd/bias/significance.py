"""The tables of tests and scores: the thesis's main sample, all images and simulation, and parts of the sample."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.bias import encoding, ks, null, score
from cxrfmkd.bias.comparisons import Comparison
from cxrfmkd.bias.design import Design

TEST_COLUMNS = (
    "sample",
    "mode",
    "attribute",
    "a",
    "b",
    "n_a",
    "n_b",
    "d",
    "p",
    "p_adjusted",
    "band",
    "p_adjusted_sd",
    "share_true",
    "share_true_plus",
    "draws",
)
SCORE_COLUMNS = ("sample", "form", "attribute", "score", "low", "high")
NULL_COLUMNS = (
    "form",
    "attribute",
    "score",
    "null_mean",
    "null_low",
    "null_high",
    "z",
    "p",
    "permutations",
)


def tests(
    plan: Design, scores: np.ndarray, ratios: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `ks` and `score` of one embedding; each of the two families of tests is adjusted
    for itself.

    scores: (test images, modes); ratios: explained-variance ratios of those modes.
    """
    order = ks.sort_once(scores[plan.rows])
    lines, scored = [], []
    for sample, draws in plan.samples.items():
        judged = plan.main if sample == "simulation" else draws[0]
        kept: list[Comparison] = []
        points = []
        for family in plan.comparisons:
            enough = plan.testable(family, judged)
            own = [c for c, ok in zip(family, enough, strict=True) if ok]
            few = [c for c, ok in zip(family, enough, strict=True) if not ok]
            lines += [
                {"sample": sample, "mode": mode, **vars(c)}
                for mode in range(1, len(ratios) + 1)
                for c in few
            ]
            if own:
                pairs = plan.row_groups.pairs(own)
                found = ks.statistics(order, plan.row_groups.codes, pairs, draws)
                lines += _test_lines(sample, own, found)
                points.append(score.points(found))
                kept += own
        if points:
            scored += _score_lines(sample, np.concatenate(points, -1), ratios, kept)
    tables = (lines, TEST_COLUMNS), (scored, SCORE_COLUMNS)
    return tuple(pd.DataFrame(found, columns=list(columns)) for found, columns in tables)


def _test_lines(sample: str, comparisons: list[Comparison], found: ks.Statistics) -> list[dict]:
    """Lines of `ks`: one test, or the mean over the draws with the most frequent band (of equal ones the lower)."""
    p, adjusted = found.p_values(), found.adjusted()
    bands, draws = ks.bands(adjusted), len(p)
    sizes, d, mean_p, mean_adjusted = (x.mean(0) for x in (found.sizes, found.d, p, adjusted))
    spread = adjusted.std(0, ddof=1) if draws > 1 else np.full(mean_p.shape, np.nan)
    shares = np.stack([(bands == band).mean(0) for band in range(len(ks.BANDS))])
    return [
        {"sample": sample, "mode": mode + 1, **vars(c), "n_a": sizes[i, 0], "n_b": sizes[i, 1]}
        | {"d": d[mode, i], "p": mean_p[mode, i], "p_adjusted": mean_adjusted[mode, i]}
        | {"band": ks.BANDS[shares[:, mode, i].argmax()], "p_adjusted_sd": spread[mode, i]}
        | {"share_true": shares[1, mode, i], "share_true_plus": shares[2, mode, i], "draws": draws}
        for mode in range(p.shape[1])
        for i, c in enumerate(comparisons)
    ]


def _score_lines(
    sample: str, points: np.ndarray, ratios: np.ndarray, comparisons: list[Comparison]
) -> list[dict]:
    """Lines of `score`; with many draws the mean, and their central 95 % as low and high."""
    lines = []
    for form in score.FORMS:
        each = score.comparison_scores(points, score.mode_weights(ratios, form))
        named = score.attribute_scores(each, comparisons) | score.pair_scores(each, comparisons)
        for attribute, values in named.items():
            many = len(values) > 1
            low, high = np.quantile(values, [0.025, 0.975]) if many else (np.nan, np.nan)
            lines.append(
                {"sample": sample, "form": form, "attribute": attribute, "score": values.mean()}
                | {"low": low, "high": high}
            )
    return lines


def nulls(
    plan: Design, scores: np.ndarray, ratios: np.ndarray, between: np.ndarray
) -> pd.DataFrame:
    """The table `null`: scores of the main sample against patients that exchange race and sex.

    scores: (images of the main sample, modes); between: distances of its images `plan.compact`.
    """
    family, _ = plan.comparisons
    family = [c for c, ok in zip(family, plan.testable(family, plan.main), strict=True) if ok]
    if not plan.settings.permutations or not any(c.attribute in null.EXCHANGED for c in family):
        return pd.DataFrame(columns=list(NULL_COLUMNS))
    groups = plan.row_groups.take(plan.main)
    patients, orders = plan.exchanges
    codes = null.exchanged(groups, patients, orders)
    order = ks.sort_once(scores)
    found = {
        (form, name): one
        for form, measure in null.MEASURES.items()
        for name, one in null.null_scores(order, ratios, groups, codes, family, measure).items()
    }
    exchanged = [c for c in family if c.attribute in null.EXCHANGED]
    rows, pairs = plan.compact, groups.pairs(exchanged)
    observed, permuted = (
        score.attribute_scores(encoding.energies(between, own[..., rows], pairs), exchanged)
        for own in (groups.codes[None], codes)
    )
    found |= {
        ("energy", name): null.Null(float(observed[name][0]), permuted[name])
        for name in observed
        if null.tells(name)
    }
    lines = []
    for (form, attribute), one in found.items():
        low, high = one.band
        numbers = (one.observed, one.replicates.mean(), low, high, one.z, one.p, len(orders))
        lines.append(dict(zip(NULL_COLUMNS, (form, attribute, *numbers), strict=True)))
    return pd.DataFrame(lines)
