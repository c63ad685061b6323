r"""Extract embeddings of any images, of the teacher or of an exported student.

They are written as a keyed array or a Parquet table.

IMAGES is a folder, searched for JPEG, PNG, TIFF and DICOM files, or a CSV or Parquet table with the
columns image_id and path (relative to the folder --images). The embeddings are checked as in the
study, and a killed extraction resumes; images without a vector are listed in excluded.csv. A table
whose name ends in .parquet has the columns image_id and embedding, and names its variant in its
metadata; a study reads it with `source: parquet`, a folder with `source: npy`.

With --model, a folder that `cxrfmkd export` wrote takes the teacher's place; of a classifier, the
table (.csv or .parquet) has a column of probabilities for every finding.

    cxrfmkd embed images/ --source savedmodel --path models/elixr-c-v2-pooled \
        --variant elixr-c-v2-gap --device gpu --out embeddings.parquet
    cxrfmkd embed records.csv --images CheXpert-v1.0 --source dat --path dats/ \
        --variant cxrfm-v1 --key chexpert-flat --out embeddings/
    cxrfmkd embed images/ --model student --out embeddings.parquet
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
from pathlib import Path

import pandas as pd

from cxrfmkd.commands.options import option_type
from cxrfmkd.commands.user_tables import read_user_table
from cxrfmkd.datasets.decoding import IMAGE_SUFFIXES
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.cells import reject
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import atomic_write, list_files, write_table
from cxrfmkd.study.settings import Teacher, TeacherSource
from cxrfmkd.study.settings.base import choices, meaning
from cxrfmkd.teacher.embedding import embed

COMMON_SETTINGS = ("title", "licence", "dimension", "workers", "shard", "failed")
ROW_GROUP = 2048
MORE = {"model": "; without --source, a folder that `cxrfmkd export` wrote"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`: its own, and a setting's name for every setting."""
    add = parser.add_argument
    add("images", metavar="IMAGES", type=Path, help="folder of images, or table of image_id, path")
    add(
        "--images",
        dest="root",
        metavar="FOLDER",
        type=Path,
        help="folder that the table's paths start from; its own if not given",
    )
    add("--out", type=Path, required=True, help="folder, or file named .parquet, to write")
    common = {name: Teacher.model_fields[name] for name in COMMON_SETTINGS}
    defaults = {"dimension": "the variant's", "workers": min(4, os.cpu_count() or 1)}
    for name, field in (TeacherSource.model_fields | common).items():
        default = defaults.get(name, None if field.is_required() else field.default)
        add(
            f"--{name}",
            help=meaning(field) + (f" (default {default})" if default else "") + MORE.get(name, ""),
            choices=list(filter(None, choices(field))) or None,
            nargs="+" if name == "path" else None,
            type=option_type(field) if field.annotation in (int, float) else str,
            default=None if name == "dimension" else default,
        )


def main(args: argparse.Namespace) -> None:
    """Write the embeddings; what an extraction needs to resume is removed at its end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if args.out.name in ("", ".."):
        raise InputError(f"--out {args.out}: name a folder or file of its own.")
    exported = args.model and not args.source
    if not exported and not (args.source and args.variant):
        raise InputError("say who embeds: --model FOLDER, or --source and --variant of a teacher.")
    records, root = find_images(args.images, args.root)
    if exported:
        return main_exported(args, records, root)
    settings = {name: getattr(args, name) for name in TeacherSource.model_fields}
    source = TeacherSource.read(settings, "teacher.")
    common = {name: getattr(args, name) for name in COMMON_SETTINGS}
    declared = Teacher(title=args.title, licence=args.licence).variant(source.variant)
    length = args.dimension or declared.dimension(source.pooling) or Teacher().dimension
    teacher = Teacher.read(common | {"dimension": length}, "teacher.")
    shards = args.out.with_name(f".{args.out.name}.shards")
    if args.out.suffix == ".parquet":
        folder = args.out.with_name(f".{args.out.name}.array")
        write_parquet(args.out, embed(records, root, settings, teacher, folder, shards))
        os.replace(folder / "excluded.csv", args.out.with_suffix(".excluded.csv"))
        shutil.rmtree(folder)
    else:
        embed(records, root, settings, teacher, args.out, shards)
    shutil.rmtree(shards, ignore_errors=True)


def main_exported(args: argparse.Namespace, records: pd.DataFrame, root: Path) -> None:
    """Write what an exported model makes of the images, and the list of those it cannot read."""
    from cxrfmkd.commands.exported_embedding import embed_exported

    array, excluded, findings = embed_exported(Path(args.model), records, root, args.workers)
    if findings and args.out.suffix in (".csv", ".parquet"):
        table = pd.DataFrame(array.data, columns=findings)
        table.insert(0, "image_id", array.index.image_id)
        write_table(args.out, table, sealed=False)
    elif args.out.suffix == ".parquet":
        write_parquet(args.out, array)
    else:
        array.save(args.out)
    folder = args.out.is_dir()
    listed = args.out / "excluded.csv" if folder else args.out.with_suffix(".excluded.csv")
    write_table(listed, excluded, sealed=folder)


def find_images(images: Path, root: Path | None = None) -> tuple[pd.DataFrame, Path]:
    """Records (image_id, path) of a folder or table, and the folder that the paths start from.

    Raises InputError if there are none, two have one image_id, or a name is no UTF-8.
    """
    if images.is_dir():
        root = images
        paths = list_files(images, IMAGE_SUFFIXES)
        if odd := sum(path != path.encode("utf-8", "ignore").decode() for path in paths):
            raise InputError(
                f"{images}: the paths of {odd} images are not UTF-8. Rename these files and "
                "folders, such as with `convmv -f latin1 -t utf8 -r --notest`."
            )
        records = pd.DataFrame(
            {"image_id": [os.path.splitext(path)[0] for path in paths], "path": paths}
        )
    elif images.is_file():
        root = root or images.parent
        columns = ["image_id", "path"]
        records = read_user_table(images, columns)[columns]
        for name in columns:
            reject(records[name].isna(), f"{images}, column {name}", "rows are blank")
    else:
        raise InputError(f"{images}: there is no such folder or file.")
    if records.empty:
        raise InputError(f"{images}: no image in it ({', '.join(IMAGE_SUFFIXES)}).")
    if duplicates := int(records.image_id.duplicated().sum()):
        raise InputError(
            f"{images}: {duplicates} images with a duplicate image_id. Rename them or use a table."
        )
    return records, root


def write_parquet(path: Path, array: KeyedArray) -> None:
    """Write a keyed array as one table, a row group in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("image_id", pa.string()), ("embedding", pa.list_(pa.float32(), array.data.shape[1]))],
        metadata={"cxrfmkd": json.dumps(array.meta)},
    )
    with (
        atomic_write(path) as partial,
        pq.ParquetWriter(partial, schema, write_statistics=["image_id"]) as writer,
    ):
        for start in range(0, len(array), ROW_GROUP):
            block = array.data[start : start + ROW_GROUP]
            lists = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), block.shape[1])
            ids = pa.array(array.index.image_id.iloc[start : start + ROW_GROUP], pa.string())
            writer.write_table(pa.Table.from_arrays([ids, lists], schema=schema))
