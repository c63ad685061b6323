"""The thesis's logged results beside ours."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pandas as pd

from cxrfmkd.tables.selecting import where
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.metrics import METRICS
from cxrfmkd.vocabulary.models import RUN_FAMILY

KEYS = [*RUN_FAMILY, "finding", "metric"]
COLUMNS = [*KEYS, *"ours ours_sd thesis thesis_sd difference z outside".split()]
REST = "Mean of the other 12"
APART = ("No Finding", "Pleural Effusion")
# Differences of more standard errors than this are called outside.
LIMIT = 2.0
THESIS_SEEDS = 5  # 41 to 45 in every family


def thesis_results() -> pd.DataFrame:
    """Means of the thesis: a row per run family, finding and metric; columns `thesis`, `thesis_sd`.

    data/README.md says where they are from.
    """
    with (files("cxrfmkd") / "data" / "thesis_results.csv").open() as file:
        table = pd.read_csv(file, dtype=dict.fromkeys(RUN_FAMILY, "str")).fillna({"loss": ""})
    tables = [
        table.rename(columns={f"{metric}_mean": "thesis", f"{metric}_sd": "thesis_sd"})
        .assign(metric=metric)
        .reindex(columns=[*KEYS, "thesis", "thesis_sd"])
        for metric in METRICS
    ]
    return pd.concat(tables, ignore_index=True).dropna(subset="thesis")


def against_thesis(summary: pd.DataFrame) -> pd.DataFrame:
    """Every result of the thesis that `summary` has on a resampled test set, with the difference.

    summary: as summary.csv, of any datasets; those not called chexpert or mimic have nothing to
    compare. Columns as in COLUMNS: z is the difference of the two means over its standard error,
    from both variances over seeds and both numbers of seeds, blank where one is unknown or both
    variances are 0; `outside` is whether it exceeds LIMIT.
    """
    ours = where(summary, population="resampled").rename(columns={"mean": "ours", "sd": "ours_sd"})
    ours = ours.assign(loss=ours.loss.astype(object).fillna(""))
    ours = ours[[*KEYS, "ours", "ours_sd", "n_seeds"]]
    rest = where(ours, finding=[name for name in FINDINGS if name not in APART])
    rest = rest.groupby([*RUN_FAMILY, "metric"], sort=False).ours.agg(
        lambda ours: ours.mean(skipna=False)
    )
    rest = rest.reset_index().assign(finding=REST, ours_sd=np.nan)
    table = pd.concat([ours, rest]).merge(thesis_results(), on=KEYS)
    table["difference"] = table.ours - table.thesis
    error = np.sqrt(table.ours_sd**2 / table.n_seeds + table.thesis_sd**2 / THESIS_SEEDS)
    table["z"] = table.difference / error.where(error > 0)
    table["outside"] = (table.z.abs() > LIMIT).astype(object).where(table.z.notna())
    return table[COLUMNS].reset_index(drop=True)
