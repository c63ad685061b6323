"""A small finished study on disk, every file of it written by the scripts that write real ones.

It has one dataset, `site`, with 60 images of 30 patients, a student of four layers, a probe on the
teacher, one on the student, and a transfer of the former. `paper` holds the tables of a larger one,
for what is made of tables alone.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import made_images
import made_results
import made_tables
import numpy as np
import pandas as pd
import torch
from children import Child, End
from locations import ROOT
from made_images import SIZES
from PIL import Image

from cxrfmkd.networks.network import Network
from cxrfmkd.runtime.files import write_json
from cxrfmkd.runtime.seals import seal_path
from cxrfmkd.study.settings import Dataset, Images, Labels, Probe, Resampling, Teacher
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.models import RUN_FAMILY

DIMENSION = 6
RECORDS = "results/site/records"
SPLITS = {name: f"{RECORDS}/{name}.csv" for name in SIZES}
RUNS = "results/site/models"
STUDENT = "results/site/students/mse"
FEATURES = "results/site/features/site.student.mse"


@dataclass(frozen=True)
class Job:
    """A rule's script with its settings and arguments, as they stand in the study's folder.

    outputs: files or folders that it writes, which a rerun must make again to the same bytes.
    """

    script: str
    spec: dict
    options: dict[str, object]
    outputs: tuple[str, ...]

    def words(self) -> list[str]:
        """Its command line."""
        words = ["--spec", json.dumps(self.spec)]
        for name, values in self.options.items():
            several = values if isinstance(values, list) else [values]
            if name.startswith("inputs "):
                words += ["--inputs", name.removeprefix("inputs "), *several]
            else:
                words += [f"--{name}", *map(str, several)]
        return words

    def start(self, folder: Path, **limits: int) -> Child:
        """The script at work in a study's folder."""
        return Child(self.script, self.words(), folder, **limits)

    def run(self, folder: Path, **limits: int) -> End:
        """The script, to its end."""
        return self.start(folder, **limits).end()

    def remove_outputs(self, folder: Path) -> None:
        """What it writes is not there yet."""
        for output in self.outputs:
            path = folder / output
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            seal_path(path).unlink(missing_ok=True)

    def count_operations(self, folder: Path) -> int:
        """On how many files of a study it does something when nothing is in its way."""
        self.remove_outputs(folder)
        end = self.run(folder)
        assert end.status == 0, end.said[-3000:]
        return end.operations

    def content(self, folder: Path) -> dict[str, bytes]:
        """Everything that it wrote, by name; times are left out."""
        files: dict[str, bytes] = {}
        for output in self.outputs:
            path = folder / output
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                name = str(file.relative_to(folder))
                if file.is_file() and not file.name.startswith(".") and file.name not in VOLATILE:
                    files[name] = file.read_bytes()
                if file.name == "history.csv":
                    table = pd.read_csv(file).drop(columns=TIMES, errors="ignore")
                    files[name] = table.to_csv().encode()
        return files


TABLES = "cohort performance_detailed performance_focused transfer students subgroups bias".split()
VOLATILE = ("run.json", "quality.json", "costs.csv")
TIMES = ["images_per_second", "seconds", "memory_mb"]


def dataset(**changes: object) -> dict:
    """Settings of `site`."""
    settings = {"adapter": "table", "tables": {"records": "raw/records.csv"}, "images": "raw"}
    return Dataset(**settings | changes).model_dump()


def embedding(source: str = "npy", path: str = "vectors", **changes: object) -> Job:
    """The extraction of the teacher's embeddings from a source."""
    teacher = {"source": source, "path": [path], "variant": "demo"} | changes
    common = Teacher(dimension=DIMENSION, failed=0.2).model_dump()
    spec = {"dataset": "site", "images": "raw", "teacher": teacher, "common": common}
    options = SPLITS | {"out": "results/site/teacher", "shards": "checkpoints/embed", "workers": 1}
    return Job("embed", spec, options, ("results/site/teacher",))


def packing(**changes: object) -> Job:
    """The packing of the images."""
    images = Images(**{"size": 32, "unreadable": 0.2} | changes).model_dump()
    spec = {"dataset": "site", "root": "raw", "images": images}
    options = SPLITS | {"out": "results/site/images", "shards": "checkpoints/pack", "workers": 1}
    return Job("pack_images", spec, options, ("results/site/images",))


def sampling(**changes: object) -> Job:
    """The sampling of the records."""
    spec = {"name": "site", "dataset": dataset(**changes)}
    names = {**SPLITS, "summary": f"{RECORDS}/summary.json", "excluded": f"{RECORDS}/excluded.csv"}
    return Job("sample_records", spec, names, tuple(names.values()))


def probing(model: str, array: str, **options: object) -> Job:
    """The linear probes of a model."""
    folder = f"{RUNS}/{model}/seed41"
    spec = {"model": model, "seeds": [41], "labels": Labels().model_dump()}
    spec |= {"probe": Probe(l2=[0.01, 0.1]).model_dump()}
    arguments = {"features": array, **options, **SPLITS, "runs": folder}
    return Job("probe", spec, arguments, (folder,))


def selection(kind: str, folder: str, **spec: object) -> Job:
    """The selection of a seed."""
    out = f"{folder}/selected.json"
    options = {"runs": f"{folder}/seed41/run.json", "out": out}
    return Job(f"select_{kind}", spec, options, (out,))


def of_paper(
    script: str, spec: dict, files: dict[str, list[Path]], outputs: tuple = (), **options: object
) -> Job:
    """A job on the tables of `paper`; outputs: where its options do not say what it writes."""
    inputs = {f"inputs {name}": list(map(str, paths)) for name, paths in files.items() if paths}
    written = ("svg", "png", "csv", "out", "checklist")
    outputs = outputs or tuple(str(options[name]) for name in written if name in options)
    return Job(script, spec, inputs | options, outputs)


def jobs() -> dict[str, Job]:
    """Every job of the study by its name, in an order in which they can run."""
    shape, paper = made_results.shape(), Path("paper")
    figure = "chexpert-to-mimic/transfer"
    compute = Compute(weights="none").model_dump()
    direct = "results/site-to-other/direct/cxr-fm-lp/seed41"
    evaluations = [f"paper/evaluation/{name}/summary.csv" for name in ("chexpert", "mimic")]
    return {
        "sample": sampling(),
        "pack": packing(),
        "pixels": Job(
            "check_pixels",
            {"dataset": "site"},
            SPLITS
            | {
                "images": "results/site/images/meta.json",
                "out": f"{RECORDS}/pixels.json",
                "pairs": f"{RECORDS}/pixels.csv",
            },
            (f"{RECORDS}/pixels.json", f"{RECORDS}/pixels.csv"),
        ),
        "resample": Job(
            "resample_test",
            {"dataset": "site", "resampling": Resampling().model_dump(), "minimum_cell": 2},
            {
                "records": SPLITS["test"],
                "out": f"{RECORDS}/test_resampled.csv",
                "balance": f"{RECORDS}/balance.csv",
            },
            (f"{RECORDS}/test_resampled.csv", f"{RECORDS}/balance.csv"),
        ),
        "embed": embedding(),
        "select student": selection("student", STUDENT, loss="mse", select_on="val"),
        "scales": Job(
            "measure_scales",
            {},
            {
                "mse": f"{STUDENT}/seed41/run.json",
                "cosine": "results/site/students/cosine/seed41/run.json",
                "out": "results/site/students/scales.json",
            },
            ("results/site/students/scales.json",),
        ),
        "features": Job(
            "extract_features",
            {"backbone": "site.student.mse", "network": compute},
            {
                "images": "results/site/images/meta.json",
                "weights": f"{STUDENT}/selected.json",
                **SPLITS,
                "out": FEATURES,
            },
            (FEATURES,),
        ),
        "probe": probing("cxr-fm-lp", "results/site/teacher/meta.json"),
        "probe student": probing(
            "cxr-fmkd-lp.mse", f"{FEATURES}/meta.json", projection=f"{STUDENT}/selected.json"
        ),
        "select model": selection("model", f"{RUNS}/cxr-fm-lp", model="cxr-fm-lp"),
        "direct": Job(
            "transfer_direct",
            {"model": "cxr-fm-lp", "seeds": [41], "source": "site", "target": "other"},
            {
                "features": "results/site/teacher/meta.json",
                "heads": f"{RUNS}/cxr-fm-lp/seed41/weights.safetensors",
                "val": SPLITS["val"],
                "test": SPLITS["test"],
                "runs": direct,
            },
            (direct,),
        ),
        "thesis": Job(
            "compare_with_thesis",
            {},
            {"summary": evaluations, "out": "paper/tables/against_thesis.csv"},
            ("paper/tables/against_thesis.csv",),
        ),
        "tables": of_paper(
            "make_tables",
            {"minimum_cell": 10, "uncertain": "zeros", "families": families()},
            made_results.below(paper, shape.tables()),
            tuple(f"paper/tables/{name}.csv" for name in TABLES),
            **{"benchmarks": [], "out-dir": "paper/tables"},
        ),
        "draw": of_paper(
            "draw",
            {"figure": figure, "minimum_cell": 10},
            made_results.below(paper, shape.catalogue()[figure]),
            svg=f"paper/figures/{figure}.svg",
            png=f"paper/figures/{figure}.png",
            csv=f"paper/figures/{figure}.csv",
        ),
        "report": of_paper(
            "write_report",
            made_results.report_spec(),
            made_results.below(paper, shape.report()),
            figures=[f"paper/figures/{figure}.svg"],
            thesis=str(ROOT / "config/thesis.yaml"),
            out="paper/report/index.html",
            checklist="paper/report/checklist.csv",
        ),
    }


def families() -> list[list[str]]:
    """The models that the plan of `paper` evaluates."""
    metrics = [made_tables.metrics("chexpert", transfer=False), made_tables.metrics("mimic")]
    return pd.concat(metrics)[RUN_FAMILY].drop_duplicates().to_numpy().tolist()


def write_raw(root: Path) -> None:
    """Raw table, images, and the teacher's vectors, one file an image."""
    tables = made_images.records({"train": 30, "val": 16, "test": 14})
    table = pd.concat(tables.values(), ignore_index=True)
    random = np.random.default_rng(0)
    table["race"] = np.resize(["White", "Black", "Asian"], len(table))
    table["age"] = random.integers(30, 80, len(table)).astype(float)
    kept = ["image_id", "patient_id", "study_id", "path", "sex", "age", "race", "view", "split"]
    (root / "raw").mkdir(parents=True)
    table[[*kept, *FINDINGS]].to_csv(root / "raw/records.csv", index=False)
    latent = random.random((len(table), 4))
    vectors = (latent @ random.normal(size=(4, DIMENSION)) + 3).astype(np.float32)
    for path, shades, vector in zip(table.path, latent, vectors, strict=True):
        pixels = random.integers(0, 60, (40, 40), dtype=np.uint8)
        pixels += np.kron(
            (150 * shades).reshape(2, 2).astype(np.uint8), np.ones((20, 20), np.uint8)
        )
        file = root / "raw" / path
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(file)
        stored = (root / "vectors" / path).with_suffix(".npy")
        stored.parent.mkdir(parents=True, exist_ok=True)
        np.save(stored, vector)


def write_student(root: Path, loss: str, value: float) -> None:
    """A student of four layers, as a distillation leaves it."""
    folder = root / f"results/site/students/{loss}/seed41"
    torch.manual_seed(len(loss))
    facts = {"loss": loss, "seed": "41", "dataset": "site"}
    Network("tiny", DIMENSION).save(folder / "weights.safetensors", facts)
    best = {"epoch": 1, "val_loss": value, "test_loss": value}
    run = {"spec": {"loss": loss, "seed": 41}, "seed": 41, "loss": loss, "best": best}
    write_json(folder / "run.json", run | {"plateau": {loss: value}})


def make(root: Path) -> Path:
    """The study, every job of which has run; InputError and all else is a failure of the test."""
    made_images.add_tiny_backbone()
    write_raw(root)
    write_student(root, "mse", 0.5)
    write_student(root, "cosine", 0.25)
    made_results.write(root / "paper")
    for name, job in jobs().items():
        end = job.run(root)
        assert end.status == 0, f"{name}: {end.said[-3000:]}"
    for path in [root, *root.rglob("*")]:
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    return root


def copied(study: Path, to: Path, change: Callable[[Path], object] | None = None) -> Path:
    """A copy of the study, changed."""
    shutil.copytree(study, to, symlinks=True)
    if change is not None:
        change(to)
    return to
