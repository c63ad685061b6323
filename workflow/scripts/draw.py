"""Draw one figure and save its numbers beside it."""

from pathlib import Path

from cxrfmkd.figures.drawing import draw_figure, save_figure
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_table
from cxrfmkd.tables.spreadsheets import inert


def main() -> None:
    args = parse(__doc__, inputs={"NAME": Path}, svg=Path, png=Path, csv=Path)
    figure, data = draw_figure(args.spec["figure"], args.spec, args.inputs)
    save_figure(figure, args.svg, args.png)
    write_table(args.csv, inert(data))


if __name__ == "__main__":
    run(main)
