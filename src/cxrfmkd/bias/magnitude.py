"""The tables of effect sizes and of what a probe can read from an embedding."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.bias import encoding, score
from cxrfmkd.bias.design import Design
from cxrfmkd.bias.effects import EFFECT_SIZES, effect_sizes
from cxrfmkd.bias.grouping import pair_codes
from cxrfmkd.bias.projection import PrincipalComponents
from cxrfmkd.statistics.intervals import error_interval
from cxrfmkd.statistics.suppression import COARSE, patients_per_cell
from cxrfmkd.vocabulary.groups import GROUPS, Attribute

ALL_MODES = 0  # the mode in tables of what belongs to all modes
EFFECT_COLUMNS = "attribute a b mode measure estimate low high".split()
AUC_COLUMNS = "attribute group given auc low high n n_group".split()
CONDITIONS = ("disease", "view")


def effect_lines(design: Design, scores: np.ndarray, pca: PrincipalComponents) -> list[tuple]:
    """Lines of `effects`: every comparison in every mode, and over the modes.

    scores: (test images, modes). Images are weighted as in the resampled test set. Over the modes
    (mode 0), D and W1 are averaged with the score's weights, and then over the comparisons of an
    attribute.
    """
    family = [*design.comparisons[0], *design.comparisons[1]]
    testable = design.testable(family, np.arange(len(design.test)))
    mode_weights = score.mode_weights(pca.ratios[: scores.shape[1]], "normalised")
    weights = design.test.weight.to_numpy()
    lines: list[tuple] = []
    over_modes = []
    for c, (attribute, a, b) in zip(family, pair_codes(family), strict=True):
        names = (c.attribute, c.a, c.b)
        if c not in testable:
            lines.append((*names, ALL_MODES, "D", np.nan, np.nan, np.nan))
            continue
        codes, by_mode = design.grouping.codes[attribute], []
        for mode, values in enumerate(scores.T):
            unit = float(np.sqrt(pca.variances[mode])) or 1.0
            estimate, errors = effect_sizes(
                values, codes == a, codes == b, design.patients, design.patient_draws, weights, unit
            )
            by_mode.append(np.vstack([estimate, errors]))
            summaries = _summaries(by_mode[-1])
            if any(design.disclosed.hides({c.attribute: group}) for group in (c.a, c.b)):
                summaries = [(m, *np.round(numbers, COARSE)) for m, *numbers in summaries]
            lines += [(*names, mode + 1, *line) for line in summaries]
        over_modes.append(np.tensordot(mode_weights, np.array(by_mode), 1)[:, :2])
    if testable:
        means = np.stack(over_modes, -1)
        for i, c in enumerate(testable):
            summaries = _summaries(means[..., i])
            lines += [(c.attribute, c.a, c.b, ALL_MODES, *line) for line in summaries]
        for name, values in score.attribute_scores(means, testable).items():
            lines += [(name, "", "", ALL_MODES, *line) for line in _summaries(values)]
    return lines


def _summaries(values: np.ndarray) -> list[tuple[str, float, float, float]]:
    """Measure, estimate (the first row), low and high (by the errors below it) of each column."""
    return [
        (name, float(column[0]), *error_interval(column[0], column[1:], *limits))
        for (name, limits), column in zip(EFFECT_SIZES.items(), values.T, strict=False)
    ]


def whole_embedding_lines(design: Design, distances: np.ndarray, alignment: float) -> list[tuple]:
    """Lines of `effects` without modes: energy coefficients of the main sample, CKA to the teacher.

    distances: of the images `design.distance_subset` of the main sample.
    """
    rows = design.main[design.distance_subset]
    family = [*design.comparisons[0], *design.comparisons[1]]
    testable = design.testable(family, design.rows[rows])
    values = [("teacher", "", "", "CKA", alignment)]
    if testable:
        codes = design.row_grouping.take(rows).codes[None]
        energies = encoding.energy_coefficients(distances, codes, pair_codes(testable))[0]
        by_attribute = score.attribute_scores(energies, testable)
        values += [
            (c.attribute, c.a, c.b, "energy", value)
            for c, value in zip(testable, energies, strict=True)
        ]
        values += [(name, "", "", "energy", float(value)) for name, value in by_attribute.items()]
    return [
        (*names, ALL_MODES, measure, value, np.nan, np.nan) for *names, measure, value in values
    ]


def probe_table(design: Design, scores: np.ndarray) -> pd.DataFrame:
    """The table `encoding`: how well a linear probe tells each group from the others.

    scores: PCA scores of the test images, all kept components. Of an attribute with two groups the
    second is shown. `given` is empty, or the disease or view within which the probe is judged.
    """
    names, targets, probed = probed_groups(design, scores)
    conditions = {"": np.ones(len(scores), bool)} | {
        group: design.grouping.of(attribute) == code
        for attribute in CONDITIONS
        for code, group in enumerate(GROUPS[attribute])
    }
    hidden = {name: hidden_counts(design, name) for name in design.settings.attributes}
    lines = []
    for column, (attribute, code, group) in enumerate(names):
        usable = ~np.isnan(probed[:, column])
        for given, inside in conditions.items():
            if given in GROUPS[attribute]:
                continue
            positive = inside & usable & (targets[:, column] == 1)
            negative = inside & usable & (targets[:, column] == 0)
            auc = _auc(design, probed[:, column], positive, negative)
            counts = ((positive | negative).sum(), positive.sum())
            if np.isnan(auc[0]) or hidden[attribute][given][code]:
                counts, auc = (np.nan, np.nan), tuple(np.round(auc, COARSE))
            lines.append((attribute, group, given, *auc, *counts))
    return pd.DataFrame(lines, columns=AUC_COLUMNS)


def probed_groups(
    design: Design, scores: np.ndarray
) -> tuple[list[tuple[Attribute, int, str]], np.ndarray, np.ndarray]:
    """The groups that are probed for, as (attribute, code, group); targets and scores out of fold.

    Both float64 (test images, groups), NaN where unknown.
    """
    names = [
        (attribute, code, group)
        for attribute in design.settings.attributes
        for code, group in enumerate(GROUPS[attribute])
        if len(GROUPS[attribute]) > 2 or code == 1
    ]
    targets = np.full((len(scores), len(names)), np.nan)
    for column, (attribute, code, _) in enumerate(names):
        codes = design.grouping.of(attribute)
        targets[codes >= 0, column] = codes[codes >= 0] == code
    folds = encoding.assign_folds(design.patients, design.settings.seed)
    return names, targets, encoding.out_of_fold_scores(scores, targets, folds)


def _auc(
    design: Design, values: np.ndarray, positive: np.ndarray, negative: np.ndarray
) -> tuple[float, float, float]:
    """Area under the ROC curve with its interval; NaN where a class has too few patients."""
    classes = np.where(positive, 1, np.where(negative, 0, -1))
    if patients_per_cell(classes, design.patients, 2).min() < design.minimum_cell:
        return np.nan, np.nan, np.nan
    estimate, errors = effect_sizes(
        values, positive, negative, design.patients, design.patient_draws
    )
    area = (estimate[2] + 1) / 2
    return (area, *error_interval(area, errors[:, 2] / 2, 0.0, 1.0))


def hidden_counts(design: Design, attribute: str) -> dict[str, np.ndarray]:
    """Which groups' counts are left blank, bool (groups,), by the condition `given`.

    Of an attribute with two groups both are blank or none, since the count of both together stands
    beside.
    """
    hidden = {}
    for name, value in [("", ""), *((c, v) for c in CONDITIONS for v in GROUPS[c])]:
        if name == attribute:
            continue
        given = {name: value} if name else {}
        groups = [{attribute: group} | given for group in GROUPS[attribute]]
        hidden[value] = np.array([design.disclosed.hides(levels) for levels in groups])
    if len(GROUPS[attribute]) == 2:
        hidden = {given: np.full(2, flags.any()) for given, flags in hidden.items()}
    return hidden
