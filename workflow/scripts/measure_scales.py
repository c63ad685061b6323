"""Measure where a dataset's own MSE and cosine losses level off, to balance weighted losses."""

from pathlib import Path

from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_json
from cxrfmkd.training.scales import measure_scales


def main() -> None:
    args = parse(__doc__, mse=[Path], cosine=[Path], out=Path)
    write_json(args.out, measure_scales(args.mse, args.cosine))


if __name__ == "__main__":
    run(main)
