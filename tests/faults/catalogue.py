"""Every fault of the suite: what happens, where, which job meets it, and what must come of it.

`refused`: exit status 2 (74 for a disk) and one message that says `pattern`, no traceback, nothing
partial left. `survived`: the job, or its next start, ends well with bytes equal to those of a study
that nothing happened to. `excluded`: it ends well, and `count` images are listed as left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import images_and_vectors as made
from injuries import (
    Injury,
    array,
    cut,
    document,
    edited,
    exchanged,
    filled,
    flipped,
    linked,
    removed,
    replaced,
    table,
    together,
    unsealed,
    weights,
)
from small_study import (
    FEATURES,
    RECORDS,
    RUNS,
    SPLITS,
    STUDENT,
    Job,
    embedding,
    jobs,
    packing,
    sampling,
)

JOBS = jobs()
WRITTEN = r"its content is not what was written"
SIZE = r"has [\d,]+ bytes, and was written with"
CONTENT = ("data.npy", "index.parquet", "excluded.csv", "faint.csv")
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@dataclass(frozen=True)
class Fault:
    """One fault. stage: a word for the docs; injury: what happens to the study's folder."""

    stage: str
    what: str
    injury: Injury
    job: Job
    outcome: str
    pattern: str = ""
    count: int = 0
    listing: str = ""

    @property
    def name(self) -> str:
        """What a test is called by."""
        return f"{self.stage}: {self.what}"


def refused(stage: str, what: str, injury: Injury, job: Job | str, pattern: str) -> Fault:
    """A fault that ends a job with a message."""
    return Fault(
        stage, what, injury, JOBS[job] if isinstance(job, str) else job, "refused", pattern
    )


def survived(stage: str, what: str, injury: Injury, job: Job | str) -> Fault:
    """A fault that changes nothing of a job's result."""
    return Fault(stage, what, injury, JOBS[job] if isinstance(job, str) else job, "survived")


def excluded(
    stage: str, what: str, injury: Injury, job: Job, listing: str, pattern: str, count: int = 1
) -> Fault:
    """A fault that costs images, which are counted and listed with a reason."""
    return Fault(stage, what, injury, job, "excluded", pattern, count, listing)


def of_records() -> Iterator[Fault]:
    """Files of records after the gates have passed."""
    readers = {"pack": "train", "resample": "test", "probe": "val", "features": "test"}
    train, val, test = (SPLITS[name] for name in ("train", "val", "test"))
    for reader, split in readers.items():
        name, at = SPLITS[split], f"{split}.csv, read by {reader}"
        both = removed(f"{RECORDS}/summary.json")
        yield refused(
            "records", f"a flipped byte in {at}", flipped(name), reader, f"{split}.csv: {WRITTEN}"
        )
        yield refused("records", f"half of {at}", cut(name), reader, f"{split}.csv: it {SIZE}")
        yield refused(
            "records", f"nothing in {at}", filled(name, b""), reader, f"{split}.csv: it {SIZE}"
        )
        yield refused(
            "records", f"no {at}", removed(name), reader, f"{split}.csv: there is no such file"
        )
        yield refused(
            "records",
            f"a flipped label in {at}, its seal gone",
            unsealed(name, table(name, lambda t: t.assign(Edema="1.0"))),
            reader,
            rf"{split}.csv: it",
        )
        yield refused(
            "records",
            f"a header alone in {at}, seal and summary gone",
            together(unsealed(name, table(name, lambda t: t.iloc[:0])), both)
            if split != "train"
            else unsealed(name, table(name, lambda t: t.iloc[:0])),
            reader,
            rf"{split}.csv|no image|nothing|empty",
        )
    yield refused(
        "records",
        "train.csv and test.csv exchanged",
        exchanged(train, test),
        "probe",
        "train.csv: it",
    )
    yield refused(
        "records",
        "train.csv and test.csv exchanged with their seals",
        exchanged(train, test, with_seals=True),
        "probe",
        "train.csv: it",
    )
    yield refused(
        "records",
        "train.csv and test.csv exchanged, seals and summary gone",
        together(
            unsealed(train, unsealed(test, exchanged(train, test))),
            removed(f"{RECORDS}/summary.json"),
        ),
        "probe",
        "records are of another split",
    )
    yield refused(
        "records",
        "an image moved to the test set, seals and summary gone",
        together(unsealed(test, made.moved_to_test), removed(f"{RECORDS}/summary.json")),
        "resample",
        "records are of another split",
    )
    yield refused(
        "records",
        "a row twice in val.csv, seal and summary gone",
        together(unsealed(val, made.first_row_twice), removed(f"{RECORDS}/summary.json")),
        "probe",
        "duplicate",
    )
    yield refused(
        "records",
        "a label of 7, seal and summary gone",
        together(
            unsealed(val, table(val, lambda t: t.assign(Edema="7"))),
            removed(f"{RECORDS}/summary.json"),
        ),
        "probe",
        "column Edema.*is none of 1, 0, -1, blank",
    )
    yield refused(
        "records",
        "a column gone, seal and summary gone",
        together(
            unsealed(val, table(val, lambda t: t.drop(columns="Edema"))),
            removed(f"{RECORDS}/summary.json"),
        ),
        "probe",
        "records of val have other findings than those of train: they lack Edema",
    )
    yield refused(
        "records",
        "an absolute image path, seal and summary gone",
        together(
            unsealed(test, table(test, lambda t: t.assign(path="/etc/" + t.path))),
            removed(f"{RECORDS}/summary.json"),
        ),
        "pack",
        "image paths are absolute or lead above",
    )
    yield refused(
        "records",
        "summary.json cut in half",
        cut(f"{RECORDS}/summary.json"),
        "probe",
        f"summary.json: it {SIZE}",
    )
    yield refused(
        "records",
        "a seal that is no JSON",
        filled(f"{RECORDS}/.val.csv.seal", b"\xff{"),
        "probe",
        "seal is damaged",
    )
    weighted = f"{RECORDS}/test_resampled.csv"
    yield survived(
        "records",
        "a leftover of a killed writer",
        filled(f"{RECORDS}/.4194300.train.csv", b"x"),
        "sample",
    )
    yield survived("records", "a half-written train.csv", cut(train), "sample")
    yield survived("records", "a half-written test_resampled.csv", cut(weighted), "resample")


def of_arrays() -> Iterator[Fault]:
    """The three files of every keyed array."""
    arrays = {
        "packed images": ("results/site/images", "pixels"),
        "teacher": ("results/site/teacher", "probe"),
        "features": (FEATURES, "probe student"),
    }
    for what, (folder, reader) in arrays.items():
        data, index, meta = (
            f"{folder}/{name}" for name in ("data.npy", "index.parquet", "meta.json")
        )
        stage = "arrays"
        yield refused(
            stage,
            f"a flipped byte in data.npy of the {what}",
            flipped(data),
            reader,
            f"data.npy: {WRITTEN}",
        )
        yield refused(
            stage,
            f"data.npy of the {what} cut in half",
            cut(data),
            reader,
            "data.npy: it cannot be read as an array",
        )
        yield refused(
            stage,
            f"an empty data.npy of the {what}",
            filled(data, b""),
            reader,
            "data.npy: it cannot be read",
        )
        yield refused(
            stage,
            f"bytes after the rows of the {what}",
            edited(data, lambda b: b + b"0" * 64),
            reader,
            "data.npy: it has bytes beyond",
        )
        yield refused(
            stage,
            f"a zero row in the {what}",
            array(data, made.zero_row),
            reader,
            f"data.npy: {WRITTEN}",
        )
        yield refused(
            stage,
            f"rows of the {what} in another order",
            array(data, lambda a: a[::-1]),
            reader,
            f"data.npy: {WRITTEN}",
        )
        yield refused(
            stage,
            f"half of the columns of the {what}",
            array(data, lambda a: a[:, ::2]),
            reader,
            r"data.npy: its shape is \[.*\], meta.json says",
        )
        yield refused(
            stage,
            f"float64 in the {what}",
            array(data, lambda a: a.astype("float64")),
            reader,
            "data.npy: its dtype is float64",
        )
        yield refused(
            stage,
            f"2^40 rows claimed by the {what}",
            made.claimed_rows(data),
            reader,
            "data.npy: it cannot be read as an array",
        )
        yield refused(
            stage,
            f"a pickle as data.npy of the {what}",
            filled(data, b"\x80\x04N."),
            reader,
            "data.npy: it cannot be read",
        )
        yield refused(
            stage,
            f"an archive as data.npy of the {what}",
            made.archive(data),
            reader,
            "data.npy: it is an archive|cannot be read",
        )
        yield refused(
            stage,
            f"a shuffled index of the {what}",
            made.shuffled_index(index),
            reader,
            f"index.parquet: {WRITTEN}",
        )
        yield refused(
            stage,
            f"index.parquet of the {what} cut in half",
            cut(index),
            reader,
            f"index.parquet: {WRITTEN}",
        )
        yield refused(
            stage,
            f"no index.parquet of the {what}",
            removed(index),
            reader,
            "index.parquet is missing",
        )
        yield refused(
            stage,
            f"meta.json of the {what} edited",
            document(meta, dimension=3),
            reader,
            f"meta.json: it {SIZE}",
        )
        yield refused(
            stage,
            f"meta.json of the {what} cut in half, its seal gone",
            unsealed(meta, cut(meta)),
            reader,
            "meta.json: this is no JSON",
        )
        yield refused(
            stage,
            f"5,000 brackets as meta.json of the {what}",
            unsealed(meta, filled(meta, b"[" * 5000)),
            reader,
            "meta.json: this is no JSON",
        )
        yield refused(
            stage,
            f"a list as meta.json of the {what}",
            unsealed(meta, filled(meta, b"[]")),
            reader,
            "meta.json: not a description",
        )
    yield refused(
        "arrays",
        "the teacher's array in the place of the images",
        replaced("results/site/images", "results/site/teacher"),
        "features",
        "an array of embeddings of the teacher, in the folder of the packed images",
    )
    yield refused(
        "arrays",
        "the array of another backbone",
        made.other_backbone,
        "probe student",
        "this is the array of backbone",
    )
    yield refused(
        "arrays",
        "features of another student's weights",
        made.other_weights,
        "probe student",
        "were not extracted with",
    )


def of_weights() -> Iterator[Fault]:
    """Weights of networks and heads, and what selects them."""
    head = f"{RUNS}/cxr-fm-lp/seed41/weights.safetensors"
    other = f"{RUNS}/cxr-fmkd-lp.mse/seed41/weights.safetensors"
    network = f"{STUDENT}/seed41/weights.safetensors"
    for what, name, reader in (("a head", head, "direct"), ("a student", network, "features")):
        stage = "weights"
        yield refused(
            stage,
            f"a flipped byte in {what}",
            flipped(name, 0.9),
            reader,
            f"weights.safetensors: {WRITTEN}",
        )
        yield refused(
            stage, f"{what} cut in half", cut(name), reader, f"weights.safetensors: it {SIZE}"
        )
        yield refused(
            stage,
            f"{what} cut in half, its seal gone",
            unsealed(name, cut(name)),
            reader,
            "weights cannot be read",
        )
        yield refused(
            stage,
            f"a Git LFS pointer for {what}",
            unsealed(name, filled(name, LFS)),
            reader,
            "Git LFS pointer",
        )
        yield refused(
            stage,
            f"a web page for {what}",
            unsealed(name, filled(name, b"<!doctype html>")),
            reader,
            "a web page",
        )
        yield refused(
            stage,
            f"a pickle for {what}",
            unsealed(name, filled(name, b"\x80\x04N.")),
            reader,
            "Python pickle",
        )
        yield refused(
            stage,
            f"NaN in {what}",
            unsealed(name, weights(name, made.with_nan)),
            reader,
            "not finite",
        )
        yield refused(
            stage, f"no file of {what}", removed(name), reader, "there are no such weights"
        )
        yield refused(
            stage,
            f"a header of 2^60 bytes in {what}",
            unsealed(name, filled(name, b"\xff" * 64)),
            reader,
            "weights cannot be read",
        )
    yield refused(
        "weights",
        "another model's head of equal width",
        replaced(head, other),
        "direct",
        "weights of model 'cxr-fmkd-lp.mse'|weights of",
    )
    yield refused(
        "weights",
        "a head with reversed findings",
        unsealed(head, weights(head, made.reversed_findings)),
        "direct",
        "the rows of this head are",
    )
    yield refused(
        "weights",
        "a head of another seed",
        unsealed(head, weights(head, made.header(seed="42"))),
        "direct",
        "weights of seed '42'",
    )
    yield refused(
        "weights",
        "a head of another dataset",
        unsealed(head, weights(head, made.header(dataset="other"))),
        "direct",
        "weights of dataset 'other'",
    )
    yield refused(
        "weights",
        "a head on another teacher's variant",
        unsealed(head, weights(head, made.header(variant="cxrfm-v1"))),
        "direct",
        "weights of variant 'cxrfm-v1'",
    )
    yield refused(
        "weights",
        "a student for raw input",
        unsealed(network, weights(network, made.header(input="raw"))),
        "features",
        "weights of input 'raw'",
    )
    yield refused(
        "weights",
        "a student of no known network",
        unsealed(network, weights(network, made.header(architecture="vgg"))),
        "features",
        "names no image network",
    )
    yield refused(
        "weights",
        "another loss's run.json for the student",
        replaced(f"{STUDENT}/seed41/run.json", "results/site/students/cosine/seed41/run.json"),
        "select student",
        "it tells of loss cosine, not of mse",
    )
    yield refused(
        "weights",
        "another loss's run.json for the scales",
        replaced(f"{STUDENT}/seed41/run.json", "results/site/students/cosine/seed41/run.json"),
        "scales",
        "a student of loss 'cosine'",
    )
    yield refused(
        "weights",
        "another seed's run.json",
        unsealed(
            f"{RUNS}/cxr-fm-lp/seed41/run.json",
            document(f"{RUNS}/cxr-fm-lp/seed41/run.json", seed=42),
        ),
        "select model",
        "it tells of seed 42, not of 41",
    )
    yield refused(
        "weights",
        "a flipped byte in run.json",
        flipped(f"{RUNS}/cxr-fm-lp/seed41/run.json"),
        "select model",
        f"run.json: {WRITTEN}",
    )
    selected = f"{STUDENT}/selected.json"
    for what, target in (
        ("above the results", "../../../../raw/x.safetensors"),
        ("to an absolute path", "/etc/x.safetensors"),
    ):
        yield refused(
            "weights",
            f"selected.json points {what}",
            unsealed(selected, document(selected, weights=target)),
            "features",
            "points out of its folder",
        )
    yield refused(
        "weights",
        "selected.json names no weights",
        unsealed(selected, document(selected, weights="run.json")),
        "features",
        "names no weights",
    )
    yield refused(
        "weights",
        "selected.json edited",
        document(selected, seed=7),
        "features",
        f"selected.json: {WRITTEN}|{SIZE}",
    )
    yield refused(
        "weights",
        "5,000 brackets as selected.json",
        unsealed(selected, filled(selected, b"[" * 5000)),
        "features",
        "this is no JSON",
    )
    yield refused(
        "weights",
        "no selected.json",
        removed(selected),
        "features",
        "selected.json: there is no such file",
    )


def of_tables() -> Iterator[Fault]:
    """What tables, figures and the report are made of."""
    summary, metrics = (f"paper/evaluation/chexpert/{name}.csv" for name in ("summary", "metrics"))
    for name, reader in (
        (summary, "tables"),
        (metrics, "tables"),
        ("paper/evaluation/mimic/summary.csv", "draw"),
        (summary, "thesis"),
        (summary, "report"),
    ):
        short = "/".join(name.split("/")[-2:])
        number = "estimate" if name == metrics else "mean"
        at = f"{short}, read by {reader}"
        yield refused("tables", f"half of {at}", cut(name), reader, f"{short}: it {SIZE}")
        yield refused(
            "tables", f"a flipped byte in {at}", flipped(name), reader, f"{short}: {WRITTEN}"
        )
        if reader != "thesis":
            yield refused(
                "tables",
                f"a header alone in {at}, its seal gone",
                unsealed(name, table(name, lambda t: t.iloc[:0])),
                reader,
                "it has no rows",
            )
            yield refused(
                "tables",
                f"every row twice in {at}, its seal gone",
                unsealed(name, table(name, made.twice)),
                reader,
                "rows are there twice",
            )
            yield refused(
                "tables",
                f"an AUC of 17.5 in {at}, its seal gone",
                unsealed(name, table(name, made.first_is(number, "17.5"))),
                reader,
                "a number that their metric cannot be",
            )
            yield refused(
                "tables",
                f"a renamed column in {at}, its seal gone",
                unsealed(name, table(name, lambda t, n=number: t.rename(columns={n: "value"}))),
                reader,
                "it has no column",
            )
            yield refused(
                "tables",
                f"rows lost in {at}, its seal gone",
                unsealed(name, table(name, lambda t: t.iloc[:-9])),
                reader,
                "not all as many",
            )
        yield refused(
            "tables",
            f"nothing in {at}, its seal gone",
            unsealed(name, filled(name, b"")),
            reader,
            "an empty file",
        )
        yield refused("tables", f"no {at}", removed(name), reader, "there is no such table")
    yield refused(
        "tables",
        "a model that was not planned",
        unsealed(summary, table(summary, made.other_model)),
        "tables",
        "planned models",
    )
    figure = "paper/figures/chexpert-to-mimic/transfer.svg"
    yield refused(
        "tables",
        "a figure edited",
        edited(figure, lambda b: b.replace(b"<svg", b"<!-- --><svg")),
        "report",
        f"transfer.svg: it {SIZE}",
    )
    yield refused(
        "tables",
        "a figure exchanged",
        together(made.other_figure(figure)),
        "report",
        f"transfer.svg: (it {SIZE}|{WRITTEN})",
    )
    for name, reader in (
        ("paper/chexpert/records/summary.json", "tables"),
        ("paper/bias/chexpert/scores.csv", "tables"),
        ("paper/chexpert/students/mse/quality.json", "tables"),
        ("paper/chexpert/records/pixels.json", "report"),
        ("paper/chexpert/teacher/meta.json", "report"),
    ):
        short = name.split("/")[-1]
        yield refused(
            "tables",
            f"a flipped byte in {short}, read by {reader}",
            flipped(name),
            reader,
            f"{short}: {WRITTEN}",
        )
        yield refused(
            "tables", f"half of {short}, read by {reader}", cut(name), reader, f"{short}: it {SIZE}"
        )


def of_images() -> Iterator[Fault]:
    """Images, and where their paths lead."""
    image, listing = "raw/train/000.png", "results/site/images/excluded.csv"
    pack = packing()
    for what, injury, pattern in (
        ("an image cut in half", cut(image), "truncated|broken|Error"),
        ("an empty image", filled(image, b""), "cannot identify|Error"),
        ("text as an image", filled(image, b"no image"), "cannot identify|Error"),
        ("no image file", removed(image), "No such file"),
        ("a folder as an image", made.folder(image), "directory"),
        ("an image that claims 60,000 x 60,000 pixels", made.huge_png(image), "DecompressionBomb"),
        ("a TIFF of NaN", made.nan_tiff(image), "not finite"),
        ("16-bit colour", made.deep_colour(image), "16 bits a sample"),
        ("two frames in one file", made.two_frames(image), "2 frames"),
        (
            "a link that leads out of the images' folder",
            linked(image, "/etc/hostname"),
            "symbolic link",
        ),
        ("a link in a circle", linked(image, "000.png"), "link|loop|levels"),
        ("a broken link", linked(image, "nothing.png"), "No such file"),
    ):
        yield excluded("images", what, injury, pack, listing, pattern)
    yield refused(
        "images",
        "links out of the images' folder everywhere",
        made.moved_images,
        pack,
        "images.links: true",
    )
    followed = packing(links=True)  # meta.json says the setting, so that is another file
    followed = replace(followed, outputs=tuple(f"results/site/images/{name}" for name in CONTENT))
    yield survived("images", "the same, allowed by images.links", made.moved_images, followed)
    yield refused("images", "no folder of images", removed("raw"), pack, "no folder raw")
    yield survived("images", "a shard of an interrupted packing, damaged", made.damaged_shard, pack)
    yield survived(
        "images",
        "a leftover of a killed packing",
        filled("results/site/images/.4194300.data.npy", b"x"),
        pack,
    )


def of_vectors() -> Iterator[Fault]:
    """The teacher's vectors."""
    vector, listing = "vectors/train/000.npy", "results/site/teacher/excluded.csv"
    job = embedding()
    for what, injury, pattern in (
        ("a vector cut in half", cut(vector), "unreadable vector"),
        ("an empty vector", filled(vector, b""), "unreadable vector"),
        ("a pickle as a vector", filled(vector, b"\x80\x04N."), "unreadable vector"),
        ("a vector of zeros", array(vector, lambda a: 0 * a), "a vector of zeros"),
        ("a vector with NaN", array(vector, lambda a: a * float("nan")), "NaN or infinity"),
        ("a vector of integers", array(vector, lambda a: a.round() + 1), "a vector of integers"),
        (
            "a vector in the wrong number format",
            array(vector, lambda a: a * 1e30),
            "number format was misread",
        ),
        (
            "a vector of another length",
            array(vector, lambda a: a[:4]),
            "a vector of 4 numbers, not 6",
        ),
        ("a vector that claims 2^40 numbers", made.claimed_rows(vector), "unreadable vector"),
        ("no vector", removed(vector), "no vector in the source"),
    ):
        yield excluded("teacher", what, injury, job, listing, pattern)
    yield refused(
        "teacher", "no vectors at all", removed("vectors"), job, "there is no such file or folder"
    )
    yield refused(
        "teacher",
        "one vector for all images",
        made.one_vector,
        job,
        "equal another image's, bit for bit",
    )
    yield refused("teacher", "all vectors zero", made.all_zero, job, "have no usable embedding")
    records = made.tfrecords
    yield refused(
        "teacher",
        "2 MB of 0xff as each TFRecord Example",
        records(b"\xff" * 2_000_000, 60),
        embedding("tfrecord", "examples"),
        "have no usable embedding.*damaged or cut off",
    )
    yield refused(
        "teacher",
        "a TFRecord that claims 2^62 bytes",
        records((1 << 62).to_bytes(8, "little") + b"0" * 60, 60),
        embedding("tfrecord", "examples"),
        "its first record claims",
    )
    yield refused(
        "teacher",
        "a Parquet table cut in half",
        made.half_parquet,
        embedding("parquet", "table.parquet", column="image_id", feature="embedding"),
        "cannot be read as a table",
    )
    yield refused(
        "teacher",
        ".dat files of two number formats",
        made.two_formats,
        embedding("dat", "dat"),
        "two number formats",
    )
    yield refused(
        "teacher",
        "a .npz that is text",
        filled("all.npz", b"text"),
        embedding("npz", "all.npz"),
        "cannot be read as .npz",
    )


def of_raw() -> Iterator[Fault]:
    """The raw table."""
    name = "raw/records.csv"
    for what, edit, pattern in (
        (
            "an image path with `..`",
            lambda t: t.assign(path="../" + t.path),
            "lead above the images' folder",
        ),
        ("an absolute image path", lambda t: t.assign(path="/" + t.path), "absolute|none of"),
        ("an unknown split", lambda t: t.assign(split="holdout"), "none of train, val, test"),
        ("a label of 3", lambda t: t.assign(Edema="3"), "not labels"),
        ("a label in words", lambda t: t.assign(Edema="yes"), "not numbers|not labels|labels"),
        ("an image twice", made.twice, "duplicate"),
        ("a patient in two splits", made.patient_in_two, "patients are in more than one split"),
    ):
        yield refused("raw table", what, table(name, edit), sampling(), pattern)
    yield refused("raw table", "no table", removed(name), sampling(), "does not exist")
    yield refused(
        "raw table",
        "no folder of images",
        sampling_without_images(),
        sampling(images="nowhere"),
        "no folder",
    )


def sampling_without_images() -> Injury:
    """Nothing happens to the folder; the settings name another."""
    return lambda folder: None


def all_faults() -> list[Fault]:
    """All of them but those of the running process, see `interruptions`."""
    kinds = (of_raw, of_records, of_images, of_vectors, of_arrays, of_weights, of_tables)
    return [fault for kind in kinds for fault in kind()]
