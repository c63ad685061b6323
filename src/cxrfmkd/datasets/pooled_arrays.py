"""The images, embeddings and features of a pool: those of its members, without a copy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cxrfmkd.datasets.records import member_key
from cxrfmkd.runtime.arrays import KeyedArray, write_meta
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import write_table

# What arrays of one kind must say alike, or their rows cannot be compared.
ALIKE = ("what", "name", "variant", "dimension", "settings", "backbone", "input", "weights")


def pool_array(pool: str, members: Mapping[str, KeyedArray], out: Path) -> None:
    """Write the array of a pool: an index, and a description that names the members' arrays.

    members: their arrays of one kind, in folders below the same one. Raises InputError where they
    are not of one kind.
    """
    _check_alike(pool, members)
    index = pd.concat(
        [array.index.assign(image_id=_keys(name, array)) for name, array in members.items()],
        ignore_index=True,
    )
    write_table(out / "index.parquet", index, sealed=False)
    write_meta(out, _described(pool, members, out))


def excluded_images(members: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What the members' arrays lack and why: image_id, reason."""
    columns = ["image_id", "reason"]
    empty = pd.DataFrame(columns=columns, dtype="str")
    listed = [
        table.assign(image_id=member_key(name, table.image_id))[columns]
        for name, table in members.items()
        if len(table)
    ]
    return pd.concat([empty, *listed], ignore_index=True)


def _keys(member: str, array: KeyedArray) -> pd.Series:
    return member_key(member, array.index.image_id.astype("str"))


def _check_alike(pool: str, members: Mapping[str, KeyedArray]) -> None:
    """Raise InputError for arrays whose rows are not of one kind."""
    facts = {
        name: {key: array.meta.get(key) for key in ALIKE}
        | {"type": str(array.data.dtype), "shape of a row": list(array.data.shape[1:])}
        for name, array in members.items()
    }
    first, *others = facts
    for other in others:
        for key, value in facts[first].items():
            if facts[other][key] != value:
                raise InputError(
                    f"datasets.{pool}.pool: {members[other].name} differs from "
                    f"{members[first].name} in its {key}: {facts[other][key]} and {value}. Make "
                    "both with the same settings, or do not pool them."
                )


def _described(pool: str, members: Mapping[str, KeyedArray], out: Path) -> dict:
    """What all members say alike, what is counted, and where each array is."""
    metas = {name: array.meta for name, array in members.items()}
    first, *others = metas.values()
    common = {
        key: value for key, value in first.items() if all(m.get(key) == value for m in others)
    }
    excluded = [f"{name}/{i}" for name, meta in metas.items() for i in meta.get("excluded", [])]
    counted = {
        key: sum(meta[key] for meta in metas.values())
        for key in ("faint", "rows", "matched", "missing", "extra")
        if all(key in meta for meta in metas.values())
    }
    rows = sum(len(array) for array in members.values())
    shape = [rows, *next(iter(members.values())).data.shape[1:]]
    folders = [
        {
            "dataset": name,
            "folder": os.path.relpath(array.name, out),
            "sha256": array.meta["sha256"],
        }
        for name, array in members.items()
    ]
    about = {"dataset": pool, "excluded": excluded, "shape": shape, "members": folders}
    return common | counted | about
