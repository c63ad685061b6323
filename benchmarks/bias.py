"""The bias analysis: 5,000 simulated samples of KS tests, and the score's null by permutation.

The plain way of the first is the thesis's: for every sample a DataFrame of 3,000 rows, 20 times
scipy's `ks_2samp`, statsmodels' adjustment; measured on 20 samples and stated per 5,000. Groups
have the sizes of the CheXpert test set. The same samples are drawn in both ways, and every p-value
must agree to 1e-12. The second is measured on the embeddings of one main sample, PCA included; its
plain way is the same loop over permutations. The plain ways use one core and ours use all;
`ratio_per_core` compares the processor time of both.
"""

from __future__ import annotations

import json
import platform
import time

import numpy as np
import pandas as pd
import torch
from scipy.stats import ks_2samp
from statsmodels.stats.multitest import multipletests

from cxrfmkd.bias import ks, null, projection, sampling, score
from cxrfmkd.bias.grouping import THESIS, family, group_images, pair_codes
from cxrfmkd.runtime.threads import cores
from cxrfmkd.statistics import smirnov

THESIS_FAMILY = family(THESIS)
RACES = {"White": 29_844, "Asian": 5_650, "Black": 2_746}
SAMPLES, MEASURED, SIZE = 5000, 20, 1000
PERMUTATIONS, IMAGES, WIDTH, WITHIN = 1000, 3000, 1376, "under 60 s"
PERMUTATIONS_MEASURED = 5
MODES = [f"mode {m}" for m in range(1, 5)]
RATIOS = np.array([0.168, 0.086, 0.073, 0.042])


def run() -> list[dict]:
    return [simulation(), permutation()]


def images(n: int) -> pd.DataFrame:
    """Records of `n` images with the groups of the CheXpert test set, 2.2 images a patient."""
    random = np.random.default_rng(0)
    patients = int(n / 2.2)
    owner = np.sort(random.integers(0, patients, n))
    shares = np.array(list(RACES.values())) / sum(RACES.values())
    if n == IMAGES:
        shares = np.full(3, 1 / 3)
    return pd.DataFrame(
        {
            "patient_id": owner.astype(str),
            "race": random.choice(list(RACES), patients, p=shares)[owner],
            "sex": random.choice(["Male", "Female"], patients, p=[0.58, 0.42])[owner],
            "disease": random.choice(
                ["Pleural Effusion", "No Finding", "Other"], n, p=[0.4, 0.09, 0.51]
            ),
            "age_bin": pd.array(random.integers(0, 8, patients)[owner], dtype="Int64"),
            "view": random.choice(["AP", "PA"], n, p=[0.84, 0.16]),
        }
    )


def simulation() -> dict:
    records = images(sum(RACES.values()))
    random = np.random.default_rng(1)
    scores = random.normal(size=(len(records), 4))
    scores += 0.15 * (records.sex == "Female").to_numpy()[:, None] * [1, 0, 1, 0]
    scores += 0.2 * (records.race == "Black").to_numpy()[:, None] * [1, 1, 0, 0]
    pool = sampling.build_pool(records, "race", "v2", SIZE, "error")
    grouping = group_images(records)

    def ours(seeds: list[int]) -> np.ndarray:
        """P-values, (samples, modes, comparisons); adjusted and scored too."""
        draws = sampling.draw_samples(pool, seeds)
        tests = ks.ks_tests(
            ks.sort_scores(scores), grouping.codes, pair_codes(THESIS_FAMILY), draws
        )
        score.points(tests)
        return tests.p

    ours([0, 1])  # compile
    smirnov.clear_cache()
    start = now()
    found = ours(list(range(1, SAMPLES + 1)))
    own = now() - start

    table = records.join(pd.DataFrame(scores, columns=MODES))
    table["stratum"] = records.sex + "-" + records.disease + "-" + records.age_bin.astype(str)
    plain(table, 0)
    start = now()
    wanted = [plain(table, seed) for seed in range(1, MEASURED + 1)]
    baseline = (now() - start) / MEASURED * SAMPLES
    difference = np.abs(found[:MEASURED] - np.array(wanted)).max()
    assert difference < 1e-12, difference
    return row("5,000-sample KS simulation", baseline, own, 100.0, SAMPLES)


def plain(table: pd.DataFrame, seed: int) -> list[list[float]]:
    """One sample as the thesis makes and tests it: by DataFrames, torch, scipy and statsmodels."""
    torch.manual_seed(seed)
    races = {race: table[table.race == race] for race in table.race.unique()}
    shares = {race: rows.stratum.value_counts(normalize=True) for race, rows in races.items()}
    average = pd.concat(shares.values(), axis=1).fillna(0).mean(axis=1)
    parts = []
    for race, rows in races.items():
        weights = rows.stratum.map(average / shares[race]).fillna(0).to_numpy()
        chosen = torch.multinomial(torch.tensor(weights), SIZE, replacement=False)
        parts.append(rows.iloc[chosen.numpy()])
    sample = pd.concat(parts)
    p = [
        [
            ks_2samp(
                sample.loc[sample[c.attribute] == c.a, mode],
                sample.loc[sample[c.attribute] == c.b, mode],
            ).pvalue
            for c in THESIS_FAMILY
        ]
        for mode in MODES
    ]
    multipletests(np.ravel(p), alpha=0.05, method="fdr_by")
    return p


def permutation() -> dict:
    records = images(IMAGES)
    random = np.random.default_rng(2)
    owner = pd.factorize(records.patient_id)[0]
    common = random.normal(size=(owner.max() + 1, WIDTH))[owner]
    values = ((random.normal(size=(IMAGES, WIDTH)) + common) * np.linspace(3, 0.1, WIDTH)).astype(
        np.float32
    )
    grouping = group_images(records)

    def ours(permutations: int) -> dict[str, null.NullDistribution]:
        pca = projection.fit_pca(values, 0.99, 4)
        order = ks.sort_scores(pca.scores(values, 4))
        orders = null.permute_patients(null.patient_strata(records, owner), permutations, 42)
        codes = null.exchange_groups(grouping, owner, orders)
        return null.null_scores(order, pca.ratios[:4], grouping, codes, THESIS_FAMILY, score.points)

    ours(2)  # compile
    smirnov.clear_cache()
    start = now()
    found = ours(PERMUTATIONS)
    own = now() - start

    pca = projection.fit_pca(values, 0.99, 4)
    table = pd.DataFrame(pca.scores(values, 4), columns=MODES)
    orders = null.permute_patients(null.patient_strata(records, owner), PERMUTATIONS, 42)[
        :PERMUTATIONS_MEASURED
    ]
    people = records.groupby(owner)[["race", "sex"]].first()
    start = now()
    for order, value in zip(orders, found["combined"].replicates, strict=False):
        exchanged = people.iloc[order].iloc[owner].reset_index(drop=True)
        sample = table.assign(disease=records.disease, race=exchanged.race, sex=exchanged.sex)
        p = [
            ks_2samp(
                sample[m][sample[c.attribute] == c.a], sample[m][sample[c.attribute] == c.b]
            ).pvalue
            for m in MODES
            for c in THESIS_FAMILY
        ]
        adjusted = multipletests(p, alpha=0.05, method="fdr_by")[1].reshape(4, 5)
        points = score.POINTS[(adjusted < 0.05).astype(int) + (adjusted < 0.001)]
        each = pca.ratios[:4] / pca.ratios[:4].sum() @ points
        assert abs((each[1:4].mean() + each[4]) / 2 - value) < 1e-9
    baseline = (now() - start) / PERMUTATIONS_MEASURED * PERMUTATIONS
    return row(
        f"null of the score, {IMAGES} x {WIDTH}, all of it", baseline, own, WITHIN, PERMUTATIONS
    )


def now() -> np.ndarray:
    """Seconds on the clock and seconds of processor time."""
    return np.array([time.perf_counter(), time.process_time()])


def row(name: str, baseline: np.ndarray, own: np.ndarray, goal: float | str, n: int) -> dict:
    ratio, per_core = baseline / own
    return {
        "name": name,
        "baseline_s": round(baseline[0], 2),
        "ours_s": round(own[0], 3),
        "ratio": round(ratio, 1),
        "ratio_per_core": round(per_core, 1),
        "goal": goal,
        "n": n,
        "device": f"{platform.machine()}, {cores()} cores",
    }


if __name__ == "__main__":
    for line in run():
        print(json.dumps(line))
