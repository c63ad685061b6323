"""A TensorFlow SavedModel of CXR Foundation, called so that each answer belongs to its image.

Its signature cannot be trusted about batches: one that looks batchable may answer with the first
image alone, and raise nothing. So the batch is tried on two known images, and rows are counted at
every call. Source: teacher extraction notes, sections 2.2 to 2.4.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import describe_file
from cxrfmkd.teacher.examples import serialize_example
from cxrfmkd.teacher.images import canary_images, encode_png
from cxrfmkd.teacher.pooling import pool
from cxrfmkd.teacher.tensorflow_setup import load_tensorflow

INPUT, OUTPUT = "input_example", "feature_maps_0"
REMEDY = (
    "Fetch the whole folder again, for example with `hf download` or `git lfs pull` "
    "(docs/teacher.md), and try it with `cxrfmkd doctor --model`."
)
QFORMER_INPUTS = ["image_feature", "ids", "paddings"]
TOKENS = {"elixr-b-img": "img_emb", "elixr-b-contrastive": "all_contrastive_img_emb"}


def model_folder(path: str | Path) -> Path:
    """Return the folder of a SavedModel: `path`, or its highest numbered subfolder.

    TensorFlow Serving keeps models in subfolders named by their version.
    """
    path = Path(path)
    if (path / "saved_model.pb").exists():
        _check_contents(path)
        return path
    folders = [file.parent for file in path.glob("*/saved_model.pb") if file.parent.name.isdigit()]
    if not folders:
        raise InputError(
            f"{path}: there is no SavedModel (no saved_model.pb, nor in a numbered subfolder). "
            "Set teacher.path to the folder that holds saved_model.pb (docs/teacher.md says where "
            "to get it)."
        )
    folder = max(folders, key=lambda folder: int(folder.name))
    _check_contents(folder)
    return folder


def _check_contents(folder: Path) -> None:
    """Raises InputError if the graph or the variables are something else, such as LFS pointers."""
    graph = folder / "saved_model.pb"
    variables = sorted((folder / "variables").glob("variables.*"))
    for file in (graph, *filter(lambda file: file.stat().st_size, variables)):
        if kind := describe_file(file, binary=file == graph):
            raise InputError(f"{file}: the file is {kind}. {REMEDY}")


class Model:
    """ELIXR-C or its like, on serialized Examples; with a Q-Former, on through it.

    folder, qformer: SavedModels. variant, pooling: as in `study.settings.TeacherSource`.
    """

    def __init__(
        self, folder: Path, variant: str, pooling: str = "mean", qformer: Path | None = None
    ) -> None:
        self.tf = load_tensorflow()
        self.folder, self.variant, self.pooling = folder, variant, pooling
        # The loaded objects are kept: a signature alone does not hold its variables.
        self._loaded, self.signature = _load(folder, [INPUT], OUTPUT)
        self._image_tokens: Any = None
        if qformer:
            self._qformer, self._image_tokens = _load(qformer, QFORMER_INPUTS, TOKENS[variant])

    def maps(self, examples: Sequence[bytes]) -> np.ndarray:
        """Feature maps of serialized Examples: shape (n, 8, 8, channels), float32.

        Raises InputError if it does not answer with one map for each.
        """
        answer = self.signature(**{INPUT: self.tf.constant(list(examples))})[OUTPUT].numpy()
        return self._one_each(answer, len(examples))

    def _tokens(self, feature_map: np.ndarray) -> np.ndarray:
        """The Q-Former's tokens of one map (8, 8, channels): shape (32, 768) or (32, 128)."""
        answer = self._image_tokens(
            image_feature=self.tf.constant(feature_map[None]),
            ids=self.tf.zeros([1, 1, 128], self.tf.int32),
            paddings=self.tf.zeros([1, 1, 128]),
        )
        return self._one_each(answer[TOKENS[self.variant]].numpy(), 1)[0]

    def vectors(self, examples: Sequence[bytes]) -> np.ndarray:
        """Embeddings of serialized Examples: shape (n, dimension), float32, row i of example i."""
        answers = list(self.maps(examples))
        if self._image_tokens:
            answers = [self._tokens(feature_map) for feature_map in answers]
        return np.stack([pool(answer, self.variant, self.pooling) for answer in answers])

    def vector(self, png: bytes) -> np.ndarray:
        """Embedding of one PNG, from a call of its own: shape (dimension,), float32."""
        return self.vectors([serialize_example(png)])[0]

    def _one_each(self, answer: np.ndarray, images: int) -> np.ndarray:
        if answer.ndim < 3 or len(answer) != images:
            raise InputError(
                f"{self.folder}: {images} images went in and an answer of shape {answer.shape} "
                "came back. Set teacher.batch: 1, or examine the model with `cxrfmkd doctor`."
            )
        return answer

    @functools.cached_property
    def canaries(self) -> list[np.ndarray]:
        """The embeddings of two different images.

        Raises InputError if they are equal: then the model is blind to what it is given.
        """
        vectors = [self.vector(encode_png(image)) for image in canary_images()]
        if np.array_equal(vectors[0], vectors[1]):
            raise InputError(
                f"{self.folder}: two different images have the same embedding, so the model does "
                "not see what it is given. `cxrfmkd doctor` says how its graph decodes images."
            )
        return vectors

    @functools.cached_property
    def takes_batches(self) -> bool:
        """Whether two images in one call give what each gives alone, to float32 rounding."""
        examples = [serialize_example(encode_png(image)) for image in canary_images()]
        try:
            together = self.vectors(examples)
        except (InputError, self.tf.errors.OpError, ValueError):
            return False
        return np.allclose(together, self.canaries, rtol=1e-4, atol=1e-4)


def _load(folder: Path, inputs: list[str], output: str) -> tuple[Any, Any]:
    """A SavedModel and its serving signature, whose names must be those expected."""
    tf = load_tensorflow()
    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{folder}: TensorFlow cannot load it, so a file of it is damaged, cut short or no "
            f"SavedModel ({type(error).__name__}: {reason}). {REMEDY}"
        ) from None
    if "serving_default" not in loaded.signatures:
        raise InputError(f"{folder}: no signature serving_default, only {some(loaded.signatures)}.")
    signature = loaded.signatures["serving_default"]
    takes, gives = signature.structured_input_signature[1], signature.structured_outputs
    if set(inputs) != set(takes) or output not in gives:
        raise InputError(
            f"{folder}: takes {some(takes)} and gives {some(gives)}, but the teacher must take "
            f"{some(inputs)} and give {output}. Is it the right folder of the download?"
        )
    return loaded, signature


def decoders(model: Model) -> list[tuple[str, str]]:
    """List the image decoders of a model's graph and the type of each: [("DecodePng", "uint8")].

    uint8 means that 8-bit values in a 16-bit file are black to it.
    """
    graph = model.signature.graph.as_graph_def(add_shapes=False)
    functions = (node for function in graph.library.function for node in function.node_def)
    return sorted(
        {
            (node.op, model.tf.as_dtype(node.attr["dtype"].type or model.tf.uint8).name)
            for node in [*graph.node, *functions]
            if node.op in ("DecodePng", "DecodeImage", "DecodeJpeg", "DecodeAndCropJpeg")
        }
    )
