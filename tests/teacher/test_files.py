"""Ready embeddings of any container: joined by key, checked, and nothing impossible let through."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from locations import SCRIPTS
from made_examples import example, write_records
from made_teachers import DIMENSION, vectors

from cxrfmkd.datasets.records import columns
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import write_table
from cxrfmkd.study.settings import Teacher
from cxrfmkd.teacher.embedding import embed

N = 12
IDS = [f"p{i // 3}/s{i}/view1_frontal" for i in range(N)]
RECORDS = pd.DataFrame({"image_id": IDS, "path": [f"{name}.jpg" for name in IDS]})
VECTORS = vectors(N)


def as_dat(path: Path, vector: np.ndarray, kind: str = "<f4") -> None:
    path.with_suffix(".dat").write_bytes(vector.astype(kind).tobytes())


def as_npy(path: Path, vector: np.ndarray) -> None:
    np.save(path.with_suffix(".npy"), vector[None, None])


def as_npz(path: Path, vector: np.ndarray) -> None:
    np.savez(path.with_suffix(".npz"), embedding=vector)


def as_tfrecord(path: Path, vector: np.ndarray) -> None:
    content = example(other=vector[:2], embedding=vector)
    write_records(path.with_suffix(".tfrecord"), [content])


WRITERS = {"dat": as_dat, "npy": as_npy, "npz": as_npz, "tfrecord": as_tfrecord}
TFRECORD = pytest.param("tfrecord", marks=pytest.mark.tensorflow)


def store(folder: Path, source: str, values=VECTORS, ids=IDS) -> Path:
    """The vectors in the container of `source`, written last image first."""
    for name, vector in reversed(list(zip(ids, values, strict=True))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        WRITERS[source](folder / name, vector)
    return folder


def table(values=VECTORS, ids=IDS, **columns) -> pa.Table:
    """The vectors as a table, in an order of its own."""
    order = np.random.default_rng(0).permutation(len(ids))
    lists = pa.FixedSizeListArray.from_arrays(np.ravel(np.asarray(values)[order]), DIMENSION)
    more = {name: pa.array(np.asarray(column)[order]) for name, column in columns.items()}
    return pa.table({"image_id": np.asarray(ids)[order], "embedding": lists, **more})


def embedded(
    folder: Path, source: str, records=RECORDS, failed=0.0, out="out", **settings
) -> KeyedArray:
    path = settings.pop("path", str(folder))
    settings = {"source": source, "path": path, "variant": "demo", **settings}
    teacher = Teacher(dimension=DIMENSION, failed=failed)
    return embed(records, folder, settings, teacher, folder.parent / out, folder.parent / "shards")


@pytest.mark.parametrize("source", ["dat", "npy", "npz", TFRECORD])
def test_every_container_gives_each_image_its_own_vector(tmp_path, source):
    array = embedded(store(tmp_path / "vectors", source), source)
    assert np.array_equal(array.take(IDS), VECTORS)
    assert array.data.dtype == np.float32
    about = {"variant": "demo", "dimension": DIMENSION, "matched": N, "missing": 0, "extra": 0}
    assert about.items() <= array.meta.items()
    assert array.meta["licence"]
    assert array.meta["excluded"] == []


@pytest.mark.parametrize("kind", ["parquet", "arrow", "float16", "float64", "list"])
def test_tables_of_any_order_give_each_image_its_own_vector(tmp_path, kind):
    (tmp_path / "vectors").mkdir()
    halves = [table(VECTORS[:5], IDS[:5]), table(VECTORS[5:], IDS[5:])]
    precision = 1e-2 if kind == "float16" else 0
    for i, half in enumerate(halves):
        if kind in ("float16", "float64"):
            cast = pa.list_(getattr(pa, kind)(), DIMENSION)
            half = half.set_column(1, "embedding", half["embedding"].cast(cast))
        if kind == "list":
            half = half.set_column(1, "embedding", half["embedding"].cast(pa.list_(pa.float32())))
        if kind == "arrow":
            pyarrow.feather.write_feather(
                half, tmp_path / f"vectors/{i}.arrow", compression="uncompressed"
            )
        else:
            pq.write_table(half, tmp_path / f"vectors/{i}.parquet")
    array = embedded(tmp_path / "vectors", "parquet")
    assert np.abs(array.take(IDS) - VECTORS).max() <= precision


def test_multi_key_npz_is_found_by_name(tmp_path):
    names = {
        f"{Path(name).parent.name}.png": vector for name, vector in zip(IDS, VECTORS, strict=True)
    }
    np.savez(tmp_path / "all.npz", **names)
    records = RECORDS.assign(path=[f"{Path(name).parent.name}.png" for name in IDS])
    array = embedded(tmp_path, "npz", records, path=str(tmp_path / "all.npz"), key="basename")
    assert np.array_equal(array.take(IDS), VECTORS)


def test_keyed_array_is_a_source_of_its_own_kind(tmp_path):
    first = embedded(store(tmp_path / "vectors", "npy"), "npy")
    again = embedded(
        tmp_path / "vectors", "npy", RECORDS[::-1], path=str(tmp_path / "out"), out="again"
    )
    assert np.array_equal(again.take(IDS), first.take(IDS))
    with pytest.raises(
        InputError, match=r"holds embeddings of demo, but teacher.variant is elixr-b-img"
    ):
        embed(
            RECORDS,
            tmp_path,
            {"source": "npy", "path": str(tmp_path / "out"), "variant": "elixr-b-img"},
            Teacher(dimension=768),
            tmp_path / "other",
            tmp_path,
        )


def test_order_of_records_cannot_swap_rows(tmp_path):
    folder = store(tmp_path / "vectors", "dat")
    shuffled = RECORDS.sample(frac=1, random_state=3)
    assert np.array_equal(embedded(folder, "dat", shuffled).take(IDS), VECTORS)


def test_dat_of_either_precision_is_read_by_its_size(tmp_path):
    for kind in ("<f4", "<f8"):
        folder = tmp_path / kind[1:]
        for name, vector in zip(IDS, VECTORS, strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            as_dat(folder / name, vector, kind)
        assert np.array_equal(embedded(folder, "dat", out=kind[1:] + "out").take(IDS), VECTORS)


def test_dat_of_mixed_precision_is_refused(tmp_path):
    folder = store(tmp_path / "vectors", "dat")
    as_dat(folder / IDS[3], VECTORS[3], "<f8")
    with pytest.raises(
        InputError,
        match=r"two number formats: .*1 of 128 bytes .float64.*find -size 128c",
    ):
        embedded(folder, "dat")


def test_dat_of_another_size_is_refused(tmp_path):
    folder = store(tmp_path / "vectors", "dat")
    (folder / IDS[0]).with_suffix(".dat").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="a file of 100 bytes, not 64 or 128"):
        embedded(folder, "dat")


BAD = {
    "zeros": (np.zeros(DIMENSION), "a vector of zeros"),
    "NaN": (np.where(np.arange(DIMENSION) == 3, np.nan, VECTORS[0]), "NaN or infinity"),
    "infinity": (np.where(np.arange(DIMENSION) == 3, np.inf, VECTORS[0]), "NaN or infinity"),
    "integers": (np.rint(10 * VECTORS[0]), "a vector of integers"),
    "misread": (VECTORS[0] * 1e8, "number format was misread"),
    "short": (VECTORS[0][:-1], "a vector of 15 numbers, not 16"),
}


@pytest.mark.parametrize("name", BAD)
def test_impossible_vectors_are_listed_up_to_the_allowed_share_and_fatal_above(tmp_path, name):
    vector, reason = BAD[name]
    folder = store(tmp_path / "vectors", "npy")
    as_npy(folder / IDS[4], vector)
    with pytest.raises(InputError, match=reason):
        embedded(folder, "npy", failed=0.05)
    array = embedded(folder, "npy", failed=0.1)
    assert array.meta["excluded"] == [IDS[4]]
    assert len(array) == N - 1
    listed = pd.read_csv(tmp_path / "out/excluded.csv")
    assert list(listed.image_id) == [IDS[4]]
    assert reason in listed.reason[0]
    remaining = [name for name in IDS if name != IDS[4]]
    assert np.array_equal(array.take(remaining), np.delete(VECTORS, 4, 0))


def test_missing_vectors_are_listed_up_to_the_allowed_share_and_fatal_above(tmp_path):
    folder = store(tmp_path / "vectors", "dat", VECTORS[:-1], IDS[:-1])
    with pytest.raises(
        InputError, match=r"1 of 12 images have no usable embedding.*no vector in the source"
    ):
        embedded(folder, "dat")
    array = embedded(folder, "dat", failed=0.1)
    assert array.meta["missing"] == 1
    assert array.meta["excluded"] == IDS[-1:]


def test_vectors_of_no_image_are_counted(tmp_path):
    folder = store(tmp_path / "vectors", "dat")
    assert embedded(folder, "dat", RECORDS[:9]).meta["extra"] == 3


def test_wrong_key_is_an_error_that_shows_both_sides(tmp_path):
    folder = store(tmp_path / "vectors", "dat")
    records = RECORDS.assign(path="train/" + RECORDS.path)
    with pytest.raises(
        InputError, match=r"none of 12 images.*train/p#/s#/.*the source has p#.*Set teacher.key"
    ):
        embedded(folder, "dat", records)


def test_basename_collision_is_an_error(tmp_path):
    folder = store(tmp_path / "vectors", "dat")
    with pytest.raises(
        InputError,
        match=r"key is basename.*12 records share their key with another, such as view#_frontal",
    ):
        embedded(folder, "dat", key="basename")


def test_one_image_with_two_vectors_is_an_error(tmp_path):
    first, second = store(tmp_path / "a", "dat"), store(tmp_path / "b", "dat", VECTORS[:1], IDS[:1])
    with pytest.raises(InputError, match="1 images have more than one vector"):
        embedded(first, "dat", path=[str(first), str(second)])


def test_several_folders_are_one_source(tmp_path):
    first = store(tmp_path / "a", "dat", VECTORS[:5], IDS[:5])
    second = store(tmp_path / "b", "dat", VECTORS[5:], IDS[5:])
    array = embedded(first, "dat", path=[str(first), str(second)])
    assert np.array_equal(array.take(IDS), VECTORS)


@pytest.mark.tensorflow
def test_flattened_chexpert_names_and_mimic_ids_are_found(tmp_path):
    paths = [f"CheXpert-v1.0/train/patient{i:05d}/study1/view1_frontal.jpg" for i in range(N)]
    records = pd.DataFrame({"image_id": [p[:-4] for p in paths], "path": paths})
    flat = [f"patient{i:05d}_study1_view1_frontal" for i in range(N)]
    array = embedded(store(tmp_path / "a", "dat", ids=flat), "dat", records, key="chexpert-flat")
    assert np.array_equal(array.take(records.image_id), VECTORS)
    ids = [f"{i:08x}-00000000-11111111-22222222-33333333" for i in range(N)]
    records = pd.DataFrame({"image_id": ids, "path": [f"p10/p1/s1/{name}.jpg" for name in ids]})
    nested = [f"files/p10/p1/s2/{name}" for name in ids]
    folder = store(tmp_path / "b", "tfrecord", ids=nested)
    array = embedded(folder, "tfrecord", records, key="mimic-dicom")
    assert np.array_equal(array.take(ids), VECTORS)
    with pytest.raises(InputError, match="is no MIMIC DICOM id"):
        embedded(folder, "tfrecord", RECORDS, key="mimic-dicom")
    with pytest.raises(InputError, match=r"not .../patient#/study#"):
        embedded(folder, "tfrecord", records, key="chexpert-flat")


@pytest.mark.parametrize("source", ["npz", TFRECORD])
def test_missing_feature_is_an_error_and_never_zeros(tmp_path, source):
    folder = store(tmp_path / "vectors", source)
    told = r"(array image_embedding among the 1|numbers named image_embedding, only .*embedding)"
    with pytest.raises(InputError, match=f"no {told}"):
        embedded(folder, source, feature="image_embedding")


@pytest.mark.tensorflow
def test_damaged_tfrecord_is_listed(tmp_path):
    folder = store(tmp_path / "vectors", "tfrecord")
    path = (folder / IDS[2]).with_suffix(".tfrecord")
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    (folder / IDS[5]).with_suffix(".tfrecord").write_bytes(content[:50])
    array = embedded(folder, "tfrecord", failed=0.2)
    reasons = pd.read_csv(tmp_path / "out/excluded.csv").set_index("image_id").reason
    assert "damaged" in reasons[IDS[2]]
    assert "cut off" in reasons[IDS[5]]
    assert len(array) == N - 2


@pytest.mark.tensorflow
def test_tfrecord_with_several_records_is_listed(tmp_path):
    folder = store(tmp_path / "vectors", "tfrecord")
    write_records((folder / IDS[2]).with_suffix(".tfrecord"), [b"", b""])
    with pytest.raises(InputError, match="2 records in a file that stands for one image"):
        embedded(folder, "tfrecord")


def test_many_equal_vectors_are_refused_and_a_few_listed(tmp_path):
    values = VECTORS.copy()
    values[7] = values[1]
    array = embedded(store(tmp_path / "a", "npy", values), "npy")
    assert array.meta["repeated"] == 1
    assert pd.read_csv(tmp_path / "out/repeated.csv").values.tolist() == [[IDS[7], IDS[1]]]
    values[:] = values[1]
    with pytest.raises(InputError, match="11 of 12 vectors equal another image's"):
        embedded(store(tmp_path / "b", "npy", values), "npy")


def test_two_variants_in_one_table_are_refused(tmp_path):
    (tmp_path / "vectors").mkdir()
    pq.write_table(table(variant=["demo"] * 6 + ["cxrfm-v1"] * 6), tmp_path / "vectors/a.parquet")
    with pytest.raises(InputError, match="two teacher variants in one table"):
        embedded(tmp_path / "vectors", "parquet")


def test_two_variants_in_two_parts_are_refused(tmp_path):
    (tmp_path / "vectors").mkdir()
    for i, variant in enumerate(["demo", "elixr-c-v2-gap"]):
        part = table(VECTORS[i::2], IDS[i::2])
        about = {"cxrfmkd": json.dumps({"variant": variant})}
        pq.write_table(part.replace_schema_metadata(about), tmp_path / f"vectors/{i}.parquet")
    with pytest.raises(InputError, match="two teacher variants in one table"):
        embedded(tmp_path / "vectors", "parquet")


def test_null_rows_and_wrong_columns_of_tables(tmp_path):
    (tmp_path / "vectors").mkdir()
    made = table()
    lists = made["embedding"].to_pylist()
    lists[0] = None
    nulls = made.set_column(1, "embedding", pa.array(lists, pa.list_(pa.float32(), DIMENSION)))
    pq.write_table(nulls, tmp_path / "vectors/a.parquet")
    array = embedded(tmp_path / "vectors", "parquet", failed=0.1)
    assert array.meta["excluded"] == [made["image_id"][0].as_py()]
    with pytest.raises(InputError, match=r"no column vector, only image_id, embedding"):
        embedded(tmp_path / "vectors", "parquet", feature="vector")
    with pytest.raises(InputError, match="holds string, not lists"):
        embedded(tmp_path / "vectors", "parquet", feature="image_id")


def test_tokens_are_pooled_as_the_config_says(tmp_path):
    tokens = np.random.default_rng(0).standard_normal((2, 32 * 128)).astype(np.float32)
    folder = store(tmp_path / "vectors", "dat", tokens, IDS[:2])
    settings = {"source": "dat", "path": str(folder), "variant": "elixr-b-contrastive"}
    mean = embed(RECORDS[:2], folder, settings, Teacher(dimension=128), tmp_path / "a", tmp_path)
    expected = tokens.reshape(2, 32, 128).mean(1, dtype=np.float64).astype(np.float32)
    assert np.array_equal(mean.take(IDS[:2]), expected)
    settings["pooling"] = "flatten"
    every_token = embed(
        RECORDS[:2], folder, settings, Teacher(dimension=4096), tmp_path / "b", tmp_path
    )
    assert np.array_equal(every_token.take(IDS[:2]), tokens)


def test_import_holds_no_copy_of_the_matrix_in_memory(tmp_path):
    count, dimension = 3000, 1376
    ids = [f"f{i:05d}" for i in range(count)]
    values = np.random.default_rng(0).standard_normal((count, dimension), np.float32)
    folder = store(tmp_path / "vectors", "dat", values, ids)
    (folder / "f00003.dat").unlink()  # so that the rows behind it move up
    records = pd.DataFrame({"image_id": ids, "path": [f"{name}.jpg" for name in ids]})
    settings = {"source": "dat", "path": str(folder), "variant": "cxrfm-v1"}
    # Once before it counts, an image without a vector included: what is imported (and compiled) on
    # the way is no copy of the matrix.
    embed(records[:5], folder, settings, Teacher(failed=0.5), tmp_path / "first", tmp_path)
    tracemalloc.start()
    array = embed(records, folder, settings, Teacher(), tmp_path / "out", tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(array.data, np.delete(values, 3, 0))
    assert os.path.getsize(tmp_path / "out/data.npy") == 128 + values[1:].nbytes
    assert peak < values.nbytes


def test_variant_of_ones_own_is_declared_with_title_and_licence(tmp_path):
    folder = store(tmp_path / "vectors", "dat")
    settings = {"source": "dat", "path": str(folder), "variant": "my-encoder", "key": "path"}
    with pytest.raises(InputError, match=r"declared by teacher\.title and teacher\.licence"):
        embed(RECORDS, folder, settings, Teacher(dimension=DIMENSION), tmp_path / "a", tmp_path)
    declared = Teacher(dimension=DIMENSION, title="An encoder of ours", licence="CC BY 4.0")
    array = embed(RECORDS, folder, settings, declared, tmp_path / "b", tmp_path)
    facts = [array.meta[key] for key in ("variant", "title", "licence")]
    assert facts == ["my-encoder", "An encoder of ours", "CC BY 4.0"]
    assert np.array_equal(array.take(IDS), VECTORS)
    with pytest.raises(InputError, match=r"cxrfm-v1 has its own\. Remove them"):
        embed(RECORDS, folder, settings | {"variant": "cxrfm-v1"}, declared, tmp_path, tmp_path)
    with pytest.raises(InputError, match="small letters, digits, dots and hyphens"):
        embed(RECORDS, folder, settings | {"variant": "My Encoder"}, declared, tmp_path, tmp_path)
    own = {"source": "torch", "path": str(folder), "variant": "cxrfm-v1"}
    with pytest.raises(InputError, match="vectors of a model of your own, not cxrfm-v1"):
        embed(RECORDS, folder, own, declared, tmp_path, tmp_path)


SETTINGS = {
    "a typo": (
        {"source": "dat", "variant": "demo", "path": "x", "keys": "path"},
        "teacher: there is no setting `keys`. Did you mean `key`?",
    ),
    "no variant": ({"source": "dat", "path": "x"}, "teacher.variant is missing"),
    "no source": ({"variant": "demo", "path": "x"}, "teacher.source is missing"),
    "unknown variant": (
        {"source": "dat", "variant": "cxrfm", "path": "x"},
        "teacher.variant: 'cxrfm' is none of cxrfm-v1, elixr-c",
    ),
    "unknown device": (
        {"source": "savedmodel", "variant": "demo", "path": "x", "device": "tpu"},
        "teacher.device: 'tpu' should be 'cpu' or 'gpu'",
    ),
    "no path": (
        {"source": "dat", "variant": "demo"},
        "teacher: `path` is missing; source dat needs it",
    ),
    "nothing there": ({"source": "dat", "variant": "demo", "path": "x"}, "no such file or folder"),
    "another length": ({"source": "dat", "variant": "elixr-b-img", "path": "x"}, "has 768 numbers"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_impossible_settings_are_refused(tmp_path, case):
    settings, message = SETTINGS[case]
    with pytest.raises(InputError, match=re.escape(message)):
        embed(RECORDS, tmp_path, settings, Teacher(dimension=DIMENSION), tmp_path / "out", tmp_path)


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no .dat file below it"):
        embedded(tmp_path, "dat")


def test_no_message_names_a_patient(tmp_path):
    """Messages end in logs, and logs are shown around."""
    paths = [f"patient{i:05d}/study1/view1_frontal.jpg" for i in range(1, 5)]
    records = pd.DataFrame({"image_id": [path[:-4] for path in paths], "path": paths})
    values = vectors(4)
    cases = {
        "no match": ({"key": "mimic-dicom"}, values),
        "collision": ({"key": "basename"}, values),
        "zeros": ({}, 0 * values),
        "equal": ({}, values[[0, 0, 0, 0]]),
    }
    for case, (settings, stored) in cases.items():
        folder = store(tmp_path / case, "npy", stored, records.image_id)
        with pytest.raises(InputError) as caught:
            embedded(folder, "npy", records, **settings)
        assert "patient0" not in str(caught.value)
    (tmp_path / "zeros/patient00001/study1/view1_frontal.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match="unreadable vector") as caught:
        embedded(tmp_path / "zeros", "npy", records)
    assert "patient0" not in str(caught.value)


def test_ready_vectors_and_workers_that_read_images_do_not_import_tensorflow():
    """It takes seconds and memory in every process."""
    code = (
        "import sys, cxrfmkd.teacher.embedding, cxrfmkd.teacher.feeding\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_script_embeds_the_records_of_all_splits(tmp_path):
    store(tmp_path / "vectors", "dat")
    for i, split in enumerate(["train", "val", "test"]):
        rows = RECORDS.iloc[4 * i : 4 * i + 4].assign(
            patient_id=f"{split}1", study_id="1", split=split, disease="Other"
        )
        write_table(tmp_path / f"{split}.csv", rows.reindex(columns=columns()))
    spec = {
        "dataset": "d",
        "images": str(tmp_path),
        "common": Teacher(dimension=DIMENSION).model_dump(exclude={"workers"}),
        "teacher": {"source": "dat", "path": str(tmp_path / "vectors"), "variant": "demo"},
    }
    script = SCRIPTS / "embed.py"
    words = [
        sys.executable,
        script,
        "--spec",
        json.dumps(spec),
        "--out",
        tmp_path / "out",
        "--workers",
        "1",
    ]
    for name in ("train", "val", "test"):
        words += [f"--{name}", tmp_path / f"{name}.csv"]
    shards = tmp_path / "shards"
    shards.mkdir()
    for name in ("part-00000.parquet", ".1.part-00001.parquet", "another file"):
        (shards / name).touch()
    subprocess.run([*words, "--shards", shards], check=True)
    assert [path.name for path in shards.iterdir()] == ["another file"]
    array = KeyedArray.open(tmp_path / "out")
    assert np.array_equal(array.take(IDS), VECTORS)
    assert array.meta["dataset"] == "d"
