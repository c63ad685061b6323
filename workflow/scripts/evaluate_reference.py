"""Hold models, and the labels of a dataset, to what experts say of some of its test images."""

from pathlib import Path

import pandas as pd

from cxrfmkd.datasets.exclusions import excluded_images
from cxrfmkd.datasets.records import read_records
from cxrfmkd.datasets.reference import read_experts
from cxrfmkd.evaluation.columns import REFERENCE_COLUMNS
from cxrfmkd.evaluation.reference import evaluate_reference
from cxrfmkd.evaluation.runs import runs_of
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.files import write_table
from cxrfmkd.study.settings import Evaluation, Findings, Labels, Reference
from cxrfmkd.vocabulary.attributes import declared


def main() -> None:
    args = parse(
        __doc__,
        **dict.fromkeys(("val", "test"), read_records),
        images=KeyedArray.open,
        teacher=[KeyedArray.open],
        predictions=[Path],
        **dict.fromkeys((name.removeprefix("reference_") for name in REFERENCE_COLUMNS), Path),
    )
    spec, records = args.spec, pd.concat([args.val, args.test])
    tables = evaluate_reference(
        spec["dataset"],
        runs_of(spec["dataset"], spec["runs"], args.predictions, [])[0],
        args.val,
        args.test,
        read_experts(spec["dataset"], Reference.from_spec(spec["reference"]), args.test),
        Evaluation.from_spec(spec["evaluation"]),
        Labels.from_spec(spec["labels"]),
        excluded_images(records, args.images, *args.teacher),
        declared(spec),
        Findings.of_spec(spec),
    )
    for name, table in tables.items():
        write_table(getattr(args, name.removeprefix("reference_")), table)


if __name__ == "__main__":
    run(main)
