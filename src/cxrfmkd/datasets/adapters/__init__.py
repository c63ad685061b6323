"""Adapters: each reads one dataset's raw layout into records.

A new one is a module with `NEEDED` and `OPTIONAL` (names of its raw tables) and `read(raw) ->
Reading`, and a line in `ADAPTERS`. See docs/data.md.
"""

from __future__ import annotations

from cxrfmkd.datasets.adapters import biomedia, chexpert, mimic, nih, table
from cxrfmkd.datasets.raw import Raw, Reading
from cxrfmkd.study.settings import Dataset

ADAPTERS = {
    "chexpert": chexpert,
    "mimic-cxr": mimic,
    "nih-cxr14": nih,
    "table": table,
    "biomedia": biomedia,
}


def read(name: str, settings: Dataset) -> Reading:
    """Records of the dataset `name`, before the study's own selection and split.

    Raises InputError where a raw table is missing or is not what its adapter expects.
    """
    adapter = ADAPTERS[settings.adapter]
    raw = Raw(name, settings)
    raw.require(adapter.NEEDED, (*adapter.OPTIONAL, "exclude"))
    return adapter.read(raw)
