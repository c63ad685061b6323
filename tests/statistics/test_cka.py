"""Linear CKA against its definition on Gram matrices."""

import numpy as np
import pytest

from cxrfmkd.statistics.cka import linear_cka


def representations():
    """Two of the same 80 images, with a large common offset."""
    random = np.random.default_rng(0)
    teacher = 10 * random.normal(size=20) + random.normal(size=(80, 20)) * np.linspace(0.2, 2, 20)
    return teacher + random.normal(size=(80, 20)), teacher


def gram_cka(x, y, debiased):
    """CKA from the two n x n Gram matrices, term by term (Song et al. 2012, equation 5)."""
    n = len(x)
    k, m = x @ x.T, y @ y.T
    if not debiased:
        h = np.eye(n) - 1 / n
        k, m = h @ k @ h, h @ m @ h
        return np.sum(k * m) / np.sqrt(np.sum(k * k) * np.sum(m * m))

    def hsic(a, b):
        a, b = a - np.diag(np.diag(a)), b - np.diag(np.diag(b))
        one = np.ones(n)
        both = one @ a @ one * (one @ b @ one) / ((n - 1) * (n - 2))
        return np.trace(a @ b) + both - 2 / (n - 2) * (one @ a @ b @ one)

    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


# Tolerances: float64 sums of some 10^4 terms, of which the debiased form cancels a part.
@pytest.mark.parametrize("debiased", [False, True])
def test_cka_equals_its_definition_on_gram_matrices(debiased):
    student, teacher = representations()
    expected = gram_cka(student[:, :7], teacher, debiased)
    assert linear_cka(student[:, :7], teacher, debiased) == pytest.approx(expected, abs=1e-10)


def test_cka_of_more_dimensions_than_images_equals_its_definition():
    wide = np.random.default_rng(6).normal(size=(20, 300))
    expected = gram_cka(wide, wide[:, :5], False)
    assert linear_cka(wide, wide[:, :5]) == pytest.approx(expected, abs=1e-10)


def test_cka_ignores_rotation_and_scale_and_its_debiased_form_is_zero_by_chance():
    random = np.random.default_rng(1)
    _, teacher = representations()
    rotation = np.linalg.qr(random.normal(size=(20, 20)))[0]
    assert linear_cka(3 * teacher @ rotation + 1, teacher) == pytest.approx(1, abs=1e-10)
    unrelated = random.normal(size=(80, 200))
    assert linear_cka(unrelated, teacher) > 0.2
    assert abs(linear_cka(unrelated, teacher, debiased=True)) < 0.1
    assert linear_cka(np.ones((80, 3)), teacher) == 0
