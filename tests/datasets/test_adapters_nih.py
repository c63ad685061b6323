"""NIH ChestX-ray14: ages of both editions, the table of findings, and the official lists."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from locations import SHARED
from raw_layouts import NIH_ROWS, many, nih, touch

from cxrfmkd.datasets import adapters
from cxrfmkd.datasets.sampling import sample
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Dataset
from cxrfmkd.vocabulary.findings import FINDINGS

REAL = SHARED / "data" / "nih"


def read(tmp_path, **settings) -> pd.DataFrame:
    return adapters.read("nih", nih(tmp_path, **settings)).records.set_index("image_id")


def test_ages_of_both_editions_become_years(tmp_path):
    ages = read(tmp_path).age
    expected = {
        "00000001_000": 58,
        "00000002_000": 81,
        "00000003_000": 11 / 12,
        "00000004_000": 13 / 365.25,
    }
    for image, years in expected.items():
        assert ages[image] == pytest.approx(years)


def test_an_impossible_age_is_a_counted_and_listed_exclusion(tmp_path):
    reading = adapters.read("nih", nih(tmp_path))
    assert "00000005_000" not in set(reading.records.image_id)
    assert reading.flow.steps[1]["excluded"] == 1
    assert reading.flow.excluded().values.tolist() == [
        ["00000005_000", "no age from 0 to 120 years", "entry table, line 7"]
    ]


def test_an_age_of_another_form_is_refused(tmp_path):
    rows = [*NIH_ROWS, ("00000007_000.png", "Edema", 0, 7, "58 years", "F", "AP")]
    with pytest.raises(InputError, match=r"are neither .* 058Y \(line 9\)"):
        read(tmp_path, rows=rows)


def test_findings_follow_the_documented_table(tmp_path):
    records = read(tmp_path)
    expected = {
        "00000001_000": {
            "Cardiomegaly": 1,
            "Pleural Effusion": 0,
            "No Finding": 0,
            "Lung Opacity": np.nan,
        },
        "00000001_001": {"Cardiomegaly": 1, "Pleural Effusion": 1},
        "00000002_000": {"No Finding": 1, "Lung Opacity": 0, "Edema": 0},
        "00000003_000": {"Lung Opacity": 1, "Atelectasis": 0, "No Finding": 0},
        "00000004_000": {"Lung Lesion": 1, "Lung Opacity": np.nan},
        "00000006_000": {"Pneumonia": 1, "Edema": 1, "Consolidation": 1, "Pneumothorax": 0},
    }
    for image, labels in expected.items():
        for finding, value in labels.items():
            np.testing.assert_equal(records.loc[image, finding], value)
    unknown = ["Enlarged Cardiomediastinum", "Fracture", "Support Devices"]
    assert not {*unknown} & {*records}


def test_pleural_thickening_is_pleural_other_and_fibrosis_alone_is_nothing_of_ours(tmp_path):
    rows = [
        ("00000001_000.png", "Pleural_Thickening", 0, 1, "50", "M", "PA"),
        ("00000002_000.png", "Fibrosis", 0, 2, "50", "M", "PA"),
    ]
    records = read(tmp_path, rows=rows)
    assert records["Pleural Other"].tolist() == [1, 0]
    findings = [name for name in FINDINGS if name in records]
    assert records.loc["00000002_000", findings].eq(1).sum() == 0


def test_an_unknown_finding_or_a_contradiction_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"unknown findings \(line 2\)"):
        read(tmp_path, rows=[("00000001_000.png", "Pneumonitis", 0, 1, "50", "M", "PA")])
    with pytest.raises(InputError, match=r"No Finding beside a finding \(line 2\)"):
        read(tmp_path, rows=[("00000001_000.png", "No Finding|Mass", 0, 1, "50", "M", "PA")])


def test_race_is_blank_and_never_invented(tmp_path):
    assert read(tmp_path).race.isna().all()


def test_patient_sex_is_read_under_its_other_name(tmp_path):
    settings = nih(tmp_path)
    table = pd.read_csv(tmp_path / "entries.csv", dtype=str).rename(
        columns={"Patient Gender": "Patient Sex"}
    )
    table.to_csv(tmp_path / "entries.csv", index=False)
    assert adapters.read("nih", settings).records.sex.tolist()[:3] == ["Male", "Male", "Female"]


def test_the_official_twelve_folders_are_found(tmp_path):
    settings = nih(tmp_path)
    root = tmp_path / "official"
    names = [row[0] for row in NIH_ROWS]
    touch(root, [f"images_00{1 + i % 3}/images/{name}" for i, name in enumerate(names)])
    moved = settings.model_copy(update={"images": str(root)})
    records = adapters.read("nih", moved).records.reset_index(drop=True)
    assert records.path[1] == "images_002/images/00000001_001.png"
    assert records.image_id[1] == "images_002/images/00000001_001"
    assert all((root / path).is_file() for path in records.path)


def test_the_official_lists_decide_the_test_set_and_train_patients_are_divided(tmp_path):
    settings = nih(tmp_path, rows=many())
    names = [row[0] for row in many()]
    (tmp_path / "train_val_list.txt").write_text("\n".join(names[:56]))
    (tmp_path / "test_list.txt").write_text("\n".join(names[56:76]))
    settings.tables.update(
        train_list=str(tmp_path / "train_val_list.txt"), test_list=str(tmp_path / "test_list.txt")
    )
    made = sample("nih", settings)
    sides = made.records.set_index("path").split
    assert set(sides[names[56:76]]) == {"test"}
    assert sides[names[:56]].value_counts().to_dict() == {"train": 48, "val": 8}
    assert [step["excluded"] for step in made.summary["flow"]] == [0, 0, 4]
    del settings.tables["test_list"]
    with pytest.raises(InputError, match=r"tables.test_list is not set"):
        adapters.read("nih", settings)


def test_keep_restricts_to_a_view_and_a_view_that_never_occurs_is_refused(tmp_path):
    made = sample("nih", nih(tmp_path / "a", rows=many(), keep={"view": ["PA"]}))
    assert set(made.records.view) == {"PA"}
    assert made.summary["flow"][-1] == {
        "step": "keep view",
        "kept": 40,
        "excluded": 40,
        "patients": 40,
        "reason": "not PA",
    }
    with pytest.raises(
        InputError, match=r"datasets.nih.keep.view: no record has pa; there are AP, PA"
    ):
        sample("nih", nih(tmp_path / "b", rows=many(), keep={"view": ["pa"]}))
    with pytest.raises(InputError, match=r"datasets.nih.keep.scanner: records have no such column"):
        sample("nih", nih(tmp_path / "c", rows=many(), keep={"scanner": ["x"]}))


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the real NIH images are not here")
def test_the_real_images_become_records():
    tables = {"entries": str(REAL / "Data_Entry_2017_v2020.csv")}
    made = sample("nih", Dataset(adapter="nih-cxr14", tables=tables, images=str(REAL / "images")))
    records = made.records
    assert len(records) == 999
    assert records.patient_id.nunique() == 682
    assert records.view.value_counts().to_dict() == {"AP": 566, "PA": 433}
    assert records.sex.value_counts().to_dict() == {"Male": 523, "Female": 476}
    positives = {
        "No Finding": 499,
        "Pneumonia": 500,
        "Lung Opacity": 187,
        "Pleural Effusion": 90,
        "Edema": 96,
    }
    assert {name: int(records[name].eq(1).sum()) for name in positives} == positives
    assert records.age.between(4, 85).all()
    assert records.groupby("patient_id").split.nunique().eq(1).all()
    assert not any(note.endswith("do not exist.") for note in made.summary["notes"])
