"""Select the loss whose student reproduces the teacher best, on validation records."""

from pathlib import Path

from cxrfmkd.assessment.selection import select_loss
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_json


def main() -> None:
    args = parse(__doc__, quality=[Path], out=Path)
    write_json(args.out, select_loss(args.quality, args.out, args.spec.get("rule", "probe_auc")))


if __name__ == "__main__":
    run(main)
