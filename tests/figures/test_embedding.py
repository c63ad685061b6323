"""Pictures of embeddings: densities, mixed colours, and small groups without a colour."""

from __future__ import annotations

import made_tables as made
import numpy as np
import pandas as pd
import pytest

from cxrfmkd.figures import embedding
from cxrfmkd.runtime.errors import InputError


def test_density_integrates_to_one_and_follows_the_data():
    values = np.random.default_rng(0).normal(2, 1, 4000)
    grid = np.linspace(-3, 7, 200)
    height = embedding.density(values, grid)
    assert np.trapezoid(height, grid) == pytest.approx(1, abs=0.01)
    assert grid[height.argmax()] == pytest.approx(2, abs=0.3)


def test_dots_of_two_groups_on_one_place_mix_their_colours():
    x = y = np.full(4, 0.5)
    groups = [np.array([True, True, True, False]), np.array([False, False, False, True])]
    image = embedding.dots(x, y, groups, ["#ff0000", "#0000ff"], ((0, 1), (0, 1)))
    red, green, blue, opacity = image[embedding.PIXELS // 2, embedding.PIXELS // 2]
    assert (red, green, blue) == pytest.approx((0.75, 0, 0.25), abs=0.07)
    assert opacity > 0.9
    assert image[0, 0].tolist() == [0, 0, 0, 0]


def records_of(points: pd.DataFrame, images_per_patient: int) -> pd.DataFrame:
    patients = np.arange(len(points)) // images_per_patient
    return pd.DataFrame({"image_id": points.image_id, "patient_id": patients.astype(str)})


def test_pictures_of_embeddings_leave_small_groups_and_the_next_smallest_uncoloured():
    points = made.points().assign(model="cxr-fm-lp", loss="")
    table = embedding.select_points(points, records_of(points, 1), "pca", 10)
    next_smallest = points.race[points.race != "Black"].value_counts().idxmin()
    assert set(table.race.dropna()) == {"White", "Asian"} - {next_smallest}
    assert len(table) == len(points)
    numbers = embedding.summarise_points(table, "pca")
    assert not {"Black", next_smallest} & set(numbers.group)
    assert (numbers.images >= 10).all()


def test_small_groups_are_counted_in_patients_not_in_images():
    points = made.points().assign(model="cxr-fm-lp", loss="")
    points["sex"] = np.where(np.arange(len(points)) < 180, "Male", "Female")
    few = embedding.select_points(points, records_of(points, 10), "pca", 10)
    assert few.sex.isna().all()  # 60 images of 6 women, and all men, who are the next smallest
    enough = embedding.select_points(points, records_of(points, 6), "pca", 10)
    assert set(enough.sex) == {"Male", "Female"}


def test_a_picture_of_nothing_but_small_groups_says_so():
    points = made.points().assign(model="cxr-fm-lp", loss="")
    table = embedding.select_points(points, records_of(points, 40), "pca", 10)
    figure = embedding.draw_embedding(table, "chexpert", "pca")
    assert "Nothing to draw of CheXpert" in figure.texts[0].get_text()


def test_a_point_without_a_record_is_an_error_that_counts_them():
    points = made.points().assign(model="cxr-fm-lp", loss="")
    with pytest.raises(InputError, match="3 of 240 images of projection"):
        embedding.select_points(points, records_of(points, 1).iloc[3:], "pca", 10)
