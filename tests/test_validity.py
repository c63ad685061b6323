"""A short form of the validity suite, and the page that the long one has written."""

import json
from importlib import import_module

import numpy as np
import pytest
from cases import COVERAGE, Case, noise, within_band
from locations import ROOT
from run import page, topics
from scipy.stats import binom

WORLDS = 20
CASES = [case for module in topics() for case in import_module(module).CASES]
ROWS = json.loads((ROOT / "validity/results.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.topic}: {case.world}")
def test_intervals_and_tests_do_what_they_say_in_a_few_worlds(case):
    """Exact binomial tails, which chance alone leaves once in 10,000 rows."""
    for row in case.measure(WORLDS):
        worlds, hits = row["worlds"], round(row["measured"] * row["worlds"])
        low, high = row["band"]
        assert binom.cdf(hits, worlds, low) > 1e-4, row
        assert binom.sf(hits - 1, worlds, high) > 1e-4, row


def test_the_page_is_what_was_measured_and_every_case_was():
    assert (ROOT / "docs/validity.md").read_text() == page(ROWS)
    assert {(case.topic, case.world) for case in CASES} == {
        (row["topic"], row["world"]) for row in ROWS
    }


def test_every_measured_number_lies_in_its_band_as_far_as_its_worlds_can_tell():
    """Two standard errors beside the band, of which some of seventy numbers need one."""
    chance = [noise(row["worlds"], row["nominal"], 2.0) for row in ROWS]
    outside = [row for row, slack in zip(ROWS, chance, strict=True) if not within_band(row, slack)]
    assert not outside
    assert sum(not within_band(row) for row in ROWS) <= 0.05 * len(ROWS)


def test_a_case_counts_hits_and_worlds_without_an_interval():
    def simulate(rng):
        known = rng.random() < 0.5
        return {"always": True, "sometimes": False if known else None}

    always, sometimes = Case("topic", "world", simulate, worlds=200).measure()
    assert (always["measured"], always["worlds"], always["without"]) == (1.0, 200, 0.0)
    assert sometimes["measured"] == 0.0
    assert sometimes["worlds"] + 200 * sometimes["without"] == pytest.approx(200)
    assert not within_band(always)
    assert within_band(always, 0.03)
    assert always["band"] == list(COVERAGE.band)
    assert Case("topic", "world", simulate).measure(50) == Case("topic", "world", simulate).measure(
        50
    )
    assert np.isclose(noise(100, 0.5, 2), 0.1)
