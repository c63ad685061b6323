"""What an exported image model expects of its input, as its `preprocessor_config.json` says it.

The file is Hugging Face's, which most published encoders bring; of its keys these count here:

    size            {"height": h, "width": w}, {"shortest_edge": s}, or one number for both
    crop_size       the same, with do_center_crop
    resample        Pillow's number: 2 bilinear, 3 bicubic
    rescale_factor  1/255 by default
    image_mean, image_std   one number a channel; their count is the number of channels, 1 or 3
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cxrfmkd.runtime.errors import InputError

FILE = "preprocessor_config.json"
# What this module does not do; a model that needs it belongs to `source: transformers`.
REFUSED = ("do_pad", "do_thumbnail", "do_align_long_axis", "do_reduce_labels")


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop, scale and standardise.

    size: (height, width), or one number for the shorter side; None leaves the image's own.
    crop: (height, width) of the centre, or None. mean, sd: one number a channel.
    """

    size: tuple[int, int] | int | None
    crop: tuple[int, int] | None
    resample: int
    factor: float
    mean: tuple[float, ...]
    sd: tuple[float, ...]

    def describe(self) -> dict:
        """All of it as JSON-serialisable values, for the provenance of embeddings."""
        return asdict(self)

    def __call__(self, image: Image.Image) -> np.ndarray:
        """image: greyscale, 8 bit -> (channels, height, width), float32."""
        image = image if len(self.mean) == 1 else image.convert("RGB")
        if self.size is not None:
            width, height = image.size
            if isinstance(self.size, int):
                scale = self.size / min(width, height)
                target = round(height * scale), round(width * scale)
            else:
                target = self.size
            image = image.resize(target[::-1], Image.Resampling(self.resample))
        if self.crop is not None:
            left, top = (image.width - self.crop[1]) // 2, (image.height - self.crop[0]) // 2
            image = image.crop((left, top, left + self.crop[1], top + self.crop[0]))
        pixels = np.asarray(image, np.float32)
        pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        mean, sd = (np.array(values, np.float32)[:, None, None] for values in (self.mean, self.sd))
        return (pixels * np.float32(self.factor) - mean) / sd


def read_preprocessing(path: Path) -> Preprocessing:
    """Read the file; raises InputError where it is absent, no such file, or asks for more."""
    if not path.is_file():
        raise InputError(
            f"{path}: there is no such file, so nothing says what the model expects of an image. "
            'Put it beside the model, for example {"size": 224, "image_mean": [0.5], "image_std": '
            "[0.5]}, or name it with teacher.preprocessing (docs/teacher.md)."
        )
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        mean, sd = (_numbers(config.get(key, 0.0)) for key in ("image_mean", "image_std"))
        if asked := [key for key in REFUSED if config.get(key)]:
            raise InputError(
                f"{path}: it asks for {', '.join(asked)}, which is not done here. Use `source: "
                "transformers` if the model is one of that library."
            )
        if not config.get("do_normalize", True):
            mean, sd = (0.0,) * len(mean), (1.0,) * len(mean)
        if len(mean) != len(sd) or len(mean) not in (1, 3) or not all(sd):
            raise ValueError("image_mean and image_std must have 1 or 3 numbers each, std not 0")
        crop = _size(config.get("crop_size")) if config.get("do_center_crop") else None
        return Preprocessing(
            size=_size(config.get("size")) if config.get("do_resize", True) else None,
            crop=(crop, crop) if isinstance(crop, int) else crop,
            resample=int(config.get("resample", 2)),
            factor=float(config.get("rescale_factor", 1 / 255))
            if config.get("do_rescale", True)
            else 1.0,
            mean=mean,
            sd=sd,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path}: it is no preprocessor_config.json that can be used ({error}). "
            "docs/teacher.md shows one."
        ) from None


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(float(v) for v in (value if isinstance(value, list) else [value]))


def _size(value: Any) -> tuple[int, int] | int | None:
    """(height, width), or the length of the shorter side."""
    if isinstance(value, dict):
        if "shortest_edge" in value:
            return int(value["shortest_edge"])
        return int(value["height"]), int(value["width"])
    if isinstance(value, list):
        return int(value[0]), int(value[1])
    return None if value is None else (int(value), int(value))
