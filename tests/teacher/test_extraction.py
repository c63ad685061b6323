"""Embeddings made in shards: killed, damaged, changed, failed, and always the right rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from locations import TESTS
from made_teachers import DIMENSION, BlockMeans, drawing, embed_slowly, write_images
from PIL import Image

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Teacher
from cxrfmkd.teacher import embedding

SETTINGS = {"source": "savedmodel", "variant": "demo", "path": "stand-in"}


@pytest.fixture
def images(tmp_path) -> pd.DataFrame:
    return write_images(tmp_path / "images", 11)


@pytest.fixture
def teach(tmp_path, monkeypatch):
    """Embed with a stand-in without TensorFlow; returns the array and the images embedded."""

    def run(records, failed=0.0, out="out", **provenance):
        source = BlockMeans(tmp_path / "images")
        source.provenance |= provenance
        monkeypatch.setattr(embedding, "open_source", lambda *_: source)
        teacher = Teacher(dimension=DIMENSION, shard=4, failed=failed)
        array = embedding.embed(
            records, tmp_path / "images", SETTINGS, teacher, tmp_path / out, tmp_path / "shards"
        )
        return array, source.embedded_ids

    return run


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_image_has_its_own_row_with_its_size(images, teach):
    array, embedded_ids = teach(images)
    assert embedded_ids == list(images.image_id) == list(array.index.image_id)
    assert array.index[["height", "width", "bits"]].drop_duplicates().values.tolist() == [
        [48, 40, 8]
    ]
    expected = drawing(5).reshape(4, 12, 4, 10).mean((1, 3)).ravel() / 17
    assert np.allclose(array.take([images.image_id[5]])[0], expected)


def test_killed_extraction_resumes_to_the_same_bytes(tmp_path):
    for name in ("complete", "killed"):
        write_images(tmp_path / name / "images", 11).to_csv(tmp_path / name / "records.csv")
        for path in (tmp_path / name / "images").rglob("*.png"):
            os.utime(path, (1e9, 1e9))  # so that both runs are of the same making
    embed_slowly(tmp_path / "complete", 0)

    code = "import sys, pathlib, made_teachers as m; m.embed_slowly(pathlib.Path(sys.argv[1]), 0.2)"
    search_path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", code, str(tmp_path / "killed")]
    environment = os.environ | {"PYTHONPATH": search_path}
    process = subprocess.Popen(command, cwd=TESTS, env=environment)
    mark = tmp_path / "killed/mark"
    limit = time.monotonic() + 60
    while not (mark.exists() and mark.read_text().isdigit() and int(mark.read_text()) >= 6):
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed/out/meta.json").exists()
    assert [path.name for path in (tmp_path / "killed/shards").glob("[!.]*")] == [
        "part-00000.parquet"
    ]

    embed_slowly(tmp_path / "killed", 0)
    assert mark.read_text() == "7"  # the four images of the finished shard are not asked for again
    for folder in ("shards", "out"):
        assert content(tmp_path / "killed" / folder) == content(tmp_path / "complete" / folder)


def test_finished_shards_are_not_made_again(images, teach):
    first, _ = teach(images)
    second, embedded_ids = teach(images, out="again")
    assert embedded_ids == []
    assert np.array_equal(first.data, second.data)


@pytest.mark.parametrize("damage", ["truncated", "empty", "other bytes"])
def test_damaged_shard_is_made_again(images, teach, tmp_path, damage):
    first, _ = teach(images)
    part = tmp_path / "shards/part-00001.parquet"
    intact = part.read_bytes()
    part.write_bytes({"truncated": intact[:-50], "empty": b"", "other bytes": b"PAR1" * 20}[damage])
    second, embedded_ids = teach(images)
    assert embedded_ids == list(images.image_id[4:8])
    assert part.read_bytes() == intact
    assert np.array_equal(first.data, second.data)


def test_shards_of_another_model_are_made_again(images, teach):
    teach(images)
    _, embedded_ids = teach(images, model="another")
    assert len(embedded_ids) == len(images)


def test_shard_of_a_changed_image_is_made_again(images, teach, tmp_path):
    teach(images)
    Image.fromarray(drawing(99)).save(tmp_path / "images" / images.path[9])
    array, embedded_ids = teach(images)
    assert embedded_ids == list(images.image_id[8:])
    expected = drawing(99).reshape(4, 12, 4, 10).mean((1, 3)).ravel() / 17
    assert np.allclose(array.take([images.image_id[9]])[0], expected)


def test_corrupt_image_in_a_shard_is_a_listed_row_and_shifts_no_other(images, teach, tmp_path):
    intact, _ = teach(images)
    (tmp_path / "images" / images.path[5]).write_bytes(b"\x89PNG broken")
    (tmp_path / "images" / images.path[6]).unlink()
    array, _ = teach(images, failed=0.2, out="again")
    lost = list(images.image_id[[5, 6]])
    assert sorted(array.meta["excluded"]) == sorted(lost)
    remaining = [name for name in images.image_id if name not in lost]
    assert list(array.index.image_id) == remaining
    assert np.array_equal(array.take(remaining), intact.take(remaining))
    part = pq.read_table(tmp_path / "shards/part-00001.parquet").to_pandas()
    assert list(part.status) == ["ok", "failed", "failed", "ok"]
    assert part.embedding[1] is None
    assert "unreadable" in part.error[1]


def test_too_many_failures_stop_the_extraction_early(images, teach, tmp_path):
    for path in images.path[:3]:
        (tmp_path / "images" / path).write_bytes(b"")
    with pytest.raises(
        InputError,
        match=r"3 of 11 images have no usable .*3 x unreadable image.*excluded.csv lists them",
    ):
        teach(images, failed=0.1)
    assert len(list((tmp_path / "shards").glob("[!.]*"))) == 1
    assert not (tmp_path / "out/meta.json").exists()


def test_shards_say_what_they_hold_and_are_a_source(images, teach, tmp_path, monkeypatch):
    array, _ = teach(images)
    monkeypatch.undo()
    again = embedding.embed(
        images,
        tmp_path,
        {"source": "parquet", "path": str(tmp_path / "shards"), "variant": "demo"},
        Teacher(dimension=DIMENSION),
        tmp_path / "again",
        tmp_path,
    )
    assert np.array_equal(again.take(images.image_id), array.data)
    with pytest.raises(InputError, match="holds embeddings of demo"):
        embedding.embed(
            images,
            tmp_path,
            {"source": "parquet", "path": str(tmp_path / "shards"), "variant": "cxrfm-v1"},
            Teacher(),
            tmp_path / "again",
            tmp_path,
        )
