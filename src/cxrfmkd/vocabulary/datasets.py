"""Raw layouts that can be read, splits of every dataset, and ways of resampling the test set."""

from typing import Literal

ADAPTERS = ("chexpert", "mimic-cxr", "nih-cxr14", "table", "biomedia")

# Of these, a program mined the labels from reports.
MINED = ("chexpert", "mimic-cxr", "nih-cxr14", "biomedia")

# How the resampled test set is made.
ResamplingMethod = Literal["draws", "weights", "none"]

SPLITS = ("train", "val", "test")

POOL = "pool"  # in place of an adapter: the dataset is several others as one
SITE = "site"  # the attribute of a pool that names the member
LEFT_OUT = "without-"  # begins the name of the pool that leaves one dataset out
