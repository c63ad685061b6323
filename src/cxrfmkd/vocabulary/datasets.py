"""The raw layouts that can be read."""

from typing import Literal, get_args

AdapterName = Literal["chexpert", "mimic-cxr", "nih-cxr14", "table", "biomedia"]
ADAPTERS: tuple[str, ...] = get_args(AdapterName)
