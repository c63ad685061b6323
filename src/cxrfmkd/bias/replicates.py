"""Replicates over patients of one embedding's bias, so that models can be compared in pairs.

All models of a dataset are measured on the same draws of the same patients.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.bias import encoding, magnitude, score
from cxrfmkd.bias.design import Design
from cxrfmkd.bias.effects import replicated_effects
from cxrfmkd.bias.ks import KSResult
from cxrfmkd.bias.projection import PrincipalComponents

Replicated = dict[tuple[str, str], np.ndarray]  # (measure, attribute): (1 + replicates,)


def replicate_table(
    design: Design,
    tested: np.ndarray,
    pca: PrincipalComponents,
    distances: np.ndarray,
    areas: magnitude.ProbeAreas,
) -> pd.DataFrame:
    """The table `replicates`: a row per measure and attribute, a column per replicate.

    tested: PCA scores of the test images, the modes that are tested; distances: of the images
    `design.distance_subset` of the main sample; areas: from `magnitude.probe_areas`. Column 0 is
    the sample itself. Measures: D and W1 over the modes, energy, AUC, the mean over an attribute's
    groups of the probe's area, and the thesis's score, on the main sample.
    """
    values = _effects(design, tested, pca) | _energies(design, distances) | _areas(areas)
    values |= _scores(design, tested, pca.ratios[: tested.shape[1]])
    count = 1 + len(design.patient_draws)
    table = pd.DataFrame(
        np.array(list(values.values())).reshape(-1, count), columns=[str(i) for i in range(count)]
    )
    table.insert(0, "measure", [measure for measure, _ in values])
    table.insert(1, "attribute", [attribute for _, attribute in values])
    return table


def _effects(design: Design, tested: np.ndarray, pca: PrincipalComponents) -> Replicated:
    """D and W1, averaged over the modes with the score's weights, as in `effects`."""
    family = design.every_comparison
    testable = design.testable(family, np.arange(len(design.test)))
    weights = design.test.weight.to_numpy()
    mode_weights = score.mode_weights(pca.ratios[: tested.shape[1]], "normalised")
    by_comparison = []
    for attribute, a, b in design.grouping.pairs(testable):
        codes = design.grouping.codes[attribute]
        by_mode = [
            replicated_effects(
                values,
                codes == a,
                codes == b,
                design.patients,
                design.patient_draws,
                weights,
                float(np.sqrt(variance)) or 1.0,
            )
            for values, variance in zip(tested.T, pca.variances, strict=False)
        ]
        by_comparison.append(np.tensordot(mode_weights, np.array(by_mode), 1))
    result: Replicated = {}
    if by_comparison:
        effects = np.stack(by_comparison, -1)
        for position, measure in enumerate(("D", "W1")):
            named = score.attribute_scores(effects[:, position], testable)
            result |= {(measure, attribute): values for attribute, values in named.items()}
    return result


def _energies(design: Design, distances: np.ndarray) -> Replicated:
    rows = design.main[design.distance_subset]
    family = design.every_comparison
    images = design.rows[rows]
    testable = design.testable(family, images)
    if not testable:
        return {}
    drawn = design.patient_draws[:, design.patients[images]]
    weights = np.vstack([np.ones((1, len(images))), drawn])
    codes = design.row_grouping.take(rows).codes
    pairs = design.grouping.pairs(testable)
    energies = encoding.replicated_energies(distances, codes, pairs, weights)
    named = score.attribute_scores(energies, testable)
    return {("energy", attribute): values for attribute, values in named.items()}


def _scores(design: Design, tested: np.ndarray, ratios: np.ndarray) -> Replicated:
    """The thesis's score of the main sample; each family of tests is adjusted by itself."""
    images = design.rows[design.main]
    codes = design.row_grouping.take(design.main).codes
    by_comparison, testable = [], []
    for family in design.comparisons:
        if tests := design.testable(family, images):
            pairs = design.grouping.pairs(tests)
            arguments = tested[images], codes, pairs, design.patients[images]
            by_comparison.append(replicated_scores(*arguments, design.patient_draws, ratios))
            testable += tests
    if not testable:
        return {}
    named = score.attribute_scores(np.concatenate(by_comparison, axis=1), testable)
    return {("score", attribute): values for attribute, values in named.items()}


def replicated_scores(
    values: np.ndarray,
    codes: np.ndarray,
    pairs: np.ndarray,
    patients: np.ndarray,
    draws: np.ndarray,
    ratios: np.ndarray,
) -> np.ndarray:
    """Scores of comparisons in the sample and each replicate, (1 + replicates, comparisons).

    values: (n, modes) of the sample's images; codes: (attributes, n); pairs: as in
    `encoding.energy_coefficients`, one family of tests; patients: (n,), columns of `draws`,
    (replicates, patients); ratios: (modes,).
    Drawing patients with replacement adds noise to distribution functions, so that replicates' D
    are too large and far too many of them significant. Replicates are moved by the mean of that
    excess: what is tested is the sample's D plus the noise of a replicate, with the sample's sizes.
    """
    sizes = np.array([[(codes[k] == group).sum() for group in both] for k, *both in pairs])
    numerators = np.empty((1 + len(draws), values.shape[1], len(pairs)), np.int64)
    for c, (attribute, a, b) in enumerate(pairs):
        first, second = codes[attribute] == a, codes[attribute] == b
        for mode, column in enumerate(values.T):
            d = replicated_effects(column, first, second, patients, draws)[:, 0]
            moved = np.clip(d[0] + d[1:] - np.nanmean(d[1:]) if len(d) > 1 else d[1:], 0, 1)
            d = np.r_[d[0], np.nan_to_num(moved)]
            numerators[:, mode, c] = np.rint(d * sizes[c].prod())
    tests = KSResult(numerators, np.broadcast_to(sizes, (len(numerators), *sizes.shape)))
    weights = score.mode_weights(ratios, "normalised")
    return score.comparison_scores(score.points(tests), weights)


def _areas(areas: magnitude.ProbeAreas) -> Replicated:
    """Mean area over an attribute's groups; NaN unless all have enough patients."""
    by_attribute: dict[str, list[np.ndarray]] = {}
    for (attribute, _, given), values in areas.items():
        if not given:
            by_attribute.setdefault(attribute, []).append(values)
    return {("AUC", name): np.mean(values, axis=0) for name, values in by_attribute.items()}
