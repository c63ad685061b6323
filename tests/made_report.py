"""A small study with its tables and figures drawn, ready for its report."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import made_results
import yaml
from locations import ROOT

from cxrfmkd.figures.drawing import draw_figure, save_figure
from cxrfmkd.report.data import ReportData
from cxrfmkd.runtime.files import write_table

THESIS = yaml.safe_load((ROOT / "config/thesis.yaml").read_text())
# A few figures stand for all: drawing each one is what test_figures is for.
FEW = (
    "chexpert/flow",
    "chexpert/performance",
    "chexpert/pca",
    "chexpert-to-mimic/transfer",
    "study/performance-vs-bias",
    "study/against-thesis",
)


def study(
    root: Path, few: Sequence[str] | None = FEW, synthetic: bool = False, **kind
) -> ReportData:
    """A small study with its results and figures, its tables made by the script.

    few: the figures that are drawn; None for all.
    """
    made_results.write(root, **kind)
    shape = made_results.shape(**kind)
    command = [sys.executable, ROOT / "workflow/scripts/make_tables.py"]
    command += [
        "--spec",
        json.dumps({"minimum_cell": 10, "uncertain": "zeros"}),
        "--out-dir",
        root / "tables",
    ]
    inputs = made_results.as_arguments(made_results.below(root, shape.tables()))
    subprocess.run([*command, *inputs], check=True)
    figures = []
    for name, files in shape.catalogue().items():
        if few is None or name in few:
            spec = {"minimum_cell": 10, "uncertain": "zeros", "method": "weights"}
            figure, numbers = draw_figure(name, spec, made_results.below(root, files))
            figures.append(root / "figures" / f"{name}.svg")
            save_figure(figure, figures[-1], figures[-1].with_suffix(".png"))
            write_table(figures[-1].with_suffix(".csv"), numbers)
    return ReportData(
        **made_results.report_spec(synthetic=synthetic, **kind),
        files=made_results.below(root, shape.report()),
        figures=figures,
        thesis=THESIS,
    )
