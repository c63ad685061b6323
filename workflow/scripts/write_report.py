"""Write the study's report: one page of HTML that needs nothing but a browser."""

from pathlib import Path

import yaml

from cxrfmkd.report.page import write
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import atomic_write


def main() -> None:
    args = parse(__doc__, inputs={"NAME": Path}, figures=[Path], thesis=Path, out=Path)
    spec = args.spec
    thesis = yaml.safe_load(args.thesis.read_text())
    text = write(spec["settings"], args.inputs, args.figures, thesis, args.code)
    with atomic_write(args.out) as partial:
        partial.write_text(text)


if __name__ == "__main__":
    run(main)
