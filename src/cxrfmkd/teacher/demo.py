"""A stand-in teacher for studies without Google's weights: the real signature, fixed filters.

CXR Foundation's weights are gated, so the demo cannot bring them. This SavedModel takes and gives
what theirs does (`input_example`: one serialized tf.train.Example, `feature_maps_0`: 1 x 8 x 8 x
1376), and what it says about an image is true, so that a study on it has something to find. It is
no model of radiology, and is not trained on anything.

The image is decoded and stretched to 0-1 as in the real graph. A bank of oriented wavelets at four
scales, and the same bank on the moduli of the first (a scattering transform: Bruna and Mallat, IEEE
PAMI 35(8), 2013), is averaged in 8 x 8 cells. Each output channel is a random nonlinear projection
of a cell, gated by a bump somewhere on the image, so that where a thing lies survives the mean over
the cells. A common vector with a few large spikes is added, as in the real embeddings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cxrfmkd.runtime.files import atomic_folder
from cxrfmkd.teacher.tensorflow_setup import load_tensorflow

tf = load_tensorflow()

SIDE = 128  # pixels that the image is resized to
CELLS = 8
SCALES = 4
ORIENTATIONS = 4
REACH = 3  # half-width of a wavelet
NOISE = 32  # noise images that set the origin and scale of the cells' channels
VARIATION = 3.0  # spread of what differs between images, beside a common vector of spread 1


def wavelets() -> np.ndarray:
    """Morlet wavelets with zero sum, four orientations: (7, 7, 1, 8), real, then imaginary."""
    offsets = np.arange(-REACH, REACH + 1)
    y, x = np.meshgrid(offsets, offsets, indexing="ij")
    envelope = np.exp(-(x**2 + y**2) / (2 * 1.3**2))
    envelope /= envelope.sum()
    waves = []
    for angle in np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS:
        wave = envelope * np.exp(1.3j * (x * np.cos(angle) + y * np.sin(angle)))
        wave -= envelope * wave.sum()
        waves.append(wave / np.abs(wave).sum())
    bank = np.stack(waves, axis=-1)
    return np.concatenate([bank.real, bank.imag], axis=-1)[:, :, None].astype(np.float32)


def gates(generator: np.random.Generator, channels: int) -> np.ndarray:
    """Each channel's weights over the cells: shape (8, 8, channels), float32.

    Gaussian bumps of random centre and width, mean square 1.
    """
    centre = (np.arange(CELLS) + 0.5) / CELLS
    y, x = (axis[..., None] for axis in np.meshgrid(centre, centre, indexing="ij"))
    middle_y, middle_x = generator.uniform(0, 1, (2, channels))
    width = generator.choice([0.12, 0.2, 0.35, 1.0], channels)
    bumps = np.exp(-((y - middle_y) ** 2 + (x - middle_x) ** 2) / (2 * width**2))
    return (bumps / np.sqrt((bumps**2).mean((0, 1)))).astype(np.float32)


def noise_images(generator: np.random.Generator, count: int = NOISE) -> np.ndarray:
    """Images of noise whose spectrum falls as a photograph's does.

    Returns shape (count, SIDE, SIDE, 1), float32, 0 to 1.
    """
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE)))
    frequency[0, 0] = 1 / SIDE
    white = np.fft.fft2(generator.standard_normal((count, SIDE, SIDE)))
    images = np.fft.ifft2(white / frequency**1.3).real
    low, high = images.min((1, 2), keepdims=True), images.max((1, 2), keepdims=True)
    return ((images - low) / (high - low)).astype(np.float32)[..., None]


def common_vector(generator: np.random.Generator, dimension: int) -> np.ndarray:
    """What all images share: standard normal, one channel in 200 a spike of ±8 to ±14."""
    vector = generator.standard_normal(dimension)
    spikes = generator.choice(dimension, max(1, dimension // 200), replace=False)
    vector[spikes] = generator.uniform(8, 14, len(spikes)) * generator.choice([-1, 1], len(spikes))
    return vector.astype(np.float32)


def _respond(images, bank):
    """Wavelet responses of images (n, h, w, 1): modulus (n, h, w, 4), signed (n, h, w, 8)."""
    edge = [REACH, REACH]
    signed = tf.nn.conv2d(
        tf.pad(images, [[0, 0], edge, edge, [0, 0]], "SYMMETRIC"), bank, 1, "VALID"
    )
    real, imaginary = tf.split(signed, 2, axis=-1)
    return tf.sqrt(real**2 + imaginary**2 + 1e-8), signed


def _shrink(images, factor: int):
    return tf.nn.avg_pool2d(images, factor, factor, "VALID")


def _cells(images):
    """Means in 8 x 8 cells."""
    return _shrink(images, images.shape[1] // CELLS)


def describe(grey, bank):
    """Describe the cells of an image (1, SIDE, SIDE, 1), 0 to 1: (1, 8, 8, channels), float32."""
    mean = _cells(grey)
    spread = tf.sqrt(tf.maximum(_cells(grey**2) - mean**2, 0.0))
    spread = tf.math.log(spread + 1e-2)
    contrast = tf.reduce_mean(spread)  # else the image's contrast outweighs all else
    channels = [mean, spread - contrast]
    moduli = []
    level = grey
    for _ in range(SCALES):
        modulus, signed = _respond(level, bank)
        channels += [tf.math.log(_cells(modulus) + 1e-3) - contrast, 20 * _cells(signed)]
        moduli.append(modulus)
        level = _shrink(level, 2)
    waiting = None  # moduli of all finer scales, each as an image, at the present scale
    for scale in range(1, SCALES):
        finer = tf.transpose(moduli[scale - 1], [3, 1, 2, 0])
        waiting = _shrink(finer if waiting is None else tf.concat([waiting, finer], 0), 2)
        second = _cells(_respond(waiting, bank)[0])
        second = tf.reshape(tf.transpose(second, [1, 2, 0, 3]), [1, CELLS, CELLS, -1])
        channels.append(tf.math.log(second + 3e-4) - contrast)
    return tf.concat(channels, axis=-1)


class DemoTeacher(tf.Module):  # type: ignore[name-defined]  # a function imports tf
    """The stand-in as a TensorFlow module.

    seed: every number in it follows from this; equal seeds give equal embeddings.
    dimension: channels of the feature map, so length of an embedding.
    """

    def __init__(self, seed: int, dimension: int) -> None:
        super().__init__(name="demo_teacher")
        generator = np.random.default_rng(seed)
        self.bank = tf.Variable(wavelets(), trainable=False)
        noise = noise_images(generator)
        cells = np.concatenate([describe(grey[None], self.bank).numpy() for grey in noise])
        channels = cells.shape[-1]
        self.origin = tf.Variable(cells.mean((0, 1, 2)), trainable=False)
        self.scale = tf.Variable(np.maximum(cells.std((0, 1, 2)), 0.1), trainable=False)
        weights = generator.standard_normal((channels, dimension)) / np.sqrt(channels)
        self.weights = tf.Variable(weights.astype(np.float32), trainable=False)
        offsets = 0.3 * generator.standard_normal(dimension)
        self.offsets = tf.Variable(offsets.astype(np.float32), trainable=False)
        self.gates = tf.Variable(VARIATION * gates(generator, dimension), trainable=False)
        self.common = tf.Variable(common_vector(generator, dimension), trainable=False)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="input_example")])
    def embed(self, input_example):
        """One serialized Example to its feature map; more are refused, as by the real model."""
        one = tf.ensure_shape(input_example, [1])
        feature = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
        encoded = tf.io.parse_single_example(one[0], feature)["image/encoded"]
        pixels = tf.io.decode_png(encoded, channels=1, dtype=tf.uint16)
        grey = tf.compat.v1.image.resize_bilinear(pixels[None], [SIDE, SIDE])
        low, high = tf.reduce_min(grey), tf.reduce_max(grey)
        grey = (grey - low) / tf.maximum(high - low, 1e-6)
        cells = (describe(grey, self.bank) - self.origin) / self.scale
        response = tf.tanh(tf.tensordot(cells, self.weights, 1) + self.offsets)
        return {"feature_maps_0": self.common + self.gates * response}


def build(folder: str | Path, seed: int = 0, dimension: int = 1376) -> None:
    """Write the stand-in as a SavedModel; a folder that is there already is replaced."""
    teacher = DemoTeacher(seed, dimension)
    with atomic_folder(folder) as partial:
        tf.saved_model.save(teacher, str(partial), signatures={"serving_default": teacher.embed})
