"""The thesis's bias score and its relatives.

Source: thesis method, section 7.3. A comparison earns 0, 100 or 150 points in each PCA mode by the
band of its adjusted p-value; modes count by their share of the tested modes' variance. Lower is
less biased.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cxrfmkd.bias.grouping import Comparison
from cxrfmkd.bias.ks import KSResult, bands
from cxrfmkd.vocabulary.attributes import PRESETS, SCORED

POINTS = np.array([0.0, 100.0, 150.0])
FORMS = ("normalised", "unnormalised", "filtered")


def points(tests: KSResult) -> np.ndarray:
    """Points of every test, float64 (samples, modes, comparisons)."""
    return POINTS[bands(tests.p_adjusted)]


def mode_weights(ratios: np.ndarray, form: str) -> np.ndarray:
    """What each mode counts, from the explained-variance ratios (modes,) of the tested modes.

    normalised: v_m / sum v; unnormalised: v_m; filtered: the first mode alone.
    """
    if form == "filtered":
        return np.eye(len(ratios))[0]
    return ratios / ratios.sum() if form == "normalised" else np.asarray(ratios, float)


def comparison_scores(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted sums over modes. values: (..., modes, comparisons); weights: (modes,)."""
    return np.einsum("...mc,m->...c", values, weights)


def combined_name(attributes: Sequence[str]) -> str:
    """`combined` over race and sex, the thesis's number; else with the attributes it is made of."""
    scored = [name for name in SCORED if name in attributes]
    return "combined" if len(scored) == len(SCORED) else f"combined ({', '.join(scored)})"


def attribute_scores(
    scores: np.ndarray, comparisons: Sequence[Comparison]
) -> dict[str, np.ndarray]:
    """Scores of attributes by name, (...,). scores: of comparisons, (..., comparisons).

    An attribute's score is the mean of its comparisons; `combined` is the mean of race and sex;
    `columns average` the mean of their comparisons; `combined with age` the mean of race, sex and
    age. Disease is tested but not scored. What has no comparison is left out.
    """
    names = np.array([c.attribute for c in comparisons], dtype=object)
    result = {
        name: scores[..., names == name].mean(-1)
        for name in dict.fromkeys(names)
        if name != "disease"
    }
    if scored := [name for name in SCORED if name in result]:
        result[combined_name(scored)] = np.mean([result[name] for name in scored], axis=0)
        result["columns average"] = scores[..., np.isin(names, scored)].mean(-1)
    if len(scored) == len(SCORED) and "age" in result:
        result["combined with age"] = np.mean([result[n] for n in (*SCORED, "age")], axis=0)
    return result


def pair_scores(scores: np.ndarray, comparisons: Sequence[Comparison]) -> dict[str, np.ndarray]:
    """The scores of the single comparisons, named `White vs Asian`; as in `attribute_scores`.

    Of the study's own attributes, which may share names of groups, `insurance: Private vs Other`.
    """
    return {
        ("" if c.attribute in PRESETS else f"{c.attribute}: ") + f"{c.a} vs {c.b}": scores[..., i]
        for i, c in enumerate(comparisons)
        if c.attribute != "disease"
    }
