"""What compression costs: the size of students against performance and bias."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.figures.panels import PanelFigure, handle, log_ticks, model_handles, plane
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.tables.selecting import averaged, in_main_population, models_in, where
from cxrfmkd.vocabulary.metrics import METRIC_TITLES
from cxrfmkd.vocabulary.models import join_model, network_of
from cxrfmkd.vocabulary.titles import backbone_title, dataset_title

SIZES = {
    "parameters": "Parameters, million",
    "gflops": "GFLOPs an image",
    "images_per_second": "Images/s on a CPU",
}
MEASURES = {"performance": METRIC_TITLES["auc_roc"], "bias": "Bias score, lower is less biased"}
ESTIMATES = [f"{measure}{end}" for measure in MEASURES for end in ("", "_low", "_high")]
COLUMNS = ["dataset", "model", "loss", "backbone", *SIZES, *ESTIMATES]


def select_size(
    points: pd.DataFrame, sizes: pd.DataFrame, findings: Findings = THESIS
) -> pd.DataFrame:
    """Every model on a backbone that was measured, with mean AUC-ROC, bias score and size.

    parameters are in millions.
    """
    table = where(
        in_main_population(points), finding=findings.headline, metric="auc_roc", measure="score"
    )
    pairs = zip(table.model, table.loss, strict=True)
    table = table.assign(backbone=[network_of(join_model(*pair)) for pair in pairs])
    sizes = sizes.assign(parameters=sizes.parameters / 1e6)
    return table.merge(sizes, on="backbone")[COLUMNS]


def _draw_points(panel: Axes, table: pd.DataFrame, size: str, measure: str, markers: dict) -> None:
    for row in table.to_dict("records"):
        x, y = row[size], row[measure]
        colour = style.COLOURS[row["model"]]
        look = {"color": colour, "linewidth": 0.7, "alpha": 0.35, "zorder": 2}
        panel.plot([x, x], [row[f"{measure}_low"], row[f"{measure}_high"]], **look)
        shape = markers[row["backbone"]]
        face = style.face(row["model"])
        panel.scatter(x, y, 20, marker=shape, c=face, edgecolors=colour, lw=1.0, zorder=3)


def draw_size(table: pd.DataFrame, findings: Findings = THESIS) -> Figure:
    """A row a dataset and measure, a column a kind of size, a shape a backbone."""
    backbones = list(dict.fromkeys(table.sort_values("parameters").backbone))
    shapes = "osD^vP<>ph"
    markers = {name: shapes[i % len(shapes)] for i, name in enumerate(backbones)}
    rows = [(name, measure) for name in dict.fromkeys(table.dataset) for measure in MEASURES]
    figure = PanelFigure(len(rows) * len(SIZES), len(SIZES), (1.9, 1.45))
    for panels, (dataset, measure) in zip(figure.panels, rows, strict=True):
        for panel, (size, title) in zip(panels, SIZES.items(), strict=True):
            plane(panel)
            panel.set_xscale("log")
            log_ticks(panel.xaxis)
            panel.margins(x=0.12)
            panel.set_xlabel(title, loc="left", color=style.MUTED, size=6.8)
            _draw_points(panel, where(table, dataset=dataset), size, measure, markers)
        panels[0].set_title(MEASURES[measure], loc="left", pad=5)
        panels[0].set_ylabel(dataset_title(dataset), weight="bold", labelpad=8)
    handles = [
        handle(backbone_title(name), marker=markers[name], linestyle="none") for name in backbones
    ]
    figure.add_legend([*model_handles(models_in(table), linestyle="none"), *handles])
    return figure.finish(
        "What a smaller student costs",
        f"Mean of {averaged(findings)} and bias score by the size of the student’s "
        "network; bars: 95 % intervals",
    )
