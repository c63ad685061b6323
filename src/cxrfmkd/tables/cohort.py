"""Who is in the study: images by attribute and split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from cxrfmkd.datasets.disclosure import Disclosure
from cxrfmkd.vocabulary.attributes import PRESETS, Attributes, declarations

TOTALS = {"images": "images", "patients": "patients", "studies": "studies", "age": "mean_age"}
ATTRIBUTES = ("sex", "race", "view", "age_bin", "disease")


def cohort(
    summaries: Sequence[dict],
    disclosed: Mapping[tuple[str, str], Disclosure],
    attributes: Attributes = PRESETS,
) -> pd.DataFrame:
    """Images by dataset, attribute, level and split, from the datasets' `summary.json`.

    disclosed: by dataset and split, which counts no table shows; these are blank, and `suppressed`
    names their splits. attributes: of the study.
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
        hidden = {split: disclosed[summary["dataset"], split] for split in splits}
        names = [one.name for one in declarations(attributes)]
        findings = dict.fromkeys(name for counts in splits.values() for name in counts["findings"])
        for attribute in dict.fromkeys((*ATTRIBUTES, *names, *findings)):
            key = f"label:{attribute}" if attribute in findings else attribute
            images = {split: _levels(counts, attribute) for split, counts in splits.items()}
            levels = _by_level(key, images, hidden)
            rows += [about | {"attribute": attribute} | row for row in levels]
    columns = ["dataset", "attribute", "level", "train", "val", "test", "suppressed"]
    return pd.DataFrame(rows).reindex(columns=columns).fillna({"suppressed": ""})


def _levels(counts: dict, attribute: str) -> dict[str, int]:
    of_finding = counts["findings"].get(attribute)
    return counts.get(attribute, {}) if of_finding is None else of_finding


def _by_level(
    key: str, images: Mapping[str, dict[str, int]], disclosed: Mapping[str, Disclosure]
) -> list[dict]:
    """A row per level of one attribute, `key` to `Disclosure`; images: by split, then level."""
    levels = list(dict.fromkeys(level for counts in images.values() for level in counts))
    shown = pd.DataFrame(images).reindex(levels).fillna(0).astype(float)
    hidden = pd.DataFrame(
        {split: [disclosed[split].hides({key: level}) for level in levels] for split in images},
        levels,
    )
    return [
        {"level": level, "suppressed": ", ".join(hidden.columns[hidden.loc[level]])}
        | shown.mask(hidden).loc[level].to_dict()
        for level in levels
    ]
