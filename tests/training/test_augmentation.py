"""Batched augmentation against torchvision, image by image and in distribution.

Two ways to compute a source pixel in float32 differ by some 1e-5 pixels; a source that lies that
close to the middle between two pixels may round either way, which happens to 2e-5 of the pixels in
each direction. TIES leaves an order of magnitude for it.
"""

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torchvision.transforms import RandomAffine, functional

from cxrfmkd.training.augmentation import Augmentation, affine, move

TIES = 1e-3


def batch(n, height=40, width=40):
    random = torch.Generator().manual_seed(0)
    return torch.randint(1, 256, (n, height, width), dtype=torch.uint8, generator=random)


@pytest.mark.parametrize("shape", [(224, 224), (33, 64)])
def test_an_image_is_moved_as_torchvision_moves_it(shape):
    random = torch.Generator().manual_seed(1)
    degrees = (2 * torch.rand(20, generator=random) - 1) * 15
    scales = 0.9 + 0.2 * torch.rand(20, generator=random)
    images = batch(20, *shape)
    moved = affine(images, degrees, scales)
    for image, augmented, degree, scale in zip(images, moved, degrees, scales, strict=True):
        expected = functional.affine(
            image[None], float(degree), [0, 0], float(scale), [0.0, 0.0], fill=0
        )[0]
        assert (augmented != expected).float().mean() < TIES
        assert augmented.dtype == torch.uint8


def test_nothing_moves_at_zero_degrees_and_scale_one():
    images = batch(9)
    assert torch.equal(affine(images, torch.zeros(9), torch.ones(9)), images)


def test_what_comes_from_outside_is_black():
    moved = affine(batch(1), torch.tensor([15.0]), torch.tensor([0.9]))
    assert moved[0, 0, 0] == 0
    assert moved[0, 20, 20] > 0


def test_batches_of_any_size_are_moved_image_by_image():
    images = batch(21)
    degrees, scales = torch.linspace(-15, 15, 21), torch.linspace(0.9, 1.1, 21)
    one_by_one = [
        affine(images[i : i + 1], degrees[i : i + 1], scales[i : i + 1]) for i in range(21)
    ]
    # A vectorised cosine may differ from a single one in its last bit.
    different = affine(images, degrees, scales) != torch.cat(one_by_one)
    assert different.float().mean() < TIES
    assert affine(images[:0], degrees[:0], scales[:0]).shape == (0, 40, 40)


def test_flips_mirror_half_of_the_images_and_touch_no_other():
    images = batch(2000, 8, 8)
    augmented = Augmentation(flip=True)(images, torch.Generator().manual_seed(2))
    mirrored = (augmented == images.flip(-1)).all(-1).all(-1)
    unchanged = (augmented == images).all(-1).all(-1)
    assert (mirrored ^ unchanged).all()
    assert abs(mirrored.float().mean() - 0.5) < 0.04


def test_rotation_and_scale_are_distributed_as_in_torchvision():
    n = 20_000
    moves = Augmentation(affine=True).draw(n, torch.Generator().manual_seed(3))
    degrees, scales = moves.degrees.numpy(), moves.scales.numpy()
    assert moves.turned.sum() == len(degrees) == len(scales)
    assert abs(len(degrees) / n - 0.5) < 0.015
    torch.manual_seed(4)
    theirs = [
        RandomAffine.get_params((-15.0, 15.0), None, (0.9, 1.1), None, [40, 40])[::2]
        for _ in range(5000)
    ]
    assert kstest(degrees, [angle for angle, _ in theirs]).pvalue > 0.01
    assert kstest(scales, [scale for _, scale in theirs]).pvalue > 0.01
    assert kstest(degrees, "uniform", (-15, 30)).pvalue > 0.01
    assert abs(np.corrcoef(degrees, scales)[0, 1]) < 0.03


def test_flips_and_moves_are_drawn_independently():
    moves = Augmentation(True, True).draw(4000, torch.Generator().manual_seed(5))
    assert abs(moves.turned.float().mean() - 0.5) < 0.03
    assert abs((moves.turned & moves.mirrored).float().mean() - 0.25) < 0.03


@pytest.mark.parametrize("shape", [(224, 224), (33, 64), (17, 8)])
def test_the_compiled_loop_and_the_device_move_images_alike(shape):
    """The loop for CPUs against the operations for any other device, image by image."""
    images = batch(40, *shape)
    moves = Augmentation(True, True).draw(40, torch.Generator().manual_seed(7))
    expected = torch.where(moves.mirrored[:, None, None], images.flip(-1), images)
    expected[moves.turned] = affine(expected[moves.turned], moves.degrees, moves.scales)
    augmented = move(images, moves)
    assert (augmented != expected).float().mean() < TIES
    assert torch.equal(augmented[~moves.turned], expected[~moves.turned])


def test_images_that_are_augmented_stay_as_they_were():
    images = batch(12)
    before = images.clone()
    Augmentation(True, True)(images, torch.Generator().manual_seed(8))
    assert torch.equal(images, before)


def test_the_generator_alone_decides_and_goes_on_where_it_was():
    images, augment = batch(30), Augmentation(True, True)
    random = torch.Generator().manual_seed(6)
    first = augment(images, random)
    state = random.get_state()
    second = augment(images, random)
    torch.manual_seed(99)
    assert torch.equal(augment(images, torch.Generator().manual_seed(6)), first)
    assert torch.equal(augment(images, random.set_state(state)), second)
    assert not torch.equal(first, second)


def test_without_any_augmentation_images_stay_as_they_are():
    images = batch(5)
    assert torch.equal(Augmentation()(images, torch.Generator()), images)
