"""The raw layouts that can be read, and the splits of every dataset."""

from typing import Literal, get_args

AdapterName = Literal["chexpert", "mimic-cxr", "nih-cxr14", "table", "biomedia"]
ADAPTERS: tuple[str, ...] = get_args(AdapterName)

SPLITS = ("train", "val", "test")
