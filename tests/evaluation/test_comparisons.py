"""Paired differences: on how many patients they rest, and of which findings averages are taken."""

from __future__ import annotations

import numpy as np
import pytest

from cxrfmkd.evaluation.comparisons import Compared, difference_columns, paired, paired_errors
from cxrfmkd.evaluation.intervals import patients_of_rows
from cxrfmkd.evaluation.metrics import with_averages
from cxrfmkd.statistics.uncertainty import seed_variance
from cxrfmkd.study.settings.findings import THESIS

FINDINGS = len(THESIS.names)


def compared(replicates: np.ndarray, by_seed: np.ndarray) -> Compared:
    """replicates: (1 + replicates, f, 4), by_seed: (seeds, f, 4); averages are added."""
    of_seeds = with_averages(by_seed, by_seed[0])
    return Compared(with_averages(replicates, replicates[0]), seed_variance(of_seeds), of_seeds)


def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.random((200, FINDINGS, 4)), rng.random((3, FINDINGS, 4))


@pytest.mark.parametrize("untold", [[1, 3, 12], []])
def test_models_that_tell_the_same_alike_do_not_differ_by_what_only_one_tells(untold):
    values, by_seed = draw(np.random.default_rng(0))
    lacking = [array.copy() for array in (values, by_seed)]
    for array in lacking:
        array[:, untold] = np.nan
    names, difference, seeds = paired(compared(values, by_seed), compared(*lacking), THESIS)
    macro = names.index("Macro")
    np.testing.assert_array_equal(difference[:, macro], 0)
    shared = np.delete(by_seed, untold, axis=1).mean(axis=1)
    for of_model in seeds:
        np.testing.assert_allclose(
            of_model.variance[macro], shared.var(axis=0, ddof=1) / 3, rtol=1e-12
        )


def test_the_average_of_differences_is_the_difference_of_averages_where_both_tell_all():
    rng = np.random.default_rng(1)
    a, b = compared(*draw(rng)), compared(*draw(rng))
    names, difference, _ = paired(a, b, THESIS)
    rows = [THESIS.rows.index(name) for name in names]
    np.testing.assert_array_equal(difference, (a.metrics - b.metrics)[:, rows])


def test_a_difference_on_few_patients_has_neither_interval_nor_p():
    drawn = np.random.default_rng(2).normal(0.1, 0.02, (300, 3))
    error = paired_errors(drawn, patients=np.array([14, 15, np.inf]))
    columns = difference_columns(drawn[0], error, 0.95)
    for name in ("low", "high", "p"):
        np.testing.assert_array_equal(np.isnan(columns[name]), [True, False, False])
    assert not np.isnan(columns["difference"]).any()


@pytest.mark.parametrize(("rarest", "bears"), [(4, False), (5, True), (0, True)])
def test_an_average_has_no_interval_with_a_member_of_a_few_patients(rarest, bears):
    with_finding = np.full(FINDINGS, 60)
    with_finding[THESIS.names.index("Fracture")] = rarest
    fewest = np.minimum(*patients_of_rows(with_finding, 300 - with_finding, THESIS))
    rows = dict(zip(THESIS.rows, fewest, strict=True))
    assert np.isinf(rows["Average Classes 1 to 7"])
    # A finding that nobody has is no member.
    assert np.isinf([rows["Macro"], rows["Others"]]).all() == bears
