"""How large a backbone is and how fast: numbers, operations, images a second on a CPU."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from cxrfmkd.networks.network import Network

COLUMNS = ["backbone", "parameters", "gflops", "images_per_second"]


def measure_sizes(
    backbones: Sequence[str], side: int, dimension: int, seconds: float = 2.0
) -> pd.DataFrame:
    """A row a backbone with COLUMNS, for images of `side` pixels, one at a time.

    parameters: of backbone and projection to `dimension`. gflops: billions of floating-point
    operations of one image, a multiplication and an addition counted as two. images_per_second: of
    this process on the CPU, the median over `seconds` after a first image.
    """
    rows = []
    for name in backbones:
        network = Network(name, dimension).eval()
        image = torch.zeros(1, side, side, dtype=torch.uint8)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(image)
        counts = network.parameter_counts()["total"], counter.get_total_flops() / 1e9
        rows.append((name, *counts, _rate(network, image, seconds)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _rate(network: Network, image: torch.Tensor, seconds: float) -> float:
    times: list[float] = []
    end = time.perf_counter() + seconds
    with torch.inference_mode():
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            network(image)
            times.append(time.perf_counter() - start)
    return 1 / float(pd.Series(times).median())
