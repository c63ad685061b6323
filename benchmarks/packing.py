"""Image packing: the reference's way and ours, image by image on one core.

The reference decodes in full, resizes in floating point and writes JPEG again.

The reference resizes with scikit-image, which is not among our dependencies; its default `resize`
(order 1, anti-aliasing on since 0.15) is a Gaussian of standard deviation (factor - 1) / 2 and a
linear `scipy.ndimage.zoom`, and that is what runs here. Images have CheXpert's full size. Ours is
the whole of `pack`: decoding, hashes, shards, index and the joined array, in one process.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

from cxrfmkd.datasets.images import pack
from cxrfmkd.study.settings import Images
from cxrfmkd.synthetic.images import draw
from cxrfmkd.synthetic.population import population
from cxrfmkd.synthetic.truth import CHEXPERT
from cxrfmkd.synthetic.writing import exposure

IMAGES = 12
HEIGHT, WIDTH = 2320, 2828
SIZE = 224
# Mean difference between the two ways in grey levels of 255: filters differ, images do not.
CLOSE = 1.5


def run() -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        records = stored_images(root / "images")
        baseline, expected = settled(lambda: reference(root, records))
        seconds, packed = settled(lambda: ours(root, records))
    apart = np.abs(packed.astype(float) - expected).mean()
    assert apart < CLOSE, f"the two ways differ by {apart:.2f} grey levels"
    measured = {"baseline_s": baseline, "ours_s": seconds, "ratio": baseline / seconds}
    return [{"name": "image packing", **measured, "goal": 5, "n": IMAGES, "device": "cpu"}]


def stored_images(root: Path) -> pd.DataFrame:
    """Synthetic images, enlarged and grainy, as JPEG of quality 90."""
    root.mkdir()
    random = np.random.default_rng(0)
    paths = []
    for number, (_, shown) in enumerate(population(CHEXPERT, IMAGES, 0).head(IMAGES).iterrows()):
        small = Image.fromarray(draw(exposure(shown, 0), CHEXPERT))
        large = np.asarray(small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.float32)
        large += random.normal(0, 4, large.shape)
        paths.append(f"{number}.jpg")
        grainy = np.clip(large, 0, 255).astype(np.uint8)
        Image.fromarray(grainy).save(root / paths[-1], quality=90)
    return pd.DataFrame({"image_id": [path[:-4] for path in paths], "path": paths})


def ours(root: Path, records: pd.DataFrame) -> np.ndarray:
    packed = pack(
        records, Images(size=SIZE), root / "images", "x", root / "out", root / "shards", 1
    )
    return np.asarray(packed.data)


def reference(root: Path, records: pd.DataFrame) -> np.ndarray:
    """Each image read whole, resized in float64, cut to 8 bits and stored as JPEG."""
    stored = []
    for path in records.path:
        with Image.open(root / "images" / path) as image:
            pixels = np.asarray(image).astype(np.float64)
        factors = np.array(pixels.shape) / SIZE
        smooth = ndimage.gaussian_filter(pixels, (factors - 1) / 2, mode="mirror")
        small = ndimage.zoom(smooth, 1 / factors, order=1, mode="mirror", grid_mode=True)
        stored.append(np.clip(small, 0, 255).astype(np.uint8))
        Image.fromarray(stored[-1]).save(root / "small.jpg")
    return np.stack(stored)


def settled(work):
    """Seconds of the faster of two runs, and what it returned."""
    best = np.inf
    for _ in range(2):
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    return best, result


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
