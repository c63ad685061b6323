"""Choose the loss whose student keeps most of the teacher, on validation records."""

from pathlib import Path

from cxrfmkd.arguments import parse, run
from cxrfmkd.files import write_json
from cxrfmkd.training.selection import select_loss


def main() -> None:
    args = parse(__doc__, quality=[Path], out=Path)
    write_json(args.out, select_loss(args.quality, args.out, args.spec.get("rule", "probe_auc")))


if __name__ == "__main__":
    run(main)
