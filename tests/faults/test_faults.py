"""Every fault of the catalogue comes to what the catalogue says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import reliability
from catalogue import Fault, all_faults
from children import End
from interruptions import TRAINING, can_mount, full, troubles
from small_study import copied

FAULTS, TROUBLES = all_faults(), list(troubles())


def each(faults: list) -> list:
    """The faults as parameters."""
    return [pytest.param(fault, id=fault.name) for fault in faults]


PARTIAL = re.compile(r"\.\d+\.")


def assert_refused(end: End, pattern: str) -> None:
    """The job ended with one message, of the pattern."""
    assert end.status in (2, 74), (end.status, end.said[-2000:])
    message = end.said[end.said.rindex("error: ") :]
    assert re.search(pattern, message, re.DOTALL), message


def check(fault: Fault, folder: Path, study: Path) -> None:
    """Run the fault's job in the injured folder and compare."""
    end = fault.job.run(folder)
    assert "Traceback" not in end.said, end.said[-3000:]
    if fault.outcome == "refused":
        assert_refused(end, fault.pattern)
    else:
        assert end.status == 0, end.said[-3000:]
    if fault.outcome == "survived":
        assert fault.job.content(folder) == fault.job.content(study)
    if fault.outcome == "excluded":
        listing = pd.read_csv(folder / fault.listing)
        assert len(listing) == fault.count
        assert listing.reason.str.contains(fault.pattern, regex=True).all(), listing.reason.tolist()
    assert partials(folder) == []


@pytest.mark.parametrize("fault", each(FAULTS))
def test_fault(fault, study, tmp_path, record_property):
    folder = copied(study, tmp_path / "study", fault.injury)
    check(fault, folder, study)
    record_property("outcome", fault.outcome)
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="session")
def trained(study) -> dict[str, bytes]:
    """What the small training writes when nothing happens."""
    assert TRAINING.run(study).status == 0
    return TRAINING.content(study)


@pytest.mark.parametrize("trouble", each(TROUBLES))
def test_trouble(trouble, study, trained, tmp_path, record_property):
    if trouble.act is full and not can_mount(tmp_path):
        pytest.skip("no right to mount a small disk")
    folder = copied(study, study.parent / "troubled")
    shutil.rmtree(folder / "trained")
    try:
        end = trouble.act(trouble.job, folder)
        assert "Traceback" not in end.said, end.said[-3000:]
        if trouble.outcome == "survived":
            assert end.status == 0, end.said[-3000:]
            expected = trained if trouble.job is TRAINING else trouble.job.content(study)
            assert trouble.job.content(folder) == expected
            assert not list((folder / "checkpoints").rglob("*.*")), "left"
        else:
            assert_refused(end, trouble.pattern)
        assert partials(folder) == []
    finally:
        shutil.rmtree(folder)
    record_property("outcome", trouble.outcome)


def partials(folder: Path) -> list[Path]:
    """Files that a writer left half-written; the seal of a file that is there is none.

    `.000000.….npz.seal` is that of a shard, whose name begins as the number of a process would.
    """
    found = [path for path in folder.rglob(".*") if PARTIAL.match(path.name)]
    sealed = {path: path.with_name(path.name[1:].removesuffix(".seal")) for path in found}
    return [path for path, file in sealed.items() if not file.exists()]


def test_page_on_reliability_lists_every_fault():
    assert reliability.PAGE.read_text(encoding="utf-8") == reliability.page()


def test_there_are_150_distinct_faults():
    names = [fault.name for fault in (*FAULTS, *TROUBLES)]
    assert len(set(names)) == len(names) >= 150
