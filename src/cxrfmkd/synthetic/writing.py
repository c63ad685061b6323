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
    study_key = ["patient", "study"]
    studies = rows.drop_duplicates(study_key).set_index(study_key)
    shape = len(PRESENTABLE), 2
    draws = np.stack([stream("labels", truth, seed, *key).random(shape) for key in studies.index])
    present = studies[list(PRESENTABLE)].to_numpy() > 0
    nothing = studies[list(PATHOLOGIES)].eq(0).all(axis=1).to_numpy()
    uncertain = (draws[..., 0] < np.where(present, *truth.uncertain)) & ~nothing[:, None]
    mentioned = draws[..., 1] < truth.mentioned
    found = present & ~_missed(studies, truth, seed)
    values = np.select([uncertain, found, mentioned], [-1.0, 1.0, 0.0], np.nan)
    table = pd.DataFrame(values, studies.index, PRESENTABLE)
    table["No Finding"] = np.where(nothing, 1.0, np.nan)
    return rows[study_key].join(table, on=study_key)[list(FINDINGS)]


def _missed(studies: pd.DataFrame, truth: Truth, seed: int) -> np.ndarray:
    """Which findings the labeller overlooks where they are present, bool (studies, findings)."""
    chance = np.zeros((len(studies), len(PRESENTABLE)))
    for finding, groups in truth.missed.items():
        for attribute in ("sex", "race"):
            of_group = studies[attribute].map(groups).fillna(0.0).to_numpy(float)
            both = 1 - (1 - chance[:, PRESENTABLE.index(finding)]) * (1 - of_group)
            chance[:, PRESENTABLE.index(finding)] = both
    if not chance.any():
        return chance > 0
    drawn = [stream("missed", truth, seed, *key).random(len(PRESENTABLE)) for key in studies.index]
    return np.stack(drawn) < chance


def readings(rows: pd.DataFrame, truth: Truth, seed: int) -> pd.DataFrame:
    """What every expert says of every image of `rows`, 1 or 0: a row for each, with `reader`."""
    present = rows[list(PRESENTABLE)].to_numpy() > 0
    rng, tables = stream("readers", truth, seed), []
    for reader in range(truth.readers):
        said = present ^ (rng.random(present.shape) < truth.misread)
        table = pd.DataFrame(said, rows.index, PRESENTABLE).astype(int)
        table["No Finding"] = 1 - table[list(PATHOLOGIES)].max(axis=1)
        table.insert(0, "reader", f"reader {reader + 1}")
        tables.append(table[["reader", *FINDINGS]])
    return pd.concat(tables) if tables else pd.DataFrame(columns=["reader", *FINDINGS])


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
