"""Raw tables with the defects that people meet: the clean table's records, or where they stand."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_layouts import chexpert, chexpert_tables, mimic, mimic_tables, nih, touch

from cxrfmkd.datasets import adapters, gates
from cxrfmkd.datasets.counting import counts
from cxrfmkd.datasets.sampling import sample
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Dataset

COLUMNS = {
    "path": "file",
    "patient_id": "person",
    "sex": "gender",
    "age": "years",
    "race": "grp",
    "Pleural Effusion": "effusion",
    "No Finding": "clear",
}
VALUES = {"sex": {"M": "Male", "F": "Female"}}


def clean_table(patients: int = 12) -> pd.DataFrame:
    """Two images of each patient, as text, with a note that has commas."""
    rows = [
        {
            "file": f"p{p:03d}_{i}.png",
            "person": f"{p:05d}",
            "gender": "MF"[p % 2],
            "years": str(30 + p),
            "grp": ("White", "Black", "Asian")[p % 3],
            "note": "ok" if i else "seen, again",
            "effusion": str((p + i) % 2),
            "clear": str((p + i + 1) % 2),
        }
        for p in range(patients)
        for i in range(2)
    ]
    return pd.DataFrame(rows)


def dataset(folder, content: str | bytes | pd.DataFrame, **changes) -> Dataset:
    if isinstance(content, pd.DataFrame):
        touch(folder / "images", content.file.dropna())
        content = content.to_csv(index=False)
    path = folder / "records.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    values = {"columns": COLUMNS, "values": VALUES, "images": str(folder / "images")} | changes
    return Dataset.read({"adapter": "table", "tables": {"records": str(path)}, **values})


def records_of(settings: Dataset) -> pd.DataFrame:
    return adapters.read("own", settings).records.reset_index(drop=True)


def test_a_column_may_be_mapped_to_several_findings(tmp_path):
    columns = COLUMNS | {"Pneumonia": "effusion", "Lung Opacity": "effusion"}
    records = records_of(dataset(tmp_path, clean_table(), columns=columns))
    for finding in ("Pleural Effusion", "Pneumonia", "Lung Opacity"):
        assert records[finding].tolist() == clean_table().effusion.astype(float).tolist()


def test_image_ids_may_be_the_paths(tmp_path):
    records = records_of(dataset(tmp_path, clean_table(), columns=COLUMNS | {"image_id": "file"}))
    assert records.image_id.tolist() == records.path.tolist() == clean_table().file.tolist()


def test_what_is_mapped_wins_over_the_file_s_own_column_of_that_name(tmp_path):
    own = clean_table().assign(race="declined", age="30-39", sex="?", path="x", split="train")
    records = records_of(dataset(tmp_path, own.drop(columns="split")))
    pd.testing.assert_frame_equal(records, records_of(dataset(tmp_path, clean_table())))


def test_rows_without_a_split_are_counted_and_listed_with_their_lines(tmp_path):
    table = clean_table()
    table["split"] = np.resize(["train", "val", "test", None], len(table) // 2).repeat(2)
    made = sample("own", dataset(tmp_path, table))
    blank = table.split.isna()
    assert len(made.records) == (~blank).sum()
    assert {(s["step"], s["excluded"]) for s in made.summary["flow"]} >= {("split", blank.sum())}
    assert made.excluded["where"].tolist() == [
        f"records.csv, line {i + 2}" for i in np.flatnonzero(blank)
    ]
    assert set(made.excluded.reason) == {"no split"}


def test_an_impossible_age_is_a_listed_exclusion_of_every_adapter(tmp_path):
    table = clean_table()
    table.loc[3, "years"] = "999"
    made = sample("own", dataset(tmp_path, table))
    assert made.excluded.to_numpy().tolist() == [
        ["p001_1", "no age from 0 to 120 years", "records.csv, line 5"]
    ]
    assert len(made.records) == len(table) - 1
    tables = mimic_tables()
    tables["patients"].loc[0, "anchor_age"] = 400
    person = str(tables["patients"].subject_id[0])
    made = sample("mimic", mimic(tmp_path / "mimic", tables))
    assert person not in set(made.records.patient_id)
    assert made.excluded["where"].str.fullmatch(r"metadata, line \d+").all()


def test_ages_may_be_written_as_dicom_does(tmp_path):
    table = clean_table().assign(years="058Y")
    table.loc[:2, "years"] = ["006M", "002W", "010D"]
    ages = records_of(dataset(tmp_path, table)).age
    np.testing.assert_allclose(ages[:4], [0.5, 14 / 365.25, 10 / 365.25, 58])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("gender", "X", r"column gender: 1 rows are none of Male, Female: X \(line 6\)"),
        ("grp", "Weiß", r"column grp: 1 rows are none of White, Asian, Black \(line 6\)"),
        ("years", "90+", r"column years: 1 values are neither .*: 90\+ \(line 6\)"),
        ("effusion", "2", r"column effusion: 1 rows are not labels .*: 2.0 \(line 6\)"),
        ("effusion", "yes", r"column effusion: 1 values are not numbers: yes \(line 6\)"),
        ("person", "", r"column person: 1 rows are blank \(line 6\)"),
        ("file", "p000_0.png", r"2 rows have a duplicate image_id \(lines 2, 6\)"),
        ("file", "p000_0.jpg", r"2 rows have a duplicate image_id \(lines 2, 6\)"),
    ],
)
def test_a_bad_cell_is_named_by_its_file_s_column_and_line(tmp_path, column, value, message):
    table = clean_table()
    table.loc[4, column] = value
    with pytest.raises(
        InputError, match=rf"datasets\.own\.tables\.records \(records\.csv\).*{message}"
    ):
        adapters.read("own", dataset(tmp_path, table))


@pytest.mark.parametrize(
    ("make", "tables", "table", "column", "code"),
    [
        (chexpert, chexpert_tables, "train", "Sex", "Unbekannt"),
        (chexpert, chexpert_tables, "train", "Frontal/Lateral", "Front"),
        (chexpert, chexpert_tables, "train", "AP/PA", "A"),
        (mimic, mimic_tables, "patients", "gender", "W"),
    ],
)
def test_an_unknown_code_is_an_error_with_its_line(tmp_path, make, tables, table, column, code):
    raw = tables()
    raw[table][column] = raw[table][column].astype(object)
    raw[table].loc[1, column] = code
    with pytest.raises(
        InputError, match=rf"tables\.{table} .*column {column}: 1 .*\(line 3\)"
    ) as error:
        adapters.read("site", make(tmp_path, raw))
    assert (f": {code} (line" in str(error.value)) == (len(code) <= 3)  # else it may be a name


def test_sex_in_words_or_letters_is_one(tmp_path):
    rows = [("0001_0.png", "Edema", 0, 1, "50", sex, "PA") for sex in ("F",)]
    letters = adapters.read("nih", nih(tmp_path / "a", rows=rows)).records
    words = [(*rows[0][:5], "female", "pa")]
    assert adapters.read("nih", nih(tmp_path / "b", rows=words)).records.equals(letters)


def test_names_in_exclude_that_are_no_image_are_an_error_with_their_lines(tmp_path):
    settings_ = dataset(tmp_path, clean_table())
    (tmp_path / "exclude.csv").write_text("image_id\np000_0\np001_1.png\n")
    settings_.tables["exclude"] = str(tmp_path / "exclude.csv")
    with pytest.raises(InputError, match=r"1 rows name no image of the tables \(line 3\)"):
        sample("own", settings_)


def test_mimic_without_race_and_without_sex_and_age_is_records_all_the_same(tmp_path):
    settings_ = mimic(tmp_path)
    whole = adapters.read("mimic", settings_)
    del settings_.tables["admissions"]
    without_race = adapters.read("mimic", settings_)
    del settings_.tables["patients"]
    neither = adapters.read("mimic", settings_)
    assert set(whole.records.image_id) <= set(without_race.records.image_id)
    assert set(without_race.records.image_id) <= set(neither.records.image_id)
    assert without_race.records.race.isna().all()
    assert without_race.records.sex.notna().any()
    assert neither.records[["race", "sex", "age"]].isna().all(axis=None)
    assert neither.joined is None
    assert "No table of patients: sex and age are blank" in " ".join(neither.notes)


def test_chexpert_without_the_spreadsheet_has_every_frontal_image(tmp_path):
    tables = chexpert_tables()
    settings_ = chexpert(tmp_path, tables)
    del settings_.tables["demographics"], settings_.tables["split"]
    reading = adapters.read("chexpert", settings_)
    frontal = tables["train"]["Frontal/Lateral"].eq("Frontal")
    assert reading.records.path.tolist() == tables["train"].Path[frontal].tolist()
    assert reading.records.race.isna().all()
    assert reading.joined is None


# --- what is asked of the test images


def test_attributes_are_needed_only_by_what_asks_for_them(tmp_path):
    test = records_of(dataset(tmp_path, clean_table())).assign(
        study_id="s", disease="Other", age_bin=pd.array([1] * 24, "Int64")
    )
    whole = json.loads(json.dumps(counts(test)))
    ageless = json.loads(json.dumps(counts(test.assign(age=np.nan, age_bin=pd.NA, race=pd.NA))))
    asked = {"sex": ["evaluation.attributes"], "age": ["evaluation.attributes", "bias.attributes"]}
    assert gates.attributes("own", whole, asked).status == "passed"
    assert gates.balance("own", whole, True).status == "passed"
    gate = gates.attributes("own", ageless, asked)
    assert gate.status == "failed"
    assert gate.found == (
        "no test image has a known age, which evaluation.attributes and bias.attributes ask for. "
        "Name what the dataset has: datasets.own.attributes: [sex]"
    )
    assert gates.attributes("own", ageless, {"sex": ["evaluation.attributes"]}).status == "passed"
    assert gates.balance("own", ageless, False).status == "passed"
    assert "datasets.own.resampling: none" in gates.balance("own", ageless, True).found
    some = json.loads(json.dumps(counts(test.assign(race=test.race.where(test.race != "Asian")))))
    assert "8 of 24 test images have no race" in gates.balance("own", some, True).found


# --- several defects at once

DEFECTS = ("bom", "utf-16", "semicolons", "crlf", "blank lines", "own column", "spaces", "quotes")
FAULTS = ("none", "long row", "short row", "label", "sex", "age", "duplicate", "blank patient")
PLACES = {"label": ("effusion", "7"), "sex": ("gender", "X"), "age": ("years", "old")}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sets(st.sampled_from(DEFECTS)), st.sampled_from(FAULTS), st.integers(1, 20), st.randoms())
def test_a_table_with_any_defects_gives_the_clean_records_or_the_line(
    tmp_path, defects, fault, row, random
):
    expected = records_of(dataset(tmp_path, clean_table()))
    table = clean_table()
    if "own column" in defects:
        table = table.assign(race="declined", age="?", image="x")
    if "spaces" in defects:
        table = table.map(lambda cell: f" {cell}  ")
    if fault in PLACES:
        table.loc[row, PLACES[fault][0]] = PLACES[fault][1]
    elif fault == "duplicate":
        table.loc[row, "file"] = table.file[row - 1]
    elif fault == "blank patient":
        table.loc[row, "person"] = ""
    order = random.sample(list(table), len(table.columns))  # columns in any order
    table = table[order]
    file = io.StringIO()
    quoting = csv.QUOTE_ALL if "quotes" in defects else csv.QUOTE_MINIMAL
    separator = ";" if "semicolons" in defects else ","
    newline = "\r\n" if "crlf" in defects else "\n"
    csv.writer(file, delimiter=separator, quoting=quoting, lineterminator="\n").writerows(
        [list(table), *table.to_numpy().tolist()]
    )
    lines = file.getvalue().splitlines()
    if fault == "long row":
        lines[row + 1] += f"{separator}x"
    elif fault == "short row":
        lines[row + 1] = separator.join(["x"] * (table.shape[1] - 1))
    line = row + 2
    if "blank lines" in defects:
        lines[1:1] = ["", ""]
        line += 2
    text = newline.join(lines) + newline
    coding = "utf-16" if "utf-16" in defects else "utf-8-sig" if "bom" in defects else "utf-8"
    made = dataset(tmp_path, text.encode(coding))
    if fault == "none":
        pd.testing.assert_frame_equal(records_of(made), expected)
        return
    with pytest.raises(InputError, match=rf"lines? (\d+, )?{line}\b"):
        adapters.read("own", made)
