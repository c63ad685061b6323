"""A cluster on this machine, and a small study that ran on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import Checkout, copy_project
from cluster import Cluster, missing_packages


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip where this machine cannot be a cluster."""
    absent = missing_packages()
    reason = "not root" if os.geteuid() else f"not installed: {', '.join(absent)}" if absent else ""
    for item in items:
        if reason and "slurm" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason=f"no cluster on this machine ({reason})"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With an accounting database, so that sacct tells what happened."""
    with Cluster(Path("/tmp/cxrfmkd-slurm")) as running:
        yield running


@pytest.fixture(scope="session")
def finished(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A study that ran to its tables; its jobs are in the cluster's accounting."""
    checkout = Checkout(copy_project(tmp_path_factory.mktemp("study")), cluster)
    done = checkout.snakemake("--", "tables")
    assert done.returncode == 0, done.stdout[-5000:]
    return checkout
