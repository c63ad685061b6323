"""A cluster on this machine, and a small study that ran on it; both shared by every test.

With pytest-xdist the tests run side by side, since most of a scenario is waiting for polls. One
that takes a node or the controller away is marked `alone` and runs when no other does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import Checkout, copy_project
from cluster import Cluster, locked
from packages import obstacle

FOLDER = Path("/tmp/cxrfmkd-slurm")
CLUSTER = pytest.StashKey[Cluster]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: disturbs what runs beside it")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Bring the cluster up, once for all of xdist's processes."""
    if not hasattr(session.config, "workerinput") and not obstacle():
        session.config.stash[CLUSTER] = Cluster(FOLDER).__enter__()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Take it down."""
    if running := session.config.stash.get(CLUSTER, None):
        running.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip where this machine cannot be a cluster; what runs alone comes last."""
    mine = [item for item in items if "slurm" in item.path.parts]
    for item in mine:
        if reason := obstacle():
            item.add_marker(pytest.mark.skip(reason=f"no cluster on this machine ({reason})"))
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """With an accounting database, so that sacct tells what happened."""
    return Cluster(FOLDER)


@pytest.fixture(scope="session")
def finished(cluster: Cluster) -> Checkout:
    """A study that ran to its tables; its jobs are in the cluster's accounting."""
    home = FOLDER / "study"
    with locked(FOLDER / "study.lock"):
        if not home.exists():
            home.mkdir()
            (home / "status").write_text("unfinished")
            done = Checkout(copy_project(home), cluster).snakemake("--", "tables", timeout=3600)
            (home / "head.log").write_text(done.stdout)
            (home / "status").write_text(str(done.returncode))
    log = home / "head.log"
    assert (home / "status").read_text() == "0", log.read_text()[-5000:] if log.exists() else ""
    return Checkout(home / "checkout", cluster)


@pytest.fixture
def study(finished: Checkout, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Checkout]:
    """The finished study in a folder of its own; whatever is left of its jobs is cancelled."""
    alone = request.node.get_closest_marker("alone")
    with locked(FOLDER / "turn.lock", alone=bool(alone)):
        copied = finished.copy(tmp_path)
        try:
            yield copied
        finally:
            copied.clear()
