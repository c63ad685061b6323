"""Erasing an attribute: it moves what the head uses, and leaves what it does not."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from locations import ROOT
from made_predictions import records
from sklearn.metrics import roc_auc_score

from cxrfmkd.bias.erasure import (
    ERASURE_COLUMNS,
    TRANSFER_COLUMNS,
    Inputs,
    Splits,
    erasure_tables,
)
from cxrfmkd.bias.head_inputs import read_heads, read_inputs
from cxrfmkd.networks.layers import Linear
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_table
from cxrfmkd.study.settings import Erasure, Labels
from cxrfmkd.tables.selecting import where
from cxrfmkd.vocabulary.findings import FINDINGS

SETTINGS = Erasure(attributes=["sex", "race"], replicates=40)
NOISE = 60  # features that tell nothing


def embedding(table: pd.DataFrame, seed: int, sex: float = 2.0) -> np.ndarray:
    """Features that show each finding with noise, one that shows the sex, and others."""
    rng = np.random.default_rng(seed)
    shown = table[list(FINDINGS)].to_numpy() * 1.5
    told = np.where(table.sex == "Female", 0.5, -0.5)[:, None] * sex
    values = np.hstack([shown, told, np.zeros((len(table), NOISE))])
    return (values + rng.normal(size=values.shape)).astype(np.float32)


def head(use: float) -> Linear:
    """Each finding from its own feature, and from that of the sex by `use`."""
    rest = np.zeros((len(FINDINGS), NOISE))
    weight = np.hstack([np.eye(len(FINDINGS)), np.full((len(FINDINGS), 1), use), rest])
    return Linear(weight.astype(np.float32), np.zeros(len(FINDINGS), np.float32))


SPLITS = Splits(
    records(500, 1, "train"),
    records(200, 2, "val"),
    records(400, 3, "test"),
    {"there": records(300, 4, "test")},
)


def inputs(use: float, seed: int = 0, elsewhere: float = 2.0) -> Inputs:
    tables = (SPLITS.train, SPLITS.val, SPLITS.test)
    own = [embedding(table, 10 * seed + i) for i, table in enumerate(tables)]
    there = {"there": embedding(SPLITS.elsewhere["there"], 10 * seed + 5, elsewhere)}
    return Inputs(*own, there, head(use))


@pytest.fixture(scope="module")
def used() -> dict[str, pd.DataFrame]:
    return erasure_tables([inputs(1.0, s) for s in (1, 2)], SPLITS, SETTINGS, Labels())


@pytest.fixture(scope="module")
def unused() -> dict[str, pd.DataFrame]:
    return erasure_tables([inputs(0.0, s) for s in (1, 2)], SPLITS, SETTINGS, Labels())


def macro(tables, erased="sex") -> pd.DataFrame:
    table = where(tables["erasure"], erased=erased, finding="Macro")
    return table.set_index("measure")


def test_tables_have_their_columns_and_rows(used):
    assert list(used["erasure"].columns) == ERASURE_COLUMNS
    assert list(used["attributes"].columns) == TRANSFER_COLUMNS
    assert len(used["erasure"]) == 2 * 6 * 15
    assert set(used["erasure"].n_seeds) == {2}


def test_gaps_close_and_accuracy_rises_where_the_head_uses_what_is_erased(used):
    rows = macro(used)
    for gap in ("gap_tpr", "gap_fpr"):
        assert rows.before[gap] > 0.25
        assert rows.after[gap] < 0.12
        assert rows.high[gap] < -0.15
    # The sex was noise for the findings.
    assert rows.low["auc_roc"] > 0.01
    # The threshold was chosen for all: that of all patients moves less than that of a group.
    assert abs(rows.difference["tpr"]) < 0.1


def test_nothing_moves_where_the_attribute_is_encoded_but_not_used(unused):
    rows = macro(unused)
    assert rows.difference.abs().max() < 0.01
    for measure in ("auc_roc", "gap_tpr", "gap_auc_roc"):
        assert rows.low[measure] <= 0 <= rows.high[measure]


def test_erasing_another_attribute_moves_nothing(used):
    rows = macro(used, "race")
    assert rows.difference.abs().max() < 0.02
    # What it moves is what groups drawn by chance move; for the sex it is not.
    assert (rows.difference - rows.chance).abs().max() < 0.02
    assert macro(used).chance.abs().max() < 0.02


def test_numbers_before_are_those_of_scikit_learn(used):
    row = where(used["erasure"], erased="sex", measure="auc_roc", finding="Edema")
    k = FINDINGS.index("Edema")
    areas = [
        roc_auc_score(SPLITS.test["Edema"], head(1.0)(inputs(1.0, seed).test)[:, k])
        for seed in (1, 2)
    ]
    assert row.before.item() == pytest.approx(np.mean(areas), abs=1e-12)  # rounding


def test_attribute_probes_tell_what_transfers(used):
    table = used["attributes"].set_index(["target", "attribute", "group"])
    own, there = table.loc["", "sex", "Female"], table.loc["there", "sex", "Female"]
    ideal = 0.921  # Phi(2 / sqrt 2), two normal distributions two deviations apart
    for row in (own, there):
        assert row.low < ideal < row.high + 0.02
    race = table.xs("race", level="attribute").auc
    assert len(race) == 6
    assert (race - 0.5).abs().max() < 0.1


def test_what_is_told_otherwise_elsewhere_does_not_transfer():
    [of_seed] = [inputs(0.0, 1, elsewhere=-2.0)]
    table = erasure_tables([of_seed], SPLITS, SETTINGS, Labels())["attributes"]
    table = where(table, attribute="sex").set_index("target")
    assert table.auc[""] > 0.8
    assert table.auc["there"] < 0.2


def test_a_group_that_training_images_lack_has_no_area():
    there = SPLITS.train.race != "Asian"
    full = inputs(0.0)
    few = Inputs(full.train[there.to_numpy()], full.val, full.test, full.elsewhere, full.head)
    splits = Splits(SPLITS.train[there], SPLITS.val, SPLITS.test, SPLITS.elsewhere)
    tables = erasure_tables([few], splits, SETTINGS, Labels())
    areas = where(tables["attributes"], attribute="race").set_index(["target", "group"]).auc
    assert areas[:, "Asian"].isna().all()
    assert areas[:, "White"].notna().all()


def test_after_the_erasure_a_probe_is_at_chance(used):
    from cxrfmkd.bias.encoding import linear_scores
    from cxrfmkd.statistics.erasure import fit_eraser, moments

    features = inputs(0.0).train
    codes = (SPLITS.train.sex == "Female").to_numpy().astype(int)
    eraser = fit_eraser(features, codes, moments(features))
    sex = codes[:, None].astype(float)
    before, after = (
        linear_scores(values, sex, [values])[0][:, 0] for values in (features, eraser(features))
    )
    assert roc_auc_score(codes, before) > 0.8
    assert roc_auc_score(codes, after) == 0.5


def test_groups_with_few_patients_are_blank():
    settings = SETTINGS.model_copy(update={"minimum_cell": 150, "replicates": 5})
    tables = erasure_tables([inputs(1.0, 1)], SPLITS, settings, Labels())
    rows = where(tables["erasure"], erased="race", measure="gap_tpr")
    assert rows[["before", "after", "difference", "low", "p"]].isna().all(axis=None)


def test_one_head_for_all_seeds_counts_once_and_a_missing_one_is_an_error(tmp_path):
    for seed in (1, 2):
        head(1.0).save(tmp_path / f"seed{seed}.safetensors", {"seed": str(seed)})
    paths = [tmp_path / f"seed{seed}.safetensors" for seed in (1, 2)]
    assert len(read_heads(paths, [1, 2], "here")) == 1
    with pytest.raises(InputError, match="1 files of weights for 2 seeds"):
        read_heads(paths[:1], [1, 2], "here")
    arrays = [KeyedArray(np.zeros((0, 1)), pd.DataFrame({"image_id": []})) for _ in range(3)]
    with pytest.raises(InputError, match="there should be one, or 2"):
        next(read_inputs([head(1.0)] * 2, arrays[:2], arrays, SPLITS, {}))


def test_the_script_writes_both_tables(tmp_path):
    parts = {"train": SPLITS.train, "val": SPLITS.val, "test": SPLITS.test}
    ids = pd.concat([table[["image_id"]] for table in parts.values()], ignore_index=True)
    values = np.concatenate([embedding(table, i) for i, table in enumerate(parts.values())])
    for name in ("features", "images", "teacher"):
        KeyedArray(values, ids, {}).save(tmp_path / f"here/{name}")
    there = SPLITS.elsewhere["there"]
    KeyedArray(embedding(there, 9), there[["image_id"]], {}).save(tmp_path / "there/features")
    from cxrfmkd.datasets.records import write_records

    arguments = []
    for name, table in parts.items():
        write_records(tmp_path / f"{name}.csv", table)
        arguments += [f"--{name}", tmp_path / f"{name}.csv"]
    write_records(tmp_path / "there.csv", there)
    head(1.0).save(tmp_path / "head.safetensors")
    spec = {
        "dataset": "here",
        "model": "cxr-fm-lp",
        "seeds": [41],
        "targets": ["there"],
        "erasure": SETTINGS.model_dump(),
        "labels": Labels().model_dump(),
    }
    command = [sys.executable, ROOT / "workflow/scripts/erase_attributes.py"]
    command += ["--spec", json.dumps(spec), "--features", tmp_path / "here/features"]
    command += ["--heads", tmp_path / "head.safetensors", "--images", tmp_path / "here/images"]
    command += ["--teacher", tmp_path / "here/teacher", "--target-test", tmp_path / "there.csv"]
    command += ["--target-features", tmp_path / "there/features", *arguments]
    outputs = [tmp_path / "erasure.csv", tmp_path / "attributes.csv"]
    command += ["--erasure", outputs[0], "--attributes", outputs[1]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    erasure, attributes = map(read_table, outputs)
    assert set(erasure.model) == set(attributes.model) == {"cxr-fm-lp"}
    assert where(erasure, erased="sex", finding="Macro", measure="gap_tpr").high.item() < 0
    assert set(attributes.target.fillna("")) == {"", "there"}
