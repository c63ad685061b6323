"""Hours of runs and rules against sums worked out by hand."""

from __future__ import annotations

import json

import pytest

from cxrfmkd.tables.costs import costs, elapsed, hours

TEN, ELEVEN = "2025-01-01T10:00:00+00:00", "2025-01-01T11:00:00+00:00"
TWELVE, HALF_PAST = "2025-01-01T12:00:00+00:00", "2025-01-01T12:30:00+00:00"


def test_probes_that_were_trained_side_by_side_cost_their_hours_once():
    assert elapsed([(TEN, ELEVEN), (TEN, ELEVEN)]) == 1
    assert elapsed([(ELEVEN, HALF_PAST), (TEN, ELEVEN)]) == 2.5
    assert elapsed([(TEN, HALF_PAST), (TEN, ELEVEN)]) == 2.5
    probe = {"started": TEN, "finished": ELEVEN}
    assert hours([probe, probe]) == 1


def test_networks_that_were_trained_at_the_same_time_cost_their_hours_each():
    trained = {"started": TEN, "finished": ELEVEN, "seconds": 3000.0, "earlier_seconds": 0.0}
    assert hours([trained, trained]) == 2


def test_a_resumed_run_costs_the_hours_of_all_its_starts():
    # Trained for 40 minutes, stopped, then an hour from the last start to the end.
    resumed = {"started": TEN, "finished": ELEVEN, "seconds": 5700.0, "earlier_seconds": 2400.0}
    assert hours([resumed]) == pytest.approx(1 + 40 / 60)


def test_costs_come_from_runs_and_from_benchmarks(tmp_path):
    run = {"started": TEN, "finished": TWELVE, "device": "L40"}
    runs = [
        run | {"about": {"dataset": "d", "model": "cxr-fm-lp", "loss": "", "seed": s}}
        for s in (1, 2)
    ]
    for rule, seconds in (("distill/a", 1800), ("distill/b", 5400), ("evaluate", 36)):
        path = tmp_path / f"{rule}/x.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"s": seconds, "max_rss": 100}) + "\n")
    folders = [tmp_path / rule for rule in ("distill", "evaluate", "finetune")]
    table = costs(runs, folders).set_index("what")
    assert set(table.index) == {"classifier", "distill", "evaluate"}
    assert table.hours["classifier"] == 2
    assert table.jobs["classifier"] == 2
    assert table.hours["distill"] == 2
    assert table.jobs["distill"] == 2
    assert table.hours["evaluate"] == pytest.approx(0.01)
