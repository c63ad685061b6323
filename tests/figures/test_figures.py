"""Figures: what they show, that they are the same every time, and that they name nobody."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import made_results
import made_tables as made
import numpy as np
import pandas as pd
import pytest
from locations import ROOT

from cxrfmkd.datasets.disclosure import disclosure
from cxrfmkd.figures import (
    flow,
    focused,
    ks,
    performance,
    resampling,
    subgroups,
)
from cxrfmkd.figures.drawing import FIGURES, IDS, draw_figure, save_figure
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.outputs import representatives
from cxrfmkd.vocabulary.figures import KINDS

SPEC = {"minimum_cell": 10, "uncertain": "zeros", "method": "weights"}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("study") / "results"
    made_results.write(root)
    return root


def drawn(root: Path, name: str, **shape):
    files = made_results.shape(**shape).catalogue()[name]
    return draw_figure(name, SPEC, made_results.below(root, files))


def test_every_kind_of_figure_can_be_drawn_and_has_a_caption():
    assert set(KINDS) == set(FIGURES)
    assert all(kind.about.endswith(".") and kind.reading.endswith(".") for kind in KINDS.values())
    assert {kind.chart[-1:] for kind in KINDS.values()} == {"", "."}


def test_the_catalogue_needs_neither_pandas_nor_matplotlib():
    heavy = "{'pandas', 'matplotlib', 'numpy'}"
    code = f"import sys, cxrfmkd.study.outputs; print({heavy} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_the_catalogue_leaves_out_what_the_study_does_not_have():
    everything, less = (
        made_results.shape().catalogue(),
        made_results.shape(race=False, transfer=False).catalogue(),
    )
    gone = {name.rpartition("/")[2] for name in everything if name not in less}
    assert gone == {"resampling", "transfer", "flow"}  # the flow is that of the transfer's target
    assert representatives(["a.mse", "a.cosine", "b"]) == ["a.mse", "b"]


@pytest.mark.parametrize("name", ["chexpert/performance", "chexpert/flow", "chexpert/pca"])
def test_the_same_tables_give_the_same_bytes(study, tmp_path, name):
    for copy in ("one", "two"):
        figure, _ = drawn(study, name)
        save_figure(figure, tmp_path / f"{copy}.svg", tmp_path / f"{copy}.png")
    for kind in ("svg", "png"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes(), (
            kind
        )
    text = (tmp_path / "one.svg").read_text()
    assert "<dc:date>" not in text
    assert "Figure Sans" not in text
    assert (tmp_path / "one.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
@pytest.mark.parametrize("race", [True, False])
def test_every_figure_of_a_study_is_drawn_and_names_nobody(tmp_path, race):
    made_results.write(tmp_path, race=race)
    for name in made_results.shape(race=race).catalogue():
        figure, data = drawn(tmp_path, name, race=race)
        save_figure(figure, tmp_path / "f.svg", tmp_path / "f.png")
        text = (tmp_path / "f.svg").read_text()
        ET.fromstring(text)
        assert len(data), name
        assert made_results.SECRET not in text + data.to_csv(index=False), name
        assert not IDS & set(data.columns), name
        if not race:
            assert "Asian" not in text, name


def test_a_table_with_ids_is_never_saved(study, monkeypatch):
    monkeypatch.setitem(FIGURES, "flow", lambda sources: (None, pd.DataFrame({"image_id": ["a"]})))
    with pytest.raises(ValueError, match="image_id"):
        drawn(study, "chexpert/flow")


def test_an_unknown_figure_or_a_missing_table_is_an_error_that_says_so(study):
    with pytest.raises(InputError, match="no figure of kind 'pie'"):
        draw_figure("chexpert/pie", SPEC, {})
    with pytest.raises(InputError, match=r"chexpert/curves: 'thresholds' is not among"):
        draw_figure("chexpert/curves", SPEC, {"curves": [study / "evaluation/chexpert/curves.csv"]})


def test_empty_tables_give_a_picture_that_says_so(study, tmp_path):
    path = tmp_path / "evaluation/chexpert/comparisons.csv"
    path.parent.mkdir(parents=True)
    made.comparisons().iloc[:0].to_csv(path, index=False)
    figure, data = draw_figure("chexpert/differences", SPEC, {"comparisons": [path]})
    assert data.empty
    assert "Nothing to draw" in figure.texts[0].get_text()


def test_the_resampled_test_set_leads_where_there_is_one():
    summary = made.summary(made.metrics())
    table = performance.select_findings(summary, "chexpert", "auc_roc")
    assert set(table.population) == {"resampled"}
    assert set(table.strategy) == {"own"}
    natural = summary[summary.population == "natural"]
    assert set(performance.select_findings(natural, "chexpert", "auc_roc").population) == {
        "natural"
    }


def test_parallel_axes_span_all_means_and_sds_and_five_percent_more():
    table = pd.DataFrame({"finding": ["Edema", "Edema"], "mean": [0.6, 0.8], "sd": [0.05, np.nan]})
    bounds = focused.axis_bounds(table).loc["Edema"]
    assert bounds.low == pytest.approx(0.55 - 0.05 * 0.25)
    assert bounds.high == pytest.approx(0.8 + 0.05 * 0.25)


def test_bands_of_seeds_are_settled_by_majority_and_ties_go_down():
    rows = pd.concat(
        [made.ks("cxr-model-fft", seeds=(seed,)) for seed in (1, 2)], ignore_index=True
    )
    rows["loss"] = ""
    first = (
        (rows["sample"] == "main") & (rows["mode"] == 1) & (rows.a == "White") & (rows.b == "Asian")
    )
    rows.loc[first, "band"] = ["TRUE", "FALSE"]
    rows.loc[first, "d"] = [0.1, 0.3]
    table = ks.select_ks(rows, "chexpert").set_index(["a", "b", "mode"])
    assert table.band["White", "Asian", 1] == "FALSE"
    assert table.d["White", "Asian", 1] == pytest.approx(0.2)


def test_balance_hides_small_groups_and_the_next_smallest():
    records = pd.DataFrame(
        {
            "image_id": [str(i) for i in range(100)],
            "patient_id": [str(i) for i in range(100)],
            "race": ["White"] * 60 + ["Asian"] * 35 + ["Black"] * 5,
            "disease": "Other",
            "age_bin": 4,
        }
    )
    weights = pd.DataFrame({"image_id": records.image_id, "weight": 1.0})
    table = resampling.select_resampling(records, weights, disclosure(records, 10))
    race = table[table.attribute == "race"].set_index("level")
    assert race.before["White"] == 0.6
    assert race.images["White"] == 60
    assert (
        race.loc[["Asian", "Black"], ["patients", "images", "before", "after"]]
        .isna()
        .all(axis=None)
    )
    assert table[(table.race == "Black")].before.isna().all()


def test_a_cell_of_the_balance_cannot_be_told_from_its_race_nor_from_its_disease():
    cells = {  # patients with one image each
        ("White", "Other"): 40,
        ("White", "No Finding"): 30,
        ("White", "Pleural Effusion"): 20,
        ("Asian", "Other"): 30,
        ("Asian", "No Finding"): 20,
        ("Asian", "Pleural Effusion"): 4,
        ("Black", "Other"): 25,
        ("Black", "No Finding"): 24,
        ("Black", "Pleural Effusion"): 15,
    }
    rows = [cell for cell, patients in cells.items() for _ in range(patients)]
    records = pd.DataFrame(rows, columns=["race", "disease"]).assign(age_bin=4)
    records["image_id"] = records["patient_id"] = records.index.astype(str)
    weights = pd.DataFrame({"image_id": records.image_id, "weight": 1.0})
    table = resampling.select_resampling(records, weights, disclosure(records, 10)).set_index(
        ["race", "level"]
    )
    disease = table[table.attribute == "disease"].images
    assert disease["All"].tolist() == [39, 74, 95]
    hidden = set(disease.index[disease.isna()])
    small, of_its_race, of_its_disease = (
        ("Asian", "Pleural Effusion"),
        ("Asian", "No Finding"),
        ("Black", "Pleural Effusion"),
    )
    assert hidden == {small, of_its_race, of_its_disease, ("Black", "No Finding")}


def test_balance_is_drawn_where_every_group_is_hidden():
    patients = [str(i) for i in range(24)]
    records = pd.DataFrame(
        {
            "image_id": patients,
            "patient_id": patients,
            "race": ["White", "Asian", "Black"] * 8,
            "disease": ["Other"] * 24,
            "age_bin": 4,
        }
    )
    weights = pd.DataFrame({"image_id": patients, "weight": 1.0})
    table = resampling.select_resampling(records, weights, disclosure(records, 10))
    assert table[table.attribute == "race"].before.isna().all()
    figure = resampling.draw_resampling(table, "chexpert", "weights")
    notes = [text.get_text() for panel in figure.axes for text in panel.texts]
    assert notes.count("suppressed") == 12 + 3  # rows above, and below the ages of each race


@pytest.mark.parametrize(("old", "hidden"), [(0, False), (3, True)])
def test_the_balance_says_that_ages_are_hidden_where_any_is(old, hidden):
    patients = [str(i) for i in range(300 + old)]
    records = pd.DataFrame({"image_id": patients, "patient_id": patients, "disease": "Other"})
    records = records.assign(race=[*["White", "Asian", "Black"] * 100, *["White"] * old])
    records = records.assign(age_bin=[4] * 300 + [7] * old)
    weights = records[["image_id"]].assign(weight=1.0)
    table = resampling.select_resampling(records, weights, disclosure(records, 10))
    figure = resampling.draw_resampling(table, "chexpert", "weights")
    lines = " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    assert ("ages of too few patients are not shown" in lines) == hidden


def test_the_flow_counts_unreadable_images_without_naming_their_files():
    summary = {
        "flow": [{"step": "train.csv", "kept": 10, "excluded": 0, "patients": 5, "reason": ""}],
        "counts": {},
    }
    excluded = pd.DataFrame(
        {"image_id": ["p1", "p2"], "reason": ["OSError: p1.jpg is cut off", "OSError: p2.jpg"]}
    )
    unknown = pd.DataFrame({"image_id": ["p2", "p3"], "reason": "no vector in p3"})
    table = flow.select_flow(summary, excluded, unknown)
    assert table.kept.tolist() == [10, 8, 7]  # p2 is counted once
    assert table.reason.iloc[2] == "the teacher has no embedding of the image"
    assert table.reason.iloc[1] == "the image cannot be read (OSError)"


def steps(*excluded: int) -> dict:
    kept, rows = 1000, [{"step": "raw", "kept": 1000, "excluded": 0, "patients": 400, "reason": ""}]
    for i, number in enumerate(excluded):
        kept -= number
        step = {"step": f"s{i}", "kept": kept, "excluded": number, "patients": 400 - i}
        rows.append(step | {"reason": f"reason {i}"})
    return {"flow": rows, "counts": {}}


@pytest.mark.parametrize(
    ("excluded", "shown"),
    [
        ((40, 3, 20), [0, 40, 23]),
        ((40, 0, 3), [0, 43]),
        ((3, 0, 20, 0), [0, 23, 0]),
        ((4, 3, 5), [0, 12]),
        ((0, 40), [0, 0, 40]),
    ],
)
def test_few_records_that_a_step_leaves_out_are_counted_with_another_step(excluded, shown):
    table = flow.select_flow(steps(*excluded))
    assert table.excluded.tolist() == shown
    assert (table.kept.iloc[0] - table.excluded.cumsum() == table.kept).all()
    assert table.suppressed.any() == (0 < min(n for n in excluded if n) < 10)
    assert all(f"reason {i}" in " ".join(table.reason) for i, n in enumerate(excluded) if n)


def test_few_records_that_are_all_that_is_left_out_are_not_counted():
    table = flow.select_flow(steps(0, 3))
    assert table.kept.isna().tolist() == [True, True, False]
    assert table.excluded.iloc[-1:].isna().all()
    texts = [text.get_text() for text in flow.draw_flow(table, "chexpert").axes[0].texts]
    assert "A few left out" in texts


def test_groups_that_are_too_small_everywhere_are_named_and_not_drawn():
    table = subgroups.select_subgroups(made.subgroups(), "chexpert")
    few = table.group == "Asian"
    numbers = ["estimate", "low", "high", "relative", "relative_low", "relative_high"]
    figure = subgroups.draw_subgroups(
        table.assign(**{n: table[n].mask(few) for n in numbers}), "chexpert", "estimate"
    )
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert "Black" in labels
    assert "Asian" not in labels
    assert any("too few patients: Asian" in text.get_text() for text in figure.texts)
    nothing = subgroups.draw_subgroups(
        table.assign(**dict.fromkeys(numbers, np.nan)), "chexpert", "estimate"
    )
    assert "Nothing to draw" in nothing.texts[0].get_text()


def test_the_script_saves_picture_and_numbers(study, tmp_path):
    outputs = {kind: tmp_path / f"flow.{kind}" for kind in ("svg", "png", "csv")}
    flags = [part for kind, path in outputs.items() for part in (f"--{kind}", path)]
    files = made_results.below(study, made_results.shape().catalogue()["chexpert/flow"])
    inputs = made_results.as_arguments(files)
    spec = json.dumps(SPEC | {"figure": "chexpert/flow"})
    script = ROOT / "workflow/scripts/draw.py"
    subprocess.run([sys.executable, script, "--spec", spec, *inputs, *flags], check=True)
    assert all(path.stat().st_size for path in outputs.values())
    assert pd.read_csv(outputs["csv"]).kept.iloc[0] == 1000
