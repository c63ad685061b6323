"""Write a synthetic site's raw files in MIMIC-CXR's layout, and the truth planted in them."""

from pathlib import Path

from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_json
from cxrfmkd.synthetic import mimic
from cxrfmkd.synthetic.site import synthesize


def main() -> None:
    args = parse(__doc__, out=Path, truth=Path, workers=(int, 2))
    write_json(args.truth, synthesize(mimic.write, args.out, args.spec, args.workers))


if __name__ == "__main__":
    run(main)
