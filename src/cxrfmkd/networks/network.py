"""Students and classifiers: an image network, perhaps the distillation's projection, perhaps a
14-way head.

    student = load_student("results/chexpert/students/mse/selected.json")
    with torch.no_grad():
        embeddings = student(images)  # (n, 224, 224) uint8 -> (n, 1376)

Source: thesis method, sections 1.2 and 2.1.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cxrfmkd.networks.architectures import ARCHITECTURES, initial_weights, one_channel_backbone
from cxrfmkd.networks.weights import selected_weights
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import atomic_write

# Mean over the three channels of ImageNet's mean and standard deviation.
GREY_MEAN, GREY_SD = 0.449, 0.226

INPUTS = ("normalised", "raw")


class Network(nn.Module):
    """Backbone, optional projection, optional head; images in, logits (or embeddings without a
    head) out.

    backbone: a name in `ARCHITECTURES`; its weights are torchvision's random ones until others are
    loaded.
    projection: outputs of a linear layer on the pooled features; None for no such layer.
    outputs: logits of a linear head on top; None for no head.
    input: `normalised` scales 0-255 to ImageNet's grey mean and deviation, `raw` leaves it as it
    is.
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
                f"{some(ARCHITECTURES)}, "
                f"inputs {some(INPUTS)}."
            )
        self.architecture, self.input = backbone, input
        self.backbone, self.width = one_channel_backbone(backbone)
        self.projection = nn.Linear(self.width, projection) if projection else None
        self.head = nn.Linear(projection or self.width, outputs) if outputs else None
        self._still = False

    def forward(self, images: Tensor) -> Tensor:
        """images: (n, h, w) or (n, 1, h, w), uint8 or float of 0-255 -> (n, outputs) float32."""
        return self.classify(self.embed(images))

    def embed(self, images: Tensor) -> Tensor:
        """What the head sees: the projection's output where there is one, else the pooled features; (n, d) float32."""
        features = self.features(images)
        return features if self.projection is None else self._exactly(self.projection, features)

    def classify(self, embedded: Tensor) -> Tensor:
        """The head's logits of what `embed` returned; that itself where there is no head."""
        return embedded if self.head is None else self._exactly(self.head, embedded)

    def features(self, images: Tensor) -> Tensor:
        """The backbone's pooled output, (n, width) float32."""
        images = images.unsqueeze(1) if images.ndim == 3 else images
        if images.ndim != 4 or images.shape[1] != 1:
            raise ValueError(f"images must be (n, h, w) or (n, 1, h, w), not {tuple(images.shape)}")
        images = images.float()
        if self.input == "normalised":
            images = (images / 255 - GREY_MEAN) / GREY_SD
        return self.backbone(images).float()

    @staticmethod
    def _exactly(layer: nn.Module, inputs: Tensor) -> Tensor:
        """`layer` in float32: its cost is nothing, and bf16 would round embeddings more than a student errs."""
        with torch.autocast(inputs.device.type, enabled=False):
            return layer(inputs.float())

    def with_head(self, outputs: int, keep_projection: bool = True) -> Network:
        """This network with a new random head, on its projection or (which is then dropped) on its features."""
        if not keep_projection:
            self.projection = None
        inputs = self.width if self.projection is None else self.projection.out_features
        self.head = nn.Linear(inputs, outputs)
        return self

    def freeze(self, batch_norm: str = "frozen") -> Network:
        """Leave the head alone trainable. `drifting` lets batch-norm statistics move all the same, as the thesis did."""
        self.requires_grad_(False)
        self.head.requires_grad_(True)
        self._still = batch_norm == "frozen"
        return self

    def train(self, mode: bool = True) -> Network:
        super().train(mode)
        if self._still:
            self.backbone.eval()
        return self

    def parameter_groups(self, rate: float) -> list[dict]:
        """Trainable parameters for an Adam that moves the one-channel stem as three copied channels
        would move.

        Each of three equal channels gets the sum's gradient and, under Adam, the same step; their
        sum therefore moves three steps.
        """
        stem = self.backbone.get_submodule(ARCHITECTURES[self.architecture].stem).weight
        rest = [p for p in self.parameters() if p.requires_grad and p is not stem]
        groups = [{"params": rest, "lr": rate}]
        return [*groups, {"params": [stem], "lr": 3 * rate}] if stem.requires_grad else groups

    def parameter_counts(self) -> dict[str, int]:
        """How many numbers are trained, and how many there are."""
        sizes = [(p.numel(), p.requires_grad) for p in self.parameters()]
        return {
            "trainable": sum(n for n, train in sizes if train),
            "total": sum(n for n, _ in sizes),
        }

    def identity(self) -> str:
        """Hash of every number in it, and of what is trained."""
        found = hashlib.sha256(str([p.requires_grad for p in self.parameters()]).encode())
        for name, value in self.state_dict().items():
            found.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def save(self, path: str | Path, about: dict[str, str] | None = None) -> None:
        """Write the weights as safetensors; the header says how to build the network, and `about`."""
        facts = {"architecture": self.architecture, "input": self.input}
        for name, layer in [("projection", self.projection), ("outputs", self.head)]:
            facts[name] = str(layer.out_features if layer else 0)
        state = {
            name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()
        }
        with atomic_write(path) as partial:
            save_file(state, partial, metadata=facts | (about or {}))


def load(path: str | Path) -> Network:
    """The network that `Network.save` wrote, in eval mode on the CPU.

    path: its safetensors file, or a `selected.json` that names one.
    """
    path = selected_weights(path)
    if not path.exists():
        raise InputError(f"{path}: there are no such weights. Train them first.")
    with safe_open(path, framework="pt") as file:
        facts = file.metadata() or {}
    if facts.get("architecture") not in ARCHITECTURES:
        raise InputError(
            f"{path}: its header names no image network that we know (architecture: "
            f"{facts.get('architecture')}). "
            "It was not written by this package, or holds a head alone."
        )
    with torch.device("meta"):
        network = Network(
            facts["architecture"], int(facts["projection"]), int(facts["outputs"]), facts["input"]
        )
    network.load_state_dict(load_file(path), assign=True)
    return network.eval()


def holds_network(path: str | Path) -> bool:
    """Whether a file of weights (or the one that a `selected.json` names) is a whole network, not a head alone."""
    with safe_open(selected_weights(path), framework="pt") as file:
        return (file.metadata() or {}).get("architecture") in ARCHITECTURES


def load_student(path: str | Path, device: str = "cpu") -> Network:
    """A distilled student: images (n, h, w) of 0-255 in, teacher-like embeddings (n, dimension)
    out.

    path: `weights.safetensors` of a student, or the `selected.json` of its loss.
    """
    network = load(path)
    if network.projection is None or network.head is not None:
        raise InputError(
            f"{path}: these are weights of a classifier, not of a student. Students lie below "
            "students/."
        )
    return network.to(device)


def create(
    backbone: str, weights: str, projection: int | None, outputs: int | None, input: str
) -> Network:
    """A new network whose backbone starts from `weights` (see `initial_weights`), its linear layers from random ones."""
    if weights == "none":
        return Network(backbone, projection, outputs, input)
    state = initial_weights(backbone, weights)
    with torch.device("meta"):
        network = Network(backbone, None, None, input)
    missing, unexpected = network.backbone.load_state_dict(state, strict=False, assign=True)
    absent = [name for name in missing if not name.endswith("num_batches_tracked")]
    if absent or unexpected:
        raise InputError(
            f"network.weights: the weights for {backbone} in {weights} do not fit it: "
            f"{len(absent)} are missing "
            f"({some(absent, 3)}), {len(unexpected)} are unknown ({some(unexpected, 3)})."
        )
    for name in missing:
        layer, _, buffer = name.rpartition(".")
        setattr(network.backbone.get_submodule(layer), buffer, torch.tensor(0))
    if projection:
        network.projection = nn.Linear(network.width, projection)
    return network.with_head(outputs) if outputs else network


def frozen_backbone(backbone: str, weights: str, input: str) -> Network:
    """What a probe looks through where it has no student: initial weights; if random, the same for every seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return create(backbone, weights, None, None, input)
