"""Linear layers in numpy, and the numbers of an image that a head gets.

Needs numpy alone, so that a transfer in which nothing is trained costs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxrfmkd.networks.weights import (
    check_header,
    findings_of_head,
    reading_weights,
    rule_of,
    selected_weights,
    write_weights,
)
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.seals import sha256


@dataclass(frozen=True)
class Linear:
    """y = x @ weight.T + bias. weight: (outputs, inputs) float32; bias: (outputs,) float32.

    findings: of a head, what each output is of; empty where that is not known.
    """

    weight: np.ndarray
    bias: np.ndarray
    findings: tuple[str, ...] = ()

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """inputs: (n, inputs) -> (n, outputs) float32."""
        return np.asarray(inputs, np.float32) @ self.weight.T + self.bias

    @classmethod
    def load(
        cls, path: str | Path, layer: str = "head", expected: Mapping[str, object] | None = None
    ) -> Linear:
        """The layer `head` or `projection` of weights, or of those that a `selected.json` names.

        expected: what its header must say where it says it, such as {"model": …, "seed": …}. Raises
        InputError for another one, and for numbers that are not finite.
        """
        from safetensors import safe_open

        path = selected_weights(path)
        with reading_weights(path), safe_open(path, framework="np") as file:
            names = (f"{layer}.weight", f"{layer}.bias")
            if absent := [name for name in names if name not in file.keys()]:  # noqa: SIM118
                raise InputError(
                    f"{path}: it has no {' and no '.join(absent)}, only {some(file.keys())}. "
                    f"Name weights of a model that has a {layer}."
                )
            header = file.metadata() or {}
            check_header(path, header, expected or {})
            weight, bias = (file.get_tensor(name).astype(np.float32) for name in names)
            if bad := sum(int((~np.isfinite(numbers)).sum()) for numbers in (weight, bias)):
                raise InputError(
                    f"{path}: {bad} numbers of its {layer} are not finite. Delete it, and "
                    f"Snakemake runs {rule_of(path)} again."
                )
            findings = findings_of_head(path, header, len(weight)) if layer == "head" else ()
            return cls(weight, bias, findings)

    def of(self, findings: Sequence[str], source: str | Path) -> Linear:
        """The head's outputs for those of `findings` that it knows, in their order.

        source: whose head it is, for the InputError where it knows none of them, or in another
        order: all heads and records of a study have its findings in one order.
        """
        shared = tuple(name for name in findings if name in self.findings)
        if not shared:
            raise InputError(
                f"{source}: this head tells {some(self.findings)}, of which the images' dataset "
                f"has none; it has {some(findings)}. Leave the pair out of transfer.pairs, or "
                "direct out of transfer.strategies."
            )
        if shared != tuple(name for name in self.findings if name in shared):
            raise InputError(
                f"{source}: the rows of this head are {some(self.findings)}, in another order than "
                f"the findings of the records, {some(findings)}. It was altered, or is of another "
                "study. Delete it, and Snakemake makes it again."
            )
        rows = [self.findings.index(name) for name in shared]
        return Linear(self.weight[rows], self.bias[rows], shared)

    def save(self, path: str | Path, about: dict[str, str] | None = None) -> None:
        """Write it as the layer `head` of a safetensors file, whose header says `about`."""
        from safetensors.numpy import save

        layers = {"head.weight": self.weight, "head.bias": self.bias}
        layers = {name: np.ascontiguousarray(value, np.float32) for name, value in layers.items()}
        header = {"findings": json.dumps(self.findings)} if self.findings else {}
        header |= about or {}
        write_weights(path, save(layers, header))


def projection_of(
    features: KeyedArray, weights: Path | None, layer: str = "projection"
) -> Linear | None:
    """The projection of the student whose `features` these are; None where no weights are given.

    layer: its name among the weights (see `projections.layer_of`). Raises InputError where the
    features were extracted with other weights.
    """
    if weights is None:
        return None
    path = selected_weights(weights)
    projection = Linear.load(path, layer)
    if (told := features.meta.get("weights")) and told != sha256(path):
        raise InputError(
            f"{features.name}: these features were not extracted with {path}. Delete them, and "
            f"Snakemake runs {rule_of(Path(features.name, 'meta.json'))} again."
        )
    return projection


@dataclass(frozen=True)
class HeadInput:
    """What a head gets of an image: kept features, perhaps through a student's projection."""

    features: KeyedArray
    projection: Linear | None = None

    def __post_init__(self) -> None:
        width = self.features.data.shape[1]
        if self.projection is not None and self.projection.weight.shape[1] != width:
            raise InputError(
                f"{self.features.name}: it has {width} features an image, the projection takes "
                f"{self.projection.weight.shape[1]}. Name the features of the student whose "
                "projection it is."
            )

    @property
    def width(self) -> int:
        """Numbers that a head gets of an image."""
        layer = self.projection
        return self.features.data.shape[1] if layer is None else len(layer.weight)

    def take(self, image_ids: Sequence[str]) -> np.ndarray:
        """(n, width) float32, by key; InputError for an absent image or a non-finite number."""
        rows = self.features.take(image_ids)
        finite = np.isfinite(rows).all(1)
        if not finite.all():
            broken = self.features.rows(image_ids)[~finite]
            raise InputError(
                f"{self.features.name}: {len(broken)} images have features that are not finite "
                f"(rows {some(broken)} of its data.npy). Make it again."
            )
        rows = np.asarray(rows, np.float32)
        return rows if self.projection is None else self.projection(rows)
