"""Draw one figure and save its numbers beside it."""

from pathlib import Path

from cxrfmkd.figures.drawing import make
from cxrfmkd.figures.style import save
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_table


def main() -> None:
    args = parse(__doc__, inputs={"NAME": Path}, svg=Path, png=Path, csv=Path)
    figure, data = make(args.spec["figure"], args.spec, args.inputs)
    save(figure, args.svg, args.png)
    write_table(args.csv, data)


if __name__ == "__main__":
    run(main)
