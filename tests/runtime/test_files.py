"""Files and folders: complete or absent, readable for those whom the umask allows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cxrfmkd.commands.embed import find_images
from cxrfmkd.figures.drawing import save_figure
from cxrfmkd.networks.layers import Linear
from cxrfmkd.networks.network import Network
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import StorageError
from cxrfmkd.runtime.files import (
    ABANDONED,
    atomic_folder,
    atomic_write,
    list_files,
    remove_files,
    write_json,
    write_table,
)
from cxrfmkd.training.checkpoints import Checkpoints


@pytest.fixture
def set_umask():
    """os.umask, undone at the end of the test."""
    former = os.umask(0o022)
    yield os.umask
    os.umask(former)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_umask_decides_the_mode_of_every_kind_of_file(tmp_path, set_umask, umask, mode):
    set_umask(umask)
    table = pd.DataFrame({"image_id": ["a", "b"]})
    write_json(tmp_path / "a.json", {})
    write_table(tmp_path / "a.csv", table)
    write_table(tmp_path / "a.parquet", table)
    KeyedArray(np.zeros((2, 3)), table, {}).save(tmp_path / "array")
    Linear(np.zeros((2, 3)), np.zeros(2)).save(tmp_path / "head.safetensors")
    Network("densenet121").save(tmp_path / "network.safetensors")
    figure, _ = plt.subplots()
    save_figure(figure, tmp_path / "figure.svg", tmp_path / "figure.png")
    Checkpoints(tmp_path / "checkpoint").save({})
    with atomic_folder(tmp_path / "folder") as partial:
        (partial / "a.txt").write_text("a")
    modes = {p.name: p.stat().st_mode & 0o777 for p in tmp_path.rglob("*") if p.is_file()}
    assert len(modes) == 21, modes
    assert modes == dict.fromkeys(modes, mode)
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~umask


def test_private_partial_of_a_writer_obeys_the_umask_too(tmp_path, set_umask):
    set_umask(0o022)
    with atomic_write(tmp_path / "a") as partial:
        os.close(os.open(partial, os.O_CREAT | os.O_WRONLY, 0o600))
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def killed_writer(path, writer: str) -> None:
    """Kill a process in the middle of `with writer(path)`."""
    program = (
        "import sys, time\n"
        f"from cxrfmkd.runtime.files import {writer}\n"
        f"with {writer}(sys.argv[1]) as partial:\n"
        "    (partial / 'part' if partial.is_dir() else partial).touch()\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("writer", [atomic_write, atomic_folder])
def test_partial_of_a_killed_process_is_removed_by_the_next_writing_of_that_path(tmp_path, writer):
    killed_writer(tmp_path / "a.csv", writer.__name__)
    (leftover,) = tmp_path.iterdir()
    write_table(tmp_path / "other.csv", pd.DataFrame())
    assert leftover.exists()
    with writer(tmp_path / "a.csv") as partial:
        assert not leftover.exists()
        (partial / "part" if partial.is_dir() else partial).touch()
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["a.csv", "other.csv"]


def test_partial_of_a_running_process_stays_until_it_is_a_day_old(tmp_path):
    running = tmp_path / f".{os.getppid()}.a.csv"
    others = [tmp_path / ".a.csv", tmp_path / ".12x.a.csv", tmp_path / ".1.b.a.csv"]
    for path in (running, *others):
        path.touch()
    write_table(tmp_path / "a.csv", pd.DataFrame())
    assert running.exists()
    old = time.time() - ABANDONED - 60
    for path in (running, *others):
        os.utime(path, (old, old))
    write_table(tmp_path / "a.csv", pd.DataFrame())
    assert not running.exists()
    assert all(path.exists() for path in others)


def test_nothing_written_is_an_error_not_an_empty_file(tmp_path):
    with (
        pytest.raises(StorageError, match="partial file is gone"),
        atomic_write(tmp_path / "a.csv"),
    ):
        pass
    assert not any(tmp_path.iterdir())


def test_error_leaves_neither_a_partial_nor_a_changed_file(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    before = (tmp_path / "a.json").read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.json.seal", "a.json"]
    assert (tmp_path / "a.json").read_bytes() == before


def test_only_the_named_files_and_empty_folders_are_removed(tmp_path):
    for name in ("gone/a.npz", "gone/.1.a.npz", "stays/a.npz", "stays/a.csv"):
        (tmp_path / "shards" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shards" / name).touch()
    remove_files(tmp_path / "shards", "*/*.npz")
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["stays"]
    assert [path.name for path in (tmp_path / "shards/stays").iterdir()] == ["a.csv"]
    remove_files(tmp_path / "shards", "*/*.csv")
    remove_files(tmp_path / "shards", "*/*.csv")
    assert not (tmp_path / "shards").exists()


def test_every_walk_of_a_folder_sees_the_same_files(tmp_path):
    for name in ("b/2.PNG", "a.png", "._a.png", ".hidden/x.png", "__MACOSX/y.png", "c.txt"):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "3.png").touch()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "b" / "loop").symlink_to(tmp_path / "root")
    assert list_files(tmp_path / "root", (".png",)) == ["a.png", "b/2.PNG", "link/3.png"]
    images, _ = find_images(tmp_path / "root")
    assert images.path.tolist() == ["a.png", "b/2.PNG", "link/3.png"]
