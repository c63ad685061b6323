"""Injuries that need a file to be made: images, vectors, tables with a certain defect."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from injuries import Injury, document, unsealed
from PIL import Image
from small_study import FEATURES, SPLITS, packing


def moved_to_test(folder: Path) -> None:
    train, test = (pd.read_csv(folder / SPLITS[name], dtype="str") for name in ("train", "test"))
    pd.concat([test, train.iloc[:1]]).to_csv(folder / SPLITS["test"], index=False)


def first_row_twice(folder: Path) -> None:
    table = pd.read_csv(folder / SPLITS["val"], dtype="str")
    pd.concat([table, table.iloc[:1]]).to_csv(folder / SPLITS["val"], index=False)


def twice(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table])


def first_is(column: str, value: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.assign(**{column: [value, *table[column].iloc[1:]]})


def other_model(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(model=table.model.replace("cxr-fm-lp", "cxr-fm-other"))


def patient_in_two(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(patient_id=[table.patient_id.iloc[-1], *table.patient_id.iloc[1:]])


def zero_row(numbers: np.ndarray) -> np.ndarray:
    return np.concatenate([0 * numbers[:1], numbers[1:]])


def claimed_rows(name: str) -> Injury:
    """A `.npy` header of 2^40 rows, and the bytes of a few."""

    def change(folder: Path) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 6)}
        with open(folder / name, "wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.write(b"0" * 240)

    return change


def archive(name: str) -> Injury:
    def change(folder: Path) -> None:
        with open(folder / name, "wb") as file:
            np.savez(file, a=np.zeros(3))

    return change


def shuffled_index(name: str) -> Injury:
    def change(folder: Path) -> None:
        table = pd.read_parquet(folder / name)
        table.iloc[::-1].to_parquet(folder / name, index=False)

    return change


def other_backbone(folder: Path) -> None:
    unsealed(f"{FEATURES}/meta.json", document(f"{FEATURES}/meta.json", backbone="resnet50"))(
        folder
    )


def other_weights(folder: Path) -> None:
    unsealed(f"{FEATURES}/meta.json", document(f"{FEATURES}/meta.json", weights="0" * 64))(folder)


def with_nan(tensors: dict[str, np.ndarray], header: dict[str, str]) -> None:
    name = next(name for name in sorted(tensors) if tensors[name].ndim > 1)
    tensors[name] = np.full_like(tensors[name], np.nan)


def reversed_findings(tensors: dict[str, np.ndarray], header: dict[str, str]) -> None:
    header["findings"] = json.dumps(json.loads(header["findings"])[::-1])


def header(**facts: str) -> Callable[[dict, dict], None]:
    return lambda tensors, header: header.update(facts)


def other_figure(name: str) -> Injury:
    return lambda folder: (folder / name).write_text("<svg width='1pt' viewBox='0 0 1 1'></svg>")


def folder(name: str) -> Injury:
    def change(root: Path) -> None:
        (root / name).unlink()
        (root / name).mkdir()

    return change


def huge_png(name: str) -> Injury:
    """A PNG of 60,000 x 60,000 pixels in some 60 bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"0"))
    return lambda root: (root / name).write_bytes(content + chunk(b"IEND", b""))


def nan_tiff(name: str) -> Injury:
    pixels = np.full((40, 40), np.nan, np.float32)
    return lambda root: Image.fromarray(pixels).save(root / name, format="TIFF")


def deep_colour(name: str) -> Injury:
    """A PNG of 16 bits a sample in three colours."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + bytes(6 * 40) for _ in range(40))
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 40, 16, 2, 0, 0, 0))
    content += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return lambda root: (root / name).write_bytes(content)


def two_frames(name: str) -> Injury:
    frames = [Image.new("L", (40, 40), shade) for shade in (0, 90)]
    return lambda root: frames[0].save(
        root / name, format="TIFF", save_all=True, append_images=frames[1:]
    )


def moved_images(root: Path) -> None:
    """Every image lies elsewhere, with a link in its place."""
    for path in sorted((root / "raw").rglob("*.png")):
        target = root / "elsewhere" / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        path.symlink_to(target)


def damaged_shard(root: Path) -> None:
    """A packing that was stopped before its end, one byte of its shard flipped since."""
    shutil.rmtree(root / "results/site/images")
    (root / "results/site/images").write_text("in the way")  # stops it after the shards
    assert packing().run(root).status == 74
    (root / "results/site/images").unlink()
    (shard,) = (root / "checkpoints").rglob("*.npz")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)


def one_vector(root: Path) -> None:
    paths = sorted((root / "vectors").rglob("*.npy"))
    for path in paths[1:]:
        shutil.copy(paths[0], path)


def all_zero(root: Path) -> None:
    for path in (root / "vectors").rglob("*.npy"):
        np.save(path, np.zeros(6, np.float32))


def tfrecords(content: bytes, count: int) -> Injury:
    """A file of this content for every image."""

    def change(root: Path) -> None:
        paths = sorted((root / "raw").rglob("*.png"))
        assert len(paths) == count
        first = None
        for path in paths:
            file = (root / "examples" / path.relative_to(root / "raw")).with_suffix(".tfrecord")
            file.parent.mkdir(parents=True, exist_ok=True)
            if first is None:
                file.write_bytes(content)
                first = file
            else:
                file.hardlink_to(first)

    return change


def half_parquet(root: Path) -> None:
    table = pd.DataFrame({"image_id": ["a"], "embedding": [[1.0] * 6]})
    table.to_parquet(root / "table.parquet")
    content = (root / "table.parquet").read_bytes()
    (root / "table.parquet").write_bytes(content[: len(content) // 2])


def two_formats(root: Path) -> None:
    for path in sorted((root / "vectors").rglob("*.npy")):
        file = (root / "dat" / path.relative_to(root / "vectors")).with_suffix(".dat")
        file.parent.mkdir(parents=True, exist_ok=True)
        numbers = np.load(path)
        file.write_bytes((numbers.astype("f8") if "train" in str(path) else numbers).tobytes())
