"""`cxrfmkd cost`: a study's runs, images and hours, worked out before it runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import made_images
import pandas as pd
import pytest
import raw_layouts
import yaml
from locations import ROOT
from snakemake.utils import update_config

from cxrfmkd.cli import main
from cxrfmkd.commands import cost
from cxrfmkd.commands.configuration import read_configuration
from cxrfmkd.study.forecast import PUBLISHED, ImageCounts, works
from cxrfmkd.study.grid import Study

FILES = {name: ROOT / f"config/{name}.yaml" for name in ("config", "thesis", "demo", "nih")}
CHEXPERT = PUBLISHED["chexpert"]
MEASURE = cost.measure_here


made_images.add_tiny_backbone()
HERE = 50.0  # images a second that are measured where no rate is known


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder without configuration or results, where every network is equally quick."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        cost, "measure_here", lambda names, *_: (dict.fromkeys(names, HERE), "just now")
    )
    return tmp_path


def run(*names, more=()) -> pd.DataFrame:
    files = [str(FILES.get(name, name)) for name in names]
    main(["cost", "--configfile", *files, "--out", "out.csv", *more])
    return pd.read_csv("out.csv", keep_default_na=False, na_values=[""])


def row(table: pd.DataFrame, **wanted) -> pd.Series:
    chosen = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def write_run(path: Path, rate: float, trainable: int = 9) -> None:
    path.parent.mkdir(parents=True)
    parameters = {"trainable": trainable, "total": 9}
    run = {"images_per_second": rate, "device": "L40", "parameters": parameters}
    path.write_text(json.dumps(run))


def write_summary(path: Path, *counts: int) -> None:
    path.parent.mkdir(parents=True)
    splits = zip(ImageCounts._fields, counts, strict=True)
    path.write_text(json.dumps({"counts": {name: {"images": n} for name, n in splits}}))


def test_the_thesis_is_815_runs_and_its_images_are_those_worked_out_by_hand(capsys):
    table = run("config", "thesis", more=["--images-per-second", "100"])
    assert table.runs.sum() == 815
    students = row(table, rule="distill", dataset="chexpert")
    assert students.images_trained == 11 * 5 * 40 * 76_205
    assert students.images_seen == 11 * 5 * (40 + 1) * 12_673
    hours = (students.images_trained + students.images_seen / 3) / 100 / 3600
    assert students.hours == pytest.approx(hours)
    resnet = row(table, rule="finetune", dataset="mimic", network="resnet50")
    assert resnet.images_trained == 5 * 20 * 110_280
    said = capsys.readouterr().out
    assert "815 runs" in said
    assert f"{table.hours.sum():,.1f} hours on one device" in said


def test_twice_the_speed_is_half_the_hours():
    slow, fast = (run("config", more=["--images-per-second", n]) for n in ("100", "200"))
    assert fast.hours.sum() == pytest.approx(slow.hours.sum() / 2)
    pd.testing.assert_frame_equal(slow.drop(columns="hours"), fast.drop(columns="hours"))


def test_images_go_backward_only_where_weights_below_the_head_are_trained():
    table = run("config", "thesis")
    assert (
        table[table.rule.isin(["drifting_probe", "transfer_drifting"])].images_trained == 0
    ).all()
    tuned = table[table.rule == "transfer_finetune"]
    # Half of the transferred models were probed, and of those the thesis trains the head alone.
    assert sorted(tuned.images_trained) == [0, 7 * 5 * 20 * 110_280]
    assert tuned.images_seen.max() - tuned.images_seen.min() == 7 * 5 * 20 * 110_280


def test_own_epochs_of_a_loss_and_one_image_a_backbone_count():
    config = read_configuration([FILES["config"]])
    config["distillation"] |= {
        "losses": ["mse", "cosine"],
        "seeds": [1, 2],
        "epochs": 10,
        "per_loss": {"cosine": {"epochs": 3}},
    }
    config["classification"] |= {"seeds": [1, 2], "student": "selected"}
    config["transfer"] |= {"losses": ["mse"], "pairs": [["chexpert", "mimic"]]}
    study = Study(config)
    found = works(study, {"chexpert": ImageCounts(100, 10, 20), "mimic": ImageCounts(50, 5, 10)})
    students = next(w for w in found if w.rule == "distill" and w.dataset == "chexpert")
    assert students.trained == (10 + 3) * 2 * 100
    kept = next(w for w in found if w.rule == "extract_features" and w.dataset == "chexpert")
    # DenseNet-169 as it comes, and the student of each loss; fine-tuned networks are read where
    # they are trained.
    assert (kept.jobs, kept.seen) == (3, 3 * 130)


def test_rates_are_the_medians_of_finished_runs_by_network(elsewhere, capsys):
    for seed, rate in [(1, 100.0), (2, 300.0), (3, 110.0)]:
        write_run(elsewhere / f"done/chexpert/students/mse/seed{seed}/run.json", rate)
    write_run(elsewhere / "done/chexpert/models/resnet50-fft/seed1/run.json", 400.0)
    write_run(elsewhere / "done/a-to-b/full-finetune/cxr-fmkd-lp.mse/seed1/run.json", 9e9, 1)
    rates, _ = cost.measured(elsewhere / "done", ["densenet121", "densenet169", "resnet50"])
    assert rates == {"densenet169": 110.0, "resnet50": 400.0, "densenet121": 205.0}
    student = "done/chexpert/students/mse-on-resnet18/seed1/run.json"
    write_run(elsewhere / student, 900.0)
    assert cost.measured(elsewhere / "done", ["resnet18"])[0] == {"resnet18": 900.0}
    (elsewhere / student).unlink()
    table = run("config", more=["--measured", "done"])
    stated = run("config", more=["--images-per-second", "110"])
    wide = {"rule": "distill", "dataset": "mimic"}
    assert row(table, **wide).hours == pytest.approx(row(stated, **wide).hours)
    assert "measured in done on L40" in capsys.readouterr().out


def test_without_a_rate_one_is_measured_here(capsys):
    table = run("config")
    stated = run("config", more=["--images-per-second", str(HERE)])
    pd.testing.assert_frame_equal(table, stated)
    assert table.hours.sum() > 0
    assert "Images a second: just now" in capsys.readouterr().out


def test_a_few_steps_give_a_rate_of_this_machine(capsys):
    rates, origin = MEASURE(["tiny"], 48, 128)
    assert rates["tiny"] > 0
    assert f"tiny {rates['tiny']:.3g}, a few steps just now on cpu" in origin
    assert "run cxrfmkd gpu-check there" in origin


def test_the_file_of_rates_comes_before_measuring_and_is_scaled_to_the_images(elsewhere, capsys):
    content = {
        "device": "a card",
        "measured": "today",
        "image_size": 112,
        "batch_size": 128,
        "images_per_second": {"densenet169": 400.0, "resnet50": 800.0},
    }
    (elsewhere / "resources").mkdir()
    (elsewhere / "resources/rates.json").write_text(json.dumps(content))
    table = run("config")
    # Twice as wide is four times as much; a network that was not measured gets the median.
    rates = {"densenet169": 100, "resnet50": 200, "densenet121": 150}
    for network, rate in rates.items():
        stated = run("config", more=["--images-per-second", str(rate)])
        mine = table.network == network
        pd.testing.assert_series_equal(table.hours[mine], stated.hours[mine])
    assert "of resources/rates.json, measured on a card" in capsys.readouterr().out
    write_run(elsewhere / "results/chexpert/students/mse/seed1/run.json", 100.0)
    run("config")
    assert "measured in results on L40" in capsys.readouterr().out


def test_a_long_study_names_the_setting_that_makes_it_short_and_a_short_one_does_not(capsys):
    run("config", more=["--brief"])
    long = capsys.readouterr().out
    assert re.search(r"About \d+ days on one device", long)
    assert "datasets.chexpert.limit: 500 takes 500 patients at the most (so for mimic)" in long
    assert "distill" not in long
    few = ["--images", "chexpert=9,1,1", "--images", "mimic=9,1,1", "--brief"]
    run("config", more=few)
    short = capsys.readouterr().out
    assert re.search(r"About \d+ minutes", short)
    assert "limit" not in short


@pytest.mark.parametrize(
    ("hours", "words"),
    [(0, "1 minutes"), (0.4, "24 minutes"), (27.04, "27.0 hours"), (240, "10 days")],
)
def test_a_duration_has_the_unit_that_suits(hours, words):
    assert cost.duration(hours) == words


def test_the_teacher_counts_where_a_savedmodel_is_asked(capsys):
    images = ["--images", "synthetic-chexpert=100,10,20", "--images", "synthetic-mimic=10,1,2"]
    table = run("config", "demo", more=[*images, "--teacher-seconds", "36"])
    assert row(table, rule="embed", dataset="synthetic-chexpert").hours == pytest.approx(1.3)
    assert "embed" not in set(run("config").rule)


def test_each_of_several_teachers_counts(elsewhere):
    own = "{name: B, title: b, licence: none, dimension: 8}"
    source = "{source: torch, path: b.pt2, variant: b}"
    (elsewhere / "two.yaml").write_text(
        f"teachers: {{b: {own}}}\n"
        f"datasets: {{chexpert: {{teachers: {{b: {source}}}}},\n"
        f"           mimic: {{teachers: {{b: {source}}}}}}}\n"
        "distillation: {teachers: [b], standardise_teacher: phi-s}\n"
    )
    arguments = ["--images", "chexpert=100,10,10", "--images", "mimic=10,1,1"]
    files = ["config", str(elsewhere / "two.yaml")]
    table = run(*files, more=[*arguments, "--teacher-seconds", "b=36"])
    rows = table[table.rule == "embed_teacher"].set_index("dataset")
    assert rows.network.to_list() == ["teacher b", "teacher b"]
    assert rows.hours["chexpert"] == pytest.approx(1.2)


def test_images_of_raw_tables_are_counted_where_they_lie(elsewhere, capsys):
    raw_layouts.nih(elsewhere / "nih", raw_layouts.many(40))
    (elsewhere / "nih/entries.csv").rename(elsewhere / "nih/Data_Entry_2017_v2020.csv")
    folders = "folders={'nih': 'nih', 'resources': 'resources'}"
    table = run("config", "nih", more=["--config", folders])
    students = row(table, rule="distill", dataset="nih-pa")
    # Two images a patient, one of them PA; 24 patients to train on, 4 to validate on.
    assert students.images_trained == 2 * 2 * 12 * 24
    assert students.images_seen == 2 * 2 * (12 + 1) * 4
    assert "Counting the images of nih-ap" in capsys.readouterr().err


def test_images_are_as_stated_else_as_sampled_else_as_published(elsewhere):
    def trained(*more):
        return row(run("config", more=more), rule="distill", dataset="chexpert").images_trained

    runs = 7 * 5 * 40
    assert trained() == runs * CHEXPERT.train
    write_summary(elsewhere / "results/chexpert/records/summary.json", 1000, 100, 500)
    assert trained() == runs * 1000
    assert trained("--images", "chexpert=10,2,3") == runs * 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nih"], "nobody has counted the images of nih-pa, nih-ap yet"),
        (["config", "--images", "cxr=1,2,3"], "no dataset cxr; it has chexpert, mimic"),
        (["config", "--images", "mimic=12"], "write DATASET=TRAIN,VAL,TEST"),
        (["config", "--images-per-second", "0"], "must be more than 0"),
        (["config", "--teacher-seconds", "0"], "it must be a number of more than 0"),
        (["config", "--teacher-seconds", "b=1"], "the study has no teacher b; it has teacher"),
        (["config", "--measured", "."], "no run.json of a training is below it"),
        (["config", "--config", "title"], "--config title: Invalid config definition"),
        (["absent.yaml"], "absent.yaml: there is no such file"),
        (["few.yaml"], "nobody has counted the images of chexpert"),
        (["broken.yaml"], "broken.yaml: this is no YAML"),
    ],
)
def test_what_cannot_be_worked_out_is_one_clear_message(elsewhere, capsys, arguments, said):
    (elsewhere / "few.yaml").write_text("datasets: {chexpert: {limit: 100}}")
    (elsewhere / "broken.yaml").write_text("title: [")
    name, *more = arguments
    with pytest.raises(SystemExit):
        run(*dict.fromkeys(["config", name]), more=more)
    assert re.search(re.escape(said), capsys.readouterr().err)


def test_without_any_configuration_the_message_says_where_to_go(capsys):
    with pytest.raises(SystemExit):
        main(["cost"])
    assert "there is no config/config.yaml here" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["thesis", "demo", "nih"])
def test_configurations_are_laid_over_one_another_as_snakemake_does(name, elsewhere):
    expected = yaml.safe_load(FILES["config"].read_text())
    update_config(expected, yaml.safe_load(FILES[name].read_text()))
    assert read_configuration([FILES["config"], FILES[name]]) == expected
    (elsewhere / "config").mkdir()
    (elsewhere / "config/config.yaml").write_text(FILES["config"].read_text())
    assert read_configuration([FILES[name]]) == expected
