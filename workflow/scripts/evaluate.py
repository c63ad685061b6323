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
        val=Path,
        test=Path,
        resampled=Path,
        arrays=[KeyedArray.open],
        source_predictions=[Path],
        source_val=[Path],
        **dict.fromkeys(TABLE_COLUMNS, Path),
    )
    spec = args.spec
    files = args.predictions, args.source_predictions
    runs, sources = runs_of(spec["dataset"], spec["runs"], *files)
    tables = evaluate(
        spec["dataset"],
        runs,
        present(read_records(args.val), *args.arrays),
        present(read_records(args.test), *args.arrays),
        read_weights(args.resampled),
        Evaluation.from_spec(spec["evaluation"]),
        spec["labels"]["uncertain"],
        {name: read_records(path) for name, path in zip(sources, args.source_val, strict=True)},
    )
    for name, table in tables.items():
        write_table(getattr(args, name), table)


if __name__ == "__main__":
    run(main)
