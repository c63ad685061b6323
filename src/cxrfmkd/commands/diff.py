"""What differs between two finished studies: their settings and their results, beyond noise or not.

Takes the results folders of both. Settings are those that the runs recorded, of runs that both
studies have; results are the averages over findings in `evaluation/*/summary.csv`. A difference is
beyond noise where it exceeds what the two intervals allow if the studies were independent: on the
same test patients it is a cautious judgement, since what both have in common does not cancel.

    cxrfmkd diff results/nih results/nih-no-flip
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from cxrfmkd.commands.options import output_file
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_json, write_table
from cxrfmkd.study.settings import Evaluation
from cxrfmkd.tables.gathering import read_results
from cxrfmkd.tables.selecting import where
from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.models import RUN_FAMILY

KEYS = [*RUN_FAMILY, "population", "metric"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("studies", nargs=2, type=Path, metavar="STUDY", help="a results folder")
    parser.add_argument(
        "--out", type=output_file, help="also write the results' differences as CSV"
    )
    default = Evaluation().confidence
    parser.add_argument(
        "--confidence",
        type=float,
        default=default,
        help=f"of the intervals, as in evaluation.confidence (default {default})",
    )


def main(args: argparse.Namespace) -> None:
    """Print what differs."""
    if not 0.5 <= args.confidence <= 0.999:
        raise InputError(f"--confidence {args.confidence:g}: give a share from 0.5 to 0.999.")
    settings = setting_differences(*(settings_of(folder) for folder in args.studies))
    print(f"Settings of runs that both have: {len(settings) or 'none'} differ")
    for name, (first, second) in settings.items():
        print(f"  {name}: {first} -> {second}")
    first, second = (summaries(folder) for folder in args.studies)
    table = result_differences(first, second, args.confidence)
    beyond = table[table.beyond_noise]
    print(f"Results that both have: {len(table)}, of which {len(beyond)} differ beyond noise")
    for row in beyond.itertuples():
        name = ", ".join(
            value for value in (row.dataset, row.strategy, row.model, row.loss) if value
        )
        print(
            f"  {name}, {row.population}, {row.metric}: {row.first:.3f} -> {row.second:.3f} "
            f"({row.difference:+.3f}, noise {row.noise:.3f})"
        )
    if args.out:
        write_table(args.out, table, sealed=False)


def summaries(folder: Path) -> pd.DataFrame:
    """The averages over all findings of a study's evaluations."""
    files = sorted(folder.glob("evaluation/*/summary.csv"))
    if not files:
        raise InputError(
            f"{folder}: no evaluation/*/summary.csv lies there. Name the results folder of a "
            "finished study, such as results or results/demo."
        )
    return where(read_results(files), finding=MACRO)


def result_differences(
    first: pd.DataFrame, second: pd.DataFrame, confidence: float
) -> pd.DataFrame:
    """A row per result that both have: first, second, difference, noise, beyond_noise.

    noise: half the width that an interval of the difference of independent studies has, from their
    own intervals as those of normal estimates.
    """
    columns = [*KEYS, "mean", "low", "high"]
    table = first[columns].merge(second[columns], on=KEYS, suffixes=("_1", "_2"))
    deviations = [(table[f"high_{i}"] - table[f"low_{i}"]) / 2 for i in (1, 2)]
    noise = np.hypot(*deviations)
    difference = table.mean_2 - table.mean_1
    z = stats.norm.ppf((1 + confidence) / 2)
    p = 2 * stats.norm.sf(np.abs(difference) / (noise / z))
    return table[KEYS].assign(
        first=table.mean_1,
        second=table.mean_2,
        difference=difference,
        noise=noise,
        p=p,
        beyond_noise=difference.abs() > noise,
    )


def settings_of(folder: Path) -> dict[str, dict[str, object]]:
    """What each run of a study recorded of its settings, flat, by the folder of the run."""
    return {
        path.parent.relative_to(folder).as_posix(): dict(_flat(read_json(path).get("spec", {})))
        for path in sorted(folder.glob("**/run.json"))
    }


def _flat(settings: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def setting_differences(
    first: dict[str, dict[str, object]], second: dict[str, dict[str, object]]
) -> dict[str, tuple[object, object]]:
    """Settings with another value in the second study, of the first run that shows it."""
    differences: dict[str, tuple[object, object]] = {}
    for run in (run for run in first if run in second):
        names = [*first[run], *(name for name in second[run] if name not in first[run])]
        for name in names:
            values = first[run].get(name, "not set"), second[run].get(name, "not set")
            if values[0] != values[1]:
                differences.setdefault(name, values)
    return dict(sorted(differences.items()))
