"""A few records that satisfy every rule, for tests to break."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.datasets.records import complete
from cxrfmkd.vocabulary.findings import FINDINGS


def made(n: int = 6, **columns) -> pd.DataFrame:
    """N records of three patients, one in each split."""
    frame = pd.DataFrame(
        {
            "image_id": [f"p{i % 3}/s{i}/view1" for i in range(n)],
            "patient_id": [f"00{i % 3}" for i in range(n)],
            "study_id": [f"s{i}" for i in range(n)],
            "path": [f"p{i % 3}/s{i}/view1.jpg" for i in range(n)],
            "sex": "Female",
            "age": 50.0,
            "race": "White",
            "view": "PA",
            **dict.fromkeys(FINDINGS, np.nan),
            "split": [("train", "val", "test")[i % 3] for i in range(n)],
            "ethnicity": "Not Hispanic",
        }
    )
    return complete(frame.assign(**columns))
