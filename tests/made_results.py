"""A small study's result files on disk, written from `made_tables`, and its settings."""

from __future__ import annotations

import copy
from pathlib import Path

import made_tables as made
import numpy as np
import pandas as pd

from cxrfmkd.evaluation.columns import TABLE_COLUMNS
from cxrfmkd.runtime.files import write_json, write_table
from cxrfmkd.study.outputs import Files, Shape
from cxrfmkd.study.settings import Configuration
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.models import join_model

LOSSES = ("mse", "cosine")
SEEDS = (41, 42, 43)
VERSIONS = {"cxrfmkd": "1.2.3", "commit": "0123456789ab", "snakemake": "9.25.0", "torch": "2.11.0"}
SECRET = "patient64537"  # stands in every id, so that a leak is found by looking for it


def settings(*, race: bool = True, transfer: bool = True, synthetic: bool = False) -> dict:
    """Settings of a study on chexpert, and on mimic as the target of a transfer."""
    attributes = ["sex", "race", "age", "view"] if race else ["sex", "age", "view"]
    dataset = {
        "adapter": "chexpert",
        "tables": {"train": f"/data/{SECRET}/train.csv"},
        "images": "/data",
        "teacher": {"source": "dat", "path": f"/data/{SECRET}", "variant": "cxrfm-v1"},
    }
    whole = Configuration(
        title="A small study",
        datasets=dict.fromkeys(["chexpert", "mimic"] if transfer else ["chexpert"], dataset),
        distillation={"datasets": ["chexpert"], "losses": list(LOSSES), "seeds": list(SEEDS)},
        classification={"datasets": ["chexpert"], "seeds": list(SEEDS)},
        transfer={"pairs": [["chexpert", "mimic"]] if transfer else [], "losses": list(LOSSES)},
        synthetic={"chexpert": {"patients": 100}} if synthetic else {},
    )
    found = whole.model_dump()
    found["evaluation"]["attributes"] = attributes
    found["bias"]["attributes"] = [name for name in attributes if name != "view"]
    found["resampling"]["method"] = "weights" if race else "none"
    return found


def report_spec(*, race: bool = True, transfer: bool = True, synthetic: bool = False) -> dict:
    """What the report is told of that study besides its results."""
    plan, values = (
        shape(race=race, transfer=transfer),
        settings(race=race, transfer=transfer, synthetic=synthetic),
    )
    stages = {name: values[name]["attributes"] for name in ("evaluation", "bias")}
    return {
        "settings": values,
        "datasets": plan.datasets,
        "trained": plan.trained,
        "balanced": plan.resampled,
        "attributes": {name: copy.deepcopy(stages) for name in plan.datasets},
    }


def shape(*, race: bool = True, transfer: bool = True) -> Shape:
    """What the catalogue needs to know of that study."""
    datasets = ["chexpert", "mimic"] if transfer else ["chexpert"]
    return Shape(
        datasets=datasets,
        students={"chexpert": list(LOSSES)},
        seeds=list(SEEDS),
        trained=["chexpert"],
        evaluated=["chexpert", "mimic"] if transfer else ["chexpert"],
        pairs=[("chexpert", "mimic")] if transfer else [],
        analysed={"chexpert": [join_model(*pair) for pair in made.pairs(LOSSES)]},
        runs=[
            f"chexpert/models/{join_model(*pair)}/seed{seed}"
            for pair in made.pairs(LOSSES)
            for seed in SEEDS
        ],
        resampled=datasets if race else [],
        attributes=dict.fromkeys(
            datasets, ["sex", "race", "age", "view"] if race else ["sex", "age", "view"]
        ),
        tsne=True,
        thesis=True,
        backbones=["densenet169", "mobilenet_v3_small"],
    )


def below(root: Path, files: Files) -> dict[str, list[Path]]:
    """Files of the study's outputs, by name, as they lie below `root`."""
    return {name: [root / path for path in paths] for name, paths in files.items()}


def as_arguments(files: dict[str, list[Path]]) -> list[str]:
    """Named files as the scripts of tables, figures and report take them."""
    named = ([name, *map(str, paths)] for name, paths in files.items() if paths)
    return [word for words in named for word in ("--inputs", *words)]


def write(root: Path, *, race: bool = True, transfer: bool = True) -> None:
    """All files below `root` that the study's figures, tables and report are made from."""
    for name in ["chexpert", "mimic"] if transfer else ["chexpert"]:
        _records(root / name, name, race)
    _students(root / "chexpert/students")
    metrics = made.metrics("chexpert", LOSSES, SEEDS, transfer=False)
    _evaluation(root / "evaluation/chexpert", metrics, race)
    summaries = [made.summary(metrics)]
    if transfer:
        moved = made.metrics("mimic", LOSSES, SEEDS)
        _evaluation(root / "evaluation/mimic", moved, race)
        summaries.append(made.summary(moved))
        gate = {
            "name": "patients in one split of source and target",
            "status": "passed",
            "found": "none",
        }
        write_json(root / "chexpert-to-mimic/patients.json", [gate])
    _bias(root, race)
    for pair in made.pairs(LOSSES):
        for seed in SEEDS:
            run = {
                "started": f"2025-01-0{seed - 40}T10:00:00+00:00",
                "finished": f"2025-01-0{seed - 40}T10:30:00+00:00",
            }
            run |= {
                "device": "NVIDIA L40",
                "versions": VERSIONS,
                "best": {"epoch": 2, "val_loss": 0.3},
            }
            write_json(root / f"chexpert/models/{join_model(*pair)}/seed{seed}/run.json", run)
    write_table(root / "tables/against_thesis.csv", made.against_thesis(pd.concat(summaries)))
    write_table(root / "tables/sizes.csv", made.sizes())


def _records(folder: Path, name: str, race: bool) -> None:
    rng = np.random.default_rng(1)
    n = 300
    table = pd.DataFrame(
        {
            "image_id": [f"{SECRET}/study{i}" for i in range(n)],
            "patient_id": [f"{SECRET}-{i // 2}" for i in range(n)],
            "race": rng.choice(["White", "Asian", "Black"], n, p=[0.6, 0.38, 0.02])
            if race
            else None,
            "disease": rng.choice(["Pleural Effusion", "No Finding", "Other"], n),
            "age_bin": rng.integers(1, 7, n),
            "sex": rng.choice(["Male", "Female"], n),
            "view": rng.choice(["AP", "PA"], n),
        }
    )
    table[list(FINDINGS)] = rng.choice([1.0, 0.0, -1.0], (n, len(FINDINGS)), p=[0.2, 0.7, 0.1])
    for split in ("train", "val", "test"):
        write_table(folder / f"records/{split}.csv", table)
    write_table(folder / "records/test_resampled.csv", table[["image_id"]].assign(weight=1.0))
    excluded = [(f"{SECRET}/bad", f"UnidentifiedImageError: cannot identify {SECRET}.png")]
    write_table(
        folder / "images/excluded.csv", pd.DataFrame(excluded, columns=["image_id", "reason"])
    )
    levels: dict = {"sex": {"Female": 140, "Male": 157, "blank": 3}, "view": {"AP": 200, "PA": 100}}
    levels["race"] = {"White": 180, "Asian": 113, "Black": 7} if race else {"blank": 300}
    levels["disease"] = {"No Finding": 100, "Pleural Effusion": 110, "Other": 90}
    levels["age_bin"] = {"41-50": 150, "51-60": 150}
    label = {"positive": 60, "negative": 200, "uncertain": 12, "blank": 28}
    levels["findings"] = dict.fromkeys(FINDINGS, label)
    split = {"images": n, "patients": 150, "studies": 290, "mean_age": 61.5}
    split |= levels | {"patients_by": levels}
    steps = [
        ("train.csv", 1000, 0, 500, ""),
        ("race", 901, 99, 450, "not Asian, Black or White" if race else "not frontal"),
    ]
    keys = ("step", "kept", "excluded", "patients", "reason")
    gates = [
        {
            "name": "patients in one split",
            "status": "passed",
            "found": "450 patients, each in one split",
        }
    ]
    noted = {
        "name": "no empty stratum",
        "status": "noted",
        "found": "no test image of Black x Other",
    }
    summary = {
        "dataset": name,
        "flow": [dict(zip(keys, s, strict=True)) for s in steps],
        "gates": [*gates, noted],
        "tables": {"train": {"file": "train.csv", "sha256": "87d6744c12009579" * 4}},
    }
    write_json(
        folder / "records/summary.json",
        summary | {"counts": {"train": split, "val": split, "test": split}},
    )
    write_json(
        folder / "records/pixels.json",
        [{"name": "images in one split", "status": "passed", "found": "none"}],
    )
    write_json(
        folder / "records/attributes.json",
        [{"name": "attributes that are asked for", "status": "passed", "found": "age, sex"}],
    )
    write_table(folder / "teacher/excluded.csv", pd.DataFrame(columns=["image_id", "reason"]))
    write_json(
        folder / "teacher/meta.json",
        {"variant": "cxrfm-v1", "licence": "research only", "dimension": 1376}
        | {"sha256": {"data.npy": "c8c7f9d608ffc13d" * 4}},
    )


def _students(folder: Path) -> None:
    for quality in made.qualities(LOSSES):
        loss = quality["about"]["loss"]
        write_json(
            folder / loss / "quality.json", {k: v for k, v in quality.items() if k != "about"}
        )
        write_json(
            folder / loss / "selected.json", {"seed": 42, "weights": "seed42/weights.safetensors"}
        )
        for seed in SEEDS:
            table = made.history(loss, seed).drop(columns=["dataset", "loss", "seed"])
            write_table(folder / loss / f"seed{seed}/history.csv", table)
            run = {
                "started": "2025-01-01T00:00:00+00:00",
                "finished": "2025-01-01T02:00:00+00:00",
                "device": "NVIDIA L40",
            }
            run |= {
                "versions": VERSIONS,
                "best": {"epoch": 7, "val_loss": 0.09, "test_loss": 0.1},
            }
            write_json(folder / loss / f"seed{seed}/run.json", run)


def _evaluation(folder: Path, metrics: pd.DataFrame, race: bool) -> None:
    dataset = folder.name
    keep = ["natural", "resampled"] if race else ["natural"]
    curves, thresholds, calibration = made.curves(dataset, LOSSES)
    tables = {
        "metrics": metrics,
        "summary": made.summary(metrics),
        "comparisons": made.comparisons(dataset, LOSSES),
        "thresholds": thresholds,
        "calibration": calibration,
        "subgroups": made.subgroups(dataset, LOSSES, race),
        "gaps": made.gaps(dataset, LOSSES, race),
        "curves": curves,
    }
    # One of the test images is unreadable, and two have no embedding.
    rows = [(dataset, "val", 300, 0, 0, 300), (dataset, "test", 300, 1, 2, 297)]
    exclusions = pd.DataFrame(rows, columns=TABLE_COLUMNS["exclusions"])
    write_table(folder / "exclusions.csv", exclusions)
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table[table.population.isin(keep)])


def _bias(root: Path, race: bool) -> None:
    for pair in made.pairs(LOSSES):
        model = join_model(*pair)
        folder = root / "bias/chexpert" / model
        for name in ("ks", "score", "null", "encoding"):
            write_table(folder / f"{name}.csv", getattr(made, name)(model, race=race))
        write_table(root / f"chexpert/models/{model}/projection.parquet", made.points(race=race))
    write_table(root / "bias/chexpert/scores.csv", made.scores(losses=LOSSES, race=race))
    differences = made.bias_differences(losses=LOSSES, race=race)
    write_table(root / "bias/chexpert/differences.csv", differences)
    points, correlation = made.against_bias(losses=LOSSES)
    keep = points.population.isin(["resampled"])
    write_table(root / "bias/performance_vs_bias.csv", points[keep])
    write_table(root / "bias/correlation.csv", correlation)
