"""Labels of experts: every layout gives the same truth, and what cannot be meant is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_records import made

from cxrfmkd.datasets.reference import read_experts
from cxrfmkd.runtime.cells import masked
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Reference
from cxrfmkd.vocabulary.findings import FINDINGS

RECORDS = made(6)
EDEMA, LESION = FINDINGS.index("Edema"), FINDINGS.index("Lung Lesion")
# Votes on images 0, 1 and 2 by three readers: a majority of 1, of 0 with one abstaining, and a tie.
VOTES = {"a": ["1", "0", "1"], "b": ["1", "-1", "0"], "c": ["0", "0", ""]}
IMAGES = RECORDS.image_id[:3].tolist()
MAJORITY = [1.0, 0.0, np.nan, np.nan, np.nan, np.nan]


def by_rows(folder, keys=None, name="reader"):
    rows = [
        {"image_id": image, name: reader, "Edema": vote}
        for reader, votes in VOTES.items()
        for image, vote in zip(keys or IMAGES, votes, strict=True)
    ]
    pd.DataFrame(rows).to_csv(folder / "rows.csv", index=False)
    return {"table": str(folder / "rows.csv"), "reader": name}


def by_columns(folder):
    table = pd.DataFrame({f"{reader}:oedema": votes for reader, votes in VOTES.items()})
    table.insert(0, "image_id", IMAGES)
    table.to_csv(folder / "columns.csv", index=False)
    naming = {"readers": [*VOTES], "column": "{reader}:{finding}", "columns": {"Edema": "oedema"}}
    return {"table": str(folder / "columns.csv")} | naming


def by_files(folder):
    for reader, votes in VOTES.items():
        table = pd.DataFrame({"image_id": IMAGES, "Edema": votes})
        table.to_csv(folder / f"{reader}.csv", index=False)
    return {"table": [str(folder / f"{reader}.csv") for reader in VOTES]}


def in_words(folder):
    words = {"1": "YES", "0": "NO", "-1": "-1", "": "n/k"}
    said = {reader: [words[vote] for vote in votes] for reader, votes in VOTES.items()}
    table = pd.DataFrame({f"{reader} Edema": votes for reader, votes in said.items()})
    table.insert(0, "file", [f"{image}.png" for image in IMAGES])
    table.to_csv(folder / "words.csv", index=False)
    meaning = {"values": {"YES": 1, "NO": 0, "n/k": None}, "column": "{reader} {finding}"}
    return {"table": str(folder / "words.csv"), "key": "file", "readers": [*VOTES]} | meaning


def read(values: dict, records: pd.DataFrame = RECORDS):
    return read_experts("here", Reference.read(values, ""), records)


@pytest.mark.parametrize("layout", [by_rows, by_columns, by_files, in_words])
def test_every_layout_gives_the_majority_of_those_who_decide(layout, tmp_path):
    experts = read(layout(tmp_path))
    np.testing.assert_array_equal(experts.targets[:, EDEMA], MAJORITY)
    assert np.isnan(np.delete(experts.targets, EDEMA, axis=1)).all()
    found = {name: experts.counts[name] for name in ("units", "readers", "tested")}
    assert found == {"units": 3, "readers": 3, "tested": 3}
    assert (experts.counts["verdicts"], experts.counts["undecided"]) == (2, 1)


def test_one_reader_s_word_may_be_the_truth(tmp_path):
    experts = read(by_rows(tmp_path) | {"consensus": "b"})
    np.testing.assert_array_equal(experts.targets[:3, EDEMA], [1, np.nan, 0])


def test_a_row_of_a_study_is_about_all_its_images_and_blank_may_mean_absent(tmp_path):
    records = RECORDS.assign(study_id=["s0", "s0", "s2", "s3", "s4", "s5"], patient_id="007")
    path = tmp_path / "studies.csv"
    path.write_text("study_id,Edema,Lung Lesion\ns0,1,\nelsewhere/007/s2,-1,1\ns99,1,1\n")
    settings = {"table": str(path), "unit": "study"}
    experts = read(settings, records)
    np.testing.assert_array_equal(experts.targets[:4, EDEMA], [1, 1, np.nan, np.nan])
    np.testing.assert_array_equal(experts.targets[:4, LESION], [np.nan, np.nan, 1, np.nan])
    assert (experts.counts["units"], experts.counts["tested"]) == (3, 2)
    experts = read(settings | {"blank": "zeros"}, records)
    np.testing.assert_array_equal(experts.targets[:3, LESION], [0, 0, 1])


def test_ids_are_text_and_keep_their_zeros(tmp_path):
    records = RECORDS.assign(image_id=["001", "01", "1", "2", "3", "4"])
    (tmp_path / "t.csv").write_text("image_id,Edema\n01,1\n1,0\n")
    experts = read({"table": str(tmp_path / "t.csv")}, records)
    np.testing.assert_array_equal(experts.targets[:3, EDEMA], [np.nan, 1, 0])


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        ("image_id,Edema\nX,2\n", {}, "column Edema: 1 rows are not labels .* 2 .line 2."),
        ("image_id,Edema\nX,yes\n", {}, "column Edema: 1 values are not numbers: yes .line 2."),
        ("image_id,Edema\n,1\n", {}, "column image_id: 1 rows are blank .line 2."),
        ("image_id,Edema\nX,1\nX,0\n", {}, "duplicate image_id .lines 2, 3.. Say what tells"),
        (
            "image_id,r,Edema\nX,a,1\nX,a,0\n",
            {"reader": "r"},
            "duplicate image_id and r .lines 2, 3.*reads an image once",
        ),
        ("image_id,Edem\nX,1\n", {}, "has no column No Finding"),
        ("image_id,Edema\nX,1\n", {"columns": {"Lung Lesion": "nodule"}}, "no column nodule"),
        ("image,Edema\nX,1\n", {}, "has no column image_id"),
        ("image_id,Edema\np9/s9/view9,1\n", {}, "none of its 1 image keys.*p#/s#/view#"),
        ("image_id,r,Edema\nX,a,1\n", {"reader": "r", "consensus": "z"}, "the readers are a"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(text, values, message, tmp_path):
    path = tmp_path / "experts.csv"
    path.write_text(text.replace("X", IMAGES[0]))
    with pytest.raises(InputError, match=f"(?s)reference.*{message}"):
        read({"table": str(path)} | values)


def test_a_study_that_several_patients_have_must_be_named_with_its_patient(tmp_path):
    records = RECORDS.assign(study_id="study1")
    (tmp_path / "t.csv").write_text("study_id,Edema\nstudy1,1\n")
    with pytest.raises(InputError, match=r"several patients have .line 2.. Write the patient"):
        read({"table": str(tmp_path / "t.csv"), "unit": "study"}, records)


def test_a_table_that_is_not_there_is_named():
    with pytest.raises(InputError, match=r"reference.table is /nowhere.csv, which does not exist"):
        read({"table": "/nowhere.csv"})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"table": ["a", "b"], "reader": "r"}, "three ways to tell readers apart"),
        ({"table": "a", "readers": ["x"]}, "need each other"),
        ({"table": "a", "column": "label"}, "must hold"),
        ({"table": "a", "consensus": "x"}, "nothing tells readers apart"),
        ({"table": "a", "values": {True: 1}}, "YAML reads yes"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Reference.read(values, "")


def test_a_message_shows_no_digit_and_no_hexadecimal_of_a_key():
    name = "p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34"
    assert masked(name) == "p##/p########/s########/########-########-########"
    chexpert = "CheXpert-v1.0/train/patient00001/study1/view1_frontal"
    assert masked(chexpert) == "CheXpert-v#.#/train/patient#####/study#/view#_frontal"
