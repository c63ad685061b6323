"""Raw layouts that can be read, splits of every dataset, and ways of resampling the test set."""

from typing import Literal, get_args

AdapterName = Literal["chexpert", "mimic-cxr", "nih-cxr14", "table", "biomedia"]
ADAPTERS: tuple[str, ...] = get_args(AdapterName)

# How the resampled test set is made.
ResamplingMethod = Literal["draws", "weights", "none"]

SPLITS = ("train", "val", "test")
