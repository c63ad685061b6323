"""Select the loss whose student reproduces the teacher best, on validation records."""

from pathlib import Path

from cxrfmkd.assessment.selection import select_loss
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_json


def main() -> None:
    args = parse(__doc__, qualities=[Path], selections=[Path], out=Path)
    rule = args.spec.get("rule", "probe_auc")
    write_json(args.out, select_loss(args.qualities, args.selections, args.out, rule))


if __name__ == "__main__":
    run(main)
