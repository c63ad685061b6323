"""What both sites' writers share: the image tree, the labeller, reproducible tables."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cxrfmkd.runtime.files import atomic_folder, atomic_write
from cxrfmkd.runtime.processes import parallel_map
from cxrfmkd.synthetic.images import Exposure, draw
from cxrfmkd.synthetic.population import PRESENTABLE, TRACES, stream
from cxrfmkd.synthetic.truth import PATHOLOGIES, Truth
from cxrfmkd.vocabulary.findings import FINDINGS


def exposure(row: pd.Series, seed: int) -> Exposure:
    """What the image of one row of the population shows."""
    findings = {name: float(row[name]) for name in PRESENTABLE}
    sex, age, *race = (float(row[name]) for name in TRACES)
    numbers = (int(row[name]) for name in ("patient", "study", "image"))
    return Exposure(row.view, findings, sex, age, (race[0], race[1]), seed, *numbers)


def write_images(
    root: Path, paths: Sequence[str], rows: pd.DataFrame, truth: Truth, seed: int, workers: int
) -> None:
    """Draw every row's image as JPEG at its path below `root`, whole or not at all."""
    jobs = [
        (path, exposure(row, seed)) for path, (_, row) in zip(paths, rows.iterrows(), strict=True)
    ]
    batches = [jobs[start : start + 16] for start in range(0, len(jobs), 16)]
    with atomic_folder(root) as folder:
        for _ in parallel_map(partial(_store, folder, truth), batches, workers):
            pass


def _store(folder: Path, truth: Truth, jobs: Sequence[tuple[str, Exposure]]) -> None:
    for path, shown in jobs:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(shown, truth)).save(target, quality=85)


def labels(rows: pd.DataFrame, truth: Truth, seed: int) -> pd.DataFrame:
    """Each image's 14 raw labels (1, 0, -1, blank) as a labeller would give them to its study.

    "No Finding" is 1 where no pathology is present, and blank otherwise; such a study has no
    uncertain label.
    """
    studies = rows.drop_duplicates(["patient", "study"])
    labelled = []
    for _, row in studies.iterrows():
        rng = stream("labels", truth, seed, int(row.patient), int(row.study))
        nothing = not any(row[name] > 0 for name in PATHOLOGIES)
        findings = {
            name: _label(row[name] > 0, nothing, truth, *rng.random(2)) for name in PRESENTABLE
        }
        labelled.append(findings | {"No Finding": 1.0 if nothing else np.nan})
    table = pd.DataFrame(labelled, pd.MultiIndex.from_frame(studies[["patient", "study"]]))
    return rows[["patient", "study"]].join(table, on=["patient", "study"])[list(FINDINGS)]


def _label(present: bool, nothing: bool, truth: Truth, unsure: float, mentioned: float) -> float:
    if not nothing and unsure < truth.uncertain[0 if present else 1]:
        return -1.0
    if present:
        return 1.0
    return 0.0 if mentioned < truth.mentioned else np.nan


def write_gz(path: Path, table: pd.DataFrame) -> None:
    """Write a gzipped CSV without a time or a name in its header."""
    content = gzip.compress(table.to_csv(index=False).encode(), mtime=0)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def write_xlsx(path: Path, table: pd.DataFrame) -> None:
    """Write a spreadsheet with the times of its making taken out."""
    raw = io.BytesIO()
    table.to_excel(raw, index=False, engine="openpyxl")
    with zipfile.ZipFile(raw) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    times = re.compile(rb">\d{4}-\d\d-\d\dT[^<]*<")
    with (
        atomic_write(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name, content in parts.items():
            content = times.sub(b">2000-01-01T00:00:00Z<", content)
            target.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), content)
