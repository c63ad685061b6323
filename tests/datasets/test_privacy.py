"""No message names a person: whatever stands in a cell or a path, the message counts and points."""

from __future__ import annotations

import io
import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_layouts import touch

from cxrfmkd.datasets.decoding import nameless
from cxrfmkd.datasets.images import pack
from cxrfmkd.datasets.sampling import sample
from cxrfmkd.runtime.cells import PUBLIC, masked, shared
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Dataset, Images, Teacher
from cxrfmkd.teacher.embedding import embed

NAME, NUMBER = "Zzyzxson", "8675309"
PATIENTS = 40
COLUMNS = {"path": "file", "patient_id": "person", "sex": "gender", "age": "years", "race": "grp"}
FAULTS = (
    "none",
    "no header",
    "long row",
    "short row",
    "duplicate",
    "blank",
    "outside",
    "no images",
    "exclude",
)


def private(text: str) -> bool:
    """Whether a text names somebody."""
    return NAME.lower() in text.lower() or NUMBER in text


def named_table() -> pd.DataFrame:
    """Two images a patient; files, patients and notes are named after the patient."""
    rows = [
        {
            "file": f"{NAME}{p}/{NUMBER}{p}_{i}.png",
            "person": f"{NAME}{p}",
            "study_id": f"{NUMBER}{p}{i}",
            "gender": ("Male", "Female")[p % 2],
            "years": str(30 + p),
            "grp": ("White", "Black", "Asian")[p % 3],
            "view": "PA",
            "note": f"{NAME}, {NUMBER}",
            "Edema": str((p + i) % 2),
            "No Finding": str((p + i + 1) % 2),
            "Pleural Effusion": "",
        }
        for p in range(PATIENTS)
        for i in range(2)
    ]
    return pd.DataFrame(rows)


def said(work, *arguments, **options) -> str:
    """All that a function says: its log, and the error that it ends in."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        work(*arguments, **options)
    except InputError as error:
        stream.write(f"error: {error}")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    return stream.getvalue()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    column=st.sampled_from(list(named_table())),
    rows=st.sets(st.integers(0, 2 * PATIENTS - 1), max_size=PUBLIC - 1),
    fault=st.sampled_from(FAULTS),
    mapped=st.sampled_from([None, "sex", "age", "race", "Edema"]),
    keep=st.sampled_from([{}, {"patient_id": [f"{NAME}1", "x"]}, {"view": ["AP"]}]),
)
def test_no_message_about_a_table_shows_what_stands_in_a_few_cells(
    tmp_path, column, rows, fault, mapped, keep
):
    """A name in any column, a column of names in the place of another, and any fault beside it."""
    table = named_table()
    touch(tmp_path / "images", table.file)
    table.loc[list(rows), column] = f"{NAME} {NUMBER}"
    row = min(rows, default=3)
    if fault == "duplicate":
        table.loc[row, "file"] = table.file[(row + 1) % len(table)]
    elif fault == "blank":
        table.loc[row, "person"] = ""
    elif fault == "outside":
        table.loc[row, "file"] = f"../{NAME}.png"
    lines = table.to_csv(index=False, header=fault != "no header").splitlines()
    if fault == "long row":
        lines[row + 1] += f",{NAME}"
    elif fault == "short row":
        lines[row + 1] = f"{NAME},{NUMBER}"
    (tmp_path / "records.csv").write_text("\n".join(lines) + "\n")
    tables = {"records": str(tmp_path / "records.csv")}
    if fault == "exclude":
        (tmp_path / "exclude.csv").write_text(f"image_id\n{NAME}\n")
        tables["exclude"] = str(tmp_path / "exclude.csv")
    columns = COLUMNS | ({mapped: "person"} if mapped else {})
    dataset = {"adapter": "table", "tables": tables, "columns": columns, "keep": keep}
    folder = "nowhere" if fault == "no images" else "images"
    message = said(sample, "own", Dataset.read(dataset | {"images": str(tmp_path / folder)}))
    assert not private(message), message
    if mapped:  # nobody is called Male, and no age is a name
        assert "error: " in message


def test_images_that_cannot_be_read_are_counted_and_not_named(tmp_path):
    table = named_table()
    touch(tmp_path / "images", table.file)
    records = pd.DataFrame({"image_id": table.file.str[:-4], "path": table.file})
    places = tmp_path / "images", "own", tmp_path / "packed", tmp_path / "shards", 1
    message = said(pack, records, Images(size=32), *places)
    assert "80 of 80 images below" in message
    assert "80 x UnidentifiedImageError: cannot identify image file it" in message
    assert not private(message.replace(str(tmp_path), ""))


@pytest.mark.parametrize("fault", ["broken", "missing", "twice", "other names", "short keys"])
def test_vectors_that_do_not_fit_are_counted_and_not_named(tmp_path, fault):
    names = [f"{NAME}{i}/{NUMBER}_{i % 4 if fault == 'short keys' else i}" for i in range(12)]
    random = np.random.default_rng(0)
    for i, name in enumerate(names):
        for folder in ("vectors", "more")[: 2 if fault == "twice" else 1]:
            path = tmp_path / folder / (f"{NAME}s/{i}.npy" if "other" in fault else f"{name}.npy")
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, random.normal(size=6).astype(np.float32))
            if fault == "broken":
                path.write_bytes(b"x")
            elif fault == "missing" and i:
                path.unlink()
    records = pd.DataFrame({"image_id": names, "path": [f"{name}.png" for name in names]})
    key = "basename" if fault == "short keys" else ""
    paths = [str(path) for path in (tmp_path / "vectors", tmp_path / "more") if path.exists()]
    source = {"source": "npy", "path": paths, "variant": "demo", "key": key}
    places = tmp_path / "teacher", tmp_path / "shards"
    message = said(embed, records, tmp_path / "images", source, Teacher(dimension=6), *places)
    assert "error: " in message
    assert not private(message)


@pytest.mark.parametrize(
    "path", [f"{NAME}/{NUMBER}.png", f"{NAME} {NUMBER}.dcm", f"{NUMBER}/film of {NAME}.jpg"]
)
@pytest.mark.parametrize(
    "error", [OSError(2, "No such file or directory"), ValueError("cannot read"), KeyError("x")]
)
def test_an_error_is_told_without_the_file(tmp_path, path, error):
    full = tmp_path / path
    if isinstance(error, OSError):
        error.filename = str(full)
    else:
        error = type(error)(f"{error.args[0]}: '{full}' ({full.name}, {full.stem})")
    told = nameless(error, full)
    assert not private(told)
    assert "No such file" in told or "cannot read" in told or "x" in told


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("train/patient00012/study1/view1_frontal", "train/patient#####/study#/view#_frontal"),
        ("files/p10/p10000032/s50414267/02aa804e-bde0afdd", "files/p##/p########/s########/"),
        (f"{NAME}_{NUMBER}", "########_#######"),
        (f"patient{NAME}", "###"),
    ],
)
def test_a_key_is_shown_by_its_structure(key, shown):
    assert masked(key).startswith(shown)
    assert not private(masked(key))
    assert len(masked(key)) == len(key)
    assert "02aa" not in masked(key)


def test_a_value_is_shown_where_many_rows_have_it():
    values = pd.Series(["männlich"] * PUBLIC + [NAME] * (PUBLIC - 1) + ["M"])
    assert shared(values) == "männlich, M"
    assert shared(values[PUBLIC:-1]) == ""
    assert shared(pd.Series([2.0, np.nan])) == "2.0"
