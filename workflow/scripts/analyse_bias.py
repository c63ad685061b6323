"""Analyse the bias of one model's embeddings: tests, score, effect sizes, null and probes."""

from pathlib import Path

from cxrfmkd.bias.analysis import analyse, select_embeddings
from cxrfmkd.bias.grouping import attributes_of_spec
from cxrfmkd.datasets.exclusions import excluded_images, measured_images
from cxrfmkd.datasets.records import read_records
from cxrfmkd.datasets.resampled import read_weights
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.files import write_table
from cxrfmkd.study.settings import Bias

TABLES = "ks score effects null encoding replicates variance balance points".split()
ARGUMENTS = {"embeddings": [KeyedArray.open], "projection": [Path], "selected": (Path, None)}
ARGUMENTS |= {"images": KeyedArray.open, "teacher": [KeyedArray.open]}
ARGUMENTS |= dict.fromkeys(("val", "test", *TABLES), Path) | {"resampled": read_weights}


def main() -> None:
    args = parse(__doc__, **ARGUMENTS)
    settings = Bias.from_spec(args.spec["bias"])
    records = read_records(args.val, args.test)
    records = measured_images(records, excluded_images(records, args.images, *args.teacher))
    embeddings, seeds = select_embeddings(
        args.embeddings, args.projection, args.selected, settings, args.spec["seeds"]
    )
    tables = analyse(
        embeddings,
        args.teacher[0],
        records,
        args.resampled,
        settings,
        dataset=args.spec["dataset"],
        model=args.spec["model"],
        seeds=seeds,
        minimum_cell=args.spec["evaluation"]["minimum_cell"],
        uncertain=args.spec["uncertain"],
        attributes=attributes_of_spec(args.spec),
    )
    for name, table in tables.items():
        write_table(getattr(args, name), table)


if __name__ == "__main__":
    run(main)
