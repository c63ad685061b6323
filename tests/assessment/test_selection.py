"""Selection of seeds and losses: by the written rule, on the named part, all candidates listed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from locations import SCRIPTS

from cxrfmkd.assessment.selection import LOSS_RULES, STUDENT_RULES, select_loss, select_seed
from cxrfmkd.networks.weights import selected_weights
from cxrfmkd.runtime.errors import InputError


def made_runs(root: Path, losses: dict[int, tuple]) -> list[Path]:
    paths = []
    for seed, (val, test) in losses.items():
        path = root / f"seed{seed}" / "run.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"best": {"epoch": 3, "val_loss": val, "test_loss": test}}))
        paths.append(path)
    return paths


def test_seed_is_chosen_on_validation_or_as_the_thesis_on_the_test_part(tmp_path):
    runs = made_runs(tmp_path, {41: (0.3, 0.1), 42: (0.1, 0.2), 43: (0.2, 0.3)})
    out = tmp_path / "selected.json"
    chosen = select_seed(runs, out, "val", STUDENT_RULES["val"])
    assert (chosen["seed"], chosen["weights"]) == (42, "seed42/weights.safetensors")
    assert chosen["candidates"] == [
        {"seed": 41, "val_loss": 0.3, "test_loss": 0.1},
        {"seed": 42, "val_loss": 0.1, "test_loss": 0.2},
        {"seed": 43, "val_loss": 0.2, "test_loss": 0.3},
    ]
    assert select_seed(runs, out, "test", STUDENT_RULES["test"])["seed"] == 41


def test_equal_losses_take_the_lowest_seed_whatever_the_order(tmp_path):
    runs = made_runs(tmp_path, {43: (-4.8, None), 42: (-4.8, None), 44: (-1.0, None)})
    assert select_seed(runs, tmp_path / "selected.json", "val", "rule")["seed"] == 42


@pytest.mark.parametrize("loss", [None, float("nan"), float("inf")])
def test_run_without_a_finite_loss_is_an_error_that_names_it(tmp_path, loss):
    runs = made_runs(tmp_path, {41: (0.3, 0.1), 42: (loss, 0.2)})
    with pytest.raises(
        InputError, match=r"seed42/run\.json: best\.val_loss is missing or not finite"
    ):
        select_seed(runs, tmp_path / "selected.json", "val", "rule")


def test_folder_that_is_no_seed_and_no_runs_are_errors(tmp_path):
    run = tmp_path / "best" / "run.json"
    with pytest.raises(InputError, match="a folder named seed<number>, not best"):
        select_seed([run], tmp_path / "selected.json", "val", "rule")
    with pytest.raises(InputError, match="no runs to choose from"):
        select_seed([], tmp_path / "selected.json", "val", "rule")
    with pytest.raises(InputError, match="no students to choose from"):
        select_loss([], [], tmp_path / "selected.json")


SELECTED = '{"select_on": "test", "loss": "mse", "model": "cxr-model-lp"}'


@pytest.mark.parametrize(("name", "seed"), [("select_student", 41), ("select_model", 42)])
def test_scripts_write_the_choice(tmp_path, name, seed):
    runs = made_runs(tmp_path, {41: (0.3, 0.1), 42: (0.1, 0.2)})
    command = [sys.executable, SCRIPTS / f"{name}.py", "--spec", SELECTED]
    command += ["--runs", *runs, "--out", tmp_path / "selected.json"]
    subprocess.run([str(part) for part in command], check=True)
    assert json.loads((tmp_path / "selected.json").read_text())["seed"] == seed
    assert (
        selected_weights(tmp_path / "selected.json") == tmp_path / f"seed{seed}/weights.safetensors"
    )


def made_qualities(root: Path, measures: dict[str, dict]) -> tuple[list[Path], list[Path]]:
    """The quality.json and the selected.json of every loss."""
    qualities, selections = [], []
    for loss, measured in measures.items():
        folder = root / loss
        folder.mkdir()
        (folder / "quality.json").write_text(json.dumps({"student": measured}))
        chosen = {"seed": 42, "weights": "seed42/weights.safetensors"}
        (folder / "selected.json").write_text(json.dumps(chosen))
        qualities.append(folder / "quality.json")
        selections.append(folder / "selected.json")
    return qualities, selections


def test_loss_is_chosen_by_the_declared_measure(tmp_path):
    qualities, selections = made_qualities(
        tmp_path,
        {
            "mse": {"probe_auc": 0.7, "centred_cosine": 0.9},
            "cosine": {"probe_auc": 0.8, "centred_cosine": 0.1},
        },
    )
    out = tmp_path / "selected.json"
    chosen = select_loss(qualities, selections, out)
    assert (chosen["loss"], chosen["seed"]) == ("cosine", 42)
    assert chosen["weights"] == "cosine/seed42/weights.safetensors"
    assert chosen["rule"] == LOSS_RULES["probe_auc"]
    assert chosen["candidates"][0] == {
        "loss": "mse",
        "seed": 42,
        "probe_auc": 0.7,
        "centred_cosine": 0.9,
    }
    assert select_loss(qualities, selections, out, "centred_cosine")["loss"] == "mse"
    command = [sys.executable, SCRIPTS / "select_loss.py", "--spec", '{"rule": "centred_cosine"}']
    command += ["--qualities", *qualities, "--selections", *selections, "--out", out]
    subprocess.run([str(part) for part in command], check=True)
    assert json.loads(out.read_text())["loss"] == "mse"


def test_a_loss_without_its_selected_student_is_an_error(tmp_path):
    qualities, _ = made_qualities(tmp_path, {"mse": {"probe_auc": 0.7}})
    with pytest.raises(InputError, match=r"the selected\.json of mse is not among"):
        select_loss(qualities, [], tmp_path / "selected.json")


def test_unknown_rule_and_missing_measure_are_errors(tmp_path):
    qualities, selections = made_qualities(tmp_path, {"mse": {"probe_auc": 0.7}})
    with pytest.raises(InputError, match=r"student\.centred_cosine is missing"):
        select_loss(qualities, selections, tmp_path / "selected.json", "centred_cosine")
    with pytest.raises(InputError, match="no rule 'luck'; choose of probe_auc"):
        select_loss(qualities, selections, tmp_path / "selected.json", "luck")
