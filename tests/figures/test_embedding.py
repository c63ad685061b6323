"""Pictures of embeddings: densities of groups, nobody's own place, no small group."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import made_tables as made
import numpy as np
import pandas as pd
import pytest

from cxrfmkd.figures import embedding
from cxrfmkd.figures.drawing import save_figure
from cxrfmkd.runtime.errors import InputError


def people(n: int) -> np.ndarray:
    return np.arange(n)


def test_density_integrates_to_one_and_follows_the_data():
    values = np.random.default_rng(0).normal(2, 1, (1500, 1))
    grid = np.linspace(-4, 8, 200)
    height = embedding.density(values, people(1500), (grid,), 10)
    assert np.trapezoid(height, grid) == pytest.approx(1, abs=0.01)
    assert grid[height.argmax()] == pytest.approx(2, abs=0.3)


def test_density_in_two_dimensions_has_the_first_axis_along_its_rows():
    values = np.random.default_rng(0).normal([1, -2], [0.5, 1], (800, 2))
    grids = np.linspace(-2, 4, 61), np.linspace(-7, 3, 101)
    plane = embedding.density(values, people(800), grids, 10)
    assert plane.shape == (101, 61)
    row, column = np.unravel_index(plane.argmax(), plane.shape)
    assert grids[0][column] == pytest.approx(1, abs=0.4)
    assert grids[1][row] == pytest.approx(-2, abs=0.6)
    # Lines hold half and 80 % of the density.
    outer, inner = embedding.levels(plane)
    assert plane[plane >= inner].sum() / plane.sum() == pytest.approx(0.5, abs=0.02)
    assert plane[plane >= outer].sum() / plane.sum() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("group", [12, 60])
def test_no_bump_of_a_density_is_one_patients(group):
    """With and without many images of one patient far from the others, the place looks alike."""
    rng = np.random.default_rng(group)
    places = np.r_[rng.normal(0, 1, (group - 1, 2)), np.full((5, 2), 6.0)]
    patients = np.r_[people(group - 1), np.full(5, group - 1)]
    grid = np.linspace(-9, 9, 91)
    plane = embedding.density(places, patients, (grid, grid), 10)
    at_outlier = plane[np.ix_(grid > 4.5, grid > 4.5)]
    peak = at_outlier.max()
    inside = at_outlier[1:-1, 1:-1]
    neighbours = [
        at_outlier[1 + i : len(at_outlier) - 1 + i, 1 + j : at_outlier.shape[1] - 1 + j]
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
        if i or j
    ]
    assert not (inside > np.max(neighbours, axis=0)).any()  # no hill of its own
    assert peak < embedding.levels(plane)[0]  # and outside of every line
    along = embedding.density(places[:, [0]], patients, (grid,), 10)
    beyond = along[grid > 4.5]
    assert (
        np.diff(beyond) < 1e-4 * along.max()
    ).all()  # a thousandth of the drawn height is 0.03 pt


def test_the_drawing_holds_no_place_of_an_image_and_no_place_twice(tmp_path):
    """Join the panels of a row by the positions in the picture, as a reader of dots could."""
    points = made.points().assign(model="cxr-fm-lp", loss="")
    table = embedding.select_points(points, records_of(points, 1), "pca", 10)
    save_figure(
        embedding.draw_embedding(table, "chexpert", "pca", 10),
        *[tmp_path / f"pca.{kind}" for kind in ("svg", "png")],
    )
    svg = (tmp_path / "pca.svg").read_text()
    assert "<image" not in svg
    root = ET.fromstring(svg)
    name = "{http://www.w3.org/2000/svg}"
    panels = [g for g in root.iter(f"{name}g") if g.get("id", "").startswith("axes_")]
    # Markers of the legend alone: three of disease, two of sex, three of age.
    assert len([*root.iter(f"{name}use")]) == 8
    shapes = []
    for panel in panels:
        corner = np.array(
            [float(v) for v in re.findall(r"-?[\d.]+", panel.find(f".//{name}path").get("d"))][:2]
        )
        vertices = set()
        for path in list(panel.iter(f"{name}path"))[1:]:
            numbers = [float(v) for v in re.findall(r"-?\d+\.?\d*", path.get("d"))]
            pairs = np.array(numbers[: len(numbers) // 2 * 2]).reshape(-1, 2) - corner
            vertices |= {tuple(pair) for pair in pairs.round(3)}
        shapes.append(vertices)
    assert len(shapes) == 3
    # Curves share the grid along their edges, so of contours alone: those not on an edge.
    contours = [{v for v in vertices if v[0] > 30 and v[1] < -30} for vertices in shapes]
    for i, one in enumerate(contours):
        for other in contours[:i]:
            assert len(one & other) <= 0.02 * len(one)


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


def test_the_row_level_picture_has_a_dot_for_each_image_and_keeps_small_groups():
    points = made.points().assign(model="cxr-fm-lp", loss="")
    table = embedding.select_points(points, records_of(points, 40), "pca", 0)
    figure = embedding.draw_points(table, "chexpert", "pca")
    panels = [panel for panel in figure.axes if panel.collections]
    assert len(panels) == 4  # race too, which the published picture leaves out here
    for panel in panels:
        dots = np.vstack([dots.get_offsets() for dots in panel.collections])
        expected = points[["mode_1", "mode_2"]].to_numpy()
        np.testing.assert_allclose(np.sort(dots, axis=0), np.sort(expected, axis=0))
    assert "not to be shared" in " ".join(text.get_text() for text in figure.texts)
