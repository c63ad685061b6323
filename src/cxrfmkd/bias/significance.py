"""The tables of tests and scores: the thesis's samples, parts of the main sample, and the null."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrfmkd.bias import null, score
from cxrfmkd.bias.design import Design
from cxrfmkd.bias.encoding import energy_coefficients
from cxrfmkd.bias.grouping import Comparison, groups_in
from cxrfmkd.bias.ks import BANDS, KSResult, bands, ks_tests, sort_scores
from cxrfmkd.datasets.halves import HALVES
from cxrfmkd.statistics.intervals import central_interval
from cxrfmkd.statistics.suppression import COARSE, small
from cxrfmkd.vocabulary.attributes import own

TEST_COLUMNS = (
    "sample mode attribute a b n_a n_b d p p_adjusted band p_adjusted_sd share_true share_true_plus"
    " draws"
).split()
SCORE_COLUMNS = "sample form attribute score low high".split()
NULL_COLUMNS = "form attribute score null_mean null_low null_high z p permutations".split()


def test_tables(
    design: Design, scores: np.ndarray, ratios: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `ks` and `score` of one embedding; each family of tests is adjusted by itself.

    scores: (test images, modes); ratios: explained-variance ratios of those modes.
    """
    ordered = sort_scores(scores[design.rows])
    test_lines, score_lines = [], []
    for sample, draws in design.samples.items():
        images = design.rows[design.main if sample == "simulation" else draws[0]]
        testable: list[Comparison] = []
        points = []
        for family in design.comparisons:
            tested = design.testable(family, images)
            test_lines += [
                {"sample": sample, "mode": mode, **vars(c)}
                for mode in range(1, len(ratios) + 1)
                for c in family
                if c not in tested
            ]
            if tested:
                tests = ks_tests(
                    ordered, design.row_grouping.codes, design.grouping.pairs(tested), draws
                )
                hidden = [_hides_sizes(design, c, sample) for c in tested]
                test_lines += _test_lines(sample, tested, tests, hidden)
                points.append(score.points(tests))
                testable += tested
        if points:
            score_lines += _score_lines(sample, np.concatenate(points, -1), ratios, testable)
    return (
        pd.DataFrame(test_lines, columns=TEST_COLUMNS),
        pd.DataFrame(score_lines, columns=SCORE_COLUMNS),
    )


def _hides_sizes(design: Design, comparison: Comparison, sample: str) -> bool:
    """Whether the sizes of its groups in a sample are blank.

    Parts of the main sample add up to it: of the views the cells of attribute and view decide, of
    the halves either's.
    """
    disclosed = design.disclosed if sample == "all" else design.disclosed_main
    view = {"view": sample} if sample in design.attributes["view"].groups else {}
    if view and comparison.attribute == "view":
        view = {}
    groups = groups_in(comparison, design.attributes)
    named = [{comparison.attribute: group} for group in groups]
    if any(disclosed.hides(group) or disclosed.hides(group | view) for group in named):
        return True
    if sample not in HALVES:
        return False
    halves = [design.rows[design.samples[name][0]] for name in HALVES if name in design.samples]
    return any(
        small(design.group_patients(comparison.attribute, half), design.minimum_cell).any()
        for half in halves
    )


def _test_lines(
    sample: str, comparisons: list[Comparison], tests: KSResult, hidden: list[bool]
) -> list[dict]:
    """Lines of `ks`: of one draw, or means over draws and the most frequent band.

    Ties of bands: the lower. hidden: whether the sizes of each comparison's groups are blank.
    """
    band, draws = bands(tests.p_adjusted), len(tests.p)
    sizes, d, p, p_adjusted = (
        values.mean(0) for values in (tests.sizes, tests.d, tests.p, tests.p_adjusted)
    )
    without_sizes = np.array(hidden)
    sizes[without_sizes] = np.nan
    # Distances and p-values of two sizes tell these.
    d[:, without_sizes] = d[:, without_sizes].round(COARSE)
    for values in (p, p_adjusted):
        values[:, without_sizes] = _significant(values[:, without_sizes], COARSE)
    sd = tests.p_adjusted.std(0, ddof=1) if draws > 1 else np.full(p.shape, np.nan)
    shares = np.stack([(band == code).mean(0) for code in range(len(BANDS))])
    return [
        {"sample": sample, "mode": mode + 1, **vars(c), "n_a": sizes[i, 0], "n_b": sizes[i, 1]}
        | {"d": d[mode, i], "p": p[mode, i], "p_adjusted": p_adjusted[mode, i]}
        | {"band": BANDS[shares[:, mode, i].argmax()], "p_adjusted_sd": sd[mode, i]}
        | {"share_true": shares[1, mode, i], "share_true_plus": shares[2, mode, i], "draws": draws}
        for mode in range(len(p))
        for i, c in enumerate(comparisons)
    ]


def _significant(values: np.ndarray, digits: int) -> np.ndarray:
    """`values`, none negative, rounded to so many significant digits."""
    scale = 10.0 ** (digits - 1 - np.floor(np.log10(np.where(values > 0, values, 1.0))))
    return np.round(values * scale) / scale


def _score_lines(
    sample: str, points: np.ndarray, ratios: np.ndarray, comparisons: list[Comparison]
) -> list[tuple]:
    """Lines of `score`; with many draws the mean, and their central 95 % as low and high."""
    lines = []
    for form in score.FORMS:
        values = score.comparison_scores(points, score.mode_weights(ratios, form))
        named = score.attribute_scores(values, comparisons) | score.pair_scores(values, comparisons)
        for name, draws in named.items():
            interval = central_interval(draws) if len(draws) > 1 else (np.nan, np.nan)
            lines.append((sample, form, name, draws.mean(), *interval))
    return lines


Nulls = dict[tuple[str, str], null.NullDistribution]  # by form and attribute


def null_values(
    design: Design, scores: np.ndarray, ratios: np.ndarray, distances: np.ndarray
) -> Nulls:
    """Scores of the main sample of one embedding, and if patients exchange race and sex.

    And, each by itself, their groups by the attributes of the study's own that are a patient's, as
    insurance is and a scanner is not. scores: (images of the main sample, modes); distances: of
    its images `design.distance_subset`.
    """
    if not design.settings.permutations:
        return {}
    distributions: Nulls = {}
    patients, _ = design.permutations
    for family in design.comparisons:
        names = {c.attribute for c in family}
        exchanged = [name for name in null.EXCHANGED if name in names]
        for one in own(design.attributes):
            codes = design.row_grouping.of(one.name)[design.main]
            if one.name in names and null.of_patients(codes, patients):
                exchanged.append(one.name)
        if exchanged:
            distributions |= _nulls_of(design, family, exchanged, scores, ratios, distances)
    return distributions


def _nulls_of(
    design: Design,
    family: Sequence[Comparison],
    attributes: Sequence[str],
    scores: np.ndarray,
    ratios: np.ndarray,
    distances: np.ndarray,
) -> Nulls:
    """Distributions of one family's scores if patients exchange their groups by `attributes`."""
    family = design.testable(family, design.rows[design.main])
    exchanged = [c for c in family if c.attribute in attributes]
    if not exchanged:
        return {}
    grouping = design.row_grouping.take(design.main)
    codes = null.exchange_groups(grouping, *design.permutations, attributes)
    ordered = sort_scores(scores)
    distributions = {
        (form, name): distribution
        for form, measure in null.MEASURES.items()
        for name, distribution in null.null_scores(
            ordered, ratios, grouping, codes, family, measure, attributes
        ).items()
    }
    pairs = grouping.pairs(exchanged)
    observed, permuted = (
        energy_coefficients(distances, labels[..., design.distance_subset], pairs)
        for labels in (grouping.codes[None], codes)
    )
    for name, distribution in null.null_distributions(observed, permuted, exchanged, attributes):
        distributions["energy", name] = distribution
    return distributions


def null_table(by_seed: Sequence[Nulls]) -> pd.DataFrame:
    """The table `null`: the mean over seeds against its own distribution.

    All seeds see the same exchanges, so their scores are averaged within each before anything is
    compared: one embedding and the mean of five are tested by the same rule. The mean of five
    p-values would have far less power, and no level.
    """
    lines = []
    for key in by_seed[0]:
        x = null.mean_distribution([of_seed[key] for of_seed in by_seed])
        lines.append((*key, x.observed, x.replicates.mean(), *x.band, x.z, x.p, len(x.replicates)))
    return pd.DataFrame(lines, columns=NULL_COLUMNS)
