"""The thesis's way of training a student, to compare ours with: its network and its feeding.

Each image is a JPEG and a `.dat` file, read and augmented one by one by worker processes, and
copied to three channels; the network is torchvision's, in fp32 and NCHW, its input 0-255. Source:
thesis method, sections 1.2, 2.1 and 3.4.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.transforms import Compose, RandomAffine, RandomApply, RandomHorizontalFlip

from cxrfmkd.networks.architectures import ARCHITECTURES, classifier_of, stem_of
from cxrfmkd.networks.network import Network
from cxrfmkd.training.augmentation import CHANCE, DEGREES, SCALES


class ThesisStudent(nn.Module):
    """torchvision's network for three channels with the weights of `ours`, a student.

    Images (n, 3, h, w), float of 0-255 -> embeddings (n, d).
    """

    def __init__(self, ours: Network) -> None:
        super().__init__()
        if ours.projection is None:
            raise ValueError("a network without a projection is no student")
        self.model = ARCHITECTURES[ours.architecture]()
        stem, classifier = stem_of(self.model), classifier_of(self.model)
        layer = nn.Linear(ours.projection.in_features, ours.projection.out_features)
        self.model.set_submodule(classifier, layer)
        state = {f"{classifier}.{k}": v for k, v in ours.projection.state_dict().items()}
        state |= ours.backbone.state_dict()
        state[f"{stem}.weight"] = (ours.stem.detach() / 3).expand(-1, 3, -1, -1)
        self.model.load_state_dict(state)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings of three-channel images."""
        return self.model(images)


def write_one_by_one(folder: Path, images: np.ndarray, vectors: np.ndarray) -> None:
    """Write images, uint8 (n, h, w), and vectors, float32 (n, d), as the thesis kept them."""
    for i, (pixels, vector) in enumerate(zip(images, vectors, strict=True)):
        Image.fromarray(pixels).save(folder / f"image{i}.jpg", quality=95)
        vector.tofile(folder / f"image{i}.dat")


class OneByOne(Dataset):
    """What `write_one_by_one` wrote: {cxr: float32 (3, h, w), embedding: float32 (d,)} each."""

    def __init__(self, folder: Path, n: int, augment: bool) -> None:
        affine = RandomAffine(DEGREES, scale=SCALES)
        moved = [RandomHorizontalFlip(CHANCE), RandomApply([affine], CHANCE)]
        self.folder, self.n = folder, n
        self.augment = Compose(moved if augment else [])

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        pixels = np.asarray(Image.open(self.folder / f"image{i}.jpg")).astype(np.float32)
        vector = np.fromfile(self.folder / f"image{i}.dat", dtype=np.float32)
        image = self.augment(torch.from_numpy(pixels)[None]).repeat(3, 1, 1)
        return {"cxr": image, "embedding": torch.from_numpy(vector)}
