"""Compare the thesis's logged results with ours."""

from pathlib import Path

import pandas as pd

from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import read_table, write_table
from cxrfmkd.tables.against_thesis import against_thesis
from cxrfmkd.tables.spreadsheets import inert


def main() -> None:
    args = parse(__doc__, summary=[Path], out=Path)
    summary = pd.concat([read_table(path) for path in args.summary], ignore_index=True)
    write_table(args.out, inert(against_thesis(summary)))


if __name__ == "__main__":
    run(main)
