"""Train new heads on a transfer's target: linear probes, every seed of one model."""

from cxrfmkd.probing.runs import ARGUMENTS, train_runs
from cxrfmkd.runtime.arguments import parse, run


def main() -> None:
    args = parse(__doc__, **ARGUMENTS)
    tables = {"train": args.train, "val": args.val, "test": args.test}
    train_runs(args.spec, args.features, args.projection, tables, args.runs)


if __name__ == "__main__":
    run(main)
