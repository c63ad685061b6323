"""Who is in the study: images by attribute and split."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cxrfmkd.statistics.suppression import suppressed
from cxrfmkd.vocabulary.findings import FINDINGS

TOTALS = {"images": "images", "patients": "patients", "studies": "studies", "age": "mean_age"}
ATTRIBUTES = ("sex", "race", "view", "age_bin", "disease")


def cohort(summaries: Sequence[dict], minimum_cell: int) -> pd.DataFrame:
    """Images by dataset, attribute, level and split, from the datasets' `summary.json`.

    Counts that rest on fewer than `minimum_cell` patients are blank, and with a single one the
    count of the level with the next fewest patients, since it would follow from the total;
    `suppressed` names the splits.
    """
    rows: list[dict] = []
    for summary in summaries:
        splits = summary["counts"]
        about = {"dataset": summary["dataset"]}
        rows += [
            about
            | {"attribute": name, "level": "mean" if name == "age" else "all"}
            | {split: counts[key] for split, counts in splits.items()}
            for name, key in TOTALS.items()
        ]
        for attribute in (*ATTRIBUTES, *FINDINGS):
            images = {split: _levels(counts, attribute) for split, counts in splits.items()}
            patients = {
                split: _levels(counts["patients_by"], attribute) for split, counts in splits.items()
            }
            levels = _by_level(images, patients, minimum_cell)
            rows += [about | {"attribute": attribute} | row for row in levels]
    columns = ["dataset", "attribute", "level", "train", "val", "test", "suppressed"]
    return pd.DataFrame(rows).reindex(columns=columns).fillna({"suppressed": ""})


def _levels(counts: dict, attribute: str) -> dict[str, int]:
    return counts["findings"][attribute] if attribute in FINDINGS else counts.get(attribute, {})


def _by_level(
    images: dict[str, dict[str, int]], patients: dict[str, dict[str, int]], minimum_cell: int
) -> list[dict]:
    """A row per level of one attribute; images, patients: by split, then by level."""
    levels = list(dict.fromkeys(level for counts in images.values() for level in counts))
    shown, people = (
        pd.DataFrame(counts).reindex(levels).fillna(0).astype(float)
        for counts in (images, patients)
    )
    hidden = pd.DataFrame(
        {split: suppressed(people[split].to_numpy(), minimum_cell) for split in people}, levels
    )
    return [
        {"level": level, "suppressed": ", ".join(hidden.columns[hidden.loc[level]])}
        | shown.mask(hidden).loc[level].to_dict()
        for level in levels
    ]
