"""Evaluate classifiers on one dataset: metrics, differences, thresholds, calibration, groups."""

from pathlib import Path

import pandas as pd

from cxrfmkd.datasets.exclusions import excluded_images
from cxrfmkd.datasets.records import read_records
from cxrfmkd.datasets.resampled import read_weights
from cxrfmkd.evaluation.analysis import evaluate
from cxrfmkd.evaluation.columns import TABLE_COLUMNS
from cxrfmkd.evaluation.runs import runs_of
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.files import write_table
from cxrfmkd.study.settings import Evaluation


def main() -> None:
    args = parse(
        __doc__,
        predictions=[Path],
        val=read_records,
        test=read_records,
        resampled=read_weights,
        images=KeyedArray.open,
        teacher=KeyedArray.open,
        source_predictions=[Path],
        source_val=[Path],
        source_images=[KeyedArray.open],
        source_teacher=[KeyedArray.open],
        **dict.fromkeys(TABLE_COLUMNS, Path),
    )
    spec, files = args.spec, (args.predictions, args.source_predictions)
    runs, sources = runs_of(spec["dataset"], spec["runs"], *files)
    val = {path.parts[-3]: read_records(path) for path in args.source_val}  # <dataset>/records/
    images, teacher = (
        {Path(array.name).parent.name: array for array in arrays}  # <dataset>/images
        for arrays in (args.source_images, args.source_teacher)
    )
    own = pd.concat([args.val, args.test])
    excluded = {name: excluded_images(val[name], images[name], teacher[name]) for name in sources}
    excluded[spec["dataset"]] = excluded_images(own, args.images, args.teacher)
    tables = evaluate(
        spec["dataset"],
        runs,
        args.val,
        args.test,
        args.resampled,
        Evaluation.from_spec(spec["evaluation"]),
        spec["labels"]["uncertain"],
        {name: val[name] for name in sources},
        excluded,
    )
    for name, table in tables.items():
        write_table(getattr(args, name), table)


if __name__ == "__main__":
    run(main)
