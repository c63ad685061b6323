"""Evaluate classifiers on one dataset: metrics, differences, thresholds, calibration, groups."""

from pathlib import Path

from cxrfmkd.datasets.records import present, read_records
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
        arrays=[KeyedArray.open],
        source_predictions=[Path],
        source_val=[Path],
        **dict.fromkeys(TABLE_COLUMNS, Path),
    )
    spec, files = args.spec, (args.predictions, args.source_predictions)
    runs, sources = runs_of(spec["dataset"], spec["runs"], *files)
    source_val = {path.parts[-3]: path for path in args.source_val}  # <dataset>/records/val.csv
    tables = evaluate(
        spec["dataset"],
        runs,
        present(args.val, *args.arrays),
        present(args.test, *args.arrays),
        args.resampled,
        Evaluation.from_spec(spec["evaluation"]),
        spec["labels"]["uncertain"],
        {name: read_records(source_val[name]) for name in sources},
    )
    for name, table in tables.items():
        write_table(getattr(args, name), table)


if __name__ == "__main__":
    run(main)
