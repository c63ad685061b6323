"""Any table, and the files of the published notebooks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml
from locations import ROOT
from raw_layouts import chexpert, chexpert_tables, mimic, mimic_tables

from cxrfmkd.datasets import adapters
from cxrfmkd.datasets.records import complete, findings_of
from cxrfmkd.datasets.sampling import sample
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Dataset, Findings
from cxrfmkd.vocabulary.datasets import ADAPTERS
from cxrfmkd.vocabulary.findings import FINDINGS

OWN = pd.DataFrame(
    {
        "file": ["a/1.png", "b/1.png", "b/2.png"],
        "person": ["007", "8", "8"],
        "gender": ["w", "m", "m"],
        "years": [30, None, 41.5],
        "origin": ["caucasian", "n/k", "asian"],
        "effusion": [1, 0, -1],
        "Edema": [None, 1, 0],
    }
)
COLUMNS = {
    "path": "file",
    "patient_id": "person",
    "sex": "gender",
    "age": "years",
    "race": "origin",
    "Pleural Effusion": "effusion",
}
PLAIN = {"path": "file", "patient_id": "person"}
VALUES = {
    "sex": {"w": "Female", "m": "Male"},
    "race": {"caucasian": "White", "asian": "Asian", "n/k": None},
}


def own(root, table=OWN, columns=COLUMNS, values=VALUES, suffix="csv") -> Dataset:
    path = root / f"own.{suffix}"
    table.to_parquet(path) if suffix == "parquet" else table.to_csv(path, index=False)
    return Dataset(
        adapter="table",
        tables={"records": str(path)},
        images=str(root),
        columns=columns,
        values=values,
    )


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_columns_and_values_are_mapped(tmp_path, suffix):
    reading = adapters.read("own", own(tmp_path, suffix=suffix))
    records = reading.records
    assert records.image_id.tolist() == ["a/1", "b/1", "b/2"]
    assert records.patient_id.tolist() == ["007", "8", "8"]
    assert records.sex.tolist() == ["Female", "Male", "Male"]
    assert records.race.fillna("").tolist() == ["White", "", "Asian"]
    np.testing.assert_array_equal(records.age, [30, np.nan, 41.5])
    np.testing.assert_array_equal(records["Pleural Effusion"], [1, 0, -1])
    np.testing.assert_array_equal(records.Edema, [np.nan, 1, 0])
    assert "Support Devices" not in records
    assert "split" not in records
    assert "No Finding" in reading.notes[0]


def test_own_splits_are_kept_and_may_be_mapped(tmp_path):
    table = OWN.assign(split=["a", "b", "c"])
    values = VALUES | {"split": {"a": "train", "b": "val", "c": "test"}}
    assert adapters.read("own", own(tmp_path, table, values=values)).records.split.tolist() == [
        "train",
        "val",
        "test",
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"columns": COLUMNS | {"path": "files"}},
            "datasets.own.columns.path is files, which the file does not have",
        ),
        (
            {"columns": COLUMNS | {"colour": "file"}},
            "columns.colour: records have no such column",
        ),
        (
            {"columns": {"path": "file"}},
            "columns.patient_id is not set, and the file has no patient_id",
        ),
        (
            {
                "table": OWN.drop(columns=["effusion", "Edema"]),
                "columns": {"path": "file", "patient_id": "person"},
            },
            "none of the findings No Finding",
        ),
        (
            {"values": {}},
            r"column gender: 3 rows are none of .*: w, m \(lines 2, 3, 4\)\. .*values\.sex",
        ),
        (
            {"values": VALUES | {"race": {"caucasian": "White"}}},
            r"column origin: 2 rows are none of .*: n/k \(lines 3, 4\)\. .*values\.race",
        ),
        (
            {"table": OWN.assign(effusion=[1, 2, 0])},
            r"column effusion: 1 rows are not labels of 1, 0, -1 .*: 2.0 \(line 3\)",
        ),
        (
            {"table": OWN.assign(effusion=["yes", 1, 0])},
            r"column effusion: 1 values are not numbers: yes \(line 2\)",
        ),
        (
            {"table": OWN.assign(person=["1", None, "2"])},
            r"column person: 1 rows are blank \(line 3\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        adapters.read("own", own(tmp_path, **settings))


def test_an_unknown_adapter_is_refused():
    assert set(adapters.ADAPTERS) == set(ADAPTERS)
    with pytest.raises(InputError, match=r"adapter: there is no adapter `dicom`. There are"):
        Dataset.read({"adapter": "dicom", "tables": {}, "images": ""})


# --- the notebooks' own files
# -----------------------------------------------------------------------------


def notebook_files(root, name: str, records: pd.DataFrame, own_columns: dict) -> Dataset:
    """Records as the notebooks write them: index columns that pile up, `validate`, disease."""
    root.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame({"Unnamed: 0": range(len(records)), **own_columns}).join(
        records[["sex", "age", "race", *FINDINGS]].reset_index(drop=True)
    )
    table["split"] = records.split.replace({"val": "validate"}).to_numpy()
    table["disease"] = records.disease.to_numpy()
    paths = {}
    for key, side in (("train", "train"), ("val", "validate"), ("test", "test")):
        paths[key] = str(root / f"{name}.sample.{key}.csv")
        table[table.split == side].to_csv(paths[key])
    for path in table.path_preproc:
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).touch()
    return Dataset(adapter="biomedia", tables=paths, images=str(root))


def of_chexpert(root) -> tuple[Dataset, pd.DataFrame]:
    records = sample("chexpert", chexpert(root / "raw", chexpert_tables())).records
    parts = records.path.str.split("/")
    preproc = "preproc_224x224/" + parts.str[2] + "_" + parts.str[3] + "_" + parts.str[4]
    columns = {
        "patient_id": records.patient_id,
        "Path": records.path,
        "AP/PA": records.view,
        "ethnicity": records.ethnicity,
        "path_preproc": preproc,
    }
    return notebook_files(root / "notebooks", "chexpert", records, columns), records


def of_mimic(root) -> tuple[Dataset, pd.DataFrame]:
    records = sample("mimic", mimic(root / "raw", mimic_tables(200))).records
    dicom = records.path.str.split("/").str[-1]
    columns = {
        "subject_id": records.patient_id,
        "study_id": records.study_id,
        "ViewPosition": records.view,
        "path": records.path,
        "path_preproc": "preproc_224x224/s" + records.study_id + "_" + dicom,
    }
    return notebook_files(root / "notebooks", "mimic", records, columns), records


@pytest.mark.parametrize("make", [of_chexpert, of_mimic])
def test_the_notebooks_files_read_as_the_raw_tables_do(tmp_path, make):
    settings, records = make(tmp_path)
    read = sample("old", settings).records
    expected = records.sort_values(
        "split", key=lambda s: s.map({"train": 0, "val": 1, "test": 2}), kind="stable"
    )
    same = [
        "patient_id",
        "study_id",
        "sex",
        "age",
        "race",
        "view",
        *FINDINGS,
        "split",
        "disease",
        "age_bin",
    ]
    pd.testing.assert_frame_equal(read[same], expected[same].reset_index(drop=True))
    assert read.path.str.startswith("preproc_224x224/").all()


def test_unnamed_index_columns_do_not_matter(tmp_path):
    settings, _ = of_chexpert(tmp_path)
    once = adapters.read("old", settings).records
    path = settings.tables["test"]
    pd.read_csv(path, dtype=str).to_csv(path)
    pd.read_csv(path, dtype=str).to_csv(path)
    assert {"Unnamed: 0.1", "Unnamed: 0.2"} <= set(pd.read_csv(path).columns)
    pd.testing.assert_frame_equal(adapters.read("old", settings).records, once)


def test_a_resampled_file_is_refused_with_the_reason(tmp_path):
    settings, _ = of_chexpert(tmp_path)
    path = settings.tables["test"]
    table = pd.read_csv(path, dtype=str)
    pd.concat([table, table]).to_csv(path, index=False)
    with pytest.raises(InputError, match=r"`resample` file .* give the `sample` file"):
        adapters.read("old", settings)


def test_a_file_of_another_split_or_dataset_is_refused(tmp_path):
    settings, _ = of_chexpert(tmp_path / "c")
    other, _ = of_mimic(tmp_path / "m")
    settings.tables["val"] = settings.tables["train"]
    with pytest.raises(InputError, match="rows are not of the split val"):
        adapters.read("old", settings)
    settings.tables["val"] = other.tables["val"]
    with pytest.raises(InputError, match="two datasets: train of chexpert, val of mimic"):
        adapters.read("old", settings)


def test_a_file_name_that_landed_on_another_patients_row_fails_the_gate(tmp_path):
    """The notebooks' loop assigned path_preproc by counter (a bug of MIMIC's until dbfea58)."""
    settings, _ = of_chexpert(tmp_path)
    path = settings.tables["test"]
    table = pd.read_csv(path, dtype=str)
    table["path_preproc"] = np.roll(table.path_preproc, 1)
    table.to_csv(path, index=False)
    with pytest.raises(InputError, match="paths are of another patient_id than their row"):
        sample("old", settings)


def test_a_published_disease_of_0_is_noted(tmp_path):
    settings, _ = of_chexpert(tmp_path)
    path = settings.tables["test"]
    table = pd.read_csv(path, dtype=str)
    table.loc[0, ["No Finding", "Pleural Effusion", "disease"]] = ["0.0", "0.0", "0.0"]
    table.to_csv(path, index=False)
    assert "says otherwise in 1 rows" in adapters.read("old", settings).notes[0]


def test_the_example_of_own_findings_is_read_as_the_page_says(tmp_path):
    """The YAML of docs/data.md, on a table of its form."""
    page = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    example = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    findings = Findings.read(example["findings"])
    table = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(5)],
            "patient_id": [*"abcde"],
            "pneumonia": ["yes", "no", "maybe", None, "no"],
            "p_edema": [0.5, 0.49, None, 0.9, 0.1],
            "labels": ["", "clear", "['unremarkable']|hernia", "hernia", None],
        }
    )
    table.to_csv(tmp_path / "own.csv", index=False)
    settings = Dataset.read(
        {
            "adapter": "table",
            "tables": {"records": str(tmp_path / "own.csv")},
            "images": str(tmp_path),
            **example["datasets"]["ward"],
        }
    )
    reading = adapters.read("ward", settings, findings)
    records = complete(reading.records.assign(split="train"), findings)
    assert findings_of(records) == ("Pneumonia", "Edema", "Normal")
    np.testing.assert_array_equal(records.Pneumonia, [1, 0, -1, np.nan, 0])
    np.testing.assert_array_equal(records.Edema, [1, 0, np.nan, 1, 0])
    np.testing.assert_array_equal(records.Normal, [np.nan, 1, 1, 0, np.nan])
    assert records.disease.tolist() == ["Pneumonia", "Normal", "Normal", "Other", "Other"]
    assert "1 of its labels stand for no finding" in reading.notes[0]


def test_one_mapping_of_words_holds_for_every_finding(tmp_path):
    table = OWN.assign(effusion=["True", "False", None], Edema=["False", "True", "-"])
    words = {"findings": {"True": 1, "False": 0}, "Edema": {"False": 0, "True": 1, "-": -1}}
    settings = own(tmp_path, table, values=VALUES | words)
    records = adapters.read("own", settings, Findings(names=["Edema", "Pleural Effusion"])).records
    np.testing.assert_array_equal(records["Pleural Effusion"], [1, 0, np.nan])
    np.testing.assert_array_equal(records.Edema, [0, 1, -1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_list": {"column": "labels"}}, "label_list.column is labels, which the file does"),
        ({"thresholds": {"Fracture": 0.5}}, r"thresholds.Fracture: the file has no such column"),
    ],
)
def test_what_findings_need_of_the_file_is_named(tmp_path, changes, message):
    settings = own(tmp_path).model_dump() | changes
    with pytest.raises(InputError, match=message):
        adapters.read("own", Dataset.read(settings))


def test_labels_may_be_lists_of_a_parquet_file(tmp_path):
    labels = [["Edema", "Pneumonia"], ["Edema, mild|old"], [], None]
    paths, people = [f"{i}.png" for i in range(4)], [f"p{i}" for i in range(4)]
    frame = pd.DataFrame({"path": paths, "patient_id": people, "labels": labels})
    frame.to_parquet(tmp_path / "own.parquet")
    settings = Dataset(
        adapter="table",
        tables={"records": str(tmp_path / "own.parquet")},
        images=str(tmp_path),
        label_list={"column": "labels", "names": {"Edema": ["Edema", "Edema, mild|old"]}},
    )
    records = adapters.read("own", settings).records
    assert records.Edema.tolist()[:3] == [1, 1, 0]
    assert records.Pneumonia.tolist()[:3] == [1, 0, 0]
    assert records.loc[4, ["Edema", "Pneumonia"]].isna().all()


def test_a_list_where_one_value_is_needed_is_refused(tmp_path):
    frame = OWN.assign(gender=[["w"], ["m"], ["m"]])
    with pytest.raises(InputError, match=r"own.parquet\), column gender: a cell has several"):
        adapters.read("own", own(tmp_path, frame, suffix="parquet"))


def test_a_parquet_file_may_have_the_paths_as_its_index(tmp_path):
    reading = adapters.read("own", own(tmp_path, OWN.set_index("file"), suffix="parquet"))
    assert reading.records.path.tolist() == OWN.file.tolist()


def test_a_study_of_which_the_file_has_no_finding_is_refused(tmp_path):
    with pytest.raises(InputError, match="none of the findings Hernia; set at least one"):
        adapters.read("own", own(tmp_path, columns=PLAIN), Findings(names=["Hernia"]))
