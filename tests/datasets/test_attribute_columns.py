"""Columns of declared attributes: where they are looked for, what is refused, what is blank."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from raw_layouts import chexpert, chexpert_tables, mimic, mimic_tables

from cxrfmkd.datasets import adapters
from cxrfmkd.datasets.counting import counts
from cxrfmkd.datasets.disclosure import disclosure
from cxrfmkd.datasets.groups import fine_groups_of, fine_order, groups_of
from cxrfmkd.datasets.records import read_records, write_records
from cxrfmkd.datasets.sampling import sample
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.attributes import resolve
from cxrfmkd.study.settings import AttributeSection, Dataset
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.attributes import PRESETS

INSURANCE = {"values": ["Private", "Medicare"], "missing": ["?"], "column": "Payer"}
BMI = {"edges": [25, 30], "labels": ["low", "middle", "high"], "missing": ["-1"]}


def declare(**sections):
    return resolve({k: AttributeSection.read(v) for k, v in sections.items()}, THESIS.names)


def table(**columns) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    fixed = {"path": [f"{i}.png" for i in range(n)], "patient_id": [f"p{i}" for i in range(n)]}
    return pd.DataFrame(fixed | columns | {"Edema": [i % 2 for i in range(n)]})


def own(root, frame: pd.DataFrame, **settings) -> Dataset:
    frame.to_csv(root / "own.csv", index=False)
    tables = {"records": str(root / "own.csv")} | settings.pop("tables", {})
    return Dataset(adapter="table", tables=tables, images=str(root), **settings)


def read(root, frame, attributes, **settings) -> adapters.Reading:
    return adapters.read("own", own(root, frame, **settings), THESIS, attributes)


def test_a_tables_column_becomes_groups_and_its_blanks_are_blank(tmp_path):
    frame = table(Payer=["Private", "?", "", "Medicare"], bmi=["25", "25.1", "-1.0", "31"])
    attributes = declare(insurance=INSURANCE, bmi=BMI)
    records = read(tmp_path, frame, attributes).records
    assert records.insurance.fillna("").tolist() == ["Private", "", "", "Medicare"]
    groups = groups_of(records, attributes["bmi"])
    assert groups.fillna("").tolist() == ["low", "middle", "", "high"]
    assert "Payer" not in records


def test_a_value_that_is_no_group_is_refused_with_its_lines_and_may_be_mapped(tmp_path):
    frame = table(Payer=["Private", "self", "Medicare", "self"])
    attributes = declare(insurance=INSURANCE)
    message = (
        r"own\.csv\), column Payer: 2 rows are none of Private, Medicare \(lines 3, 5\)\. Map .* "
        r"datasets\.own\.values\.insurance"
    )
    with pytest.raises(InputError, match=message):
        read(tmp_path, frame, attributes)
    mapped = read(tmp_path, frame, attributes, values={"insurance": {"self": None}})
    assert mapped.records.insurance.isna().tolist() == [False, True, False, True]


def test_a_number_that_is_none_is_refused_with_its_line(tmp_path):
    with pytest.raises(InputError, match=r"column bmi: 1 values are not numbers.*\(line 3\)"):
        read(tmp_path, table(bmi=["20", "heavy"]), declare(bmi=BMI))


def test_another_column_may_be_named_for_one_dataset(tmp_path):
    frame = table(payor=["Private", "Medicare"])
    attributes = declare(insurance=INSURANCE)
    reading = read(tmp_path, frame, attributes, columns={"insurance": "payor"})
    assert reading.records.insurance.tolist() == ["Private", "Medicare"]
    with pytest.raises(InputError, match=r"columns.insurance is payer, which"):
        read(tmp_path, frame, attributes, columns={"insurance": "payer"})
    absent = read(tmp_path, frame, attributes)
    assert absent.records.insurance.isna().all()
    assert "No table has a column Payer: insurance is blank." in absent.notes


@pytest.mark.parametrize("key", ["image_id", "patient_id"])
def test_a_table_of_ones_own_is_joined_by_image_or_patient(tmp_path, key):
    names = {"image_id": ["1", "0"], "patient_id": ["p1", "p0"]}[key]
    pd.DataFrame({key: names, "Payer": ["Private", "Medicare"]}).to_csv(tmp_path / "a.csv")
    tables = {"attributes": str(tmp_path / "a.csv")}
    frame = table(age=[30, 40, 50])
    records = read(tmp_path, frame, declare(insurance=INSURANCE), tables=tables).records
    assert records.insurance.fillna("").tolist() == ["Medicare", "Private", ""]


@pytest.mark.parametrize("folder", ["", "ward/"])
@pytest.mark.parametrize("suffix", ["", ".dcm"])
def test_an_image_id_may_be_a_dicom_uid(tmp_path, folder, suffix):
    uids = [f"1.2.276.0.7230010.3.{300 + i}.{1517875162 + i}" for i in range(2)]
    names = [uid + suffix for uid in uids]
    payers = ["Private", "Medicare"]
    pd.DataFrame({"image_id": names, "Payer": payers}).to_csv(tmp_path / "a.csv")
    frame = table(age=[30, 40]).assign(path=[f"{folder}{uid}.dcm" for uid in uids])
    tables = {"attributes": str(tmp_path / "a.csv")}
    records = read(tmp_path, frame, declare(insurance=INSURANCE), tables=tables).records
    assert records.image_id.tolist() == [folder + uid for uid in uids]
    assert records.insurance.tolist() == payers


def test_a_table_of_other_keys_or_without_any_is_refused(tmp_path):
    attributes, tables = declare(insurance=INSURANCE), {"attributes": str(tmp_path / "a.csv")}
    pd.DataFrame({"patient_id": ["x"], "Payer": ["Private"]}).to_csv(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"none of its patient_id .* such as p#\."):
        read(tmp_path, table(age=[3, 4]), attributes, tables=tables)
    pd.DataFrame({"person": ["p0"], "Payer": ["Private"]}).to_csv(tmp_path / "a.csv")
    with pytest.raises(InputError, match="none of the columns image_id, study_id, patient_id"):
        read(tmp_path, table(age=[3, 4]), attributes, tables=tables)


def test_mimics_admissions_give_a_patients_one_value_and_count_contradictions(tmp_path):
    tables = mimic_tables(seed=1, version=2)
    admissions = tables["admissions"]
    twice = admissions.subject_id.iloc[-1]
    admissions["insurance"] = "Private"
    two = admissions[admissions.subject_id == twice].head(1).assign(insurance="Medicare")
    tables["admissions"] = pd.concat([admissions, two], ignore_index=True)
    attributes = declare(insurance={"values": ["Private", "Medicare"]})
    settings = mimic(tmp_path, tables)
    reading = adapters.read("mimic", settings, THESIS, attributes)
    values = reading.records.set_index("patient_id").insurance
    assert values[values.index != twice].eq("Private").all()
    assert values[values.index == twice].isna().all()
    assert any("several values of insurance" in note for note in reading.notes)


def test_chexperts_spreadsheet_gives_the_ethnicity_of_each_patient(tmp_path):
    tables = chexpert_tables()
    words = tables["demographics"].ETHNICITY.dropna().unique().tolist()
    attributes = declare(language={"column": "ETHNICITY", "values": words})
    records = adapters.read("chexpert", chexpert(tmp_path, tables), THESIS, attributes).records
    known = tables["demographics"].drop_duplicates("PATIENT").set_index("PATIENT").ETHNICITY
    assert records.language.tolist() == known[records.patient_id].tolist()


def test_counts_have_the_groups_in_their_order_and_the_blanks(tmp_path):
    frame = table(Payer=["Medicare", "", "Private", "Private"] * 15, age=[40] * 60)
    attributes = declare(insurance=INSURANCE)
    (tmp_path / "0.png").touch()
    made = sample("own", own(tmp_path, frame), THESIS, attributes)
    total = counts(made.records, THESIS, attributes)
    assert total["insurance"] == {"Private": 30, "Medicare": 15, "blank": 15}
    assert list(total["insurance"]) == ["Private", "Medicare", "blank"]
    assert total["patients_by"]["insurance"] == total["insurance"]
    assert made.summary["attributes"] == {"insurance": ["Private", "Medicare"]}


def test_groups_of_a_number_may_be_kept_alone(tmp_path):
    frame = table(bmi=["20", "27", "", "31"] * 15, age=[40] * 60)
    (tmp_path / "1.png").touch()
    settings = own(tmp_path, frame, keep={"bmi": ["middle", "high"]})
    records = sample("own", settings, THESIS, declare(bmi=BMI)).records
    assert set(records.bmi) == {"27", "31"}


def test_presets_may_be_declared_anew_and_files_of_records_say_so(tmp_path):
    frame = table(race=["Pardo", "White"] * 30, age=[17, 18.5] * 30, sex=["Female"] * 60)
    attributes = declare(
        race={"values": ["White", "Pardo"]}, age={"edges": [18], "labels": ["minor", "adult"]}
    )
    (tmp_path / "0.png").touch()
    records = sample("own", own(tmp_path, frame), THESIS, attributes).records
    assert set(records.race) == {"White", "Pardo"}
    age = attributes["age"]
    assert groups_of(records, age).eq("adult").tolist() == records.age.gt(18).tolist()
    assert fine_order(age, fine_groups_of(records, age)) == ["minor", "adult"]
    with pytest.raises(InputError, match="is none of White, Asian, Black"):
        write_records(tmp_path / "test.csv", records)
    folder = tmp_path / "records"
    folder.mkdir()
    write_records(folder / "all.csv", records, {"race": ["White", "Pardo"]})
    (folder / "summary.json").write_text('{"attributes": {"race": ["White", "Pardo"]}}')
    assert set(read_records(folder / "all.csv").race) == {"White", "Pardo"}


def test_ages_that_stand_for_none_are_blank_and_a_word_among_them_is_no_error(tmp_path):
    attributes = declare(age={"edges": [35], "missing": ["Unknown", "-1", "300"]})
    frame = table(age=["300.0", "30", "40"])
    assert read(tmp_path, frame, attributes).records.age.tolist()[1:] == [30, 40]
    assert read(tmp_path, frame, attributes).records.age.isna().tolist() == [True, False, False]


def test_groups_of_presets_are_those_of_the_records():
    ages = pd.Series([20, 50, 50.5, 70, 70.5, np.nan])
    bins = pd.Series(np.searchsorted((20, 30, 40, 50, 60, 70, 80), ages)).astype("Int64")
    records = pd.DataFrame({"age": ages, "age_bin": bins.where(ages.notna())})
    expected = ["up to 50", "up to 50", "51-70", "51-70", "over 70", ""]
    assert groups_of(records, PRESETS["age"]).fillna("").tolist() == expected
    # The same as by the two edges of its groups.
    age = declare(age={"protected": True})["age"]
    assert groups_of(records, age).fillna("").tolist() == expected


def test_small_groups_of_a_declared_attribute_are_hidden_with_the_next():
    payers = ["Private"] * 40 + ["Medicare"] * 12 + ["Medicaid"] * 3
    frame = table(insurance=payers, disease=["Other"] * 55, view=["AP"] * 55)
    attributes = declare(insurance={"values": ["Private", "Medicare", "Medicaid"]})
    hidden = disclosure(frame, 10, attributes=attributes)
    assert hidden.hides({"insurance": "Medicaid"})
    assert hidden.hides({"insurance": "Medicare"})  # else 55 - 40 - 12 tells the three
    assert not hidden.hides({"insurance": "Private"})
    assert hidden.hides({"disease": "Other", "insurance": "Medicaid"})
