"""The tables of effect sizes and of what a probe can read from an embedding."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.bias import effects, encoding, score
from cxrfmkd.bias.design import Design
from cxrfmkd.bias.projection import Components
from cxrfmkd.vocabulary.groups import GROUPS

WHOLE = 0  # the mode in tables of what belongs to all modes
EFFECT_COLUMNS = ("attribute", "a", "b", "mode", "measure", "estimate", "low", "high")
AUC_COLUMNS = ("attribute", "group", "given", "auc", "low", "high", "n", "n_group")
CONDITIONS = ("disease", "view")


def effect_sizes(plan: Design, scores: np.ndarray, axes: Components) -> list[tuple]:
    """Lines of `effects` in the order of EFFECT_COLUMNS: every comparison in every mode, and over
    the modes.

    scores: (test images, modes). Images are weighted as in the resampled test set. Over the modes
    (mode 0), D and W1 are averaged with the score's weights, and then over the comparisons of an
    attribute.
    """
    family = [*plan.comparisons[0], *plan.comparisons[1]]
    enough = (plan.groups.sizes(family) >= plan.minimum_cell).all(1)
    weights = score.mode_weights(axes.ratios[: scores.shape[1]], "normalised")
    images = plan.test.weight.to_numpy()
    lines: list[tuple] = []
    kept, overall = [], []
    for c, (attribute, a, b), ok in zip(family, plan.groups.pairs(family), enough, strict=True):
        if not ok:
            lines.append((c.attribute, c.a, c.b, WHOLE, "D", np.nan, np.nan, np.nan))
            continue
        codes, found = plan.groups.codes[attribute], []
        for mode, values in enumerate(scores.T):
            unit = float(np.sqrt(axes.variances[mode])) or 1.0
            estimate, errors = effects.effects(
                values, codes == a, codes == b, plan.patients, plan.patient_draws, images, unit
            )
            found.append(np.vstack([estimate, errors]))
            lines += [(c.attribute, c.a, c.b, mode + 1, *line) for line in _summaries(found[-1])]
        kept.append(c)
        overall.append(np.tensordot(weights, np.array(found), 1)[:, :2])
    if not kept:
        return lines
    means = np.stack(overall, -1)
    for i, c in enumerate(kept):
        lines += [(c.attribute, c.a, c.b, WHOLE, *line) for line in _summaries(means[..., i])]
    for name, values in score.attribute_scores(means, kept).items():
        lines += [(name, "", "", WHOLE, *line) for line in _summaries(values)]
    return lines


def _summaries(values: np.ndarray) -> list[tuple[str, float, float, float]]:
    """Measure, estimate (the first row), low and high (by the errors below it) of each column."""
    return [
        (name, float(own[0]), *effects.interval(own[0], own[1:], *limits))
        for name, limits, own in zip(effects.MEASURES, effects.RANGES, values.T, strict=False)
    ]


def whole_embedding(plan: Design, between: np.ndarray, alignment: float) -> list[tuple]:
    """Lines of `effects` that no mode enters: energy coefficients of the main sample, and CKA to the teacher."""
    groups = plan.row_groups.take(plan.main[plan.compact])
    family = [*plan.comparisons[0], *plan.comparisons[1]]
    family = [
        c for c, n in zip(family, groups.sizes(family), strict=True) if n.min() >= plan.minimum_cell
    ]
    lines = [("teacher", "", "", WHOLE, "CKA", alignment, np.nan, np.nan)]
    if family:
        each = encoding.energies(between, groups.codes[None], groups.pairs(family))[0]
        for c, value in zip(family, each, strict=True):
            lines.append((c.attribute, c.a, c.b, WHOLE, "energy", value, np.nan, np.nan))
        for name, value in score.attribute_scores(each, family).items():
            lines.append((name, "", "", WHOLE, "energy", float(value), np.nan, np.nan))
    return lines


def probe_aucs(plan: Design, scores: np.ndarray) -> pd.DataFrame:
    """The table `encoding`: how well a linear probe tells each group from the others, in all and
    within conditions.

    scores: PCA scores of the test images, all kept components. Of an attribute with two groups the
    second is shown. `given` is empty, or the disease or view within which the probe is judged.
    """
    names = [
        (attribute, code, group)
        for attribute in plan.settings.attributes
        for code, group in enumerate(GROUPS[attribute])
        if len(GROUPS[attribute]) > 2 or code == 1
    ]
    targets = np.full((len(scores), len(names)), np.nan)
    for column, (attribute, code, _) in enumerate(names):
        codes = plan.groups.of(attribute)
        targets[codes >= 0, column] = codes[codes >= 0] == code
    fold = encoding.folds(plan.patients, plan.settings.seed)
    probed = encoding.probe(scores, targets, fold)
    conditions = {"": np.ones(len(scores), bool)} | {
        group: plan.groups.of(attribute) == code
        for attribute in CONDITIONS
        for code, group in enumerate(GROUPS[attribute])
    }
    lines = []
    for column, (attribute, _, group) in enumerate(names):
        usable = ~np.isnan(probed[:, column])
        for given, inside in conditions.items():
            if given in GROUPS[attribute]:
                continue
            positive = inside & usable & (targets[:, column] == 1)
            negative = inside & usable & (targets[:, column] == 0)
            line = (attribute, group, given)
            if min(positive.sum(), negative.sum()) < plan.minimum_cell:
                lines.append((*line, *[np.nan] * 5))
                continue
            estimate, errors = effects.effects(
                probed[:, column], positive, negative, plan.patients, plan.patient_draws
            )
            area, errors = (estimate[2] + 1) / 2, errors[:, 2] / 2
            bounds = effects.interval(area, errors, 0.0, 1.0)
            lines.append((*line, area, *bounds, (positive | negative).sum(), positive.sum()))
    return pd.DataFrame(lines, columns=list(AUC_COLUMNS))
