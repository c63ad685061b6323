"""A TensorFlow SavedModel of CXR Foundation, called so that what comes back belongs to what went
in.

Its signature cannot be trusted about batches: one that looks batchable may answer with the first
image alone, and raise nothing. So the batch is tried on two known images, and rows are counted at
every call.
Source: teacher extraction notes, sections 2.2 to 2.4.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.teacher.example import example, png
from cxrfmkd.teacher.pooling import pool

INPUT, OUTPUT = "input_example", "feature_maps_0"
TOKENS = {"elixr-b-img": "img_emb", "elixr-b-contrastive": "all_contrastive_img_emb"}


def model_folder(path: str | Path) -> Path:
    """The folder of a SavedModel: `path`, or its highest numbered subfolder, as TensorFlow Serving keeps them."""
    path = Path(path)
    if (path / "saved_model.pb").exists():
        return path
    versions = [
        int(entry.parent.name)
        for entry in path.glob("*/saved_model.pb")
        if entry.parent.name.isdigit()
    ]
    if not versions:
        raise InputError(
            f"{path}: there is no SavedModel (no saved_model.pb, nor in a numbered subfolder). "
            "Set teacher.path to the folder that holds saved_model.pb (docs/teacher.md says where "
            "to get it)."
        )
    return path / str(max(versions))


def canary_images() -> list[np.ndarray]:
    """Two images that no teacher should take for the same: shape (64, 64), uint8 each."""
    y, x = np.mgrid[0:64, 0:64]
    rings = 127.5 + 127.5 * np.cos(np.hypot(y - 20, x - 40) / 3)
    return [(2 * (x + y)).astype(np.uint8), rings.astype(np.uint8)]


class Model:
    """ELIXR-C or its like, on examples; with a Q-Former, on through it.

    folder, qformer: SavedModels. variant, pooling: as in `settings.Settings`.
    """

    def __init__(
        self,
        tf: ModuleType,
        folder: Path,
        variant: str,
        pooling: str = "mean",
        qformer: Path | None = None,
    ) -> None:
        self.tf = tf
        self.folder = folder
        self.variant = variant
        self.pooling = pooling
        # The loaded objects are kept: a signature alone does not hold its variables.
        self._tower, self.signature = _load(tf, folder, [INPUT], OUTPUT)
        if qformer:
            inputs = ["image_feature", "ids", "paddings"]
            self._qformer, self._image_tokens = _load(tf, qformer, inputs, TOKENS[variant])
        else:
            self._qformer = self._image_tokens = None

    def maps(self, examples: Sequence[bytes]) -> np.ndarray:
        """Feature maps of serialized Examples: shape (n, 8, 8, channels), float32.

        Raises InputError if it does not answer with one map for each.
        """
        answer = self.signature(**{INPUT: self.tf.constant(list(examples))})[OUTPUT].numpy()
        return _counted(answer, len(examples), self.folder)

    def tokens(self, feature_map: np.ndarray) -> np.ndarray:
        """The Q-Former's image tokens of one map (8, 8, channels): shape (32, 768) or (32, 128), float32."""
        tf = self.tf
        answer = self._image_tokens(
            image_feature=tf.constant(feature_map[None]),
            ids=tf.zeros([1, 1, 128], tf.int32),
            paddings=tf.zeros([1, 1, 128]),
        )
        return _counted(answer[TOKENS[self.variant]].numpy(), 1, self.folder)[0]

    def vectors(self, examples: Sequence[bytes]) -> np.ndarray:
        """Embeddings of serialized Examples: shape (n, dimension), float32, row i of example i."""
        answers = self.maps(examples)
        if self._image_tokens is not None:
            answers = [self.tokens(one) for one in answers]
        return np.stack([pool(answer, self.variant, self.pooling) for answer in answers])

    @functools.cached_property
    def canaries(self) -> list[np.ndarray]:
        """The embeddings of two different images, each from a call of its own.

        Raises InputError if they are equal: then the model is blind to what it is given.
        """
        alone = [self.vectors([example(png(image))])[0] for image in canary_images()]
        if np.array_equal(*alone):
            raise InputError(
                f"{self.folder}: two different images have the same embedding, so the model does "
                "not see what it is "
                "given. `cxrfmkd doctor` says how its graph decodes images."
            )
        return alone

    @functools.cached_property
    def batches(self) -> bool:
        """Whether two images in one call give what each gives alone."""
        try:
            together = self.vectors([example(png(image)) for image in canary_images()])
        except (InputError, self.tf.errors.OpError, ValueError):
            return False
        return np.allclose(together, self.canaries, rtol=1e-4, atol=1e-4)


def _counted(answer: np.ndarray, images: int, folder: Path) -> np.ndarray:
    if answer.ndim < 3 or len(answer) != images:
        raise InputError(
            f"{folder}: {images} images went in and an answer of shape {answer.shape} came back. "
            "Set teacher.batch: 1, or look at it with `cxrfmkd doctor`."
        )
    return answer


def _load(
    tf: ModuleType, folder: Path, inputs: list[str], output: str
) -> tuple[object, Callable[..., dict]]:
    """A SavedModel and its serving signature, after a look at its names."""
    loaded = tf.saved_model.load(str(folder))
    if "serving_default" not in loaded.signatures:
        raise InputError(f"{folder}: no signature serving_default, only {some(loaded.signatures)}.")
    signature = loaded.signatures["serving_default"]
    takes, gives = signature.structured_input_signature[1], signature.structured_outputs
    if set(inputs) != set(takes) or output not in gives:
        raise InputError(
            f"{folder}: takes {some(takes)} and gives {some(gives)}, but a model that takes "
            f"{some(inputs)} and gives {output} is wanted. Is it the right folder of the download?"
        )
    return loaded, signature


def decoders(model: Model) -> list[tuple[str, str]]:
    """The image decoders of a model's graph and the type each decodes to: [("DecodePng", "uint8")].

    uint8 means that 8-bit values in a 16-bit file are black to it.
    """
    graph = model.signature.graph.as_graph_def(add_shapes=False)
    nodes = [
        *graph.node,
        *(node for function in graph.library.function for node in function.node_def),
    ]
    found = {
        (
            node.op,
            model.tf.as_dtype(node.attr["dtype"].type).name if "dtype" in node.attr else "uint8",
        )
        for node in nodes
        if node.op.startswith("Decode")
        and any(kind in node.op for kind in ("Png", "Image", "Jpeg"))
    }
    return sorted(found)
