"""Encoders in one file: a program that torch exported, TorchScript, or an ONNX model.

Such a file does not say what it expects of an image; a `preprocessor_config.json` beside it does.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import describe_file
from cxrfmkd.study.settings import TeacherSource
from cxrfmkd.teacher.encoder import (
    Encoder,
    files_fingerprint,
    library,
    only_path,
    pool_outputs,
    torch_device,
)
from cxrfmkd.teacher.preprocessing import FILE, read_preprocessing


class _ModelFile(Encoder):
    """A model in one file, and the preprocessing that is declared for it."""

    def __init__(self, settings: TeacherSource, distribution: str) -> None:
        self.path, self.pooling = only_path(settings), settings.pooling
        if not self.path.is_file():
            raise InputError(f"{self.path}: there is no such file. Correct teacher.path.")
        if kind := describe_file(self.path, binary=False):
            raise InputError(f"{self.path}: the file is {kind}. Fetch it again.")
        config = Path(settings.preprocessing) if settings.preprocessing else self.path.parent / FILE
        self.preprocess = read_preprocessing(config)
        self.identity = {
            "model": files_fingerprint(self.path),
            "preprocessing": self.preprocess.describe(),
            distribution: metadata.version(distribution),
        }

    def batch_of(self, images: Sequence[Image.Image]) -> np.ndarray:
        """The images as the model takes them: shape (n, channels, height, width), float32."""
        return np.stack([self.preprocess(image) for image in images])


class TorchProgram(_ModelFile):
    """A `torch.export` program (.pt2) or a TorchScript file: (n, channels, h, w) in, tensor out.

    No weights of a pickle are read: a `torch.save` of a module or its tensors is refused.
    """

    def __init__(self, settings: TeacherSource) -> None:
        super().__init__(settings, "torch")
        self.device = torch_device(settings.device)
        self.program = _load_program(self.path).to(self.device)

    def __call__(self, images: Sequence[Image.Image]) -> np.ndarray:
        """See Encoder."""
        import torch

        batch = torch.from_numpy(self.batch_of(images)).to(self.device)
        try:
            with torch.inference_mode():
                outputs = self.program(batch)
        except AssertionError as error:  # a guard of an exported program, such as its batch
            raise RuntimeError(str(error)) from error
        return pool_outputs(_first_output(outputs).float().cpu().numpy(), self.pooling)


def _load_program(path: Path) -> Any:
    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        names = []
    try:
        if any("/code/" in name for name in names):
            return torch.jit.load(path, map_location="cpu").eval()
        if any("exported_program" in name or "/models/" in name for name in names):
            return torch.export.load(path).module()
    except (RuntimeError, ValueError, KeyError, EOFError) as error:
        raise InputError(
            f"{path}: torch cannot load it ({type(error).__name__}: {str(error)[:200]}). Was it "
            f"exported by a newer torch than {torch.__version__}? Export it again."
        ) from None
    kind = describe_file(path) or "something else"
    raise InputError(
        f"{path}: a program of torch.export (.pt2) or TorchScript is needed, and the file is "
        f"{kind}. Write one with torch.export.save(torch.export.export(model, (image,)), 'x.pt2')."
    )


def _first_output(outputs: Any) -> Any:
    """A tensor, or the first of several outputs."""
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    return outputs[0] if isinstance(outputs, list | tuple) else outputs


class OnnxModel(_ModelFile):
    """An ONNX file with one image input; the first output counts."""

    def __init__(self, settings: TeacherSource) -> None:
        runtime = library("onnxruntime", "onnxruntime")
        super().__init__(settings, "onnxruntime")
        provider = "CUDAExecutionProvider" if settings.device == "gpu" else "CPUExecutionProvider"
        if provider not in runtime.get_available_providers():
            raise InputError(
                "teacher.device is gpu, but this onnxruntime has no CUDA. Install onnxruntime-gpu, "
                "or set the device to cpu."
            )
        try:
            self.session = runtime.InferenceSession(str(self.path), providers=[provider])
        except Exception as error:  # onnxruntime's errors have no common class but Exception
            raise InputError(
                f"{self.path}: onnxruntime cannot load it ({str(error)[:200]}). Is it a whole ONNX "
                "file, with its external data beside it?"
            ) from None
        inputs = self.session.get_inputs()
        if len(inputs) != 1:
            raise InputError(
                f"{self.path}: it takes {', '.join(entry.name for entry in inputs)}, but an image "
                "encoder takes an image alone. Export the image part."
            )
        self.input = inputs[0].name
        self.output = self.session.get_outputs()[0].name

    def __call__(self, images: Sequence[Image.Image]) -> np.ndarray:
        """See Encoder."""
        try:
            (outputs,) = self.session.run([self.output], {self.input: self.batch_of(images)})
        except Exception as error:  # as above
            raise RuntimeError(str(error)) from error
        return pool_outputs(outputs, self.pooling)
