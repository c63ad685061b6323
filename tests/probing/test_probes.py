"""Linear probes: the optimum, the thesis's training, what a seed means, and what may not matter."""

import numpy as np
import pandas as pd
import pytest
import torch
from certificates import Regression, rounding
from sklearn.linear_model import LogisticRegression

from cxrfmkd.networks.layers import HeadInput, Linear
from cxrfmkd.probing.heads import LabelledInputs
from cxrfmkd.probing.logistic import TOLERANCE, principal_axes, solve
from cxrfmkd.probing.probes import patient_counts, train_heads
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Labels, Probe
from cxrfmkd.vocabulary.findings import FINDINGS

torch.set_num_threads(1)


def masked_log_loss(logits, targets):
    """The validation loss written down in float64 numpy: the mean over the known targets."""
    known = ~np.isnan(targets)
    z, y = logits[known].astype(np.float64), targets[known]
    return np.mean(np.logaddexp(0, z) - z * y)


def made(n: int, width: int, findings: int = 14, seed: int = 0, noise: float = 1.0):
    """Correlated features of different scales and means, and labels that are linear in them."""
    random = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(width, width)) / np.sqrt(width)
    inputs = random.normal(size=(n, width)) @ mix
    truth = np.random.default_rng(98).normal(size=(width, findings))
    scores = inputs @ truth - np.linspace(0, 2, findings)
    targets = scores + noise * random.logistic(size=scores.shape) > 0
    scales = np.geomspace(0.1, 10, width)
    return LabelledInputs(
        (inputs * scales + 5 * scales).astype(np.float32),
        targets.astype(np.float32),
        np.array([f"p{i // 2}" for i in range(n)]),
    )


def part(sample: LabelledInputs, rows) -> LabelledInputs:
    return LabelledInputs(sample.inputs[rows], sample.targets[rows], sample.patients[rows])


def relative(result: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(result - expected).max() / np.abs(expected).max())


def logits(head: Linear, inputs: np.ndarray) -> np.ndarray:
    """The head's logits without the rounding of a float32 product."""
    return inputs.astype(float) @ head.weight.astype(float).T + head.bias


def log_loss(logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean cross-entropy over the targets that are not NaN."""
    return float(np.nanmean(np.logaddexp(0, logits) - logits * targets))


def oracle(regression: Regression, penalty: float) -> np.ndarray:
    """scikit-learn's coefficients by Newton's method, whose own decrement is below 1e-9."""
    x, y, w = regression.inputs[:, :-1], regression.targets, regression.weights
    model = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=1000, solver="newton-cholesky")
    model.fit(x, y, w)
    return np.append(model.coef_[0], model.intercept_)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("n", "width"), [(400, 12), (60, 100)])
def test_solver_finds_the_optimum_that_scikit_learn_finds(n, width, dtype):
    sample = made(n, width, 3)
    counts = np.random.default_rng(1).integers(0, 4, (n, 3)).astype(float)
    penalties = np.array([1e-3, 1e-2, 1e-1])
    x = Regression(sample.inputs, sample.targets[:, 0], 0).inputs[:, :-1]
    arrays = (x, sample.targets, counts, penalties)
    solution = solve(*(torch.as_tensor(array).to(dtype) for array in arrays))
    assert solution.converged.all()
    for k in range(3):
        regression = Regression(sample.inputs, sample.targets[:, k], penalties[k], counts[:, k])
        theta = np.append(solution.weight[k].double().numpy(), solution.bias[k].item())
        # The solver stops when its estimate of what is left to gain is below the tolerance. The
        # estimate is a quasi-Newton one, here within a factor 3 of the true one.
        assert regression.decrement(theta)[0] ** 2 / 2 < 10 * TOLERANCE[dtype]
        expected = oracle(regression, penalties[k])
        apart = np.abs(regression.inputs @ (theta - expected))
        assert (apart <= regression.logit_bound(sample.inputs, theta, expected)).all()


def test_solver_that_runs_out_of_iterations_says_so():
    sample = made(200, 10, 2)
    x = torch.as_tensor(sample.inputs - sample.inputs.mean(0))
    targets, ones = torch.as_tensor(sample.targets), torch.ones(200, 2)
    result = solve(x, targets, ones, torch.full((2,), 1e-3), limit=2)
    assert not result.converged.any()
    assert result.iterations.tolist() == [2, 2]


@pytest.mark.parametrize(("n", "width"), [(50, 20), (20, 50)])
def test_principal_axes_reproduce_the_features_with_an_orthonormal_basis(n, width):
    x = torch.randn(n, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    scores, basis = principal_axes(x)
    # float64: 1e-16 times the condition number of the Gram matrix, below 1e4 here.
    assert torch.allclose(scores @ basis.T, x, atol=1e-10)
    assert torch.allclose(basis.T @ basis, torch.eye(basis.shape[1], dtype=x.dtype), atol=1e-10)


def assert_optimum(head: Linear, train: LabelledInputs, inputs: np.ndarray, k: int, *problem):
    """That finding k of a head trained in float64 predicts what scikit-learn's optimum does.

    The bound holds what the stopping rule leaves and the rounding of the head to float32.
    """
    regression = Regression(train.inputs, train.targets[:, k], *problem)
    theta = regression.coefficients(head.weight[k], head.bias[k])
    expected = oracle(regression, problem[0])
    bound = regression.logit_bound(inputs, theta, expected)
    result = logits(head, inputs)[:, k]
    assert (np.abs(result - regression.with_ones(inputs) @ expected) <= bound).all()
    assert bound.max() < 1e-4  # not so wide that it would say nothing


def test_converged_head_is_the_weighted_optimum_of_its_seed_on_raw_features():
    train, val = made(500, 10), made(200, 10, seed=1)
    settings = Probe(l2=[1e-2], bootstrap=True)
    [trained] = train_heads(train, val, [43], settings, "cpu", torch.float64)
    counts = patient_counts(train.patients, [43])[:, 0]
    for k in (0, 7, 13):
        assert_optimum(trained.head, train, val.inputs, k, 1e-2, counts)


def test_planted_linear_truth_is_recovered():
    train, val = made(4000, 8, noise=0.2), made(2000, 8, seed=1, noise=0.2)
    [trained] = train_heads(train, val, [1], Probe(), "cpu")
    right = (trained.head(val.inputs) > 0) == (val.targets > 0)
    assert right.mean() > 0.93


def test_penalty_of_each_finding_has_the_lowest_validation_loss():
    train, val = made(120, 60, noise=3), made(400, 60, seed=1, noise=3)
    [trained] = train_heads(train, val, [1], Probe(), "cpu", torch.float64)
    best = trained.history.loc[trained.history.groupby("finding").val_loss.idxmin()]
    assert best.set_index("finding").l2.to_dict() == trained.notes["l2"]
    assert trained.history.chosen.sum() == 14
    chosen = trained.history[trained.history.chosen].set_index("finding").val_loss
    result = logits(trained.head, val.inputs)
    # A loss moves no more than a logit does, whose weights were rounded to float32.
    bound = rounding(val.inputs, trained.head.weight, trained.head.bias).max(0)
    for k, finding in enumerate(FINDINGS):
        loss = log_loss(result[:, k], val.targets[:, k])
        assert loss == pytest.approx(chosen[finding], abs=bound[k])
    # The mean of means of 400 float64 terms.
    assert trained.best["val_loss"] == pytest.approx(chosen.mean(), abs=1e-12)


def assert_same_optimum(heads, train: LabelledInputs, inputs: np.ndarray, counts=1.0, findings=14):
    """That two heads trained in float64 predict the same, as near as their stopping rule says."""
    for k in range(14 - findings, 14):
        penalties = [list(trained.notes["l2"].values())[k] for trained in heads]
        assert penalties[0] == penalties[1]
        regression = Regression(train.inputs, train.targets[:, k], penalties[0], counts)
        thetas = [regression.coefficients(h.head.weight[k], h.head.bias[k]) for h in heads]
        first, second = (logits(trained.head, inputs)[:, k] for trained in heads)
        bound = regression.logit_bound(inputs, *thetas)
        assert (np.abs(first - second) <= bound).all()
        assert bound.max() < 1e-3


def test_seeds_together_give_what_each_gives_alone():
    train, val = made(200, 15), made(100, 15, seed=1)
    settings = Probe(bootstrap=True)
    together = train_heads(train, val, [1, 2, 3], settings, "cpu", torch.float64)
    counts = patient_counts(train.patients, [1, 2, 3])
    for s, seed in enumerate((1, 2, 3)):
        [alone] = train_heads(train, val, [seed], settings, "cpu", torch.float64)
        assert_same_optimum([together[s], alone], train, val.inputs, counts[:, s])
    assert relative(together[0].head.weight, together[1].head.weight) > 1e-2


def test_seed_draws_patients_whole_and_whatever_the_order_of_rows():
    patients = np.array(["b", "a", "c", "a", "b", "a"])
    counts = patient_counts(patients, [5, 6])
    for patient in "abc":
        assert len({tuple(row) for row in counts[patients == patient]}) == 1
    assert [counts[[1, 0, 2], s].sum() for s in (0, 1)] == [3, 3]
    turned = patient_counts(patients[::-1], [5, 6])
    np.testing.assert_array_equal(turned[::-1], counts)


def test_without_bootstrap_every_seed_has_the_one_optimum_on_all_patients():
    train, val = made(300, 10), made(100, 10, seed=1)
    heads = train_heads(train, val, [41, 42], Probe(l2=[1e-2]), "cpu", torch.float64)
    assert [trained.seed for trained in heads] == [41, 42]
    np.testing.assert_array_equal(heads[0].head.weight, heads[1].head.weight)
    assert_optimum(heads[0].head, train, train.inputs, 3, 1e-2)


def plain_loop(train: LabelledInputs, val: LabelledInputs, seed: int, settings: Probe):
    """The thesis's probe of one seed as anyone would write it: the oracle of the batched one."""
    torch.manual_seed(seed)
    head = torch.nn.Linear(train.inputs.shape[1], 14).double()
    adam = torch.optim.Adam(head.parameters(), lr=settings.learning_rate)
    order = torch.Generator().manual_seed(seed)
    x, y, vx, vy = (
        torch.as_tensor(a).double() for a in (train.inputs, train.targets, val.inputs, val.targets)
    )
    best = (np.inf, None, None)

    def cross_entropy(logits, targets):
        if settings.bce == "probabilities":
            return torch.nn.functional.binary_cross_entropy(logits.sigmoid(), targets)
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)

    for epoch in range(settings.epochs):
        for batch in torch.randperm(len(x), generator=order).split(settings.batch_size):
            adam.zero_grad()
            known = ~y[batch].isnan()
            loss = cross_entropy(head(x[batch])[known], y[batch][known])
            loss.backward()
            adam.step()
        known = ~vy.isnan()
        logits = head(vx)[known]
        val_loss = float(cross_entropy(logits, vy[known]).detach())
        if val_loss < best[0]:
            best = (val_loss, epoch, head.weight.detach().clone().numpy())
    return best


@pytest.mark.parametrize("bce", ["logits", "probabilities"])
@pytest.mark.parametrize("ignored", [0, 0.2])
def test_thesis_probe_of_all_seeds_equals_a_plain_loop_per_seed(ignored, bce):
    train, val = made(150, 9), made(60, 9, seed=1)
    for sample in (train, val):
        sample.targets[np.random.default_rng(2).random(sample.targets.shape) < ignored] = np.nan
    settings = Probe(protocol="thesis", epochs=4, batch_size=32, learning_rate=0.05, bce=bce)
    heads = train_heads(train, val, [41, 42, 43], settings, "cpu", torch.float64)
    for trained in heads:
        val_loss, epoch, weight = plain_loop(train, val, trained.seed, settings)
        # Both in float64; ours is then rounded to float32. Rounding grows where Adam divides by a
        # gradient's size, which is at least some 1e-6 here: by less than 1e6.
        np.testing.assert_allclose(trained.head.weight, weight, rtol=2**-23, atol=1e-9)
        assert trained.best["epoch"] == epoch
        assert trained.best["val_loss"] == pytest.approx(val_loss, rel=1e-9)
        assert len(trained.history) == 4


def test_thesis_probe_keeps_the_best_epoch_not_the_last():
    train, val = made(60, 40, noise=5), made(200, 40, seed=1, noise=5)
    settings = Probe(protocol="thesis", epochs=12, batch_size=16, learning_rate=0.05)
    [trained] = train_heads(train, val, [1], settings, "cpu", torch.float64)
    assert trained.best["epoch"] == trained.history.val_loss.idxmin() < 11
    # A loss moves no more than a logit does, whose weights were rounded to float32.
    bound = rounding(val.inputs, trained.head.weight, trained.head.bias).max()
    loss = log_loss(logits(trained.head, val.inputs), val.targets)
    assert loss == pytest.approx(trained.best["val_loss"], abs=bound)
    assert loss < trained.history.val_loss.iloc[-1] - bound


@pytest.mark.parametrize("protocol", ["converged", "thesis"])
def test_finding_with_one_class_gets_its_prior_and_is_listed(protocol):
    train, val = made(100, 6), made(50, 6, seed=1)
    train.targets[:, 2] = 0
    train.targets[:, 5] = 1
    train.targets[:, 9] = np.nan
    [trained] = train_heads(train, val, [1], Probe(protocol=protocol, epochs=2), "cpu")
    assert trained.notes["constant"] == [FINDINGS[k] for k in (2, 5, 9)]
    assert not trained.head.weight[[2, 5, 9]].any()
    bias = np.log(0.5 / 100.5)
    # In float32 a prior near 1 is rounded by 2^-24, and its log-odds by that over 1 - prior.
    atol = 2 * 2.0**-24 * 100.5 / 0.5
    np.testing.assert_allclose(trained.head.bias[[2, 5, 9]], [bias, -bias, 0], atol=atol)
    assert trained.head.weight[[0, 1, 3]].any(1).all()


def test_finding_whose_only_positives_a_seed_did_not_draw_is_constant_for_that_seed():
    train, val = made(40, 3), made(50, 3, seed=1)
    train.targets[:, 4] = train.patients == "p7"
    drawn = patient_counts(train.patients, range(8))[14] > 0
    heads = train_heads(train, val, range(8), Probe(bootstrap=True), "cpu")
    assert 0 < drawn.sum() < 8
    assert [FINDINGS[4] not in trained.notes["constant"] for trained in heads] == drawn.tolist()


def test_groups_of_seeds_that_fit_into_memory_change_nothing(monkeypatch):
    train, val = made(60, 5), made(40, 5, seed=1)
    arguments = train, val, [1, 2, 3], Probe(bootstrap=True), "cpu", torch.float64
    together = train_heads(*arguments)
    monkeypatch.setattr("cxrfmkd.probing.probes.ELEMENTS", 2 * 60 * 14 * 4)
    grouped = train_heads(*arguments)
    assert [trained.seed for trained in grouped] == [1, 2, 3]
    counts = patient_counts(train.patients, [1, 2, 3])
    for s, pair in enumerate(zip(together, grouped, strict=True)):
        assert_same_optimum(pair, train, val.inputs, counts[:, s])


def test_ignored_labels_leave_the_other_findings_alone():
    train, val = made(150, 8), made(80, 8, seed=1)
    [full] = train_heads(train, val, [1], Probe(), "cpu", torch.float64)
    train.targets[::3, 0] = np.nan
    [masked] = train_heads(train, val, [1], Probe(), "cpu", torch.float64)
    assert_same_optimum([masked, full], train, val.inputs, findings=13)
    assert relative(masked.head.weight[0], full.head.weight[0]) > 1e-2


def test_feature_that_never_varies_is_not_used():
    train, val = made(100, 5), made(50, 5, seed=1)
    train.inputs[:, 3] = 0.1
    [trained] = train_heads(train, val, [1], Probe(), "cpu")
    assert not trained.head.weight[:, 3].any()


def test_validation_without_any_label_is_refused():
    train, val = made(20, 3), made(10, 3)
    val.targets[:] = np.nan
    with pytest.raises(InputError, match="validation records have no known label"):
        train_heads(train, val, [1], Probe(), "cpu")
    with pytest.raises(InputError, match="training records are empty"):
        train_heads(part(train, slice(0)), made(10, 3), [1], Probe(), "cpu")


def table(sample: LabelledInputs, split: str) -> tuple[pd.DataFrame, KeyedArray]:
    records = pd.DataFrame(sample.targets, columns=list(FINDINGS))
    ids = [f"{split}{i}" for i in range(len(records))]
    records.insert(0, "image_id", ids)
    records.insert(1, "patient_id", sample.patients)
    return records, KeyedArray(sample.inputs, records[["image_id"]], name="features")


def test_shuffled_feature_array_gives_the_same_head_bit_for_bit():
    records, features = table(made(90, 7), "train")
    order = np.random.default_rng(0).permutation(90)
    index = features.index.iloc[order].reset_index(drop=True)
    shuffled = KeyedArray(features.data[order], index, name="shuffled")
    samples = [
        LabelledInputs.of(records, HeadInput(array), Labels()) for array in (features, shuffled)
    ]
    first, second = (train_heads(s, made(40, 7), [1], Probe(), "cpu")[0] for s in samples)
    np.testing.assert_array_equal(first.head.weight, second.head.weight)
    np.testing.assert_array_equal(first.head.bias, second.head.bias)


def test_missing_image_and_broken_feature_are_errors():
    records, features = table(made(30, 4), "train")
    lacking = KeyedArray(features.data[1:], features.index.iloc[1:], name="features")
    with pytest.raises(InputError, match="1 of 30 requested images are not in it"):
        LabelledInputs.of(records, HeadInput(lacking), Labels())
    features.data[3, 2] = np.inf
    with pytest.raises(InputError, match=r"1 images have features that are not finite \(rows 3"):
        LabelledInputs.of(records, HeadInput(features), Labels())


def test_view_through_a_projection_is_the_projection_of_the_features():
    records, features = table(made(30, 4), "train")
    random = np.random.default_rng(0)
    layer = Linear(random.normal(size=(6, 4)).astype("f4"), random.normal(size=6).astype("f4"))
    seen = HeadInput(features, layer).take(records.image_id)
    bound = rounding(features.data, layer.weight, layer.bias)
    assert (np.abs(seen - logits(layer, features.data)) <= bound).all()
    wrong = Linear(np.zeros((6, 5), "f4"), np.zeros(6, "f4"))
    with pytest.raises(InputError, match="4 features an image, the projection takes 5"):
        HeadInput(features, wrong)
