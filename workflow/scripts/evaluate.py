"""Evaluate classifiers on one dataset: metrics, differences, thresholds, calibration, groups."""

from pathlib import Path

import pandas as pd

from cxrfmkd.datasets.exclusions import excluded_of_each
from cxrfmkd.datasets.records import read_records
from cxrfmkd.datasets.resampled import read_weights
from cxrfmkd.evaluation.analysis import evaluate
from cxrfmkd.evaluation.columns import TABLE_COLUMNS
from cxrfmkd.evaluation.runs import runs_of
from cxrfmkd.evaluation.user_metrics import registered
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.files import read_json, write_table
from cxrfmkd.study.settings import Evaluation, Findings, Labels
from cxrfmkd.vocabulary.attributes import declared

PATHS = ("predictions", "source_predictions", "source_val", "selected")


def main() -> None:
    args = parse(
        __doc__,
        resampled=read_weights,
        **dict.fromkeys(("val", "test"), read_records),
        **{name: [KeyedArray.open] for name in ("images", "teacher")},
        **{name: [Path] for name in PATHS},
        **dict.fromkeys(TABLE_COLUMNS, Path),
    )
    spec, files = args.spec, (args.predictions, args.source_predictions)
    runs, sources = runs_of(spec["dataset"], spec["runs"], *files)
    val = {path.parts[-3]: read_records(path) for path in args.source_val}  # <dataset>/records/
    val = {name: val[name] for name in sources}
    measured = val | {spec["dataset"]: pd.concat([args.val, args.test])}
    records = args.val, args.test, args.resampled
    settings = Evaluation.from_spec(spec["evaluation"]), Labels.from_spec(spec["labels"])
    excluded = excluded_of_each(measured, args.images, args.teacher)
    selected = {path.parent.name: read_json(path)["seed"] for path in args.selected}
    about, metrics = (spec["dataset"], runs), registered(spec.get("metrics", []))
    of_study = declared(spec), Findings.of_spec(spec)
    tables = evaluate(
        *about, *records, *settings, val, excluded, selected, *of_study, metrics=metrics
    )
    for name, table in tables.items():
        write_table(getattr(args, name), table)


if __name__ == "__main__":
    run(main)
