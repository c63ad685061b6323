r"""Estimate what a study costs before it runs: runs, images through networks, hours on one device.

The study is planned from its configuration, which is laid over config/config.yaml as Snakemake lays
it. Numbers of images are what --images says, else those of records/summary.json, else counted from
the raw tables, else the published ones of CheXpert and MIMIC-CXR. Images a second are what
--images-per-second says, else what finished runs recorded (--measured, or the study's own), else
what `cxrfmkd gpu-check` wrote to resources/rates.json, else a few steps are made here and now.
Epochs that early stopping may leave out are counted.

    cxrfmkd cost --configfile config/thesis.yaml --images-per-second 750
    cxrfmkd cost --configfile config/nih.yaml --measured results/nih \
        --images nih-pa=40000,7000,20000 --images nih-ap=26000,4000,13000

images_trained go forward and backward through the network; images_seen go forward alone, at a third
of the cost. Heads on stored features take seconds and count as nothing. A rate of images of another
size is scaled by their pixels.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from statistics import median

import pandas as pd

from cxrfmkd.commands.configuration import add_arguments, read_study
from cxrfmkd.commands.options import output_file
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_json, write_table
from cxrfmkd.study.forecast import (
    ImageCounts,
    Work,
    is_teacher,
    published,
    teacher_network,
    works,
)
from cxrfmkd.study.grid import Study
from cxrfmkd.study.rates import RATES, read_rates
from cxrfmkd.study.settings import Dataset
from cxrfmkd.tables.gathering import about
from cxrfmkd.vocabulary.models import join_model, network_of
from cxrfmkd.vocabulary.teachers import TEACHER

COLUMNS = "rule dataset network jobs runs images_trained images_seen hours".split()
FORMATS = dict.fromkeys(("images_trained", "images_seen"), "{:,.0f}".format) | {
    "hours": "{:,.2f}".format
}
LONG = 8  # hours from which on a smaller study is proposed
# Where no rate is known: seconds of each network, and the largest batch on a CPU.
SECONDS, CPU_BATCH = 3.0, 8
RUNS = [f"*/{stage}/*/seed*/run.json" for stage in ("students", "models", "full-finetune")]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    add_arguments(parser)
    add = parser.add_argument
    add("--images-per-second", type=float, help="images that one GPU trains on in a second")
    add(
        "--teacher-seconds",
        action="append",
        default=[],
        metavar="[TEACHER=]SECONDS",
        help="seconds an image takes in the teacher, or in a further one by its name (see doctor)",
    )
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
    add("--brief", action="store_true", help="print the time alone, not the table")
    add("--out", type=output_file, help="CSV or Parquet to write the table to as well")


def main(args: argparse.Namespace) -> None:
    """Print the table, its totals, and what its hours rest on."""
    if (value := args.images_per_second) is not None and value <= 0:
        raise InputError(f"--images-per-second {value:g}: it must be more than 0.")
    study = read_study(args.configfile, args.config)
    embedded = dict(_seconds(text, study) for text in args.teacher_seconds)
    results = Path(study.settings.pathvars.get("results", "results"))
    images = count_images(study, results, dict(map(_images, args.images)))
    work = works(study, images)
    rates, origin = find_rates(args, study, work, results)
    rates |= {network: 1 / seconds for network, seconds in embedded.items()}
    costs = cost_table(work, rates)
    if args.out:
        write_table(args.out, costs, sealed=False)
    if not args.brief:
        print(costs.to_string(index=False, na_rep="?", formatters=FORMATS))
        total = costs[["jobs", "runs", "images_trained", "images_seen"]].sum()
        print(
            f"\n{total.runs:,.0f} runs in {total.jobs:,.0f} jobs; {total.images_trained:,.0f} "
            f"images trained on, {total.images_seen:,.0f} seen; "
            f"{costs.hours.sum():,.1f} hours on one device"
        )
    print(f"About {duration(costs.hours.sum())} on one device. Images a second: {origin}")
    if unknown := sorted(set(costs.network[costs.hours.isna()])):
        print(
            f"Not counted, since no rate is known: {', '.join(unknown)}. Give "
            + (
                "--teacher-seconds (see doctor)."
                if all(map(is_teacher, unknown))
                else "--measured."
            ),
            file=sys.stderr,
        )
    unlimited = [name for name in study.from_files if study.settings.datasets[name].limit is None]
    if costs.hours.sum() > LONG and unlimited and not study.settings.synthetic:
        print(
            f"For a first look, datasets.{unlimited[0]}.limit: 500 takes 500 patients at the most"
            + (f" (so for {', '.join(unlimited[1:])})." if unlimited[1:] else ".")
        )


def duration(hours: float) -> str:
    """Hours in the unit that suits: `25 minutes`, `3.5 hours`, `9 days`."""
    if hours < 1:
        return f"{max(1, round(60 * hours))} minutes"
    return f"{hours:,.1f} hours" if hours < 72 else f"{hours / 24:,.0f} days"


def find_rates(
    args: argparse.Namespace, study: Study, work: list[Work], results: Path
) -> tuple[dict[str, float], str]:
    """Images a second by network: as stated, recorded, in the file of rates, or measured now.

    The second value says in words what they rest on.
    """
    networks = {w.network for w in work if w.trained + w.seen}
    needed = sorted(name for name in networks if not is_teacher(name))
    if args.images_per_second:
        return dict.fromkeys(needed, args.images_per_second), "as stated"
    rates, origins = measured(args.measured or results, needed)
    if origins:
        return rates, "; ".join(origins)
    if args.measured:
        raise InputError(
            f"--measured {args.measured}: no run.json of a training is below it. Name the folder "
            "of a study's results, such as results/nih."
        )
    size = study.settings.images.size
    if known := read_rates():
        rates = known.at_size(size, study.settings.network.compile)
        typical = median(rate for name, rate in rates.items() if not is_teacher(name))
        found = ", ".join(f"{name} {rates.get(name, typical):.4g}" for name in needed)
        return dict.fromkeys(needed, typical) | rates, (
            f"{found}, of {RATES}, measured on {known.device}"
        )
    return measure_here(needed, size, study.settings.distillation.batch_size)


def measure_here(networks: list[str], size: int, batch: int) -> tuple[dict[str, float], str]:
    """Images a second of a few steps of each network on this machine, and where that was."""
    from cxrfmkd.networks.devices import device_name, pick_device
    from cxrfmkd.training.speed import images_per_second, network_steps

    device = pick_device()
    batch = batch if device.type == "cuda" else min(batch, CPU_BATCH)
    rates = {}
    for name in networks:
        print(f"Measuring {name} at {size} px on this machine …", file=sys.stderr, flush=True)
        steps = network_steps(name, device, size, batch)
        rates[name] = images_per_second(steps, device, SECONDS, warm_up=1)
    found = ", ".join(f"{name} {rate:.3g}" for name, rate in rates.items())
    origin = f"{found}, a few steps just now on {device_name(device)}"
    if device.type == "cpu":
        origin += " (a GPU is far quicker: run cxrfmkd gpu-check there)"
    return rates, origin


def cost_table(all_work: list[Work], rates: dict[str, float]) -> pd.DataFrame:
    """A row per rule, dataset and network, with COLUMNS; hours are blank where no rate is known."""
    rows = [
        (w.rule, w.dataset, w.network, w.jobs, w.runs, w.trained, w.seen, w.hours(rates))
        for w in all_work
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"hours": float})


def _seconds(text: str, study: Study) -> tuple[str, float]:
    """A teacher's network and the seconds that it takes for an image: `0.3`, `rad-dino=0.05`."""
    name, _, number = text.rpartition("=")
    try:
        seconds = float(number)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InputError(f"--teacher-seconds {text}: it must be a number of more than 0.")
    if (name or TEACHER) not in study.teachers:
        raise InputError(
            f"--teacher-seconds {text}: the study has no teacher {name}; it has "
            f"{', '.join(study.teachers)}."
        )
    return teacher_network(name or TEACHER), seconds


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
        elif counted := count_raw(study, name):
            images[name] = counted
        elif number := published(study, name, images):
            images[name] = number
    if unknown := [name for name in study.datasets if name not in images]:
        raise InputError(
            f"nobody has counted the images of {', '.join(unknown)} yet "
            f"({results}/<dataset>/records/summary.json). Give "
            f"--images {unknown[0]}=TRAIN,VAL,TEST, or sample them: snakemake records."
        )
    return images


def count_raw(study: Study, name: str) -> ImageCounts | None:
    """Images that a dataset's raw tables yield, where they lie; None where they do not."""
    from cxrfmkd.datasets.sampling import sample

    if study.pool(name):
        return None
    settings = Dataset.from_spec(study.dataset(name))
    if not all(Path(path).exists() for path in [*settings.tables.values(), settings.images]):
        return None
    print(f"Counting the images of {name} …", file=sys.stderr, flush=True)
    records = sample(name, settings, study.settings.findings, study.attributes_on(name)).records
    sides = records.split.value_counts()
    return ImageCounts(*(int(sides.get(split, 0)) for split in ImageCounts._fields))


def measured(results: Path, networks: Iterable[str]) -> tuple[dict[str, float], list[str]]:
    """Median images a second of each network over finished runs that trained every weight.

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
        facts = about(path)
        model = str(facts.get("model", "cxr-fmkd-lp"))
        network = network_of(join_model(model, str(facts.get("loss", ""))))
        rates.setdefault(network, []).append(run["images_per_second"])
        devices.add(run["device"])
    if not rates:
        return {}, []
    overall = median(chain(*rates.values()))
    origins = [f"{name} {median(runs):g} ({len(runs)} runs)" for name, runs in rates.items()]
    origins.append(f"measured in {results} on {', '.join(sorted(devices))}")
    return {name: median(rates.get(name, [overall])) for name in networks}, origins
