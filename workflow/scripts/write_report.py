"""Write the study's report: one page of HTML, and the checklists of reporting guidelines."""

from pathlib import Path

import yaml

from cxrfmkd.report.checklist import checklist
from cxrfmkd.report.data import ReportData
from cxrfmkd.report.page import page
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import atomic_write, write_table


def main() -> None:
    args = parse(
        __doc__, inputs={"NAME": Path}, figures=[Path], thesis=Path, out=Path, checklist=Path
    )
    args.spec.pop("assets", None)
    thesis = yaml.safe_load(args.thesis.read_text(encoding="utf-8"))
    data = ReportData(**args.spec, files=args.inputs, figures=args.figures, thesis=thesis)
    with atomic_write(args.out, sealed=True) as partial:
        partial.write_text(page(data, args.code), encoding="utf-8")
    write_table(args.checklist, checklist(data))


if __name__ == "__main__":
    run(main)
