"""The thesis's logged results beside ours."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pandas as pd

from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.metrics import METRICS

RUN = ["dataset", "source", "strategy", "model", "loss"]
COLUMNS = [
    *RUN,
    "finding",
    "metric",
    "ours",
    "ours_sd",
    "thesis",
    "thesis_sd",
    "difference",
    "z",
    "outside",
]
REST = "Mean of the other 12"
APART = ("No Finding", "Pleural Effusion")
# Differences of more standard deviations over seeds than this are called outside.
LIMIT = 2.0


def thesis_results() -> pd.DataFrame:
    """One row per run family, finding and metric: `thesis`, `thesis_sd` (data/README.md says where they are from)."""
    with (files("cxrfmkd") / "data" / "thesis_results.csv").open() as file:
        wide = pd.read_csv(
            file, keep_default_na=False, na_values={name: [""] for name in _numbers()}
        )
    parts = [
        wide[[*RUN, "finding"]].assign(
            metric=metric, thesis=wide[f"{metric}_mean"], thesis_sd=wide[f"{metric}_sd"]
        )
        for metric in METRICS
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[table.thesis.notna()]


def _numbers() -> list[str]:
    return [f"{metric}_{kind}" for metric in METRICS for kind in ("mean", "sd")]


def against_thesis(summary: pd.DataFrame) -> pd.DataFrame:
    """Every result of the thesis that `summary` has on a resampled test set, with the difference.

    summary: as summary.csv, of any datasets; those not called chexpert or mimic have nothing to
    compare. Columns as in
    COLUMNS: z is the difference over the root of both variances over seeds, blank where one is
    unknown or both are 0;
    `outside` is whether it exceeds LIMIT.
    """
    ours = summary[summary.population == "resampled"]
    ours = ours.assign(loss=ours.loss.astype(object).fillna(""))
    ours = ours[[*RUN, "finding", "metric", "mean", "sd"]].rename(
        columns={"mean": "ours", "sd": "ours_sd"}
    )
    rest = ours[ours.finding.isin([name for name in FINDINGS if name not in APART])]
    rest = rest.groupby([*RUN, "metric"], sort=False).ours.agg(
        lambda means: means.mean(skipna=False)
    )
    rest = rest.reset_index().assign(finding=REST, ours_sd=np.nan)
    table = pd.concat([ours, rest]).merge(thesis_results(), on=[*RUN, "finding", "metric"])
    table["difference"] = table.ours - table.thesis
    joint = np.sqrt(table.ours_sd**2 + table.thesis_sd**2)
    table["z"] = table.difference / joint.where(joint > 0)
    table["outside"] = (table.z.abs() > LIMIT).astype(object).where(table.z.notna())
    return table[COLUMNS].reset_index(drop=True)
