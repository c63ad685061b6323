"""Students and classifiers: a backbone, perhaps the distillation's projection, perhaps a head.

    student = load_student("results/chexpert/students/mse/selected.json")
    with torch.no_grad():
        embeddings = student(images)  # (n, 224, 224) uint8 -> (n, 1376)

Source: thesis method, sections 1.2 and 2.1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from cxrfmkd.networks.architectures import (
    ARCHITECTURES,
    empty,
    initial_weights,
    one_channel_backbone,
)
from cxrfmkd.networks.projections import (
    chosen_teacher,
    projection_alone,
    split_projection,
    teachers_in,
)
from cxrfmkd.networks.timm_networks import fixed_side
from cxrfmkd.networks.weights import (
    check_header,
    findings_of_head,
    findings_of_outputs,
    reading_weights,
    rule_of,
    selected_weights,
    write_weights,
)
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.vocabulary.backbones import FIXED_SIZES

# Mean over the three channels of ImageNet's mean and standard deviation.
GREY_MEAN, GREY_SD = 0.449, 0.226

INPUTS = ("normalised", "raw")


class Network(nn.Module):
    """Images in, logits out, or embeddings where there is no head.

    backbone: a name in `ARCHITECTURES`; its weights are torchvision's random ones until others are
    loaded. projection: outputs of a linear layer on the pooled features; None for no such layer.
    outputs: logits of a linear head on top; None for no head. input: `normalised` scales 0-255 to
    ImageNet's grey mean and deviation, `raw` leaves it as it is.
    All of it computes in the type of its weights, float32 unless it is cast.
    """

    def __init__(
        self,
        backbone: str,
        projection: int | None = None,
        outputs: int | None = None,
        input: str = "normalised",
    ) -> None:
        super().__init__()
        if backbone not in ARCHITECTURES or input not in INPUTS:
            raise InputError(
                f"there is no network {backbone!r} with {input!r} input; networks are "
                f"{some(ARCHITECTURES)}, inputs {some(INPUTS)}."
            )
        self.architecture, self.input = backbone, input
        self.backbone, self._stem, self.width = one_channel_backbone(backbone)
        self._side = FIXED_SIZES.get(backbone) or fixed_side(self.backbone)
        self.projection = nn.Linear(self.width, projection) if projection else None
        self.head = nn.Linear(projection or self.width, outputs) if outputs else None
        self.findings = findings_of_outputs(outputs)  # of the head's outputs
        self._backbone_in_eval = False
        # Of a student of several teachers, in training: name -> facts, of which `dimension` says
        # how many of the projection's outputs are that teacher's. `save` takes them apart.
        self.teachers: dict[str, dict] = {}

    @property
    def stem(self) -> Tensor:
        """Weights of the first convolution, (filters, 1, h, w)."""
        return cast(nn.Conv2d, self.backbone.get_submodule(self._stem)).weight

    def forward(self, images: Tensor) -> Tensor:
        """images: (n, h, w) or (n, 1, h, w), uint8 or float of 0-255 -> (n, outputs)."""
        return self.classify(self.embed(images))

    def embed(self, images: Tensor) -> Tensor:
        """What the head gets, (n, d): the projection's output, or the features without one."""
        return self._apply_exactly(self.projection, self.features(images))

    def classify(self, embedded: Tensor) -> Tensor:
        """The head's logits of what `embed` returned; that itself where there is no head."""
        return self._apply_exactly(self.head, embedded)

    def features(self, images: Tensor) -> Tensor:
        """The backbone's pooled output, (n, width)."""
        images = images.unsqueeze(1) if images.ndim == 3 else images
        if images.ndim != 4 or images.shape[1] != 1:
            raise ValueError(f"images must be (n, h, w) or (n, 1, h, w), not {tuple(images.shape)}")
        dtype = self.stem.dtype
        images = images.to(dtype)
        if self.input == "normalised":
            images = (images / 255 - GREY_MEAN) / GREY_SD
        if self._side and images.shape[-2:] != (self._side, self._side):
            # A transformer's position embeddings, and ImageNet's for it, are of one size.
            images = nn.functional.interpolate(
                images, (self._side, self._side), mode="bilinear", antialias=True
            )
        return self.backbone(images).to(dtype)

    @staticmethod
    def _apply_exactly(layer: nn.Linear | None, inputs: Tensor) -> Tensor:
        """`layer`, if any, without autocast: bf16 would round more than a student errs."""
        if layer is None:
            return inputs
        with torch.autocast(inputs.device.type, enabled=False):
            return layer(inputs)

    def with_head(self, findings: Sequence[str] | int, keep_projection: bool = True) -> Network:
        """Put a new random head on its projection or, dropping that, on its features.

        findings: of the head's outputs, or their number.
        """
        self.findings = (
            findings_of_outputs(findings) if isinstance(findings, int) else tuple(findings)
        )
        outputs = findings if isinstance(findings, int) else len(findings)
        if not keep_projection:
            self.projection = None
        inputs = self.width if self.projection is None else self.projection.out_features
        self.head = nn.Linear(inputs, outputs)
        return self

    def freeze(self, batch_norm: str = "frozen") -> Network:
        """Leave the head alone trainable.

        batch_norm: `frozen` keeps the backbone in eval mode; `drifting` lets it follow `train`, in
        which batch norm updates its running statistics with every batch, as in the thesis.
        """
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith("head."))
        self._backbone_in_eval = batch_norm == "frozen"
        return self

    def train(self, mode: bool = True) -> Network:
        """Training or eval mode; a frozen backbone stays in eval mode."""
        super().train(mode)
        if self._backbone_in_eval:
            self.backbone.eval()
        return self

    def to_device(self, device: torch.device) -> Network:
        """Move it to a device, in the memory layout in which convolutions are quickest."""
        # torch's stubs know no memory_format.
        return self.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def parameter_groups(self, learning_rate: float) -> list[dict]:
        """Trainable parameters for an Adam that moves the stem as three copied channels would move.

        Each of three equal channels gets the sum's gradient and, under Adam, the same step; their
        sum therefore moves three steps.
        """
        stem = self.stem
        others = [p for p in self.parameters() if p.requires_grad and p is not stem]
        groups: list[dict] = [{"params": others, "lr": learning_rate}]
        if stem.requires_grad:
            groups.append({"params": [stem], "lr": 3 * learning_rate})
        return groups

    def parameter_counts(self) -> dict[str, int]:
        """How many numbers are trained, and how many there are."""
        return {
            "trainable": sum(p.numel() for p in self.parameters() if p.requires_grad),
            "total": sum(p.numel() for p in self.parameters()),
        }

    def identity(self) -> str:
        """Hash of every number in it, of what is trained and of its mode of input."""
        trained = [p.requires_grad for p in self.parameters()]
        digest = hashlib.sha256(str([self.input, self._backbone_in_eval, trained]).encode())
        for name, value in self.state_dict().items():
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: str | Path, about: dict[str, str] | None = None) -> None:
        """Write safetensors; the header says how to build the network, and `about`."""
        header = {"architecture": self.architecture, "input": self.input}
        for name, layer in [("projection", self.projection), ("outputs", self.head)]:
            header[name] = str(layer.out_features if layer else 0)
        if self.findings:
            header["findings"] = json.dumps(self.findings)
        state = {k: value.detach().cpu().contiguous() for k, value in self.state_dict().items()}
        if self.teachers:
            state, of_teachers = split_projection(state, self.teachers)
            header |= of_teachers
        write_weights(path, save(state, header | (about or {})))


def load(
    path: str | Path, expected: Mapping[str, object] | None = None, teacher: str = ""
) -> Network:
    """The network that `Network.save` wrote, in eval mode on the CPU.

    path: its safetensors file, or a `selected.json` that names one. expected: what its header must
    say where it says it, such as {"input": "raw"}. teacher: of a student of several, the one whose
    embedding it shall give, by its name in the configuration or its own; empty for the first.
    Raises InputError for another one, and for numbers that are not finite.
    """
    path = selected_weights(path)
    header = _header(path)
    if header.get("architecture") not in ARCHITECTURES:
        raise InputError(
            f"{path}: its header names no image network that we know (architecture: "
            f"{header.get('architecture')}). It was not written by this package, holds a head "
            "alone, or is of a backbone in a file of yours: cxrfmkd.plugins.load([file]) makes it "
            "known."
        )
    check_header(path, header, expected or {})
    name = chosen_teacher(path, header, teacher)
    with reading_weights(path):
        state = projection_alone(load_file(path), name)
        width = teachers_in(header)[name]["dimension"] if name else header["projection"]
        layers = int(width), int(header["outputs"])
        with empty(header["architecture"]):
            network = Network(header["architecture"], *layers, header["input"])
        network.load_state_dict(state, assign=True)
    if network.head is not None:
        network.findings = findings_of_head(path, header, network.head.out_features)
    if broken := [k for k, value in network.state_dict().items() if not value.isfinite().all()]:
        raise InputError(
            f"{path}: {len(broken)} of its tensors are not finite ({some(broken, 3)}). Delete it, "
            f"and Snakemake runs {rule_of(path)} again."
        )
    return network.eval()


def holds_network(path: str | Path) -> bool:
    """Whether weights (or those of a `selected.json`) are a whole network's, not a head's alone."""
    return _header(selected_weights(path)).get("architecture", "linear") != "linear"


def _header(path: Path) -> dict[str, str]:
    with reading_weights(path), safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def load_student(
    path: str | Path,
    device: str = "cpu",
    expected: Mapping[str, object] | None = None,
    teacher: str = "",
) -> Network:
    """A distilled student: images (n, h, w) of 0-255 in, embeddings (n, dimension) out.

    path: `weights.safetensors` of a student, or the `selected.json` of its loss. expected, teacher:
    as in `load`.
    """
    network = load(path, expected, teacher)
    if network.projection is None or network.head is not None:
        raise InputError(
            f"{path}: these are weights of a classifier, not of a student. Students lie below "
            "students/."
        )
    return network.to(device)


def teachers_of(path: str | Path) -> dict[str, dict]:
    """Each teacher of a student of several: name -> its `dimension`, `name`, `variant`, `licence`.

    In the order of the configuration; empty for every other network. path: as of `load_student`.
    """
    return teachers_in(_header(selected_weights(path)))


def create(
    backbone: str,
    weights: str,
    projection: int | None,
    findings: Sequence[str] | int | None,
    input: str,
) -> Network:
    """A new network. weights: `none` for random ones, else see `initial_weights`.

    findings: of a classifier's head. Its linear layers start from random weights.
    """
    if weights == "none":
        network = Network(backbone, projection, None, input)
        return network.with_head(findings) if findings else network
    state = initial_weights(backbone, weights)
    with empty(backbone):
        network = Network(backbone, None, None, input)
    missing, unexpected = network.backbone.load_state_dict(state, strict=False, assign=True)
    absent = [name for name in missing if not name.endswith("num_batches_tracked")]
    if absent or unexpected:
        raise InputError(
            f"network.weights: the weights for {backbone} in {weights} do not fit it: "
            f"{len(absent)} are missing ({some(absent, 3)}), {len(unexpected)} are unknown "
            f"({some(unexpected, 3)})."
        )
    for name in missing:
        layer, _, buffer = name.rpartition(".")
        setattr(network.backbone.get_submodule(layer), buffer, torch.tensor(0))
    if projection:
        network.projection = nn.Linear(network.width, projection)
    return network.with_head(findings) if findings else network


def frozen_backbone(backbone: str, weights: str, input: str) -> Network:
    """The backbone of a probe without a student; random weights are the same for every seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return create(backbone, weights, None, None, input)
