"""Linear erasure: no covariance is left, nothing else is moved more than it must be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.linear_model import LinearRegression

from cxrfmkd.statistics.erasure import fit_eraser, moments

# A covariance of n products of size 1 is off by some n x 1.1e-16 at most.
ROUNDING = 1e-12


def world(n: int = 400, f: int = 12, groups: int = 3, seed: int = 0):
    """Correlated features that tell groups; of some rows the group is unknown."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, groups, n)
    features = rng.normal(size=(n, f)) @ rng.normal(size=(f, f)) + 5
    return features + rng.normal(size=(groups + 1, f))[codes] * 2, codes


def covariance(features, codes):
    known = codes >= 0
    member = np.eye(codes.max() + 1)[codes[known]]
    return (features[known] - features[known].mean(0)).T @ (member - member.mean(0)) / known.sum()


@pytest.mark.parametrize(("n", "f", "groups"), [(400, 12, 2), (400, 12, 3), (40, 100, 2)])
def test_features_and_groups_have_no_covariance_on_the_training_rows(n, f, groups):
    features, codes = world(n, f, groups)
    erased = fit_eraser(features, codes, moments(features))(features)
    assert np.abs(covariance(features, codes)).max() > 0.1
    assert np.abs(covariance(erased, codes)).max() < ROUNDING * 1e2  # of features of size 10
    # So that no least-squares classifier explains anything.
    known = codes >= 0
    member = codes[known] == 0
    score = LinearRegression().fit(erased[known], member).score(erased[known], member)
    assert score == pytest.approx(0, abs=1e-9) or n < f
    # As many directions are lost as groups can differ in.
    assert np.linalg.matrix_rank(features - erased) == groups - 1


def test_the_map_is_the_closed_form_of_belrose():
    features, codes = world()
    codes = np.abs(codes)  # all known
    centred = features - features.mean(0)
    whitening = np.linalg.inv(sqrtm(centred.T @ centred / len(features)).real)
    whitened = whitening @ covariance(features, codes)
    projection = whitened @ np.linalg.pinv(whitened, rcond=1e-9)
    expected = features - centred @ (np.linalg.inv(whitening) @ projection @ whitening).T
    erased = fit_eraser(features, codes, moments(features))(features)
    np.testing.assert_allclose(erased, expected, atol=1e-8)  # of two inversions
    # Removing the same covariance along its own directions moves the features further.
    directions = np.linalg.svd(covariance(features, codes), full_matrices=False)[0][:, :2]
    plain = centred @ directions @ directions.T
    assert ((features - erased) ** 2).sum() < (plain**2).sum()


def test_one_group_alone_is_not_erased_and_the_type_stays():
    features, codes = world()
    features = features.astype(np.float32)
    erased = fit_eraser(features, np.zeros_like(codes), moments(features))(features)
    assert erased.dtype == np.float32
    np.testing.assert_array_equal(erased, features)
