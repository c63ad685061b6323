"""What a study will cost before it runs: runs, images through networks, and hours on one GPU.

The study is planned from its configuration, which is laid over config/config.yaml as Snakemake lays
it; nothing else is read but, where they are there, the numbers of images (records/summary.json of
each dataset) and the images a second that finished runs recorded. Otherwise say them: --images for
a dataset that is not yet sampled (CheXpert and MIMIC-CXR are known), --images-per-second for a GPU
on which nothing has run. Epochs that a fine-tune may leave out are counted.

    cxrfmkd cost --configfile config/thesis.yaml --images-per-second 750
    cxrfmkd cost --configfile config/nih.yaml --measured results/nih --images
    nih-pa=40000,7000,20000 --images nih-ap=26000,4000,13000

images_trained go forward and backward through the network, images_seen forward alone, at a third of
the cost. Heads on kept features take seconds and count as nothing. A rate holds for images of its
size: measure at the images.size you plan.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import median

import pandas as pd

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_json, write_table
from cxrfmkd.study.forecast import Images, Work, published, works
from cxrfmkd.study.grid import Study
from cxrfmkd.tables.gathering import about
from cxrfmkd.vocabulary.models import MODELS, STUDENT, WIDTHS

BASE = Path("config/config.yaml")
COLUMNS = "rule dataset network jobs runs images_trained images_seen hours".split()
FORMATS = dict.fromkeys(("images_trained", "images_seen"), "{:,.0f}".format) | {
    "hours": "{:,.2f}".format
}
RUNS = [f"*/{stage}/*/seed*/run.json" for stage in ("students", "models", "full-finetune")]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--configfile",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        help="configurations, each laid over those before it and config/config.yaml",
    )
    parser.add_argument(
        "--images-per-second", type=float, help="images that one GPU trains on in a second"
    )
    parser.add_argument(
        "--measured",
        type=Path,
        help="results of a finished study to take the rates from; its own if not given",
    )
    parser.add_argument(
        "--teacher-seconds",
        type=float,
        help="seconds an image takes in the teacher (cxrfmkd doctor tells)",
    )
    parser.add_argument(
        "--images",
        action="append",
        default=[],
        metavar="DATASET=TRAIN,VAL,TEST",
        help="images of a dataset that is not yet sampled",
    )
    parser.add_argument("--out", type=Path, help="CSV or Parquet to write the table to as well")


def main(args: argparse.Namespace) -> None:
    """Print the costs of a study, and write them as a table if asked for."""
    for flag in ("images_per_second", "teacher_seconds"):
        if (value := getattr(args, flag)) is not None and value <= 0:
            raise InputError(f"--{flag.replace('_', '-')} {value:g}: it must be more than 0.")
    study = Study(read_configuration(args.configfile))
    results = Path(study.settings.pathvars.get("results", "results"))
    images = count_images(study, results, dict(map(_images, args.images)))
    if args.images_per_second:
        rates, sources = dict.fromkeys(WIDTHS, args.images_per_second), ["as stated"]
    else:
        rates, sources = measured(args.measured or results)
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
    if without_rate := sorted(set(costs.network[costs.hours.isna()])):
        print(
            f"Not counted, since no rate is known: {', '.join(without_rate)}. Give "
            "--images-per-second, or --measured with a finished study (--teacher-seconds for the "
            "teacher).",
            file=sys.stderr,
        )
    print("Images a second: " + ("; ".join(sources) or "none known"))


def cost_table(rows: list[Work], rates: dict[str, float]) -> pd.DataFrame:
    """A row per rule, dataset and network, with COLUMNS; hours are blank where no rate is known."""
    values = [
        (w.rule, w.dataset, w.network, w.jobs, w.runs, w.trained, w.seen, w.hours(rates))
        for w in rows
    ]
    return pd.DataFrame(values, columns=COLUMNS).astype({"hours": float})


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


def _images(text: str) -> tuple[str, Images]:
    name, _, counts = text.partition("=")
    numbers = counts.split(",")
    if len(numbers) != 3 or not all(number.strip().isdigit() for number in numbers):
        raise InputError(
            f"--images {text}: write DATASET=TRAIN,VAL,TEST, such as mine=8000,1000,3000."
        )
    return name, Images(*map(int, numbers))


def count_images(study: Study, results: Path, stated: dict[str, Images]) -> dict[str, Images]:
    """Images of every dataset: as stated, else as sampled, else as published.

    Raises InputError where none of these is known.
    """
    if unknown := sorted(set(stated) - set(study.datasets)):
        raise InputError(
            f"--images: the study has no dataset {', '.join(unknown)}; it has "
            f"{', '.join(study.datasets)}."
        )
    counts = {
        name: stated.get(name) or _sampled(results, name) or published(study, name)
        for name in study.datasets
    }
    if uncounted := [name for name, images in counts.items() if images is None]:
        raise InputError(
            f"nobody has counted the images of {', '.join(uncounted)} yet "
            f"({results}/<dataset>/records/summary.json). Give "
            f"--images {uncounted[0]}=TRAIN,VAL,TEST, or sample them: snakemake records."
        )
    return {name: images for name, images in counts.items() if images is not None}


def _sampled(results: Path, dataset: str) -> Images | None:
    summary = results / dataset / "records" / "summary.json"
    if not summary.is_file():
        return None
    counts = read_json(summary)["counts"]
    return Images(*(counts[split]["images"] for split in Images._fields))


def measured(results: Path) -> tuple[dict[str, float], list[str]]:
    """Median images a second by image network over finished runs that trained every weight.

    A network that none of them trained gets the median of all. Second value: which runs they were.
    """
    rates: dict[str, list[float]] = {}
    devices = set()
    for path in sorted(path for pattern in RUNS for path in results.glob(pattern)):
        run = read_json(path)
        parameters = run.get("parameters", {})
        if "images_per_second" not in run or parameters.get("trainable") != parameters.get("total"):
            continue
        model = about(path).get("model")
        network = MODELS[str(model)].backbone if model else STUDENT
        rates.setdefault(network, []).append(run["images_per_second"])
        devices.add(run["device"])
    if not rates:
        return {}, []
    sources = [
        f"{name} {median(of_runs):g} ({len(of_runs)} runs)" for name, of_runs in rates.items()
    ]
    sources.append(f"measured in {results} on {', '.join(sorted(devices))}")
    of_all_runs = [rate for of_runs in rates.values() for rate in of_runs]
    return {name: median(rates.get(name, of_all_runs)) for name in WIDTHS}, sources
