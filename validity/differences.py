"""Paired differences in bias between models that are equally biased."""

from __future__ import annotations

import numpy as np
from cases import AT_MOST, Case, Hits
from effects import people
from worlds import clustered

from cxrfmkd.bias.differences import paired_difference
from cxrfmkd.bias.effects import replicated_effects
from cxrfmkd.bias.encoding import (
    assign_folds,
    out_of_fold_scores,
    pairwise_distances,
    replicated_energies,
    replicated_fold_areas,
)
from cxrfmkd.evaluation import gaps, subgroups
from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.statistics.draws import patient_counts
from cxrfmkd.vocabulary.findings import FINDINGS

REPLICATES, PATIENTS, MODES = 200, 150, 4
PAIRS = np.array([[0, 0, 1]])


def bias_of(x: np.ndarray, group: np.ndarray, owner: np.ndarray, draws: np.ndarray) -> dict:
    """What one embedding reveals of the group, in the sample and its replicates."""
    effects = replicated_effects(x[:, 0], group, ~group, owner, draws)
    codes = (~group).astype(np.int8)[None]
    weights = np.vstack([np.ones((1, len(owner))), draws[:, owner]])
    energies = replicated_energies(pairwise_distances(x), codes, PAIRS, weights)
    folds = assign_folds(owner, 0)
    scores = out_of_fold_scores(x, group[:, None].astype(float), folds)[:, 0]
    areas = replicated_fold_areas(scores, group, ~group, folds, owner, draws)
    return {"D": effects[:, 0], "W1": effects[:, 1], "energy": energies[:, 0], "AUC": areas}


def of_bias(shift: float, seeds: int):
    """Two embeddings in which the groups are equally far apart, each with seeds of its own."""

    def simulate(rng: np.random.Generator) -> Hits:
        owner, group = people(rng, PATIENTS, 0.4)
        draws = patient_counts(PATIENTS, REPLICATES, int(rng.integers(2**31)))

        def noise() -> np.ndarray:
            return np.stack([clustered(rng, owner) for _ in range(MODES)], axis=1)

        common, models = noise(), []
        for _ in range(2):
            own, by_seed = noise(), []
            for _ in range(seeds):
                x = np.sqrt(0.4) * common + np.sqrt(0.4) * own + np.sqrt(0.2) * noise()
                x[:, 0] += shift * group
                by_seed.append(bias_of(x, group, owner, draws))
            models.append(by_seed)
        hits = {}
        for measure in models[0][0]:
            a, b = (np.array([one[measure] for one in by_seed]) for by_seed in models)
            line, _ = paired_difference(a, b, 0.05)
            hits[f"difference in {measure}"] = bool(line["p"] < 0.05)
        return hits

    return simulate


def of_gaps(groups: int, apart: float):
    """Two models that serve the groups equally well; apart: in SD, how unequally."""
    names = ["all", *(f"group {g}" for g in range(groups))]
    shifts = 1.2 + apart * np.linspace(0, 1, groups)

    def simulate(rng: np.random.Generator) -> Hits:
        group = rng.integers(0, groups, 100 * groups)
        owner = np.repeat(np.arange(len(group)), rng.integers(1, 4, len(group)))
        sick, of_image = (rng.random(len(group)) < 0.35)[owner], group[owner]
        targets = np.full((len(owner), len(FINDINGS)), np.nan)
        targets[:, 0] = sick
        codes = np.stack([np.zeros(len(owner)), 1 + of_image], axis=1).astype(np.int16)
        of = subgroups.PatientGroups(codes, ["all"] + ["sex"] * groups, names)
        seed = int(rng.integers(2**31))
        sample = Sample(targets, owner, np.ones(len(owner)), codes, REPLICATES, seed=seed)
        common, models = clustered(rng, owner), []
        for _ in range(2):
            scores = np.zeros_like(targets)
            own = clustered(rng, owner)
            scores[:, 0] = shifts[of_image] * sick + np.sqrt(0.6) * common + np.sqrt(0.4) * own
            areas = sample.measure(scores).metrics[:, 1]
            measures = dict.fromkeys(subgroups.GROUP_MEASURES, areas)
            models.append(gaps.ranges(measures, of))
        first = [{key: values[:1] for key, values in model.items()} for model in models]
        table = gaps.versus_table(*models, tuple(first), 0.95)
        p = table[table.metric == "auc_roc"].p.iloc[0]
        return {"difference in the range of AUC-ROC": bool(p < 0.05)}

    return simulate


CASES = [
    Case(
        "Bias differences of equal models",
        f"{PATIENTS} patients, groups {shift:g} SD apart, {seeds} seed" + "s" * (seeds > 1),
        of_bias(shift, seeds),
        worlds=500,
        kind=AT_MOST,
    )
    for shift, seeds in ((0.0, 1), (0.8, 1), (0.8, 3))
] + [
    Case(
        "Gap differences of equal models",
        f"{groups} groups of about 100 patients, "
        + (f"{apart:g} SD apart" if apart else "served alike"),
        of_gaps(groups, apart),
        worlds=500,
        kind=AT_MOST,
    )
    for groups, apart in ((2, 0.0), (2, 0.6), (4, 0.0), (4, 0.6))
]
