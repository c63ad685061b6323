"""Select the seed of a classifier: one dataset, one model."""

from pathlib import Path

from cxrfmkd.assessment.selection import MODEL_RULE, select_seed
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_json


def main() -> None:
    args = parse(__doc__, runs=[Path], out=Path)
    family = {"model": args.spec["model"]}
    write_json(args.out, select_seed(args.runs, args.out, "val", MODEL_RULE, family))


if __name__ == "__main__":
    run(main)
