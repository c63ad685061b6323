"""The tables of effect sizes and of what a probe can read from an embedding."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import numpy as np
import pandas as pd

from cxrfmkd.bias import encoding, score
from cxrfmkd.bias.design import Design
from cxrfmkd.bias.effects import effect_sizes
from cxrfmkd.bias.grouping import Comparison, groups_in
from cxrfmkd.bias.projection import PrincipalComponents
from cxrfmkd.statistics.intervals import error_interval
from cxrfmkd.statistics.suppression import COARSE, patients_per_cell

ALL_MODES = 0  # the mode in tables of what belongs to all modes
EFFECT_COLUMNS = "attribute a b mode measure estimate low high".split()
AUC_COLUMNS = "attribute group given auc low high n n_group".split()
CONDITIONS = ("disease", "view")
CONFIDENCE = 0.95
ENERGY = {"energy": (0.0, 1.0)}
ENERGY_REPLICATES = 200  # each costs a product of the matrix of distances with every group


Values = dict[tuple, np.ndarray]  # by attribute, a, b, mode: (1 + replicates, measures)


ProbeAreas = dict[tuple, np.ndarray]  # by attribute, group, given: (1 + replicates,)

# From `probed_groups`.
ProbedGroups = tuple[list[tuple[str, int, str]], np.ndarray, np.ndarray]


def effect_values(design: Design, scores: np.ndarray, pca: PrincipalComponents) -> Values:
    """Effect sizes of one embedding, and each replicate's errors below them.

    scores: (test images, modes). Images are weighted as in the resampled test set. Every comparison
    in every mode, and over the modes (mode 0): D and W1 averaged with the score's weights, and then
    over the comparisons of an attribute. NaN for a comparison that is not tested.
    """
    family = design.every_comparison
    testable = design.testable(family, np.arange(len(design.test)))
    mode_weights = score.mode_weights(pca.ratios[: scores.shape[1]], "normalised")
    weights = design.test.weight.to_numpy()
    result: Values = {}
    over_modes = {}
    for c, (attribute, a, b) in zip(family, design.grouping.pairs(family), strict=True):
        names = (c.attribute, c.a, c.b)
        if c not in testable:
            result[*names, ALL_MODES] = np.full((1, 1), np.nan)
            continue
        codes, by_mode = design.grouping.codes[attribute], []
        for mode, values in enumerate(scores.T):
            unit = float(np.sqrt(pca.variances[mode])) or 1.0
            estimate, errors = effect_sizes(
                values, codes == a, codes == b, design.patients, design.patient_draws, weights, unit
            )
            by_mode.append(np.vstack([estimate, errors]))
            result[*names, mode + 1] = by_mode[-1]
        over_modes[*names, ALL_MODES] = np.tensordot(mode_weights, np.array(by_mode), 1)[:, :2]
    if testable:
        means = np.stack(list(over_modes.values()), -1)
        result |= over_modes
        for name, values in score.attribute_scores(means, testable).items():
            result[name, "", "", ALL_MODES] = values
    return result


def energy_values(design: Design, distances: np.ndarray) -> Values:
    """Energy coefficients of the main sample of one embedding, and each replicate's errors.

    distances: of the images `design.distance_subset` of the main sample.
    """
    rows = design.main[design.distance_subset]
    family = design.every_comparison
    testable = design.testable(family, design.rows[rows])
    if not testable:
        return {}
    codes, pairs = design.row_grouping.take(rows).codes, design.grouping.pairs(testable)
    draws = design.patient_draws[:ENERGY_REPLICATES, design.patients[design.rows[rows]]]
    energies = encoding.energy_coefficients(distances, codes[None], pairs)
    values = np.vstack([energies, encoding.energy_errors(distances, codes, pairs, draws)])[:, None]
    named = {(c.attribute, c.a, c.b, ALL_MODES): values[..., i] for i, c in enumerate(testable)}
    by_attribute = score.attribute_scores(values, testable)
    return named | {(name, "", "", ALL_MODES): of for name, of in by_attribute.items()}


def coarse_lines(design: Design, values: Values) -> set[tuple]:
    """Keys of single modes whose groups' sizes full precision would tell, of those hidden."""
    return {
        (attribute, a, b, mode)
        for attribute, a, b, mode in values
        if mode != ALL_MODES
        and any(
            design.disclosed.hides({attribute: name})
            for name in groups_in(Comparison(attribute, a, b), design.attributes)
        )
    }


def effect_lines(
    by_seed: Sequence[Values], measures: Mapping[str, tuple], coarse: Container[tuple] = ()
) -> list[tuple]:
    """Lines of `effects` of the mean over seeds: estimate, and interval over patients and seeds.

    measures: names and limits of the measures, in the order of the last axis of the values.
    coarse: keys of the lines that are shown with fewer digits.
    """
    lines = []
    for key in by_seed[0]:
        values = np.stack([of_seed[key] for of_seed in by_seed])
        estimates, errors = values[:, 0], values[:, 1:].mean(axis=0)
        for k, (measure, limits) in zip(range(values.shape[2]), measures.items(), strict=False):
            estimate, seeds = estimates[:, k].mean(), estimates[:, k]
            low, high = limits
            interval = error_interval(estimate, errors[:, k], low, high, by_seed=seeds)
            numbers = (float(estimate), *interval)
            lines.append(
                (*key, measure, *(np.round(numbers, COARSE) if key in coarse else numbers))
            )
    return lines


def probe_areas(design: Design, probed: ProbedGroups) -> ProbeAreas:
    """How well a linear probe on one embedding tells each group from the others.

    probed: from `probed_groups`. Of an attribute with two groups the second is shown. By attribute,
    group and `given`, which is empty, or the disease or view within which the probe is judged: the
    area of the sample and of each replicate (see `encoding.replicated_fold_areas`); NaN where a
    class has too few patients.
    """
    names, targets, scores = probed
    folds = encoding.assign_folds(design.patients, design.settings.seed)
    conditions = [("", "", np.ones(len(scores), bool))] + [
        (name, group, design.grouping.of(name) == code)
        for name in CONDITIONS
        for code, group in enumerate(design.attributes[name].groups)
    ]
    result = {}
    for column, (attribute, _, group) in enumerate(names):
        usable = ~np.isnan(scores[:, column])
        for name, given, inside in conditions:
            if name != attribute:
                classes = [inside & usable & (targets[:, column] == side) for side in (1, 0)]
                result[attribute, group, given] = _areas(design, scores[:, column], classes, folds)
    return result


def _areas(
    design: Design, values: np.ndarray, classes: Sequence[np.ndarray], folds: np.ndarray
) -> np.ndarray:
    """Areas under the ROC curve; NaN where a class has too few patients."""
    if fewest(design, classes) < design.minimum_cell:
        return np.full(1 + len(design.patient_draws), np.nan)
    (first, second), scored = classes, np.nan_to_num(values)
    drawn = design.patients, design.patient_draws
    return encoding.replicated_fold_areas(scored, first, second, folds, *drawn)


def fewest(design: Design, classes: Sequence[np.ndarray]) -> int:
    """Patients of the smaller class."""
    codes = np.where(classes[0], 1, np.where(classes[1], 0, -1))
    return int(patients_per_cell(codes, design.patients, 2).min())


def probe_table(design: Design, by_seed: Sequence[ProbeAreas]) -> pd.DataFrame:
    """The table `encoding` of the mean over seeds; by_seed: from `probe_areas`."""
    hidden = {name: hidden_counts(design, name) for name in design.settings.attributes}
    lines = []
    for attribute, group, given in by_seed[0]:
        key = attribute, group, given
        auc = encoding.mean_area([of_seed[key] for of_seed in by_seed], CONFIDENCE)
        codes, code = design.grouping.of(attribute), design.code(attribute, group)
        inside = np.ones(len(codes), bool) if not given else _given(design, given)
        classes = [inside & (codes == code), inside & (codes >= 0) & (codes != code)]
        counts = (classes[0].sum() + classes[1].sum(), classes[0].sum())
        if np.isnan(auc[0]) or hidden[attribute][given][code]:
            counts, auc = (np.nan, np.nan), tuple(np.round(auc, COARSE))
        lines.append((attribute, group, given, *auc, *counts))
    return pd.DataFrame(lines, columns=AUC_COLUMNS)


def probed_groups(design: Design, scores: np.ndarray) -> ProbedGroups:
    """The groups that are probed for, as (attribute, code, group); targets and scores out of fold.

    scores: PCA scores of the test images, all kept components. Both results are float64 (test
    images, groups), NaN where unknown.
    """
    names = [
        (attribute, code, group)
        for attribute in design.settings.attributes
        for code, group in enumerate(design.attributes[attribute].groups)
        if len(design.attributes[attribute].groups) > 2 or code == 1
    ]
    targets = np.full((len(scores), len(names)), np.nan)
    for column, (attribute, code, _) in enumerate(names):
        codes = design.grouping.of(attribute)
        targets[codes >= 0, column] = codes[codes >= 0] == code
    folds = encoding.assign_folds(design.patients, design.settings.seed)
    return names, targets, encoding.out_of_fold_scores(scores, targets, folds)


def _given(design: Design, given: str) -> np.ndarray:
    """The images of a disease or view, bool (images,)."""
    [condition] = [name for name in CONDITIONS if given in design.attributes[name].groups]
    return design.grouping.of(condition) == design.code(condition, given)


def hidden_counts(design: Design, attribute: str) -> dict[str, np.ndarray]:
    """Which groups' counts are left blank, bool (groups,), by the condition `given`.

    Of an attribute with two groups both are blank or none, since the count of both together stands
    beside.
    """
    hidden = {}
    known, names = design.attributes, design.attributes[attribute].groups
    for name, value in [("", ""), *((c, v) for c in CONDITIONS for v in known[c].groups)]:
        if name == attribute:
            continue
        given = {name: value} if name else {}
        groups = [{attribute: group} | given for group in names]
        hidden[value] = np.array([design.disclosed.hides(levels) for levels in groups])
    if len(names) == 2:
        hidden = {given: np.full(2, flags.any()) for given, flags in hidden.items()}
    return hidden
