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
from cxrfmkd.study.forecast import STUDENT, Images, Work, published, works
from cxrfmkd.study.grid import Study
from cxrfmkd.tables.gathering import about
from cxrfmkd.vocabulary.models import MODELS, WIDTHS

BASE = Path("config/config.yaml")
COLUMNS = ("rule", "dataset", "network", "jobs", "runs", "images_trained", "images_seen", "hours")
RUNS = (
    "*/students/*/seed*/run.json",
    "*/models/*/seed*/run.json",
    "*/full-finetune/*/seed*/run.json",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--configfile",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        help="configurations, each laid over those before it; config/config.yaml lies below them all",
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
    study = Study(read_configuration(args.configfile))
    results = Path(study.settings.pathvars.get("results", "results"))
    images = count_images(study, results, dict(map(_images, args.images)))
    for flag in ("images_per_second", "teacher_seconds"):
        if (value := getattr(args, flag)) is not None and value <= 0:
            raise InputError(f"--{flag.replace('_', '-')} {value:g}: it must be more than 0.")
    if args.images_per_second:
        rates, said = dict.fromkeys(WIDTHS, args.images_per_second), ["as stated"]
    else:
        rates, said = measured(args.measured or results)
    if args.teacher_seconds:
        rates["teacher"] = 1 / args.teacher_seconds
    found = table(works(study, images), rates)
    if args.out:
        write_table(args.out, found)
    print(found.to_string(index=False, na_rep="?", formatters=FORMATS))
    total = found[["jobs", "runs", "images_trained", "images_seen", "hours"]].sum()
    print(
        f"\n{total.runs:,.0f} runs in {total.jobs:,.0f} jobs; {total.images_trained:,.0f} images "
        "trained on, "
        f"{total.images_seen:,.0f} seen; {total.hours:,.1f} hours on one device"
    )
    unknown = sorted(set(found.network[found.hours.isna()]))
    if unknown:
        print(
            f"Not counted, since no rate is known: {', '.join(unknown)}. Give --images-per-second, "
            "or --measured with a "
            "finished study (--teacher-seconds for the teacher).",
            file=sys.stderr,
        )
    print("Images a second: " + ("; ".join(said) or "none known"))


FORMATS = dict.fromkeys(("images_trained", "images_seen"), "{:,.0f}".format) | {
    "hours": "{:,.2f}".format
}


def table(found: list[Work], rates: dict[str, float]) -> pd.DataFrame:
    """A row per rule, dataset and network, with COLUMNS; hours are blank where no rate is known."""
    rows = [
        (w.rule, w.dataset, w.network, w.jobs, w.runs, w.trained, w.seen, w.hours(rates))
        for w in found
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"hours": float})


def read_configuration(paths: list[Path]) -> dict:
    """config/config.yaml of this folder, if there is one, and each of `paths` laid over what came before."""
    import yaml
    from snakemake.utils import update_config

    below = [BASE] if BASE.is_file() and BASE.resolve() not in [p.resolve() for p in paths] else []
    if not below + paths:
        raise InputError(
            f"there is no {BASE} here. Go to the workflow's folder, or name a whole --configfile."
        )
    config: dict = {}
    for path in below + paths:
        if not path.is_file():
            raise InputError(f"{path}: there is no such file.")
        try:
            update_config(config, yaml.safe_load(path.read_text()) or {})
        except yaml.YAMLError as error:
            raise InputError(f"{path}: this is no YAML ({error}).") from None
    return config


def _images(text: str) -> tuple[str, Images]:
    name, equals, counts = text.partition("=")
    parts = counts.split(",")
    if not equals or len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
        raise InputError(
            f"--images {text}: write DATASET=TRAIN,VAL,TEST, such as mine=8000,1000,3000."
        )
    return name, Images(*map(int, parts))


def count_images(study: Study, results: Path, stated: dict[str, Images]) -> dict[str, Images]:
    """Images of every dataset: as stated, else as sampled, else as published. Raises InputError where none is known."""
    if wrong := set(stated) - set(study.datasets):
        raise InputError(
            f"--images: the study has no dataset {', '.join(sorted(wrong))}; it has "
            f"{', '.join(study.datasets)}."
        )
    found = {}
    for name in study.datasets:
        summary = results / name / "records" / "summary.json"
        counted = published(study, name)
        if summary.is_file():
            counts = read_json(summary)["counts"]
            counted = Images(*(counts[split]["images"] for split in Images._fields))
        found[name] = stated.get(name, counted)
    if unknown := [name for name, counted in found.items() if counted is None]:
        raise InputError(
            f"nobody has counted the images of {', '.join(unknown)} yet "
            f"({results}/<dataset>/records/summary.json). Give "
            f"--images {unknown[0]}=TRAIN,VAL,TEST, or sample them: snakemake records."
        )
    return found


def measured(results: Path) -> tuple[dict[str, float], list[str]]:
    """Median images a second by image network over finished runs that trained every weight, and
    what they were.

    A network that none of them trained gets the median of all.
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
    every = median(rate for found in rates.values() for rate in found)
    said = [f"{n} {median(found):g} ({len(found)} runs)" for n, found in rates.items()]
    return {n: median(rates.get(n, [every])) for n in WIDTHS}, [
        *said,
        f"measured in {results} on {', '.join(sorted(devices))}",
    ]
