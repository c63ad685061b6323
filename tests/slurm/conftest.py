"""A cluster on this machine and a small study that ran on it, both shared by every test.

With pytest-xdist the tests run side by side, since most of a scenario is waiting for polls; what
needs only the first half of the study runs beside the second. A test that takes a node or the
controller away has a cluster of its own.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checkout import PATIENTS, STUDENT, Checkout, copy_project
from cluster import Cluster, locked
from packages import obstacle

CLUSTER = pytest.StashKey[Cluster]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Bring the cluster up, once for all of xdist's processes."""
    if obstacle():
        return
    folder = getattr(session.config, "workerinput", {}).get("cluster")
    running = Cluster(Path(folder or tempfile.mkdtemp(prefix="cxrfmkd-slurm-")))
    session.config.stash[CLUSTER] = running if folder else running.__enter__()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process of xdist's where the cluster is."""
    if running := node.config.stash.get(CLUSTER, None):
        node.workerinput["cluster"] = str(running.folder)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Take it down; what it wrote stays where a test has failed."""
    running = session.config.stash.get(CLUSTER, None)
    if running and not hasattr(session.config, "workerinput"):
        running.__exit__()
        if exitstatus == pytest.ExitCode.OK:
            shutil.rmtree(running.folder)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say where to look."""
    running = config.stash.get(CLUSTER, None)
    if running and running.folder.exists():
        terminalreporter.write_line(f"What the cluster and its jobs wrote: {running.folder}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip where this machine cannot be a cluster; what takes longest begins first."""
    mine = [item for item in items if "slurm" in item.path.parts]
    for item in mine:
        if reason := obstacle():
            item.add_marker(pytest.mark.skip(reason=f"no cluster on this machine ({reason})"))
    items.sort(key=lambda item: "finished" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """With an accounting database, so that sacct tells what happened."""
    return request.config.stash[CLUSTER]


@pytest.fixture(scope="session")
def trained(cluster: Cluster) -> Checkout:
    """A copy of the study when it had its student and what a light rule needs."""
    home = cluster.folder / "study"
    with locked(cluster.folder / "trained.lock"):
        if not home.exists():
            home.mkdir()
            (home / "head.log").touch()
            running = Checkout(copy_project(home), cluster)
            if run(running, STUDENT, PATIENTS):
                running.copy(home / "trained")
    assert (home / "trained").exists(), (home / "head.log").read_text()[-5000:]
    return Checkout(home / "trained" / "checkout", cluster)


@pytest.fixture(scope="session")
def finished(cluster: Cluster, trained: Checkout) -> Checkout:
    """The study that ran to its tables; its jobs are in the cluster's accounting."""
    home = cluster.folder / "study"
    whole = Checkout(home / "checkout", cluster)
    with locked(cluster.folder / "finished.lock"):
        if not (home / "finished").exists():
            (home / "finished").write_text("yes" if run(whole, "tables") else "")
    assert (home / "finished").read_text(), (home / "head.log").read_text()[-5000:]
    return whole


def run(study: Checkout, *targets: str) -> bool:
    """Whether the workflow came to its end; what it said is beside its folder."""
    done = study.snakemake("--", *targets)
    (study.folder.parent / "head.log").write_text(done.stdout)
    return not done.returncode


@pytest.fixture
def study(trained: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    """The study with its student in a folder of its own."""
    with trained.copied(tmp_path) as copy:
        yield copy


@pytest.fixture
def whole_study(finished: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    """The finished study in a folder of its own."""
    with finished.copied(tmp_path) as copy:
        yield copy


@pytest.fixture
def study_apart(trained: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    """The study with its student in a folder and on a cluster of its own."""
    folder = Path(tempfile.mkdtemp(prefix="apart-", dir=trained.cluster.folder))
    with Cluster(folder) as own, trained.copied(tmp_path, own) as copy:
        yield copy


@pytest.fixture
def study_without_accounting(trained: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    """The study with its student on a cluster that has no accounting database."""
    folder = Path(tempfile.mkdtemp(prefix="plain-", dir=trained.cluster.folder))
    with Cluster(folder, accounting=False) as own, trained.copied(tmp_path, own) as copy:
        yield copy
