"""Replicates over patients of one embedding's bias, so that models can be compared in pairs.

All models of a dataset are measured on the same draws of the same patients.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.bias import encoding, magnitude, score
from cxrfmkd.bias.design import Design
from cxrfmkd.bias.effects import replicated_effects
from cxrfmkd.bias.grouping import pair_codes
from cxrfmkd.bias.projection import PrincipalComponents

Replicated = dict[tuple[str, str], np.ndarray]  # (measure, attribute): (1 + replicates,)


def replicate_table(
    design: Design,
    tested: np.ndarray,
    pca: PrincipalComponents,
    distances: np.ndarray,
    probed: magnitude.ProbedGroups,
) -> pd.DataFrame:
    """The table `replicates`: a row per measure and attribute, a column per replicate.

    tested: PCA scores of the test images, the modes that are tested; distances: of the images
    `design.distance_subset` of the main sample; probed: from `magnitude.probed_groups`. Column 0 is
    the sample itself. Measures: D and W1 over the modes, energy, and AUC, the mean over an
    attribute's groups of the probe's area.
    """
    values = _effects(design, tested, pca) | _energies(design, distances) | _areas(design, probed)
    count = 1 + len(design.patient_draws)
    table = pd.DataFrame(
        np.array(list(values.values())).reshape(-1, count), columns=[str(i) for i in range(count)]
    )
    table.insert(0, "measure", [measure for measure, _ in values])
    table.insert(1, "attribute", [attribute for _, attribute in values])
    return table


def _effects(design: Design, tested: np.ndarray, pca: PrincipalComponents) -> Replicated:
    """D and W1, averaged over the modes with the score's weights, as in `effects`."""
    family = [*design.comparisons[0], *design.comparisons[1]]
    testable = design.testable(family, np.arange(len(design.test)))
    weights = design.test.weight.to_numpy()
    mode_weights = score.mode_weights(pca.ratios[: tested.shape[1]], "normalised")
    by_comparison = []
    for attribute, a, b in pair_codes(testable):
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
    family = [*design.comparisons[0], *design.comparisons[1]]
    images = design.rows[rows]
    testable = design.testable(family, images)
    if not testable:
        return {}
    drawn = design.patient_draws[:, design.patients[images]]
    weights = np.vstack([np.ones((1, len(images))), drawn])
    codes = design.row_grouping.take(rows).codes
    energies = encoding.replicated_energies(distances, codes, pair_codes(testable), weights)
    named = score.attribute_scores(energies, testable)
    return {("energy", attribute): values for attribute, values in named.items()}


def _areas(design: Design, probed: magnitude.ProbedGroups) -> Replicated:
    """Areas of the probes; an attribute is left out unless all its groups have enough patients."""
    names, targets, scores = probed
    areas: dict[str, list[np.ndarray]] = {}
    for (attribute, _, _), target, values in zip(names, targets.T, scores.T, strict=True):
        usable = ~np.isnan(values)
        positive, negative = (usable & (target == side) for side in (1, 0))
        few = magnitude.fewest(design, [positive, negative]) < design.minimum_cell
        effects = replicated_effects(
            np.nan_to_num(values), positive, negative, design.patients, design.patient_draws
        )
        area = np.full(len(effects), np.nan) if few else (effects[:, 2] + 1) / 2
        areas.setdefault(attribute, []).append(area)
    return {("AUC", attribute): np.mean(values, axis=0) for attribute, values in areas.items()}
