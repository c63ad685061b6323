"""Losses against formulas in float64 numpy, and against torch's own where it has one.

Both sides are sums of about a hundred float64 terms of like size: they agree to 1e-12 anywhere.
"""

import numpy as np
import pytest
import torch
from torch.nn import functional

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.losses import loss_names
from cxrfmkd.training.losses import LOSSES, BinaryCrossEntropy, Objective, loss, relational
from cxrfmkd.vocabulary.losses import LOSS_TITLES, loss_share

SCALES = {"mse": 0.07545425, "cosine": 0.008772321}


def mse(o, t):
    return np.mean((o - t) ** 2)


def mae(o, t):
    return np.mean(np.abs(o - t))


def huber(o, t):
    r = np.abs(o - t)
    return np.mean(np.where(r <= 1, 0.5 * r**2, r - 0.5))


def cosine(o, t):
    dots = np.sum(o * t, axis=1)
    return 1 - np.mean(dots / (np.linalg.norm(o, axis=1) * np.linalg.norm(t, axis=1)))


def learned(o, t, a=0.0, b=0.0):
    return np.exp(-a) * mse(o, t) + a + np.exp(-b) * cosine(o, t) + b


def weighted(alpha):
    return lambda o, t: alpha * mse(o, t) / 0.07545425 + (1 - alpha) * cosine(o, t) / 0.008772321


FORMULAS = {
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "cosine": cosine,
    "mse-cosine": lambda o, t: 0.5 * mse(o, t) + 0.5 * cosine(o, t),
    "mse-cosine-learned": learned,
} | {f"mse-cosine-{alpha}": weighted(alpha) for alpha in (0.5, 0.6, 0.7, 0.8, 0.9, 0.25)}


@pytest.fixture
def vectors():
    random = np.random.default_rng(1)
    return 2 * random.standard_normal((7, 11)), 2 * random.standard_normal((7, 11)) + 1


@pytest.mark.parametrize("name", FORMULAS)
def test_a_loss_and_its_gradient_equal_the_formula(name, vectors):
    o, t = vectors
    student = torch.tensor(o, requires_grad=True)
    value = Objective(name, SCALES).double()(student, torch.tensor(t))["loss"]
    formula = FORMULAS[name]
    assert value.item() == pytest.approx(formula(o, t), rel=1e-12)
    value.backward()
    # Central differences: rounding costs 2e-16 x the loss / step, curvature step^2 x the loss.
    step = 1e-5
    tolerance = 1e-9 * abs(formula(o, t))
    for row, column in [(0, 0), (3, 5), (6, 10)]:
        up, down = o.copy(), o.copy()
        up[row, column] += step
        down[row, column] -= step
        slope = (formula(up, t) - formula(down, t)) / (2 * step)
        assert student.grad[row, column].item() == pytest.approx(slope, rel=0, abs=tolerance)


def test_learned_weights_have_the_formulas_gradients_and_start_at_zero(vectors):
    o, t = (torch.tensor(x) for x in vectors)
    objective = Objective("mse-cosine-learned").double()
    a, b = objective.loss.log_mse, objective.loss.log_cosine
    assert (a.item(), b.item()) == (0, 0)
    with torch.no_grad():
        a.fill_(-2.6)
        b.fill_(-4.67)
    terms = objective(o, t)
    assert terms["loss"].item() == pytest.approx(learned(*vectors, -2.6, -4.67), rel=1e-12)
    terms["loss"].backward()
    assert a.grad.item() == pytest.approx(1 - np.exp(2.6) * mse(*vectors), rel=1e-12)
    assert b.grad.item() == pytest.approx(1 - np.exp(4.67) * cosine(*vectors), rel=1e-12)
    assert terms["log_mse"].item() == -2.6


def test_the_plan_finds_the_losses_that_training_has():
    assert loss_names() == list(LOSSES) == list(LOSS_TITLES)
    assert all(name in LOSSES or loss_share(name) is not None for name in FORMULAS)


def test_terms_are_what_the_loss_is_made_of(vectors):
    o, t = (torch.tensor(x) for x in vectors)
    assert set(Objective("mse")(o, t)) == {"loss", "mse"}
    mixed = Objective("mse-cosine-0.6", SCALES, relational_weight=2.0)(o, t)
    assert set(mixed) == {"loss", "mse", "cosine", "relational"}
    combined = 0.6 * mixed["mse"] / SCALES["mse"] + 0.4 * mixed["cosine"] / SCALES["cosine"]
    assert mixed["loss"].item() == pytest.approx((combined + 2 * mixed["relational"]).item())


def test_the_relational_term_compares_the_centred_cosines_of_all_pairs(vectors):
    def pairs(x):
        x = x - x.mean(0)
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        return np.array([x[i] @ x[j] for i in range(len(x)) for j in range(len(x)) if i != j])

    o, t = vectors
    expected = np.mean((pairs(o) - pairs(t)) ** 2)
    value = relational(torch.tensor(o), torch.tensor(t)).item()
    assert value == pytest.approx(expected, rel=1e-12)
    rotated = t @ np.linalg.qr(np.random.default_rng(2).standard_normal((11, 11)))[0] * 3 + 5
    assert relational(torch.tensor(rotated), torch.tensor(t)).item() == pytest.approx(0, abs=1e-12)


def test_the_relational_term_of_a_single_image_costs_nothing():
    student = torch.ones(1, 4, requires_grad=True)
    relational(student, torch.zeros(1, 4)).backward()
    assert student.grad.abs().sum() == 0


def test_a_zero_vector_has_no_direction_but_does_not_break_the_cosine():
    student = torch.zeros(2, 3, requires_grad=True)
    value = Objective("cosine")(student, torch.ones(2, 3))["loss"]
    value.backward()
    assert value.item() == 1
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("name", ["kl", "mse-cosine-0", "mse-cosine-1.0", "mse-cosine-1.5", ""])
def test_an_unknown_loss_is_refused_with_the_known_ones(name):
    with pytest.raises(InputError, match=r"losses are mse, mae.*mse-cosine-A"):
        Objective(name, SCALES)


@pytest.mark.parametrize("scales", [None, {}, {"mse": 1.0}, {"mse": 0.0, "cosine": 1.0}])
def test_a_weighted_loss_without_plateau_values_is_refused(scales):
    with pytest.raises(InputError, match="needs positive plateau values"):
        Objective("mse-cosine-0.6", scales)


def test_a_new_loss_is_one_function():
    try:

        @loss("largest")
        def largest(student, teacher):
            return (student - teacher).abs().max()

        terms = Objective("largest")(torch.tensor([[1.0, 5.0]]), torch.tensor([[0.0, 2.0]]))
        assert {name: value.item() for name, value in terms.items()} == {"loss": 3, "largest": 3}
    finally:
        del LOSSES["largest"]


@pytest.fixture
def classified():
    random = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(9, 14, generator=random, dtype=torch.float64)
    return logits, torch.randint(0, 2, (9, 14), generator=random).double()


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_binary_cross_entropy_equals_the_formula(kind, classified):
    z, y = classified
    p = 1 / (1 + np.exp(-z.numpy()))
    expected = -np.mean(y.numpy() * np.log(p) + (1 - y.numpy()) * np.log(1 - p))
    assert BinaryCrossEntropy(kind)(z, y)["loss"].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_ignored_labels_change_neither_loss_nor_gradient(kind, classified):
    z, y = classified
    labelled = torch.rand(9, 14, generator=torch.Generator().manual_seed(4)) < 0.7
    holes = torch.where(labelled, y, torch.nan)
    z.requires_grad_()
    value = BinaryCrossEntropy(kind)(z, holes)["loss"]
    expected = functional.binary_cross_entropy_with_logits(z[labelled], y[labelled])
    assert value.item() == pytest.approx(expected.item(), rel=1e-9)
    (gradient,) = torch.autograd.grad(value, z)
    assert torch.equal(gradient != 0, labelled)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, z)[0])


def test_a_batch_of_ignored_labels_alone_costs_nothing():
    logits = torch.ones(2, 14, requires_grad=True)
    value = BinaryCrossEntropy()(logits, torch.full((2, 14), torch.nan))["loss"]
    value.backward()
    assert value.item() == 0
    assert logits.grad.abs().sum() == 0


def test_on_probabilities_a_saturated_logit_costs_100_as_in_the_thesis():
    wrong = torch.tensor([[200.0]]), torch.tensor([[0.0]])
    assert BinaryCrossEntropy("probabilities")(*wrong)["loss"].item() == 100
    assert BinaryCrossEntropy("logits")(*wrong)["loss"].item() == 200
