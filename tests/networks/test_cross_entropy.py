"""Masked cross-entropy against scikit-learn's, in float64: sums of some tens of terms, so 1e-12."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from cxrfmkd.networks.cross_entropy import masked_cross_entropy

RANDOM = np.random.default_rng(0)
LOGITS, TARGETS = 3 * RANDOM.normal(size=(40, 3)), RANDOM.integers(0, 2, (40, 3)).astype(float)
WEIGHTS = RANDOM.integers(0, 4, (40, 3)).astype(float)


def of_arrays(*arrays, **options):
    return masked_cross_entropy(*(torch.tensor(array) for array in arrays), **options).numpy()


def probabilities(logits):
    return 1 / (1 + np.exp(-logits))


def test_weights_count_as_repeated_rows_would():
    columns = of_arrays(LOGITS, TARGETS, WEIGHTS, dim=0)
    for k, column in enumerate(columns):
        logits, targets = (np.repeat(x[:, k], WEIGHTS[:, k].astype(int)) for x in (LOGITS, TARGETS))
        assert column == pytest.approx(log_loss(targets, probabilities(logits)), rel=1e-12)


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_a_target_of_nan_does_not_count(kind):
    labelled = WEIGHTS > 0
    value = of_arrays(LOGITS, np.where(labelled, TARGETS, np.nan), kind=kind)
    expected = log_loss(TARGETS[labelled], probabilities(LOGITS[labelled]))
    assert value == pytest.approx(expected, rel=1e-12)
    assert value == pytest.approx(of_arrays(LOGITS, TARGETS, labelled), rel=1e-12)


def test_without_any_weight_the_loss_is_zero():
    assert not of_arrays(LOGITS, TARGETS, 0 * WEIGHTS, dim=0).any()
    assert of_arrays(LOGITS, TARGETS * np.nan) == 0
