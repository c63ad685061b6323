"""Put the bias analyses of one dataset's models side by side, and compare them in pairs."""

from pathlib import Path

from cxrfmkd.bias.differences import bias_differences
from cxrfmkd.bias.grouping import attributes_of_spec
from cxrfmkd.bias.summary import TABLES, combine
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_table


def main() -> None:
    tables = {name: [Path] for name in (*TABLES, "replicates")}
    args = parse(__doc__, **tables, out=Path, differences=Path)
    paths = {name: getattr(args, name) for name in TABLES}
    write_table(args.out, combine(paths, args.spec["models"], attributes_of_spec(args.spec)))
    margin, method = args.spec["margin"], args.spec["adjustment"]
    differences = bias_differences(args.replicates, args.spec["models"], margin, method)
    write_table(args.differences, differences)


if __name__ == "__main__":
    run(main)
