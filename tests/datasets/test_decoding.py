"""What packing and the teacher both read in full, or both refuse."""

from __future__ import annotations

import struct
import sys
import types
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrfmkd.datasets.decoding import UnreadableError, decode, window
from cxrfmkd.teacher.images import read_image

GREY = (np.add.outer(np.arange(40), np.arange(50)) * 40).astype(np.uint16)  # 0 to 3520: 12 bits

READERS = {"packing": lambda path: decode(Path(path), 32, "squash").pixels, "teacher": read_image}


@pytest.fixture(params=READERS)
def read(request):
    """Both ways to read an image file."""
    return READERS[request.param]


def deep_png(path, channels: int) -> None:
    """A 16-bit PNG of equal channels, the last one opaque where there are 2 or 4."""
    pixels = np.repeat(GREY[..., None], channels, axis=2)
    if channels in (2, 4):
        pixels[..., -1] = 65535
    lines = [b"\0" + line.astype(">u2").tobytes() for line in pixels]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", *GREY.shape[::-1], 16, kind, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in (b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b""):
        crc = struct.pack(">I", zlib.crc32(name + data))
        content += struct.pack(">I", len(data)) + name + data + crc
    path.write_bytes(content)


def deep_colour_tiff(path) -> None:
    """A TIFF of three equal channels of 16 bits. Format: TIFF 6.0, section 6."""
    height, width = GREY.shape
    data = np.repeat(GREY[..., None], 3, axis=2).astype("<u2").tobytes()
    bits_at = 8 + 2 + 9 * 12 + 4
    tags = [(256, 1, width), (257, 1, height), (258, 3, bits_at), (259, 1, 1), (262, 1, 2)]
    tags += [(273, 1, bits_at + 6), (277, 1, 3), (278, 1, height), (279, 1, len(data))]
    entries = b"".join(
        struct.pack("<HHII", tag, 3 if tag == 258 else 4, count, value)
        for tag, count, value in tags
    )
    bits = struct.pack("<HHH", 16, 16, 16)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, 9) + entries + bytes(4) + bits + data)


def grey_tiff(path, pixels: np.ndarray, photometric: int) -> None:
    """A grey TIFF of any depth; photometric: 0 where white is 0. Format: TIFF 6.0, section 4."""
    height, width = pixels.shape
    data, bits = pixels.tobytes(), 8 * pixels.itemsize
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric)]
    tags += [(273, 8 + 2 + 10 * 12 + 4), (277, 1), (278, height), (279, len(data))]
    tags += [(339, 3 if pixels.dtype.kind == "f" else 1)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, 10) + entries + bytes(4) + data)


@pytest.mark.parametrize("kind", ["<u1", "<u2", "<f4"])
def test_a_grey_tiff_whose_white_is_0_is_inverted_at_any_depth(tmp_path, read, kind):
    pixels = (GREY // 16).astype(kind)
    grey_tiff(tmp_path / "black.tif", pixels, 1)
    grey_tiff(tmp_path / "white.tif", pixels, 0)
    black, white = (read(tmp_path / f"{name}.tif").astype(int) for name in ("black", "white"))
    top = 65535 if black.max() > 255 else 255
    assert np.abs(white - (top - black)).max() <= 1  # rounding of halves


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_png_with_colour_or_alpha_is_refused_not_cut_to_8_bits(tmp_path, read, channels):
    deep_png(tmp_path / "deep.png", channels)
    with pytest.raises(UnreadableError, match=r"16 bits a sample .* save it as 16-bit grey"):
        read(tmp_path / "deep.png")


def test_16_bit_colour_tiff_is_refused_too(tmp_path, read):
    deep_colour_tiff(tmp_path / "deep.tif")
    with Image.open(tmp_path / "deep.tif") as image:
        assert image.mode == "RGB"
    with pytest.raises(UnreadableError, match="16 bits a sample"):
        read(tmp_path / "deep.tif")


def test_16_bit_grey_png_keeps_its_greys(tmp_path, read):
    deep_png(tmp_path / "deep.png", 1)
    pixels = read(tmp_path / "deep.png")
    assert len(np.unique(pixels)) > 85  # of 89; packing averages the outermost away


@pytest.mark.parametrize("width", [160, 1600])
def test_8_bit_tiff_is_one_whatever_its_width(tmp_path, width):
    Image.linear_gradient("L").resize((width, 16)).convert("RGB").save(tmp_path / "a.tif")
    assert decode(tmp_path / "a.tif", 32, "squash").bits == 8


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_are_refused_not_packed_black(tmp_path, read, value):
    pixels = GREY.astype(np.float32)
    pixels[3, 4] = value
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableError, match="not finite numbers"):
        read(tmp_path / "a.tif")


class Dicom(dict):
    """Elements of a DICOM file by keyword, as pydicom gives them."""

    pixel_array = GREY
    PhotometricInterpretation, BitsStored = "MONOCHROME2", 12
    __setattr__ = dict.__setitem__


def rescaled(pixels: np.ndarray, dicom: Dicom) -> np.ndarray:
    """As pydicom.pixels.apply_modality_lut, which fails for an empty element."""
    if "RescaleSlope" in dicom and "RescaleIntercept" in dicom:
        return pixels * float(dicom["RescaleSlope"]) + float(dicom["RescaleIntercept"])
    return pixels


@pytest.fixture
def dicom(monkeypatch, tmp_path):
    """The elements that a stand-in for pydicom finds in any file, which need not be installed."""
    elements = Dicom()
    pydicom, pixels = types.ModuleType("pydicom"), types.ModuleType("pydicom.pixels")
    pydicom.dcmread, pixels.apply_modality_lut = lambda path: elements, rescaled
    monkeypatch.setitem(sys.modules, "pydicom", pydicom)
    monkeypatch.setitem(sys.modules, "pydicom.pixels", pixels)
    return elements


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowCenter": "", "WindowWidth": 200.0},
        {"WindowCenter": [], "WindowWidth": []},
        {"WindowCenter": [None, 40.0], "WindowWidth": [400.0, 80.0]},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"WindowCenter": None, "WindowWidth": None, "RescaleSlope": None, "RescaleIntercept": 0.0},
    ],
)
def test_empty_elements_of_dicom_are_as_if_absent(dicom, read, elements):
    expected = read("image.dcm")
    assert len(np.unique(expected)) > 85
    dicom.update(elements)
    assert np.array_equal(read("image.dcm"), expected)


def test_empty_intercept_leaves_the_slope_before_the_window(dicom, read):
    dicom.update(WindowCenter=2000.5, WindowWidth=2001.0)
    expected = read("image.dcm")
    dicom.update(RescaleSlope=2.0, RescaleIntercept=None, WindowCenter=4000.5, WindowWidth=4001.0)
    assert np.abs(read("image.dcm").astype(int) - expected).max() <= 65535 / 2000


@pytest.mark.parametrize("width", [0.0, 1.0, -400.0, np.nan, np.inf])
def test_window_without_greys_is_refused_not_packed_black(dicom, read, width):
    dicom.update(WindowCenter=[1000.0, 50.0], WindowWidth=[width, 20.0])
    with pytest.raises(UnreadableError, match=r"a window of width .* which has no greys"):
        read("image.dcm")


def test_first_window_counts():
    values = {"WindowCenter": [1000.0, 50.0], "WindowWidth": np.array([1200.0, 20.0])}
    assert window(values) == (400.0, 1599.0)
    assert window({"WindowCenter": 1000.0}) == (None, None)


@pytest.mark.parametrize(
    "elements", [{"WindowCenter": None, "WindowWidth": None}, {"WindowCenter": 9, "WindowWidth": 0}]
)
def test_pydicom_gives_empty_elements_and_zero_widths_as_assumed_here(elements):
    dataset = pytest.importorskip("pydicom").Dataset()
    for name, value in elements.items():
        setattr(dataset, name, value)
    if elements["WindowCenter"] is None:
        assert window(dataset) == (None, None)
    else:
        with pytest.raises(UnreadableError, match="width 0"):
            window(dataset)
