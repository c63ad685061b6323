r"""Estimate what a study costs before it runs: runs, images through networks, hours on one GPU.

The study is planned from its configuration, which is laid over config/config.yaml as Snakemake lays
it. Where they are there, two more things are read: the numbers of images (records/summary.json of
each dataset) and the images a second that finished runs recorded. Otherwise give them: --images for
a dataset that is not yet sampled (CheXpert and MIMIC-CXR are known), --images-per-second for a GPU
on which nothing has run. Epochs that early stopping may leave out are counted.

    cxrfmkd cost --configfile config/thesis.yaml --images-per-second 750
    cxrfmkd cost --configfile config/nih.yaml --measured results/nih \
        --images nih-pa=40000,7000,20000 --images nih-ap=26000,4000,13000

images_trained go forward and backward through the network; images_seen go forward alone, at a third
of the cost. Heads on stored features take seconds and count as nothing. A rate holds for images of
its size: measure at the images.size that you plan.
"""

from __future__ import annotations

import argparse
import sys
from itertools import chain
from pathlib import Path
from statistics import median

import pandas as pd

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_json, write_table
from cxrfmkd.study.forecast import ImageCounts, Work, published, works
from cxrfmkd.study.grid import Study
from cxrfmkd.tables.gathering import about
from cxrfmkd.vocabulary.models import MODELS, STUDENT

BASE = Path("config/config.yaml")
# Networks that images pass through.
NETWORKS = {model.backbone for model in MODELS.values()} - {"teacher"}
COLUMNS = "rule dataset network jobs runs images_trained images_seen hours".split()
FORMATS = dict.fromkeys(("images_trained", "images_seen"), "{:,.0f}".format) | {
    "hours": "{:,.2f}".format
}
RUNS = [f"*/{stage}/*/seed*/run.json" for stage in ("students", "models", "full-finetune")]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    add = parser.add_argument
    add(
        "--configfile",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        help="configurations, each laid over those before it, and all over config/config.yaml",
    )
    add("--images-per-second", type=float, help="images that one GPU trains on in a second")
    add("--teacher-seconds", type=float, help="seconds an image takes in the teacher (see doctor)")
    add(
        "--measured", type=Path, help="results of a finished study whose rates to use; else its own"
    )
    add(
        "--images",
        action="append",
        default=[],
        metavar="DATASET=TRAIN,VAL,TEST",
        help="images of a dataset that is not yet sampled",
    )
    add("--out", type=Path, help="CSV or Parquet to write the table to as well")


def main(args: argparse.Namespace) -> None:
    """Print the table, its totals, and what its hours rest on."""
    study = Study(read_configuration(args.configfile))
    results = Path(study.settings.pathvars.get("results", "results"))
    images = count_images(study, results, dict(map(_images, args.images)))
    for flag in ("images_per_second", "teacher_seconds"):
        if (value := getattr(args, flag)) is not None and value <= 0:
            raise InputError(f"--{flag.replace('_', '-')} {value:g}: it must be more than 0.")
    if args.images_per_second:
        rates, origins = dict.fromkeys(NETWORKS, args.images_per_second), ["as stated"]
    else:
        rates, origins = measured(args.measured or results)
    if args.teacher_seconds:
        rates["teacher"] = 1 / args.teacher_seconds
    costs = cost_table(works(study, images), rates)
    if args.out:
        write_table(args.out, costs)
    print(costs.to_string(index=False, na_rep="?", formatters=FORMATS))
    total = costs[["jobs", "runs", "images_trained", "images_seen", "hours"]].sum()
    print(
        f"\n{total.runs:,.0f} runs in {total.jobs:,.0f} jobs; {total.images_trained:,.0f} images "
        f"trained on, {total.images_seen:,.0f} seen; {total.hours:,.1f} hours on one device"
    )
    if unknown := sorted(set(costs.network[costs.hours.isna()])):
        print(
            f"Not counted, since no rate is known: {', '.join(unknown)}. Give --images-per-second, "
            "or --measured with a finished study (--teacher-seconds for the teacher).",
            file=sys.stderr,
        )
    print("Images a second: " + ("; ".join(origins) or "none known"))


def cost_table(all_work: list[Work], rates: dict[str, float]) -> pd.DataFrame:
    """A row per rule, dataset and network, with COLUMNS; hours are blank where no rate is known."""
    rows = [
        (w.rule, w.dataset, w.network, w.jobs, w.runs, w.trained, w.seen, w.hours(rates))
        for w in all_work
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"hours": float})


def read_configuration(paths: list[Path]) -> dict:
    """config/config.yaml of this folder, if there is one, with each of `paths` laid over it."""
    import yaml
    from snakemake.utils import update_config

    named = [path.resolve() for path in paths]
    files = [BASE, *paths] if BASE.is_file() and BASE.resolve() not in named else paths
    if not files:
        raise InputError(
            f"there is no {BASE} here. Go to the workflow's folder, or name a whole --configfile."
        )
    config: dict = {}
    for path in files:
        if not path.is_file():
            raise InputError(f"{path}: there is no such file.")
        try:
            update_config(config, yaml.safe_load(path.read_text()) or {})
        except yaml.YAMLError as error:
            raise InputError(f"{path}: this is no YAML ({error}).") from None
    return config


def _images(text: str) -> tuple[str, ImageCounts]:
    name, _, counts = text.partition("=")
    numbers = counts.split(",")
    if len(numbers) != 3 or not all(number.strip().isdigit() for number in numbers):
        raise InputError(
            f"--images {text}: write DATASET=TRAIN,VAL,TEST, such as mine=8000,1000,3000."
        )
    return name, ImageCounts(*map(int, numbers))


def count_images(
    study: Study, results: Path, stated: dict[str, ImageCounts]
) -> dict[str, ImageCounts]:
    """Count the images of every dataset: as stated, else as sampled, else as published.

    Raises InputError for a dataset that is not in the study, or whose number of images is unknown.
    """
    if wrong := set(stated) - set(study.datasets):
        raise InputError(
            f"--images: the study has no dataset {', '.join(sorted(wrong))}; it has "
            f"{', '.join(study.datasets)}."
        )
    images: dict[str, ImageCounts] = {}
    for name in study.datasets:
        summary = results / name / "records" / "summary.json"
        if name in stated:
            images[name] = stated[name]
        elif summary.is_file():
            counts = read_json(summary)["counts"]
            images[name] = ImageCounts(*(counts[split]["images"] for split in ImageCounts._fields))
        elif number := published(study, name):
            images[name] = number
    if unknown := [name for name in study.datasets if name not in images]:
        raise InputError(
            f"nobody has counted the images of {', '.join(unknown)} yet "
            f"({results}/<dataset>/records/summary.json). Give "
            f"--images {unknown[0]}=TRAIN,VAL,TEST, or sample them: snakemake records."
        )
    return images


def measured(results: Path) -> tuple[dict[str, float], list[str]]:
    """Median images a second by image network over finished runs that trained every weight.

    A network that none of them trained gets the median of all. The second value says in words what
    the rates rest on; both are empty where no run was measured.
    """
    rates: dict[str, list[float]] = {}
    devices = set()
    for path in sorted(path for pattern in RUNS for path in results.glob(pattern)):
        run = read_json(path)
        counts = run.get("parameters", {})
        if "images_per_second" not in run or counts.get("trainable") != counts.get("total"):
            continue
        model = about(path).get("model")
        network = MODELS[str(model)].backbone if model else STUDENT
        rates.setdefault(network, []).append(run["images_per_second"])
        devices.add(run["device"])
    if not rates:
        return {}, []
    overall = median(chain(*rates.values()))
    origins = [f"{name} {median(runs):g} ({len(runs)} runs)" for name, runs in rates.items()]
    origins.append(f"measured in {results} on {', '.join(sorted(devices))}")
    return {name: median(rates.get(name, [overall])) for name in NETWORKS}, origins
