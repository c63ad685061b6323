"""One raw image into a square of 8-bit pixels.

JPEG and PNG with 1, 8 or 16 bits, grey, colour (ITU-R 601 luma), palette or alpha (ignored, as by
the teacher's own client), and DICOM where pydicom is installed. Colour or alpha of 16 bits is
refused: Pillow keeps the upper 8, in which 12 bits have 15 greys. Images deeper than 8 bits are
stretched from their own darkest to their brightest pixel, because their files do not say which part
of the range they use; the teacher's client and graph do the same. Orientation tags are not
followed; no image is flipped or turned.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

DICOM = (".dcm", ".dicom", ".dic")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", *DICOM)
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
EMPTY = (None, "")  # values of a DICOM element that is there but says nothing
BITS = {"1": 1, "I": 32, "F": 32}
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # a tag of TIFF and its value; TIFF 6.0, section 4


class UnreadableError(ValueError):
    """An image that cannot be used, and why."""


@dataclass(frozen=True)
class Square:
    """A packed image: pixels uint8 (size, size); height, width and bits per sample of its file.

    contrast: grey levels between its darkest and its brightest hundredth, padding apart.
    """

    pixels: np.ndarray
    height: int
    width: int
    bits: int
    contrast: int


def decode(path: Path, size: int, aspect: str) -> Square:
    """Read the image at `path` and bring it to (size, size).

    aspect: `squash`, or `pad` with black, centred. The filter is a triangle as wide as the
    shrinkage (bilinear with antialiasing) after whole-number reductions: of JPEG in the decoder, of
    anything by averaging. Raises UnreadableError.
    """
    try:
        if path.suffix.lower() in DICOM:
            pixels, bits = read_dicom(path)
            height, width = pixels.shape
            return _square(Image.fromarray(pixels), (width, height), bits, size, aspect)
        with Image.open(path) as image:
            width, height = image.size
            bits = _bits(image)
            check_readable(image)
            inner = inner_size(width, height, size, aspect)
            drafted = image.draft("L", (2 * inner[0], 2 * inner[1]))
            box = drafted[1] if drafted else None
            return _square(_grey(image), (width, height), bits, size, aspect, box)
    except MemoryError:
        raise
    except Exception as error:  # whatever a decoder stumbles over, the image is listed with it
        if isinstance(error, UnreadableError):
            raise
        raise UnreadableError(f"{type(error).__name__}: {nameless(error, path)}") from error


def nameless(error: Exception, path: object) -> str:
    """An error's first line without the file that it is about: a file may be named after a patient.

    So errors of many files count as one, and can be shown. Any other path goes too, such as that
    of the file to which a link leads.
    """
    text = next(iter(str(error).splitlines()), "")
    file = Path(str(path))
    names = {str(path), str(file.resolve()), file.name, file.stem} - {""}
    names |= {repr(name)[1:-1] for name in names}
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "it", text)
    text = re.sub(r"\S*/\S+", "it", text)
    return re.sub(r"(['\"])it\1", "it", text).strip()


def check_readable(image: Image.Image) -> None:
    """Raises UnreadableError for an open image of which Pillow would not give every bit."""
    if image.mode not in DEEP and _is_16_bit(image):
        raise UnreadableError(
            "16 bits a sample with colour or alpha, of which only 8 could be read; save it as "
            "16-bit grey without alpha"
        )
    if (frames := getattr(image, "n_frames", 1)) > 1:
        raise UnreadableError(f"{frames} frames in one file")


def check_content(image: Image.Image) -> None:
    """Raises UnreadableError for a blank image, as `teacher.images.read_image` does."""
    low, high = image.getextrema()
    if low == high:
        raise UnreadableError("a blank image: every pixel is the same")


def _square(
    image: Image.Image,
    shape: tuple[int, int],
    bits: int,
    size: int,
    aspect: str,
    box: tuple[float, float, float, float] | None = None,
) -> Square:
    """An image in grey as a square. shape: width and height of its file."""
    check_content(image)
    pixels = fit(image, size, aspect, box)
    width, height = inner_size(*shape, size, aspect)
    left, top = (size - width) // 2, (size - height) // 2
    levels = contrast(pixels[top : top + height, left : left + width])
    return Square(pixels, shape[1], shape[0], bits, levels)


def contrast(pixels: np.ndarray) -> int:
    """Grey levels between the darkest and the brightest hundredth of an image, uint8."""
    levels = np.cumsum(np.bincount(pixels.ravel(), minlength=256)) / pixels.size
    return int(np.searchsorted(levels, 0.99) - np.searchsorted(levels, 0.01))


def inner_size(width: float, height: float, size: int, aspect: str) -> tuple[int, int]:
    """Width and height of the image within the square."""
    if aspect == "squash":
        return size, size
    longer = max(width, height)
    return max(1, round(width * size / longer)), max(1, round(height * size / longer))


def fit(
    image: Image.Image,
    size: int,
    aspect: str,
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """A grey image (mode L, or F with values 0-255) as uint8 (size, size).

    box: the part of it that holds the image, in pixels; a JPEG that was shrunk by its decoder ends
    in the middle of one.
    """
    left, top, right, bottom = box or (0, 0, *image.size)
    inner = inner_size(right - left, bottom - top, size, aspect)
    small = image.resize(inner, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)
    pixels = np.asarray(small)
    if pixels.dtype != np.uint8:
        pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    if inner == (size, size):
        return pixels
    square = np.zeros((size, size), np.uint8)
    left, top = (size - inner[0]) // 2, (size - inner[1]) // 2
    square[top : top + inner[1], left : left + inner[0]] = pixels
    return square


def finite_range(pixels: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest value. Raises UnreadableError for NaN and infinity."""
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise UnreadableError("pixels that are not finite numbers")
    return low, high


def stretch(pixels: np.ndarray, low: float | None = None, high: float | None = None) -> np.ndarray:
    """Values from `low` to `high` (default: their own range) on 0-255, clipped; float32.

    A constant image is 0. Raises UnreadableError for NaN and infinity.
    """
    values = pixels.astype(np.float32)
    darkest, brightest = finite_range(values)
    low = darkest if low is None else low
    high = brightest if high is None else high
    if high <= low:
        return np.zeros_like(values)
    return np.clip((values - np.float32(low)) * np.float32(255 / (high - low)), 0, 255)


def read_dicom(path: Path) -> tuple[np.ndarray, int]:
    """A DICOM image, bright where it attenuates: float32 (h, w) of 0-255, and its bits stored.

    Modality rescale, then the first window if there is one (else the image's own range), then
    MONOCHROME1 is inverted: the order of the teacher's first client. An empty element is an absent
    one.
    """
    try:
        import pydicom
        from pydicom.pixels import apply_modality_lut
    except ImportError:
        raise UnreadableError("DICOM needs pydicom: pip install pydicom") from None
    with warnings.catch_warnings():  # which show values of elements, such as a patient's name
        warnings.simplefilter("ignore")
        dicom = pydicom.dcmread(path)
        raw = dicom.pixel_array
    if raw.ndim != 2:
        raise UnreadableError(f"not one grey image: its pixels have shape {raw.shape}")
    for name, neutral in (("RescaleSlope", 1), ("RescaleIntercept", 0)):
        if name in dicom and dicom.get(name) in EMPTY:
            setattr(dicom, name, neutral)
    pixels = stretch(apply_modality_lut(raw, dicom), *window(dicom))
    if dicom.PhotometricInterpretation == "MONOCHROME1":
        pixels = 255 - pixels
    return pixels, int(dicom.BitsStored)


def window(dicom: Mapping) -> tuple[float | None, float | None]:
    """Darkest and brightest value of the first window of a DICOM image; None where it has none.

    Raises UnreadableError for a window that leaves no grey, such as one of width 0.
    """
    centre, width = _first(dicom.get("WindowCenter")), _first(dicom.get("WindowWidth"))
    if centre in EMPTY or width in EMPTY:
        return None, None
    centre, width = float(centre), float(width)
    if not (np.isfinite(centre) and 1 < width < np.inf):
        raise UnreadableError(f"a window of width {width:g} around {centre:g}, which has no greys")
    return centre - width / 2, centre - 1 + width / 2


def _first(values: Any) -> Any:
    """The first of an element's values; None for an empty element."""
    return next(iter(np.ravel(values).tolist()), None)


def _grey(image: Image.Image) -> Image.Image:
    if image.mode in DEEP:
        return Image.fromarray(stretch(deep_pixels(image)))
    return image.convert("L")


def deep_pixels(image: Image.Image) -> np.ndarray:
    """Values of an open image deeper than 8 bits; of a TIFF whose white is 0 they are inverted.

    Pillow inverts shallower ones alone.
    """
    pixels = np.asarray(image)
    if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) != WHITE_IS_ZERO:
        return pixels
    return -pixels if pixels.dtype.kind == "f" else np.invert(pixels)


def _bits(image: Image.Image) -> int:
    return 16 if _is_16_bit(image) else BITS.get(image.mode, 8)


def _is_16_bit(image: Image.Image) -> bool:
    """Whether the file has 16 bits a sample, whatever Pillow makes of them."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0].args if tiles else ""
    layout = arguments if isinstance(arguments, str) else next(iter(arguments or ()), "")
    return image.mode.startswith("I;16") or re.search(";16[BLN]", str(layout)) is not None
