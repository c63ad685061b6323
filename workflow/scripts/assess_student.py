"""Measure how well the students of a loss reproduce their teacher, beside controls."""

from pathlib import Path

from cxrfmkd.assessment.controls import assess
from cxrfmkd.datasets.records import read_records
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.files import write_json


def main() -> None:
    args = parse(
        __doc__,
        features=[KeyedArray.open],
        weights=[Path],
        control_features=KeyedArray.open,
        teacher=KeyedArray.open,
        teachers=[KeyedArray.open],
        train=read_records,
        val=read_records,
        out=Path,
    )
    arrays = args.features, args.weights, args.control_features, args.teacher
    write_json(args.out, assess(args.spec, *arrays, args.train, args.val, args.teachers))


if __name__ == "__main__":
    run(main)
