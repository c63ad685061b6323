"""Encoders of libraries of models: transformers, timm and open_clip.

Their preprocessing is the library's for that model. Weights are safetensors; a pickle is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import TeacherSource
from cxrfmkd.teacher.encoder import (
    Encoder,
    check_weights,
    files_fingerprint,
    library,
    only_path,
    pool_outputs,
    torch_device,
)


class Transformers(Encoder):
    """An image encoder of transformers: a local folder, or a name on the hub.

    Of a model of images and text, the image tower is used.
    """

    def __init__(self, settings: TeacherSource) -> None:
        library("transformers", "transformers")
        from transformers import AutoConfig, AutoImageProcessor, AutoModel

        self.name, self.pooling = str(only_path(settings)), settings.pooling
        folder = Path(self.name)
        if folder.is_dir():
            _check_folder(folder)
        elif not settings.on_hub:
            raise InputError(
                f"{self.name}: there is no such folder, nor is it a name on the hub such as "
                "microsoft/rad-dino. Correct teacher.path."
            )
        # Attention weights are given by the plain implementation alone.
        eager = {"attn_implementation": "eager"} if self.pooling == "attention" else {}
        try:
            config = AutoConfig.from_pretrained(self.name)
            self.processor = AutoImageProcessor.from_pretrained(self.name)
            model = AutoModel.from_pretrained(self.name, use_safetensors=True, **eager)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise InputError(
                f"{self.name}: transformers cannot load it ({str(error).splitlines()[0][:200]}). "
                "On a machine without internet access, fetch the folder elsewhere (hf download "
                "NAME --local-dir FOLDER: config.json, preprocessor_config.json, "
                "model.safetensors) and set teacher.path to it."
            ) from None
        self.device = torch_device(settings.device)
        self.model = getattr(model, "vision_model", model).eval().to(self.device)
        revision = getattr(config, "_commit_hash", None)
        self.identity = {
            "model": files_fingerprint(folder) if folder.is_dir() else f"{self.name}@{revision}",
            "preprocessing": _plain(self.processor.to_dict()),
            "transformers": metadata.version("transformers"),
        }

    def __call__(self, images: Sequence[Image.Image]) -> np.ndarray:
        """See Encoder."""
        import torch

        inputs = self.processor([image.convert("RGB") for image in images], return_tensors="pt")
        with torch.inference_mode():
            outputs = self.model(
                pixel_values=inputs["pixel_values"].to(self.device),
                **({"output_attentions": True} if self.pooling == "attention" else {}),
            )
        if self.pooling == "pooler":
            pooled = getattr(outputs, "pooler_output", None)
            if pooled is None:
                raise InputError(f"{self.name}: the model has no pooler. Use pooling mean or cls.")
            return pool_outputs(pooled.float().cpu().numpy(), "flatten")
        tokens = outputs.last_hidden_state.float().cpu().numpy()
        prefix = self._prefix(tokens)
        if self.pooling == "attention":
            return self._attended(tokens, outputs.attentions[-1].float().cpu().numpy(), prefix)
        return pool_outputs(tokens, self.pooling, prefix)

    def _prefix(self, tokens: np.ndarray) -> int:
        """How many tokens in front belong to no patch: the class token and registers."""
        if tokens.ndim != 3:
            return 0
        grid = self._patches()
        return tokens.shape[1] - grid if grid and tokens.shape[1] > grid else 0

    def _patches(self) -> int:
        """Patches of an image of the processor's size; 0 where the model has none."""
        patch = getattr(self.model.config, "patch_size", None)
        sizes = self.processor.to_dict()
        size = sizes.get("crop_size") if sizes.get("do_center_crop") else sizes.get("size")
        if not isinstance(patch, int) or not size:
            return 0
        sides = [size.get("height"), size.get("width")]
        sides = [size["shortest_edge"]] * 2 if None in sides else sides
        return (sides[0] // patch) * (sides[1] // patch)

    def _attended(self, tokens: np.ndarray, weights: np.ndarray, prefix: int) -> np.ndarray:
        """Patches averaged with the last layer's attention of the first token, all heads alike.

        tokens: (n, t, d). weights: (n, heads, t, t).
        """
        if not prefix:
            raise InputError(
                f"{self.name}: the model has no class token whose attention could weight its "
                "patches. Use pooling mean or pooler."
            )
        of_class = weights[:, :, 0, prefix:].mean(1, dtype=np.float64)
        of_class /= of_class.sum(1, keepdims=True)
        return np.einsum("nt,ntd->nd", of_class, tokens[:, prefix:]).astype(np.float32)


def _check_folder(folder: Path) -> None:
    """Raises InputError unless a folder has what transformers needs, its weights in safetensors."""
    for name in ("config.json", "preprocessor_config.json"):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder}: {name} is missing. Fetch the whole folder again (hf download NAME "
                "--local-dir FOLDER)."
            )
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        others = [file.name for file in folder.glob("pytorch_model*.bin")]
        raise InputError(
            f"{folder}: it has no *.safetensors"
            + (f", but {others[0]}, a Python pickle, which could run any code" if others else "")
            + ". Fetch or convert the weights as safetensors."
        )
    for file in weights:
        check_weights(file)


def _plain(value: Any) -> Any:
    """JSON-serialisable values of a processor's settings."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


class Timm(Encoder):
    """An architecture of timm by its name, with weights in a file; its own pooled features."""

    def __init__(self, settings: TeacherSource) -> None:
        timm = library("timm", "timm")
        from safetensors.torch import load_file

        path = only_path(settings)
        check_weights(path)
        if not timm.is_model(settings.model.partition(".")[0]):
            raise InputError(
                f"teacher.model: timm {timm.__version__} has no model {settings.model!r}. "
                f"timm.list_models('*{settings.model[:8]}*') lists names."
            )
        model = timm.create_model(settings.model, pretrained=False, num_classes=0)
        state = load_file(path)
        missing, unexpected = model.load_state_dict(state, strict=False)
        # The classifier that the file has and an encoder lacks is no fault.
        head = model.default_cfg.get("classifier", "head")
        heads = tuple(head) if isinstance(head, list | tuple) else (head,)
        unexpected = [name for name in unexpected if not name.startswith(heads)]
        if missing or unexpected:
            raise InputError(
                f"{path}: these weights are not those of {settings.model}: {len(missing)} are "
                f"missing ({', '.join(missing[:3])}), {len(unexpected)} are unknown "
                f"({', '.join(unexpected[:3])}). Correct teacher.model."
            )
        data = timm.data.resolve_data_config(model=model)
        self.device = torch_device(settings.device)
        self.transform = timm.data.create_transform(**data, is_training=False)
        self.model = model.eval().to(self.device)
        self.mode = "L" if data["input_size"][0] == 1 else "RGB"
        self.identity = {
            "model": files_fingerprint(path),
            "architecture": settings.model,
            "preprocessing": _plain(data),
            "timm": timm.__version__,
        }

    def __call__(self, images: Sequence[Image.Image]) -> np.ndarray:
        """See Encoder."""
        import torch

        batch = torch.stack([self.transform(image.convert(self.mode)) for image in images])
        with torch.inference_mode():
            return pool_outputs(self.model(batch.to(self.device)).float().cpu().numpy(), "flatten")


class OpenClip(Encoder):
    """The image tower of a model of open_clip, with weights in a file; not normalised."""

    def __init__(self, settings: TeacherSource) -> None:
        open_clip = library("open_clip", "open-clip-torch")
        path = only_path(settings)
        check_weights(path)
        if settings.model not in open_clip.list_models():
            raise InputError(
                f"teacher.model: open_clip {open_clip.__version__} has no model "
                f"{settings.model!r}. open_clip.list_models() lists names."
            )
        self.device = torch_device(settings.device)
        try:
            model, _, self.transform = open_clip.create_model_and_transforms(
                settings.model, pretrained=str(path), device=self.device, weights_only=True
            )
        except (RuntimeError, KeyError, ValueError) as error:
            raise InputError(
                f"{path}: these weights are not those of {settings.model} "
                f"({str(error).splitlines()[0][:200]}). Correct teacher.model."
            ) from None
        self.model = model.eval()
        self.identity = {
            "model": files_fingerprint(path),
            "architecture": settings.model,
            "preprocessing": str(self.transform),
            "open-clip-torch": open_clip.__version__,
        }

    def __call__(self, images: Sequence[Image.Image]) -> np.ndarray:
        """See Encoder."""
        import torch

        batch = torch.stack([self.transform(image) for image in images]).to(self.device)
        with torch.inference_mode():
            return pool_outputs(self.model.encode_image(batch).float().cpu().numpy(), "flatten")
