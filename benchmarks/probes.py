"""Linear probes: the thesis's way (the network runs over every image in every epoch) and ours.

Both see the same slice of images, a thousandth of CheXpert's sizes. The thesis's way is run for one
epoch of one seed and multiplied by 20 epochs and 5 seeds, plus one prediction of the test part a
seed; ours is run whole: features once, then 5 seeds x 20 epochs of heads. Frozen batch norm and no
augmentation on both sides, so that the heads must agree. The second row compares converged heads
with scikit-learn, one regression after the other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from cxrfmkd.networks.devices import pick_device
from cxrfmkd.networks.network import Network
from cxrfmkd.probing.heads import LabelledInputs
from cxrfmkd.probing.probes import patient_counts, train_heads
from cxrfmkd.study.settings import Probe

SIZES = {"train": 76, "val": 13, "test": 38}
SEEDS = [41, 42, 43, 44, 45]
EPOCHS = 20
L2 = [1e-4, 1e-3, 1e-2, 1e-1]


def run() -> list[dict]:
    device = pick_device()
    return [family(device), converged(device)]


def family(device: torch.device) -> dict:
    """All seeds of one probe on images."""
    network = Network("densenet169").to(device).eval().requires_grad_(False)
    random = np.random.default_rng(0)
    images = {
        name: torch.as_tensor(random.integers(0, 256, (n, 224, 224), np.uint8))
        for name, n in SIZES.items()
    }
    targets = {name: (random.random((n, 14)) < 0.3).astype("f4") for name, n in SIZES.items()}
    extract(network, images["val"], device)  # warm up

    plain, epoch = timed(lambda: one_epoch(network, images, targets, SEEDS[0], device), device)
    _, test = timed(lambda: extract(network, images["test"], device), device)
    baseline = len(SEEDS) * (EPOCHS * epoch + test)

    def heads(epochs: int, features: dict) -> list:
        samples = [
            LabelledInputs(features[name], targets[name], np.arange(len(targets[name])))
            for name in ("train", "val")
        ]
        return train_heads(*samples, SEEDS, Probe(protocol="thesis", epochs=epochs), device)

    def all_seeds() -> dict:
        features = {
            name: extract(network, images_of_part, device).cpu().numpy()
            for name, images_of_part in images.items()
        }
        for trained in heads(EPOCHS, features):
            trained.head(features["test"])
        return features

    features, ours = timed(all_seeds, device)
    np.testing.assert_allclose(heads(1, features)[0].head.weight, plain, atol=1e-4)
    return row(
        f"linear probe on images, {len(SEEDS)} seeds", baseline, ours, 50, SIZES["train"], device
    )


def one_epoch(network, images, targets, seed, device) -> np.ndarray:
    """The thesis's loop: network and head on every batch, then on the validation part."""
    torch.manual_seed(seed)
    head = torch.nn.Linear(network.width, 14).to(device)
    adam = torch.optim.Adam(head.parameters(), lr=1e-3)
    train_targets = torch.as_tensor(targets["train"]).to(device)
    order = torch.randperm(len(train_targets), generator=torch.Generator().manual_seed(seed))
    for batch in order.split(128):
        logits = head(network(images["train"][batch].to(device)))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, train_targets[batch.to(device)]
        )
        adam.zero_grad()
        loss.backward()
        adam.step()
    head(extract(network, images["val"], device))
    return head.weight.detach().cpu().numpy()


@torch.no_grad()
def extract(network, images: torch.Tensor, device) -> torch.Tensor:
    return torch.cat([network(batch.to(device)) for batch in images.split(128)])


def converged(device: torch.device, n: int = 1500, width: int = 200) -> dict:
    """14 findings x 4 penalties x 5 seeds to their optimum on kept features."""
    random = np.random.default_rng(1)
    inputs = random.normal(size=(n, width)) @ random.normal(size=(width, width)) / width**0.5
    scores = inputs @ random.normal(size=(width, 14)) * 0.3 - 1
    targets = (scores + random.logistic(size=scores.shape) > 0).astype("f4")
    sample = LabelledInputs(inputs.astype("f4"), targets, np.arange(n))
    heads, ours = timed(
        lambda: train_heads(sample, sample, SEEDS, Probe(l2=L2, bootstrap=True), device), device
    )
    scaled = (sample.inputs - sample.inputs.mean(0)) / sample.inputs.std(0)
    counts = patient_counts(sample.patients, SEEDS)

    def one_by_one() -> dict:
        return {
            (s, l2, k): LogisticRegression(C=1 / (l2 * n), tol=1e-6, max_iter=2000)
            .fit(scaled, targets[:, k], counts[:, s])
            .decision_function(scaled)
            for s in range(len(SEEDS))
            for l2 in L2
            for k in range(14)
        }

    plain, baseline = timed(one_by_one, device)
    for s, trained in enumerate(heads):
        logits = trained.head(sample.inputs)
        for k, l2 in enumerate(trained.notes["l2"].values()):
            np.testing.assert_allclose(logits[:, k], plain[s, l2, k], atol=0.02)
    return row(f"converged heads, {len(plain)} regressions", baseline, ours, 10, n, device)


def timed(work: Callable, device: torch.device) -> tuple:
    """What `work` returns, and its seconds."""
    start = time.perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - start


def row(name: str, baseline: float, ours: float, goal: float, n: int, device) -> dict:
    return {
        "name": name,
        "baseline_s": baseline,
        "ours_s": ours,
        "ratio": baseline / ours,
        "goal": goal,
        "n": n,
        "device": str(device),
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
