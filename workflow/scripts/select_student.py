"""Select the seed of a student: one dataset, one loss."""

from pathlib import Path

from cxrfmkd.assessment.selection import STUDENT_RULES, select_seed
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_json


def main() -> None:
    args = parse(__doc__, runs=[Path], out=Path)
    on, family = args.spec["select_on"], {"loss": args.spec["loss"]}
    write_json(args.out, select_seed(args.runs, args.out, on, STUDENT_RULES[on], family))


if __name__ == "__main__":
    run(main)
