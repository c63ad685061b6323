"""Images as the teacher's input: every depth, no clipping, no re-encoding that changes a pixel."""

from __future__ import annotations

import io

import numpy as np
import pytest
from made_teachers import drawing
from PIL import Image

from cxrfmkd.teacher.feeding import Feeder, encode_image
from cxrfmkd.teacher.images import encode_png, read_image


def deep(seed: int = 0) -> np.ndarray:
    """An image with 12 of 16 bits in use."""
    return drawing(seed).astype(np.uint16) * 16 + 5


@pytest.mark.parametrize("level", [0, 6])
@pytest.mark.parametrize("image", [drawing(0), drawing(1, 1, 7), deep(), deep().astype(">u2")])
def test_png_holds_exactly_the_pixels(image, level):
    decoded = np.asarray(Image.open(io.BytesIO(encode_png(image, level))))
    assert np.array_equal(decoded, image)


def test_png_with_8_bit_values_in_16_bits_is_refused():
    with pytest.raises(ValueError, match="8-bit values"):
        encode_png(drawing(0).astype(np.uint16))


def test_png_of_colour_or_floats_is_refused():
    with pytest.raises(ValueError, match="3-D"):
        encode_png(np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match="float32"):
        encode_png(np.zeros((2, 2), np.float32))


def test_8_bit_images_pass_as_they_are(tmp_path):
    Image.fromarray(drawing(0)).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), drawing(0))


def test_16_bit_png_is_stretched_not_clipped_as_by_pil(tmp_path):
    grey = np.linspace(4000, 60000, 48 * 40).astype(np.uint16).reshape(48, 40)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    assert (np.asarray(Image.open(tmp_path / "deep.png").convert("L")) == 255).all()
    read = read_image(tmp_path / "deep.png")
    assert (read.dtype, read.min(), read.max()) == (np.uint16, 0, 65535)
    assert np.abs(read / 65535 - (grey - 4000) / 56000).max() < 1e-4


def test_low_range_16_bit_png_becomes_full_range(tmp_path):
    Image.fromarray(drawing(0).astype(np.uint16)).save(tmp_path / "low.png")
    read = read_image(tmp_path / "low.png")
    assert read.max() == 65535
    high_bytes = read >> 8  # what an 8-bit graph decodes
    assert len(np.unique(high_bytes)) == len(np.unique(drawing(0)))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1"])
def test_colour_palette_and_alpha_become_luma(tmp_path, mode):
    image = Image.fromarray(np.stack([drawing(0), drawing(1), drawing(2)], 2)).convert(mode)
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), np.asarray(image.convert("L")))


def test_float_tiff_is_read_as_numbers(tmp_path):
    Image.fromarray(drawing(0).astype(np.float32) / 1000).save(tmp_path / "a.tiff")
    read = read_image(tmp_path / "a.tiff")
    assert (read.dtype, read.max()) == (np.uint16, 65535)


def test_black_or_otherwise_blank_image_is_refused(tmp_path):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "black.png")
    with pytest.raises(ValueError, match="blank image: every pixel is the same"):
        read_image(tmp_path / "black.png")


def test_several_frames_are_refused(tmp_path):
    frames = [Image.fromarray(drawing(i)) for i in range(2)]
    frames[0].save(tmp_path / "a.tiff", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="2 frames"):
        read_image(tmp_path / "a.tiff")


def test_whatever_is_wrong_with_a_file_is_a_reason_not_a_crash(tmp_path):
    Image.fromarray(drawing(0)).save(tmp_path / "cut.jpg")
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("not an image")
    assert encode_image(tmp_path / "cut.jpg").error.startswith("unreadable image: OSError")
    assert "UnidentifiedImageError" in encode_image(tmp_path / "text.png").error
    assert encode_image(tmp_path / "none.png").error == "the image file is missing"


@pytest.mark.parametrize("workers", [1, 2])
def test_feeder_keeps_the_order_and_every_image(tmp_path, workers):
    paths = []
    for i in range(11):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(drawing(i, 20 + i, 16)).save(paths[-1])
    paths[4].write_bytes(b"broken")
    feeder = Feeder(workers)
    images = list(feeder.images(paths))
    feeder.close()
    assert [image.height for image in images] == [20 + i if i != 4 else 0 for i in range(11)]
    assert [bool(image.error) for image in images] == [i == 4 for i in range(11)]
    assert images[3] == encode_image(paths[3])


def test_dicom_is_rescaled_windowed_by_its_first_window_and_inverted(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    raw = drawing(0).astype(np.uint16) * 8
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Rows, dataset.Columns = raw.shape
    dataset.SamplesPerPixel, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (
        1,
        16,
        12,
        11,
    )
    dataset.PixelRepresentation, dataset.PhotometricInterpretation = 0, "MONOCHROME1"
    dataset.RescaleSlope, dataset.RescaleIntercept = 2, 100
    dataset.WindowCenter, dataset.WindowWidth = [1000, 50], [1200, 20]
    dataset.PixelData = raw.tobytes()
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    expected = 65535 - 65535 * (np.clip(2.0 * raw + 100, 400, 1599) - 400) / 1199
    assert np.abs(read_image(tmp_path / "a.dcm") - expected).max() <= 2
