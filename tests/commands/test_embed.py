"""`cxrfmkd embed`: a folder or a table of images to embeddings that a study reads."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_teachers import write_images

from cxrfmkd import cli
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.study.settings import Teacher
from cxrfmkd.teacher.embedding import embed


@pytest.fixture
def images(tmp_path) -> pd.DataFrame:
    return write_images(tmp_path / "images", 5)


def command(*words: object) -> None:
    cli.main([str(word) for word in words])


@pytest.mark.tensorflow
def test_embed_writes_a_folder_or_a_table_that_a_study_reads(tmp_path, images, demo_teacher):
    model = ("--source", "savedmodel", "--path", demo_teacher, "--variant", "demo", "--workers", 1)
    command("embed", tmp_path / "images", *model, "--out", tmp_path / "array")
    array = KeyedArray.open(tmp_path / "array")
    assert set(array.index.image_id) == set(images.image_id)
    assert array.meta["variant"] == "demo"
    images.to_csv(tmp_path / "images.csv", index=False)
    command(
        "embed",
        tmp_path / "images.csv",
        "--images",
        tmp_path / "images",
        *model,
        "--out",
        tmp_path / "table.parquet",
    )
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"images", "array", "images.csv", "table.parquet", "table.excluded.csv"}
    settings = {"source": "parquet", "path": str(tmp_path / "table.parquet"), "variant": "demo"}
    again = embed(images, tmp_path / "images", settings, Teacher(), tmp_path / "again", tmp_path)
    assert np.array_equal(again.take(images.image_id), array.take(images.image_id))


def test_embed_refuses_what_it_cannot_read(tmp_path, images, capsys):
    source = ("--source", "npy", "--path", "x", "--variant", "demo", "--out", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    shutil.copytree(tmp_path / "images", tmp_path / "latin")
    for name in (b"M\xfcller.png", b"Gr\xfcn.png"):
        Path(os.fsdecode(os.fsencode(tmp_path / "latin") + b"/" + name)).touch()
    images.rename(columns={"path": "file"}).to_csv(tmp_path / "columns.csv", index=False)
    images.iloc[[0, 0]].to_csv(tmp_path / "duplicates.csv", index=False)
    for name, message in (
        ("none", "no such folder or file"),
        ("empty", "no image in it"),
        ("columns.csv", "no column path"),
        ("duplicates.csv", "1 images with a duplicate image_id"),
        ("latin", "the paths of 2 images are not UTF-8. Rename these files"),
    ):
        with pytest.raises(SystemExit):
            command("embed", tmp_path / name, *source)
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command("embed", tmp_path / "images", *source[:-1], ".")
    assert "--out .: name a folder or file of its own." in capsys.readouterr().err
