"""CheXpert: the published rules, joined by key, and the errors for files of different releases."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from raw_layouts import chexpert, chexpert_tables

from cxrfmkd.datasets import adapters
from cxrfmkd.datasets.adapters.chexpert import race
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.vocabulary.findings import FINDINGS


def by_hand(tables: dict[str, pd.DataFrame]) -> list[tuple]:
    """The published rules row by row, with the split joined by position as in the notebook."""
    found = []
    sides = dict(zip(tables["split"]["index"], tables["split"]["split"], strict=True))
    for person in tables["demographics"].itertuples():
        said = person.PRIMARY_RACE if isinstance(person.PRIMARY_RACE, str) else ""
        group = ""
        for name in ("Black", "White", "Asian"):
            if name in said:
                group = name
        for position, image in enumerate(tables["train"].to_dict("records")):
            if (
                image["Path"].split("/")[2] == person.PATIENT
                and position in sides
                and group
                and person.ETHNICITY in ("Non-Hispanic/Non-Latino", "Not Hispanic")
                and image["Frontal/Lateral"] == "Frontal"
            ):
                side = {"validate": "val"}.get(sides[position], sides[position])
                found.append(
                    (image["Path"], person.PATIENT, group, side, image["Age"], image["Sex"])
                )
    return found


@pytest.mark.parametrize("seed", range(4))
def test_records_are_those_of_the_published_rules_in_their_order(tmp_path, seed):
    tables = chexpert_tables(seed=seed)
    read = adapters.read("chexpert", chexpert(tmp_path, tables)).records
    columns = read[["path", "patient_id", "race", "split", "age", "sex"]]
    assert list(columns.itertuples(index=False, name=None)) == by_hand(tables)


def test_findings_and_view_stay_with_their_image(tmp_path):
    tables = chexpert_tables()
    read = adapters.read("chexpert", chexpert(tmp_path, tables)).records.set_index("path")
    raw = tables["train"].set_index("Path").loc[read.index]
    np.testing.assert_array_equal(read[list(FINDINGS)], raw[list(FINDINGS)])
    assert read.view.tolist() == raw["AP/PA"].tolist()
    assert read.image_id.tolist() == [path.removesuffix(".jpg") for path in read.index]


def test_images_keep_their_patient_although_filters_leave_gaps(tmp_path):
    """Rows keep their own images.

    The published loop wrote file names by counter into a filtered frame, so that rows got the
    images of other patients.
    """
    read = adapters.read("chexpert", chexpert(tmp_path))
    assert (read.records.path.str.split("/").str[2] == read.records.patient_id).all()
    assert not read.records.path.isna().any()


def test_every_excluded_image_is_counted(tmp_path):
    tables = chexpert_tables()
    flow = adapters.read("chexpert", chexpert(tmp_path, tables)).flow.steps
    assert [step["step"] for step in flow] == [
        "train.csv",
        "split",
        "demographics",
        "one patient, one row",
        "race",
        "ethnicity",
        "view",
    ]
    assert flow[0]["kept"] == len(tables["train"])
    for before, after in pairwise(flow):
        assert before["kept"] == after["kept"] + after["excluded"]
    assert flow[-1]["kept"] == len(by_hand(tables))


def test_a_later_substring_of_race_wins():
    said = pd.Series(
        ["Black, White", "White or Asian", "Black or African American", None, "Other", "asian"]
    )
    assert race(said).fillna("").tolist() == ["White", "Asian", "Black", "", "", ""]


def test_a_split_file_of_a_longer_release_is_refused_with_both_numbers(tmp_path):
    tables = chexpert_tables()
    rows = len(tables["train"])
    tables["split"].loc[len(tables["split"])] = [rows, "test"]
    with pytest.raises(InputError) as error:
        adapters.read("chexpert", chexpert(tmp_path, tables))
    assert str(error.value) == (
        f"chexpert: train.csv has {rows} rows, the split file speaks of row {rows + 1}. "
        "They belong to different releases.\nSet datasets.chexpert.tables.split to the file that "
        "came with this "
        "train.csv, or remove it to draw a new patient split."
    )


def test_a_train_csv_in_another_row_order_is_refused(tmp_path):
    tables = chexpert_tables()
    tables["train"] = tables["train"].sample(frac=1, random_state=1)
    with pytest.raises(
        InputError, match=r"patients would be in more than one split.*another row order"
    ) as error:
        adapters.read("chexpert", chexpert(tmp_path, tables))
    assert "remove it to draw a new patient split" in str(error.value)


def test_a_split_whose_images_do_not_pass_the_filters_is_noted(tmp_path):
    tables = chexpert_tables()
    assert (
        "another row order" in adapters.read("chexpert", chexpert(tmp_path / "a", tables)).notes[0]
    )
    passing = {path for path, *_ in by_hand(tables)}
    at = tables["train"].Path[tables["split"]["index"]].isin(passing).to_numpy()
    tables["split"] = tables["split"][at]
    assert adapters.read("chexpert", chexpert(tmp_path / "b", tables)).notes == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": [0, 0]}, "whole row numbers from 0, each once"),
        ({"index": [-1, 1]}, "whole row numbers from 0, each once"),
        ({"index": [0.5, 1]}, "whole row numbers from 0, each once"),
        (
            {"split": ["train", "holdout"]},
            "1 rows are none of train, validate, val, test",
        ),
    ],
)
def test_a_split_file_that_makes_no_sense_is_refused(tmp_path, change, message):
    tables = chexpert_tables()
    tables["split"] = pd.DataFrame({"index": [0, 1], "split": ["train", "train"]} | change)
    with pytest.raises(InputError, match=message):
        adapters.read("chexpert", chexpert(tmp_path, tables))


def test_without_a_split_file_the_adapter_leaves_the_split_open(tmp_path):
    tables = chexpert_tables()
    del tables["split"]
    assert "split" not in adapters.read("chexpert", chexpert(tmp_path, tables)).records


def test_a_patient_twice_in_the_spreadsheet_does_not_double_the_images(tmp_path):
    tables = chexpert_tables()
    expected = by_hand(tables)
    once = tables["demographics"]
    tables["demographics"] = pd.concat([once, once.iloc[[0, 1]]], ignore_index=True)
    assert len(adapters.read("chexpert", chexpert(tmp_path / "a", tables)).records) == len(expected)
    other = once[once.PATIENT.eq(expected[0][1])].assign(PRIMARY_RACE="Other")
    tables["demographics"] = pd.concat([once, other], ignore_index=True)
    reading = adapters.read("chexpert", chexpert(tmp_path / "b", tables))
    assert expected[0][1] not in set(reading.records.patient_id)
    assert reading.flow.steps[3]["excluded"] > 0
    assert set(reading.flow.excluded().reason) == {"contradictory rows in the spreadsheet"}


def test_demographics_of_another_dataset_leave_no_image_and_say_where_they_went(tmp_path):
    tables = chexpert_tables()
    tables["demographics"]["PATIENT"] = tables["demographics"].PATIENT.str.removeprefix("patient")
    with pytest.raises(InputError, match="No image is left after the step `demographics`") as error:
        adapters.read("chexpert", chexpert(tmp_path, tables))
    assert "patient not in the spreadsheet" in str(error.value)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("Path", "patient00001/view1.jpg", r"column Path: 1 rows are not of the form .*\(line 2\)"),
        ("Path", None, r"column Path: 1 rows"),
        ("Age", "old", r"column Age: 1 values are neither .* 058Y: old \(line 2\)"),
        ("Edema", "yes", r"column Edema: 1 values are not numbers: yes \(line 2\)"),
    ],
)
def test_a_bad_cell_of_train_csv_is_named(tmp_path, column, value, message):
    tables = chexpert_tables()
    settings = chexpert(tmp_path, tables)
    tables["train"] = tables["train"].astype({column: "object"})
    tables["train"].loc[0, column] = value
    tables["train"].to_csv(tmp_path / "train.csv", index=False)
    with pytest.raises(InputError, match=message):
        adapters.read("chexpert", settings)


def test_a_path_that_stands_twice_is_refused(tmp_path):
    tables = chexpert_tables()
    tables["train"].loc[1, "Path"] = tables["train"].Path[0]
    with pytest.raises(InputError, match=r"2 rows have a duplicate image_id \(lines 2, 3\)"):
        adapters.read("chexpert", chexpert(tmp_path, tables))


def test_an_unknown_sex_is_blank(tmp_path):
    tables = chexpert_tables()
    tables["train"]["Sex"] = "Unknown"
    assert adapters.read("chexpert", chexpert(tmp_path, tables)).records.sex.isna().all()


def test_a_table_without_its_columns_is_named_with_what_it_has(tmp_path):
    tables = chexpert_tables()
    settings = chexpert(tmp_path, tables)
    tables["demographics"].drop(columns="PRIMARY_RACE").to_excel(
        tmp_path / "CHEXPERT DEMO.xlsx", index=False
    )
    with pytest.raises(
        InputError,
        match=r"tables.demographics .* has no column PRIMARY_RACE; it has PATIENT",
    ):
        adapters.read("chexpert", settings)


def test_every_missing_or_unknown_table_is_named_by_its_setting(tmp_path):
    settings = chexpert(tmp_path)
    settings.tables.pop("train")
    settings.tables.update(split=str(tmp_path / "gone.csv"), labels="x.csv")
    (tmp_path / "gone.csv.gz").touch()
    with pytest.raises(InputError) as error:
        adapters.read("chexpert", settings)
    said = str(error.value)
    assert "datasets.chexpert.tables.train is not set" in said
    assert "gone.csv, which does not exist, but gone.csv.gz is there" in said
    assert "datasets.chexpert.tables.labels: adapter chexpert has no such table, only train" in said
