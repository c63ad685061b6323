"""What may happen to a file: each takes the study's folder and changes one thing in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.runtime.seals import seal_path

Injury = Callable[[Path], object]


def flipped(name: str, share: float = 0.5) -> Injury:
    """One bit of one byte is another, `share` of the way into the file."""

    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[int(share * (len(content) - 1))] ^= 1
        (folder / name).write_bytes(content)

    return change


def cut(name: str, share: float = 0.5) -> Injury:
    """The file ends after `share` of its bytes."""
    return edited(name, lambda content: content[: int(share * len(content))])


def filled(name: str, content: bytes) -> Injury:
    """The file holds something else."""
    return edited(name, lambda _: content)


def edited(name: str, edit: Callable[[bytes], bytes]) -> Injury:
    """The file's bytes are edited."""

    def change(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(edit(path.read_bytes() if path.exists() else b""))

    return change


def removed(name: str) -> Injury:
    """The file or folder is not there."""

    def change(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def exchanged(name: str, other: str, with_seals: bool = False) -> Injury:
    """Two files or folders have changed places."""

    def change(folder: Path) -> None:
        pairs = [(folder / name, folder / other)]
        if with_seals:
            pairs.append((seal_path(folder / name), seal_path(folder / other)))
        for first, second in pairs:
            aside = first.with_name(f"{first.name}.aside")
            first.rename(aside)
            second.rename(first)
            aside.rename(second)

    return change


def replaced(name: str, other: str) -> Injury:
    """A copy of another file or folder stands in its place, seal and all."""

    def change(folder: Path) -> None:
        source, target = folder / other, folder / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
            return
        shutil.copy(source, target)
        seal_path(target).unlink(missing_ok=True)
        if seal_path(source).exists():
            shutil.copy(seal_path(source), seal_path(target))

    return change


def unsealed(name: str, injury: Injury) -> Injury:
    """The injury, and the file has no seal that would tell: its content must tell itself."""

    def change(folder: Path) -> None:
        injury(folder)
        seal_path(folder / name).unlink(missing_ok=True)

    return change


def together(*injuries: Injury) -> Injury:
    """Several things happen."""
    return lambda folder: [injury(folder) for injury in injuries]


def table(name: str, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> Injury:
    """A CSV is opened, edited as text and saved, as a spreadsheet would."""

    def change(folder: Path) -> None:
        edit(pd.read_csv(folder / name, dtype="str")).to_csv(folder / name, index=False)

    return change


def document(name: str, **values: object) -> Injury:
    """A JSON file says something else."""

    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(content | values))

    return change


def array(name: str, edit: Callable[[np.ndarray], np.ndarray]) -> Injury:
    """The numbers of a `.npy` file are others."""
    return lambda folder: np.save(folder / name, edit(np.load(folder / name)))


def linked(name: str, to: str) -> Injury:
    """A symbolic link stands in the file's place."""

    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.symlink(to, folder / name)

    return change


def weights(name: str, edit: Callable[[dict, dict], object]) -> Injury:
    """Tensors or header of a file of weights are others; edit(tensors, header) changes both."""

    def change(folder: Path) -> None:
        from safetensors import safe_open
        from safetensors.numpy import save_file

        with safe_open(folder / name, "np") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            header = dict(file.metadata())
        edit(tensors, header)
        save_file(tensors, folder / name, header)

    return change
