"""Debian's packages of SLURM; run as a program, this installs what is missing."""

from __future__ import annotations

import os

import debian

PACKAGES = "slurmctld slurmd slurm-client munge slurmdbd mariadb-server".split()


def obstacle() -> str:
    """Why this machine cannot be a cluster; empty where it can."""
    if os.geteuid():
        return "not root"
    absent = debian.missing(PACKAGES)
    return f"not installed: {', '.join(absent)}" if absent else ""


if __name__ == "__main__":
    if absent := debian.install(PACKAGES):
        print(f"apt-get could not install {absent}: the tests on a cluster are skipped")
