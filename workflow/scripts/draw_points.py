"""Draw the images of a dataset where its embeddings lie: a row-level picture, for its folder."""

from pathlib import Path

from cxrfmkd.figures.drawing import points_figure, save_png
from cxrfmkd.runtime.arguments import parse, run


def main() -> None:
    args = parse(__doc__, inputs={"NAME": Path}, out=Path)
    save_png(points_figure(args.spec["figure"], args.spec, args.inputs), args.out)


if __name__ == "__main__":
    run(main)
