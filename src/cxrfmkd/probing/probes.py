"""Linear probes: new heads on the kept features of a frozen network, all seeds trained together.

Two protocols (docs/probes.md). `converged`: standardised features, an L2 penalty per finding chosen
on validation data, the optimum itself, which is one for all seeds unless each draws the training
patients anew. `thesis`: raw features, Adam at a constant rate, best of 20 epochs on validation
data; the seed draws initial weights and order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from cxrfmkd.networks.devices import pick_device
from cxrfmkd.probing.converged import StandardisedInputs, converged_heads
from cxrfmkd.probing.heads import LabelledInputs, TrainedHead
from cxrfmkd.probing.thesis import thesis_heads
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.statistics.draws import multinomial_counts
from cxrfmkd.study.settings import Probe

# Elements of one (rows x regressions) matrix; more seeds than fit are solved one group after the
# other.
ELEMENTS = 2**26

# Elements of the training features up to which one thread is faster than two.
SMALL = 2**22


def train_heads(
    train: LabelledInputs,
    val: LabelledInputs,
    seeds: Sequence[int],
    settings: Probe,
    device: str | torch.device = "auto",
    dtype: torch.dtype = torch.float32,
) -> list[TrainedHead]:
    """One head per seed, by the protocol of `settings`.

    A finding of which the training data show one class only gets weight 0 and the log-odds of its
    smoothed prior, (positives + 1/2) / (n + 1), as bias; it is listed in `notes["constant"]`.
    """
    if not len(train.inputs):
        raise InputError("the training records are empty: no head can be trained on them.")
    if np.isnan(val.targets).all():
        raise InputError(
            f"the {len(val.targets)} validation records have no known label: no head can be chosen "
            "on them."
        )
    device = pick_device(str(device))
    with _threads(train.inputs.size):
        if settings.protocol == "thesis":
            return thesis_heads(train, val, seeds, settings, device, dtype)
        data = StandardisedInputs(train, val, device, dtype)
        if not settings.bootstrap:
            once = np.ones((len(train.targets), 1), np.float32)
            [trained] = converged_heads(data, once, seeds[:1], settings.l2)
            return [replace(trained, seed=seed) for seed in seeds]
        counts = patient_counts(train.patients, seeds)
        size = max(1, ELEMENTS // (train.targets.size * len(settings.l2)))
        groups = [slice(start, start + size) for start in range(0, len(seeds), size)]
        return [
            trained
            for group in groups
            for trained in converged_heads(data, counts[:, group], seeds[group], settings.l2)
        ]


@contextmanager
def _threads(elements: int) -> Iterator[None]:
    """One thread for a small problem: several would wait for each other longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if elements > SMALL else 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def patient_counts(patients: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """How often each row counts when its patients are drawn with replacement: (n, seeds) float32.

    As many patients are drawn as there are; all rows of a patient count alike. The draw depends on
    the set of patients and the seed, not on the order of rows.
    """
    distinct, of_row = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    draws = [multinomial_counts(len(distinct), 1, seed)[0] for seed in seeds]
    return np.stack(draws, 1)[of_row].astype(np.float32)
