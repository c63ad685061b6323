"""Seals tell an altered file; a large one is read in full once, and again when it was touched."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import pytest

from cxrfmkd.runtime import seals
from cxrfmkd.runtime.errors import InputError, StorageError
from cxrfmkd.runtime.files import atomic_write, read_json, write_json


def written(path, content: bytes, sealed: bool = True):
    with atomic_write(path, sealed) as partial:
        partial.write_bytes(content)
    return path


def test_seal_is_the_size_and_the_sha256_of_the_file(tmp_path):
    path = written(tmp_path / "a.bin", b"some bytes")
    told = json.loads(seals.seal_path(path).read_text())
    assert told["sha256"] == hashlib.sha256(b"some bytes").hexdigest()
    assert told["bytes"] == 10
    assert seals.verify(path) == path


@pytest.mark.parametrize("content", [b"some byteS", b"some byte", b"", b"some bytes and more"])
def test_altered_file_is_named_with_what_to_do(tmp_path, content):
    path = written(tmp_path / "a.bin", b"some bytes")
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.bin: .*Delete it, and Snakemake runs its rule again"):
        seals.verify(path)


def test_file_without_a_seal_is_taken_as_it_is(tmp_path):
    path = written(tmp_path / "a.bin", b"x", sealed=False)
    path.write_bytes(b"y")
    assert seals.verify(path) == path


def test_unsealed_writing_leaves_no_seal_of_an_earlier_content(tmp_path):
    written(tmp_path / "a.bin", b"x")
    path = written(tmp_path / "a.bin", b"y", sealed=False)
    assert not seals.seal_path(path).exists()
    seals.verify(path)


@pytest.fixture
def hashed(monkeypatch):
    """What is hashed from here on, where five bytes make a large file."""
    paths = []
    digest = seals.sha256
    monkeypatch.setattr(seals, "LARGE", 5)
    monkeypatch.setattr(seals, "sha256", lambda path: paths.append(path) or digest(path))
    return paths


def test_large_file_is_hashed_when_written_and_again_after_any_change(tmp_path, hashed):
    path = written(tmp_path / "a.bin", b"some bytes")
    assert len(hashed) == 1
    for _ in range(3):
        seals.verify(path)
    assert len(hashed) == 1
    times = path.stat()
    path.write_bytes(b"some byteS")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a careful attacker would
    with pytest.raises(InputError, match="its content is not what was written"):
        seals.verify(path)


def test_copy_of_a_large_file_is_hashed_once_more(tmp_path, hashed):
    written(tmp_path / "here" / "a.bin", b"some bytes")
    shutil.copytree(tmp_path / "here", tmp_path / "there", copy_function=shutil.copy2)
    for _ in range(3):
        seals.verify(tmp_path / "there" / "a.bin")
    assert len(hashed) == 2


def test_seal_and_json_survive_a_round_trip_and_name_bad_json(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1, 2]})
    assert read_json(tmp_path / "a.json") == {"a": [1, 2]}
    (tmp_path / "b.json").write_text("[" * 5000)
    with pytest.raises(InputError, match=r"b\.json: this is no JSON"):
        read_json(tmp_path / "b.json")


def test_writing_where_a_file_stands_for_the_folder_is_one_message(tmp_path):
    (tmp_path / "a").write_text("in the way")
    with pytest.raises(StorageError, match=r"a/b\.json: it cannot be written"):
        write_json(tmp_path / "a" / "b.json", {})


@pytest.mark.parametrize(
    "error", [OSError(28, "No space"), OSError("10 requested and 3 written"), OSError(122, "Quota")]
)
def test_full_disk_is_told_and_leaves_nothing(tmp_path, error):
    def write() -> None:
        with atomic_write(tmp_path / "a") as partial:
            partial.write_bytes(b"half")
            raise error

    with pytest.raises(StorageError, match="MiB free"):
        write()
    assert not any(tmp_path.iterdir())
