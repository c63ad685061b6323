"""Ridge regression by generalised cross-validation against scikit-learn and the definition."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from cxrfmkd.statistics.ridge import ridge_slopes

PENALTIES = np.logspace(-4, 5, 19)


def problem() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 8)) @ random.normal(size=(8, 8))
    y = x @ random.normal(size=(8, 3)) + random.normal(size=(60, 3)) * [0.01, 3, 30]
    return x - x.mean(0), y - y.mean(0)


def cross_validation_errors(x, y):
    """Generalised cross-validation error of each penalty and target, (penalties, targets)."""
    errors = []
    for penalty in PENALTIES:
        hat = x @ np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T)
        freedom = np.trace(hat) + 1
        errors.append(np.square(y - hat @ y).sum(0) / (len(x) - freedom) ** 2)
    return np.array(errors)


@pytest.mark.parametrize("shared", [False, True])
def test_slopes_are_scikit_learns_at_the_penalty_with_the_least_error(shared):
    x, y = problem()
    errors = cross_validation_errors(x, y)
    best = errors.sum(1).argmin() if shared else errors.argmin(0)
    penalties = np.broadcast_to(PENALTIES[best], 3)
    assert shared or len(set(penalties)) > 1
    slopes = ridge_slopes(x.T @ x, x.T @ y, np.square(y).sum(0), len(x), PENALTIES, shared)
    expected = Ridge(alpha=penalties, fit_intercept=False).fit(x, y).coef_.T
    # float64 rounding times the condition number of the Gram matrix, with room for both solvers.
    relative = 100 * np.finfo(float).eps * np.linalg.cond(x.T @ x)
    assert relative < 1e-6
    np.testing.assert_allclose(slopes, expected, rtol=0, atol=relative * np.abs(expected).max())


def test_means_and_sums_give_the_same_slopes():
    x, y = problem()
    sums = x.T @ x, x.T @ y, np.square(y).sum(0)
    of_sums = ridge_slopes(*sums, len(x), PENALTIES)
    of_means = ridge_slopes(*(a / len(x) for a in sums), len(x), PENALTIES / len(x))
    np.testing.assert_allclose(of_means, of_sums, rtol=1e-8)
