"""MIMIC-CXR: the published rules under both releases of MIMIC-IV, and inconsistent race."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from locations import SHARED
from raw_layouts import mimic, mimic_tables

from cxrfmkd.datasets import adapters
from cxrfmkd.datasets.adapters.mimic import UNINFORMATIVE, coarse
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Dataset
from cxrfmkd.vocabulary.findings import FINDINGS

DEMO = SHARED / "data" / "mimic-iv-demo"


def by_hand(tables: dict[str, pd.DataFrame], strict: bool) -> list[tuple]:
    """The published rules, image by image: (image, patient, race, sex, age)."""
    labelled = {(str(row.subject_id), str(row.study_id)) for row in tables["labels"].itertuples()}
    people = {str(row.subject_id): row for row in tables["patients"].itertuples()}
    column = "race" if "race" in tables["admissions"] else "ethnicity"
    said: dict[str, set] = {}
    for subject, text in zip(
        tables["admissions"].subject_id, tables["admissions"][column], strict=True
    ):
        text = text if isinstance(text, str) else "UNKNOWN"
        for group in ("WHITE", "BLACK", "ASIAN", "HISPANIC"):
            if text.startswith(group):
                text = group
        said.setdefault(subject, set()).add(text)
    found = []
    for image in tables["metadata"].itertuples():
        races = said.get(image.subject_id, set())
        if not strict and races - set(UNINFORMATIVE):
            races = races - set(UNINFORMATIVE)
        group = {"WHITE": "White", "BLACK": "Black", "ASIAN": "Asian"}.get(next(iter(races), ""))
        person = people.get(image.subject_id)
        if (
            (image.subject_id, image.study_id) in labelled
            and len(races) == 1
            and group
            and image.ViewPosition in ("AP", "PA")
            and person is not None
        ):
            age = person.anchor_age + image.StudyDate // 10000 - person.anchor_year
            sex = {"F": "Female", "M": "Male"}[person.gender]
            found.append((image.dicom_id, image.subject_id, group, sex, float(age)))
    return found


def found(reading) -> list[tuple]:
    frame = reading.records.assign(
        dicom=reading.records.path.str.split("/").str[-1].str.removesuffix(".jpg")
    )
    return list(
        frame[["dicom", "patient_id", "race", "sex", "age"]].itertuples(index=False, name=None)
    )


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("switch", ["strict", "informative"])
def test_records_are_those_of_the_published_rules_in_the_order_of_the_metadata(
    tmp_path, version, switch
):
    tables = mimic_tables(seed=version, version=version)
    reading = adapters.read("mimic", mimic(tmp_path, tables, inconsistent_race=switch))
    assert found(reading) == by_hand(tables, switch == "strict")
    assert reading.notes[0].startswith(f"MIMIC-IV {'1.0' if version == 1 else '2 or later'}")


def test_plain_and_compressed_tables_read_alike(tmp_path):
    tables = mimic_tables()
    readings = [
        adapters.read("mimic", mimic(tmp_path / suffix, tables, suffix)).records
        for suffix in (".csv", ".csv.gz")
    ]
    pd.testing.assert_frame_equal(*readings)


def test_findings_are_those_of_the_images_own_study(tmp_path):
    """An early notebook gave every image the findings of its patient's first study."""
    tables = mimic_tables()
    records = adapters.read("mimic", mimic(tmp_path, tables)).records
    own = tables["labels"].set_index(["subject_id", "study_id"])
    expected = own.loc[list(zip(records.patient_id, records.study_id, strict=True)), list(FINDINGS)]
    np.testing.assert_array_equal(records[list(FINDINGS)], expected)
    assert records.groupby("patient_id").study_id.nunique().max() > 1


def test_paths_follow_the_official_layout(tmp_path):
    records = adapters.read("mimic", mimic(tmp_path)).records
    for row in records.itertuples():
        assert row.path.startswith(f"p{row.patient_id[:2]}/p{row.patient_id}/s{row.study_id}/")
    assert (records.image_id + ".jpg" == records.path).all()


def test_the_finer_categories_of_version_2_fall_into_those_of_version_1():
    said = {
        "ASIAN - CHINESE": "ASIAN",
        "ASIAN - SOUTH EAST ASIAN": "ASIAN",
        "BLACK/AFRICAN": "BLACK",
        "BLACK/AFRICAN AMERICAN": "BLACK",
        "BLACK/CARIBBEAN ISLAND": "BLACK",
        "WHITE - BRAZILIAN": "WHITE",
        "HISPANIC OR LATINO": "HISPANIC",
        "HISPANIC/LATINO - CUBAN": "HISPANIC",
        "CAUCASIAN": "CAUCASIAN",
        "PORTUGUESE": "PORTUGUESE",
        " white ": "WHITE",
    }
    assert coarse(pd.Series(list(said), dtype="str")).tolist() == list(said.values())


@pytest.mark.parametrize(
    ("said", "strict", "informative"),
    [
        (["WHITE", "WHITE"], True, True),
        (["WHITE", "UNKNOWN"], False, True),
        (["WHITE", "UNABLE TO OBTAIN", "PATIENT DECLINED TO ANSWER", None], False, True),
        (["WHITE", "OTHER"], False, False),
        (["WHITE", "ASIAN"], False, False),
        (["WHITE", "ASIAN", "UNKNOWN"], False, False),
        (["WHITE - BRAZILIAN", "WHITE"], True, True),
        (["ASIAN - KOREAN", "ASIAN - CHINESE"], True, True),
        (["UNKNOWN", "UNKNOWN"], False, False),
    ],
)
def test_inconsistent_race_under_both_switches(tmp_path, said, strict, informative):
    tables = mimic_tables()
    first = tables["metadata"].subject_id.isin(tables["metadata"].subject_id.unique()[:2])
    tables["metadata"] = tables["metadata"][first].assign(ViewPosition="PA")
    tables["labels"] = (
        tables["metadata"][["subject_id", "study_id"]]
        .drop_duplicates()
        .assign(**dict.fromkeys(FINDINGS, 1.0))
    )
    one, two = tables["metadata"].subject_id.unique()
    rows = [(one, text) for text in said] + [(two, "ASIAN")]
    tables["admissions"] = pd.DataFrame(rows, columns=["subject_id", "race"])
    for switch, kept in (("strict", strict), ("informative", informative)):
        settings = mimic(tmp_path / switch, tables, inconsistent_race=switch)
        records = adapters.read("mimic", settings).records
        assert (one in set(records.patient_id)) == kept
        assert two in set(records.patient_id)


def test_every_excluded_image_is_counted(tmp_path):
    flow = adapters.read("mimic", mimic(tmp_path)).flow.steps
    assert [step["step"] for step in flow] == [
        "metadata",
        "labels",
        "admissions",
        "one race",
        "race",
        "view",
        "patients",
    ]
    for before, after in pairwise(flow):
        assert before["kept"] == after["kept"] + after["excluded"]
        assert after["excluded"] > 0


def test_admissions_of_neither_release_are_refused(tmp_path):
    tables = mimic_tables()
    tables["admissions"] = tables["admissions"].rename(columns={"race": "origin"})
    with pytest.raises(InputError, match=r"neither a column race .* nor ethnicity"):
        adapters.read("mimic", mimic(tmp_path, tables))


@pytest.mark.parametrize(
    ("table", "column"),
    [("labels", "study_id"), ("patients", "subject_id"), ("metadata", "dicom_id")],
)
def test_a_key_that_stands_twice_is_refused_instead_of_doubling_images(tmp_path, table, column):
    tables = mimic_tables()
    tables[table] = pd.concat([tables[table], tables[table].iloc[:1]])
    with pytest.raises(InputError, match=f"tables.{table} .*rows have a duplicate .*{column}"):
        adapters.read("mimic", mimic(tmp_path, tables))


def test_a_date_of_another_form_is_named_with_its_line(tmp_path):
    tables = mimic_tables()
    tables["metadata"].loc[3, "StudyDate"] = 2180
    with pytest.raises(InputError, match=r"column StudyDate: 1 rows .*yyyymmdd \(line 5\)"):
        adapters.read("mimic", mimic(tmp_path, tables))


@pytest.mark.real
@pytest.mark.skipif(not DEMO.is_dir(), reason="the MIMIC-IV demo tables are not here")
@pytest.mark.parametrize(("switch", "white"), [("strict", 0), ("informative", 2)])
def test_the_real_demo_tables_of_mimic_iv(tmp_path, switch, white):
    """100 real patients, an invented image each.

    Two of them are WHITE and UNKNOWN in turn, one WHITE and OTHER.
    """
    people = pd.read_csv(DEMO / "patients.csv", dtype=str)
    documented = pd.read_csv(DEMO / "admissions.csv", dtype=str).groupby("subject_id").race.agg(set)
    n = len(people)
    study = [str(50000000 + i) for i in range(n)]
    metadata = pd.DataFrame(
        {
            "dicom_id": [f"{i:08x}" for i in range(n)],
            "subject_id": people.subject_id,
            "study_id": study,
            "ViewPosition": "PA",
            "StudyDate": people.anchor_year + "0101",
        }
    )
    labels = metadata[["subject_id", "study_id"]].assign(**dict.fromkeys(FINDINGS, 1))
    metadata.to_csv(tmp_path / "metadata.csv", index=False)
    labels.to_csv(tmp_path / "labels.csv", index=False)
    paths = {name: str(tmp_path / f"{name}.csv") for name in ("metadata", "labels")}
    paths |= {name: str(DEMO / f"{name}.csv") for name in ("patients", "admissions")}
    reading = adapters.read(
        "demo",
        Dataset(adapter="mimic-cxr", tables=paths, images=str(tmp_path), inconsistent_race=switch),
    )
    simple = documented.map(lambda said: len(said) == 1 and next(iter(said)))
    expected = {
        "White": simple.isin(["WHITE", "WHITE - BRAZILIAN", "WHITE - OTHER EUROPEAN"]).sum()
        + white,
        "Black": simple.isin(["BLACK/AFRICAN AMERICAN", "BLACK/CAPE VERDEAN"]).sum(),
    }
    assert reading.joined == 1
    assert reading.records.race.value_counts().to_dict() == expected
    assert (
        reading.records.age.astype(int).astype(str)
        == people.set_index("subject_id").anchor_age.loc[reading.records.patient_id].to_numpy()
    ).all()


def test_a_patient_of_unknown_race_counts_as_admitted_and_leaves_at_the_step_race(tmp_path):
    tables = mimic_tables()
    patients = set(tables["metadata"].subject_id)
    tables["admissions"] = pd.DataFrame({"subject_id": sorted(patients), "race": "UNKNOWN"})
    one = tables["admissions"].subject_id[0]
    tables["admissions"].loc[0, "race"] = "WHITE"
    tables["metadata"]["ViewPosition"] = "AP"
    tables["labels"] = tables["metadata"][["subject_id", "study_id"]].drop_duplicates()
    tables["labels"] = tables["labels"].assign(**dict.fromkeys(FINDINGS, 1.0))
    reading = adapters.read("mimic", mimic(tmp_path, tables))
    assert reading.joined == 1
    assert set(reading.records.patient_id) == {one}
    steps = {step["step"]: step["excluded"] for step in reading.flow.steps}
    assert steps["admissions"] == 0
    assert steps["race"] == (tables["metadata"].subject_id != one).sum()
