"""Put the bias analyses of one dataset's models side by side, one row a model."""

from pathlib import Path

from cxrfmkd.bias.summary import TABLES, combine
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_table


def main() -> None:
    args = parse(__doc__, **{name: [Path] for name in TABLES}, out=Path)
    paths = {name: getattr(args, name) for name in TABLES}
    write_table(args.out, combine(paths, args.spec["models"]))


if __name__ == "__main__":
    run(main)
