"""Measure how large and how fast the backbones of a study's students are."""

from pathlib import Path

from cxrfmkd.networks.sizes import measure_sizes
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_table


def main() -> None:
    args = parse(__doc__, out=Path)
    spec = args.spec
    write_table(args.out, measure_sizes(spec["backbones"], spec["size"], spec["dimension"]))


if __name__ == "__main__":
    run(main)
