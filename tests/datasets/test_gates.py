"""Gates, the selection of records, and the three scripts of the stage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from locations import SCRIPTS
from made_records import made
from raw_layouts import chexpert, chexpert_tables, many, mimic, mimic_tables, nih

from cxrfmkd.datasets import gates
from cxrfmkd.datasets.records import columns, read_records, write_records
from cxrfmkd.datasets.sampling import sample
from cxrfmkd.datasets.splits import published_order
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Dataset


def failed(records, patterns=None, joined=None) -> dict[str, str]:
    return {
        g.name: g.found
        for g in gates.check(records, patterns or {}, joined)
        if g.status == "failed"
    }


def test_sound_records_pass_every_gate():
    assert failed(made(12), joined=0.97) == {}


def test_a_patient_in_two_splits_fails():
    records = made(12)
    records.loc[0, "split"] = "test"
    assert failed(records) == {
        "patients in one split": "1 of 3 patients are in more than one split: 1 in train and test"
    }
    with pytest.raises(
        InputError, match=r"made: 1 of 10 gates failed(.|\n)*failed  patients in one split: 1 of 3"
    ):
        gates.enforce(gates.check(records, {}, None), "made")


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from(["train", "val", "test"])),
        min_size=1,
        max_size=40,
    )
)
def test_the_patient_gate_finds_exactly_the_patients_on_both_sides(rows):
    records = pd.DataFrame(rows, columns=["patient_id", "split"])
    both = {p for p, s in rows for q, t in rows if p == q and s != t}
    gate = gates.patients(records)
    assert gate.status == ("failed" if both else "passed")
    if both:
        assert gate.found.startswith(f"{len(both)} of {records.patient_id.nunique()} patients")


def test_a_path_of_another_patient_fails_and_so_does_one_that_names_none():
    records = made(6, patient_id=[f"{i % 3}" for i in range(6)])
    pattern = {"patient_id": r"^p(\d+)/"}
    assert failed(records, pattern) == {}
    records.loc[1, "path"] = "p2/s1/view1.jpg"
    records.loc[4, "path"] = "lost.jpg"
    assert failed(records, pattern)["path and row agree"] == (
        "1 paths name no patient_id (rows 5); 1 paths are of another patient_id than their row "
        "(rows 2)"
    )


def test_duplicate_keys_and_paths_fail():
    records = made(6)
    records.loc[5, ["image_id", "path"]] = records.loc[0, ["image_id", "path"]]
    said = failed(records)["one row an image"]
    assert said == "2 rows share their image_id (rows 1, 6); 2 rows share their path (rows 1, 6)"


def test_impossible_labels_and_ages_fail():
    records = made(6)
    records.loc[2, "Edema"] = 3
    records.loc[1, "age"] = 148
    records.loc[3, "age"] = -1
    assert failed(records) == {
        "labels 1, 0, -1 or blank": "other values: Edema 1",
        "possible ages": "2 ages are not from 0 to 120 (rows 2, 4)",
    }


def test_a_demographic_table_of_another_release_fails():
    assert failed(made(), joined=0.8) == {}
    assert (
        "are the two tables of the same release"
        in failed(made(), joined=0.1)["demographics joined"]
    )


def test_an_empty_split_fails():
    records = made(9)
    said = failed(records[records.split != "val"])["no split is empty"]
    assert said.startswith("train 3, val 0, test 3")


def test_empty_strata_and_one_sided_findings_are_noted_not_failed():
    found = {gate.name: gate for gate in gates.check(made(9), {}, None)}
    assert found["no empty stratum"].status == "noted"
    assert "White x No Finding" in found["no empty stratum"].found
    assert found["both classes of every finding"].status == "noted"
    both = made(3, **{"No Finding": 1.0, "Pleural Effusion": 1.0})
    assert "a few images have No Finding and" in gates.contradictions(both).found


def index(records, hashes) -> pd.DataFrame:
    return pd.DataFrame({"image_id": records.image_id, "sha256": hashes}).sample(
        frac=1, random_state=0
    )


def test_a_image_in_two_splits_under_two_names_is_found():
    records = made(9)
    hashes = [f"h{i}" for i in range(9)]
    assert gates.identical(records, index(records, hashes)).empty
    hashes[3] = hashes[0]  # twice in train
    hashes[5] = hashes[1]  # test and val
    twins = gates.identical(records, index(records, hashes))
    assert twins.image_id.tolist() == [records.image_id[5], records.image_id[1]]
    gate = gates.pixels(twins)
    assert gate.status == "failed"
    assert gate.found.startswith(
        "2 records show 1 images that are in more than one split: 1 in val and test"
    )


# --- selection
# --------------------------------------------------------------------------------------------


def test_a_sample_has_all_columns_three_splits_and_a_summary_of_counts_alone(tmp_path):
    made = sample("chexpert", chexpert(tmp_path))
    records, summary = made.records, made.summary
    assert list(records) == [*columns(), "ethnicity"]
    assert summary["flow"][-1]["kept"] == len(records)
    assert sum(part["images"] for part in summary["counts"].values()) == len(records)
    assert {gate["status"] for gate in summary["gates"]} <= {"passed", "noted"}
    assert summary["tables"]["train"]["file"] == "train.csv"
    test = records[records.split == "test"]
    found = summary["counts"]["test"]
    assert found["race"] == test.race.value_counts().to_dict()
    assert found["findings"]["Edema"] == {
        "positive": (test.Edema == 1).sum(),
        "negative": (test.Edema == 0).sum(),
        "uncertain": (test.Edema == -1).sum(),
        "blank": test.Edema.isna().sum(),
    }
    patients = summary["counts"]["test"]["patients_by"]
    assert patients["race"] == test.groupby("race").patient_id.nunique().to_dict()
    assert patients["findings"]["Edema"]["positive"] == test[test.Edema == 1].patient_id.nunique()
    assert patients["findings"]["Edema"]["blank"] == test[test.Edema.isna()].patient_id.nunique()
    text = json.dumps(summary)
    assert not any(key in text for key in [*records.image_id, *records.patient_id])


def test_a_drawn_split_is_patient_disjoint_and_in_the_published_order(tmp_path):
    settings = mimic(tmp_path, mimic_tables(150))
    made = sample("mimic", settings)
    sides = made.records.groupby("patient_id").split.nunique()
    assert sides.eq(1).all()
    assert made.summary["split"] == {"drawn": {"train": 0.6, "val": 0.1, "seed": 42}}
    ordered = published_order(
        made.records.sort_values(
            "image_id",
            key=lambda s: s.map({key: i for i, key in enumerate(metadata_order(tmp_path))}),
        ),
        42,
    )
    assert ordered.image_id.tolist() == made.records.image_id.tolist()


def metadata_order(root) -> list[str]:
    m = pd.read_csv(root / "metadata.csv.gz", dtype=str)
    return (
        "p" + m.subject_id.str[:2] + "/p" + m.subject_id + "/s" + m.study_id + "/" + m.dicom_id
    ).tolist()


def test_a_limit_keeps_whole_patients(tmp_path):
    everything = sample("nih", nih(tmp_path / "a", rows=many())).records
    few = sample("nih", nih(tmp_path / "b", rows=many(), limit=20))
    assert few.records.patient_id.nunique() == 20
    counts = everything.patient_id.value_counts()
    assert (
        few.records.patient_id.value_counts()
        == counts[few.records.patient_id.unique()].reindex(
            few.records.patient_id.value_counts().index
        )
    ).all()
    assert few.summary["flow"][-1]["step"] == "limit"


def test_a_limit_that_leaves_a_split_empty_says_so(tmp_path):
    with pytest.raises(InputError, match=r"no split is empty: train 2, val 0, test 2"):
        sample("nih", nih(tmp_path, rows=many(), limit=2))


def test_listed_images_are_left_out_counted_and_listed(tmp_path):
    settings = nih(tmp_path, rows=many())
    settings.tables["exclude"] = str(tmp_path / "twins.csv")
    pd.DataFrame({"image_id": ["00000003_000"], "split": "test"}).to_csv(tmp_path / "twins.csv")
    made = sample("nih", settings)
    assert "00000003_000" not in set(made.records.image_id)
    assert made.excluded.image_id.tolist() == ["00000003_000"]
    pd.DataFrame({"image_id": ["00000003_000", "x"]}).to_csv(tmp_path / "twins.csv")
    with pytest.raises(InputError, match=r"tables.exclude .* name no image .*\(line 3\)"):
        sample("nih", settings)


def test_a_missing_image_folder_is_named_by_its_setting(tmp_path):
    settings = nih(tmp_path, rows=many())
    (tmp_path / "images").rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"datasets.nih.images is .*images, which is no folder"):
        sample("nih", settings)
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match=r"none of 80 images .* of the form ########_###.png"):
        sample("nih", settings)


def test_single_missing_images_are_counted_and_left_to_packing(tmp_path):
    settings = nih(tmp_path, rows=many())
    (tmp_path / "images" / "00000003_000.png").unlink()
    made = sample("nih", settings)
    assert "1 of 80 image files that were looked for do not exist." in made.summary["notes"]
    assert "00000003_000" in set(made.records.image_id)


def sides(settings: Dataset, **changes) -> pd.DataFrame:
    return sample("nih", Dataset(**settings.model_dump() | changes)).records


def test_two_datasets_of_the_same_people_agree_on_every_patients_side(tmp_path):
    settings = nih(tmp_path, rows=many(80))
    source, target = (sides(settings, keep={"view": [view]}) for view in ("PA", "AP"))
    both = source.merge(target, on="patient_id")  # one image of each view, so one row a patient
    assert len(both) == 80
    assert both.split_x.nunique() == 3
    assert (both.split_x == both.split_y).all()
    assert gates.patients_of_both(source, target).status == "passed"

    other = sides(settings, keep={"view": ["AP"]}, split={"train": 0.6, "val": 0.1, "seed": 7})
    gate = gates.patients_of_both(source, other)
    assert gate.status == "failed"
    pair = source.merge(other, on="patient_id")  # one image of each view, so one row a patient
    wrong = (pair.split_x != pair.split_y).sum()
    assert gate.found.startswith(f"{wrong} of {len(pair)} patients of both datasets are in")


# --- scripts
# ----------------------------------------------------------------------------------------------


def script(name: str, spec: dict, **paths) -> subprocess.CompletedProcess:
    words = [word for key, path in paths.items() for word in (f"--{key}", str(path))]
    return subprocess.run(
        [sys.executable, SCRIPTS / f"{name}.py", "--spec", json.dumps(spec), *words],
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_the_three_scripts_from_raw_tables_to_checked_images(tmp_path):
    settings = chexpert(tmp_path / "raw", chexpert_tables(seed=2)).model_dump()
    out = {name: tmp_path / "records" / f"{name}.csv" for name in ("train", "val", "test")}
    summary = tmp_path / "records" / "summary.json"
    ended = script(
        "sample_records",
        {"name": "chexpert", "dataset": settings},
        **out,
        summary=summary,
        excluded=summary.with_name("excluded.csv"),
    )
    assert ended.returncode == 0, ended.stderr
    assert "images of" in ended.stderr
    records = read_records(*out.values())
    assert pd.read_csv(summary.with_name("excluded.csv")).columns.tolist() == [
        *("image_id", "reason", "where")
    ]

    resampled, balance = tmp_path / "test_resampled.csv", tmp_path / "balance.csv"
    resampling = {"method": "draws", "factor": 3, "seed": 42}
    spec = {"dataset": "chexpert", "resampling": resampling, "minimum_cell": 10}
    ended = script("resample_test", spec, records=out["test"], out=resampled, balance=balance)
    assert ended.returncode == 0, ended.stderr
    weights = pd.read_csv(resampled)
    assert weights.image_id.tolist() == records.image_id[records.split == "test"].tolist()
    assert weights.weight.sum() == 3 * len(weights)

    images = KeyedArray(
        np.zeros((len(records), 1)), index(records, [f"h{i}" for i in range(len(records))])
    )
    images.save(tmp_path / "images")
    words = {**out, "images": tmp_path / "images", "out": tmp_path / "records" / "pixels.json"}
    words["pairs"] = tmp_path / "records" / "pixels.csv"
    ended = script("check_pixels", {"dataset": "chexpert"}, **words)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(words["out"].read_text())
    assert len(found) == 4
    assert {gate["status"] for gate in found} == {"passed"}

    twins = images.index.assign(sha256="black")
    KeyedArray(images.data, twins).save(tmp_path / "images")
    words["out"].unlink()
    ended = script("check_pixels", {"dataset": "chexpert"}, **words)
    assert ended.returncode == 2
    assert "failed  images in one split" in ended.stderr
    assert not words["out"].exists()
    assert not any(key in ended.stderr for key in records.image_id)
    assert len(pd.read_csv(tmp_path / "records" / "pixels.csv")) == len(records)


def test_a_script_ends_with_the_message_alone(tmp_path):
    settings = chexpert(tmp_path).model_dump()
    settings["tables"]["train"] = str(tmp_path / "none.csv")
    out = {
        name: tmp_path / f"{name}.csv" for name in ("train", "val", "test", "summary", "excluded")
    }
    ended = script("sample_records", {"name": "cx", "dataset": settings}, **out)
    assert ended.returncode == 2
    assert "error: " in ended.stderr
    assert "datasets.cx.tables.train is" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("seed", [42, 7])
def test_a_transfer_stops_where_source_and_target_part_a_patient(tmp_path, seed):
    settings = nih(tmp_path, rows=many(80))
    made = {
        "source": sides(settings, keep={"view": ["PA"]}),
        "target": sides(
            settings, keep={"view": ["AP"]}, split={"train": 0.6, "val": 0.1, "seed": seed}
        ),
    }
    words = []
    for side, records in made.items():
        words.append(f"--{side}")
        for split, part in records.groupby("split"):
            words.append(str(tmp_path / side / f"{split}.csv"))
            write_records(Path(words[-1]), part)
    out = tmp_path / "patients.json"
    spec = {"source": "nih-pa", "target": "nih-ap", "same_people": True}
    ended = subprocess.run(
        [
            sys.executable,
            SCRIPTS / "check_patients.py",
            "--spec",
            json.dumps(spec),
            *words,
            "--out",
            out,
        ],
        capture_output=True,
        text=True,
    )
    if seed == 42:
        assert ended.returncode == 0, ended.stderr
        assert [gate["status"] for gate in json.loads(out.read_text())] == ["passed"]
    else:
        assert ended.returncode == 2
        assert not out.exists()
        assert "failed  patients in one split of source and target" in ended.stderr
        assert "same shares, seed and limit" in ended.stderr


@pytest.mark.parametrize(("adapter", "images"), [("chexpert", 127_118), ("mimic-cxr", 183_207)])
def test_the_published_sample_is_told_from_any_other(adapter, images):
    """Sizes of Glocker et al. 2023, table 1: both are also those of the thesis's splits, added."""
    gate = gates.published(pd.DataFrame(index=range(images)), adapter)
    assert gate.status == "passed"
    assert f"{images:,} images" in gate.found
    gate = gates.published(pd.DataFrame(index=range(500)), adapter)
    assert gate.status == "noted"
    assert gate.found.startswith("500 images; the sample of")
    assert f"{images:,}" in gate.found
