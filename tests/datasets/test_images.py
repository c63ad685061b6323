"""Packing: every kind of image, the geometry, what is listed, and what a killed job leaves."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pandas as pd
import pytest
from locations import SHARED
from PIL import Image

from cxrfmkd.datasets import images
from cxrfmkd.datasets.decoding import UnreadableError, decode
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.seals import seal_path
from cxrfmkd.study.settings import Images
from cxrfmkd.teacher.images import read_image

SIZE = 64


def radiograph(height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray:
    """A smooth grey picture, uint8 (height, width), that is neither symmetric nor constant."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (7, 9)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def records_of(paths) -> pd.DataFrame:
    return pd.DataFrame(
        {"image_id": [str(path).rsplit(".", 1)[0] for path in paths], "path": paths}
    )


def written(root, number: int, suffix: str = "png", **shape) -> pd.DataFrame:
    """Records of `number` different images stored below `root`."""
    paths = [f"p{k // 3}/view{k}.{suffix}" for k in range(number)]
    for k, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(radiograph(seed=k, **shape)).save(root / path)
    return records_of(paths)


def pack(records, root, out, workers: int = 1, **settings):
    chosen = Images(**{"size": SIZE, **settings})
    return images.pack(records, chosen, root, "hospital", out, out.parent / "shards", workers)


def content(folder) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


# What a file means


def test_deep_png_uses_the_whole_range_of_its_own_values(tmp_path):
    shallow = radiograph()
    deep = shallow.astype(np.uint16) * 16 + 300  # 12 bits in a 16-bit file, never 0
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(shallow).save(tmp_path / "shallow.png")
    packed = decode(tmp_path / "deep.png", SIZE, "squash")
    expected = decode(tmp_path / "shallow.png", SIZE, "squash").pixels.astype(float)
    low, high = float(shallow.min()), float(shallow.max())
    assert packed.bits == 16
    # Three roundings of half a grey level: two passes of the 8-bit resize, and the result.
    np.testing.assert_allclose(packed.pixels, (expected - low) * 255 / (high - low), atol=1.5)
    assert len(np.unique(packed.pixels)) > 100


def test_constant_image_is_refused_in_packing_and_for_the_teacher(tmp_path):
    for kind in (np.uint16, np.uint8):
        path, pixels = tmp_path / "flat.png", np.full((9, 7), 99, kind)
        Image.fromarray(pixels).save(path)
        for read in (partial(decode, size=32, aspect="pad"), read_image):
            with pytest.raises(ValueError, match="a blank image: every pixel is the same"):
                read(path)


def test_almost_constant_images_are_kept_counted_and_listed(tmp_path):
    random = np.random.default_rng(0)
    for name, levels in (("dim", 15), ("clear", 255)):
        pixels = random.integers(0, levels, (64, 64), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    packed = pack(records_of(["dim.png", "clear.png"]), tmp_path, tmp_path / "o", aspect="pad")
    assert packed.index.image_id.tolist() == ["dim", "clear"]
    assert packed.meta["faint"] == 1
    faint = pd.read_csv(tmp_path / "o" / "faint.csv")
    low, high = np.quantile(packed.take(["dim"]), [0.01, 0.99], method="inverted_cdf")
    assert faint.to_numpy().tolist() == [["dim", high - low]]


def test_palette_image_has_the_palettes_greys(tmp_path):
    grey = radiograph()
    coded = Image.fromarray((255 - grey).astype(np.uint8), "P")
    coded.putpalette([value for k in range(256) for value in (255 - k,) * 3])
    coded.save(tmp_path / "palette.png")
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(
        decode(tmp_path / "palette.png", SIZE, "squash").pixels,
        decode(tmp_path / "grey.png", SIZE, "squash").pixels,
    )


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize(
    ("colour", "luma"), [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)]
)
def test_colour_becomes_luma(tmp_path, suffix, colour, luma):
    image = Image.new("RGB", (256, 256), colour)
    image.paste((0, 0, 0), (0, 0, 64, 256))  # not blank; far from where it is looked at
    image.save(tmp_path / f"colour.{suffix}")
    packed = decode(tmp_path / f"colour.{suffix}", SIZE, "squash").pixels[:, SIZE // 2 :]
    assert np.abs(packed.astype(int) - luma).max() <= 1  # JPEG rounds YCbCr to whole numbers


def test_alpha_is_ignored(tmp_path):
    grey = Image.fromarray(radiograph())
    see_through = Image.merge("LA", (grey, Image.fromarray(radiograph(seed=1))))
    see_through.save(tmp_path / "alpha.png")
    grey.save(tmp_path / "grey.png")
    np.testing.assert_array_equal(
        decode(tmp_path / "alpha.png", SIZE, "squash").pixels,
        decode(tmp_path / "grey.png", SIZE, "squash").pixels,
    )


def test_one_bit_image_is_black_and_white(tmp_path):
    Image.fromarray(radiograph() > 128).save(tmp_path / "one.png")
    packed = decode(tmp_path / "one.png", SIZE, "squash")
    assert packed.bits == 1
    assert (packed.pixels.min(), packed.pixels.max()) == (0, 255)


def test_large_jpeg_is_packed_like_its_full_decode(tmp_path):
    Image.fromarray(radiograph(1501, 1203)).save(tmp_path / "large.jpg", quality=95)
    with Image.open(tmp_path / "large.jpg") as image:
        full = image.convert("F").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    difference = decode(tmp_path / "large.jpg", SIZE, "squash").pixels - np.asarray(full)
    # Three stages round to whole grey levels: the shrinking decoder, the reduction, the resize.
    # Each is off by less than 1, in no direction: on average half a level, and not three.
    assert np.abs(difference).max() < 3
    assert np.abs(difference).mean() < 0.6


def test_animated_file_is_refused(tmp_path):
    frames = [Image.fromarray(radiograph(seed=k)) for k in range(2)]
    frames[0].save(tmp_path / "two.png", save_all=True, append_images=frames[1:])
    with pytest.raises(UnreadableError, match="2 frames in one file"):
        decode(tmp_path / "two.png", SIZE, "squash")


# DICOM


def dicom(path, pixels: np.ndarray, photometric: str, **fields) -> None:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (
        16,
        12,
        11,
        0,
    )
    dataset.PixelData = pixels.astype("<u2").tobytes()
    for name, value in fields.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)


def test_monochrome1_is_inverted(tmp_path):
    pixels = radiograph().astype(np.uint16) * 16
    dicom(tmp_path / "bright.dcm", pixels, "MONOCHROME2")
    dicom(tmp_path / "dark.dcm", pixels, "MONOCHROME1")
    bright = decode(tmp_path / "bright.dcm", SIZE, "squash")
    dark = decode(tmp_path / "dark.dcm", SIZE, "squash").pixels
    assert bright.bits == 12
    assert np.abs(255 - bright.pixels.astype(int) - dark).max() <= 1  # both are rounded


def test_dicom_rescale_then_first_window(tmp_path):
    pixels = np.tile(np.arange(4096, dtype=np.uint16)[:, None], (1, 32))[::32]
    dicom(
        tmp_path / "window.dcm",
        pixels,
        "MONOCHROME2",
        RescaleSlope=2,
        RescaleIntercept=-1000,
        WindowCenter=[1000, 5],
        WindowWidth=[2000, 7],
    )
    packed = decode(tmp_path / "window.dcm", 128, "squash").pixels[:, 0]
    rescaled = 2.0 * pixels[:, 0] - 1000
    expected = np.clip((rescaled - 0) / 1999 * 255, 0, 255)
    np.testing.assert_allclose(packed, expected, atol=0.501)  # rounding, and float32's error


def test_dicom_without_pydicom_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "image.dcm").write_bytes(bytes(200))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UnreadableError, match="pip install pydicom"):
        decode(tmp_path / "image.dcm", SIZE, "squash")


# Geometry


def centre(pixels: np.ndarray) -> tuple[float, float]:
    """Middle of what is bright, in pixels from the top left corner (x, y)."""
    y, x = np.nonzero(pixels > 128)
    return x.mean() + 0.5, y.mean() + 0.5


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_marker_lands_where_the_aspect_policy_says(tmp_path, suffix):
    tall = np.full((600, 300), 40, np.uint8)
    tall[60:120, 180:240] = 250  # middle at x = 0.7 of the width, y = 0.15 of the height
    Image.fromarray(tall).save(tmp_path / f"tall.{suffix}")
    squashed = decode(tmp_path / f"tall.{suffix}", SIZE, "squash").pixels
    padded = decode(tmp_path / f"tall.{suffix}", SIZE, "pad").pixels
    # Each edge is put on a whole pixel, so the middle moves by half a pixel at most; the blur of
    # JPEG moves it by a tenth.
    assert centre(squashed) == pytest.approx((0.7 * SIZE, 0.15 * SIZE), abs=0.6)
    assert centre(padded) == pytest.approx((SIZE / 4 + 0.7 * SIZE / 2, 0.15 * SIZE), abs=0.6)
    assert not padded[:, : SIZE // 4].any()
    assert not padded[:, -SIZE // 4 :].any()
    assert padded[:, SIZE // 4 : -SIZE // 4].min() >= 35


# The packed array


def test_index_tells_the_source_and_the_pixels(tmp_path):
    packed = pack(written(tmp_path / "root", 3), tmp_path / "root", tmp_path / "packed")
    assert packed.data.shape == (3, SIZE, SIZE)
    assert packed.data.dtype == np.uint8
    assert packed.index.columns.tolist() == [
        *("image_id", "height", "width", "bits", "contrast", "sha256")
    ]
    assert packed.index.iloc[0, 1:4].tolist() == [96, 128, 8]
    assert packed.index.sha256[2] == hashlib.sha256(packed.data[2].tobytes()).hexdigest()


def test_pixels_follow_the_key_whatever_the_order_and_the_shards(tmp_path, monkeypatch):
    records = written(tmp_path / "root", 7)
    forward = pack(records, tmp_path / "root", tmp_path / "forward")
    monkeypatch.setattr(images, "SHARD", 2)
    backward = pack(records[::-1], tmp_path / "root", tmp_path / "backward")
    np.testing.assert_array_equal(forward.take(records.image_id), backward.take(records.image_id))
    assert backward.index.image_id.tolist() == records.image_id.tolist()[::-1]


def test_nothing_is_left_of_the_shards(tmp_path):
    pack(written(tmp_path / "root", 2), tmp_path / "root", tmp_path / "packed")
    assert not (tmp_path / "shards").exists()


def test_unreadable_images_are_listed_and_counted(tmp_path):
    root = tmp_path / "root"
    records = written(root, 6)
    (root / records.path[1]).write_bytes(b"this is no picture")
    (root / records.path[3]).unlink()
    whole = io.BytesIO()
    Image.fromarray(radiograph()).save(whole, "JPEG")
    (root / records.path[4]).write_bytes(whole.getvalue()[:-200])
    packed = pack(records, root, tmp_path / "packed", unreadable=0.5)
    excluded = pd.read_csv(tmp_path / "packed" / "excluded.csv")
    lost = records.image_id[[1, 3, 4]].tolist()
    assert excluded.image_id.tolist() == packed.meta["excluded"] == lost
    assert packed.index.image_id.tolist() == records.image_id[[0, 2, 5]].tolist()
    for reason, said in zip(
        excluded.reason, ("identify", "No such file", "truncated"), strict=True
    ):
        assert said in reason
        assert str(tmp_path) not in reason


def test_too_many_unreadable_images_stop_the_study_and_are_tried_again(tmp_path):
    root = tmp_path / "root"
    records = written(root, 4)
    good = (root / records.path[2]).read_bytes()
    (root / records.path[2]).write_bytes(b"")
    with pytest.raises(InputError, match=r"1 of 4 images .* images.unreadable = 0.001 .*identify"):
        pack(records, root, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()
    (root / records.path[2]).write_bytes(good)
    assert len(pack(records, root, tmp_path / "packed")) == 4


def test_missing_root_names_the_setting(tmp_path):
    with pytest.raises(InputError, match=r"datasets\.hospital\.images.*nowhere"):
        pack(records_of(["a.png"]), tmp_path / "nowhere", tmp_path / "packed")


def test_no_records_is_an_error(tmp_path):
    with pytest.raises(InputError, match="the records name no image"):
        pack(records_of([]), tmp_path, tmp_path / "packed")


def test_other_settings_do_not_meet_old_shards(tmp_path, monkeypatch):
    records = written(tmp_path / "root", 3)
    monkeypatch.setattr(images, "_join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        pack(records, tmp_path / "root", tmp_path / "packed")
    monkeypatch.undo()
    padded = pack(records, tmp_path / "root", tmp_path / "packed", aspect="pad")
    assert not padded.data[0, 0].any()
    assert not (tmp_path / "shards").exists()  # nor are the other settings' left


def test_a_file_that_was_exchanged_after_a_stop_is_decoded_again_and_no_other(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(images, "SHARD", 2)
    root, records = tmp_path / "root", written(tmp_path / "root", 6)
    with monkeypatch.context() as stopped:
        stopped.setattr(images, "_join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pack(records, root, tmp_path / "packed")
    Image.fromarray(radiograph(seed=99)).save(root / records.path[3])
    redone = []
    monkeypatch.setattr(images, "_make", remembering(images._make, redone))
    packed = pack(records, root, tmp_path / "packed")
    assert [shard.image_ids for shard in redone] == [tuple(records.image_id[2:4])]
    expected = decode(root / records.path[3], SIZE, Images().aspect).pixels
    np.testing.assert_array_equal(packed.data[3], expected)
    assert not (tmp_path / "shards").exists()


KILLED = """
import sys, pandas as pd
from pathlib import Path
from cxrfmkd.datasets import images
from cxrfmkd.study.settings import Images
from cxrfmkd.teacher.images import read_image
images.SHARD = 2
folder = Path(sys.argv[1])
records = pd.read_csv(folder / "records.csv")
root, packed, shards = (folder / name for name in ("root", "packed", "shards"))
images.pack(records, Images(size=64), root, "hospital", packed, shards, 2)
"""


def test_killed_packing_resumes_to_the_same_bytes(tmp_path, monkeypatch):
    records = written(tmp_path / "root", 24, "jpg", height=1300, width=1300)
    records.to_csv(tmp_path / "records.csv", index=False)
    job = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("shards/*/[0-9]*.npz")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    workers_leave(job.pid, deadline)
    kept = list(tmp_path.glob("shards/*/[0-9]*.npz"))
    kept = [file for file in kept if seal_path(file).exists()]  # or it was killed in between
    assert 0 < len(kept) < 12
    assert not (tmp_path / "packed").exists()
    times = {file: file.stat().st_mtime_ns for file in kept}

    monkeypatch.setattr(images, "SHARD", 2)
    redone = []
    monkeypatch.setattr(images, "_make", remembering(images._make, redone))
    pack(records, tmp_path / "root", tmp_path / "packed")
    assert not {shard.file for shard in redone} & times.keys()
    assert len(redone) == 12 - len(kept)
    monkeypatch.undo()
    pack(records, tmp_path / "root", tmp_path / "at_once")
    assert content(tmp_path / "packed") == content(tmp_path / "at_once")


def remembering(function, calls: list):
    def call(root, settings, shard):
        calls.append(shard)
        return function(root, settings, shard)

    return call


def workers_leave(group: int, deadline: float) -> None:
    """Wait until no process of the group is left."""
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("worker processes outlived the job that started them")


REAL = SHARED / "data" / "nih" / "images"


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the open NIH images are not beside the repository")
def test_real_images_are_packed_as_pillow_reads_them(tmp_path):
    names = sorted(path.name for path in REAL.glob("*.png"))[:20]
    packed = pack(records_of(names), REAL, tmp_path / "packed")
    assert len(packed) == 20
    for name, pixels in zip(names, packed.data, strict=True):
        with Image.open(REAL / name) as image:
            plain = image.convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        # The whole-number reduction and its filter replace part of the one wide filter.
        assert np.abs(pixels.astype(int) - np.asarray(plain)).max() <= 4
