"""Debian's packages of SLURM; run as a program, this installs what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = "slurmctld slurmd slurm-client munge slurmdbd mariadb-server".split()
POLICY = Path("/usr/sbin/policy-rc.d")


def missing() -> list[str]:
    """Packages that the cluster needs and this machine does not have."""
    if not shutil.which("dpkg-query"):
        return PACKAGES
    query = "dpkg-query", "-W", "-f", "${db:Status-Status}"
    status = {
        name: subprocess.run([*query, name], capture_output=True, text=True).stdout
        for name in PACKAGES
    }
    return [name for name, state in status.items() if state != "installed"]


def obstacle() -> str:
    """Why this machine cannot be a cluster; empty where it can."""
    if os.geteuid():
        return "not root"
    absent = missing()
    return f"not installed: {', '.join(absent)}" if absent else ""


def install() -> str:
    """Install what is missing, where there are apt and the rights to; start no service of it.

    Returns what could not be installed; nothing where this was not tried.
    """
    absent = missing()
    if not absent or os.geteuid() or not shutil.which("apt-get"):
        return ""
    quiet = not POLICY.exists()
    if quiet:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    apt = ["apt-get", "-qq", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run([*apt, "update"], env=environment)
        subprocess.run(
            [*apt, "install", "--yes", "--no-install-recommends", *absent], env=environment
        )
    finally:
        if quiet:
            POLICY.unlink()
    return ", ".join(missing())


if __name__ == "__main__":
    if absent := install():
        sys.exit(f"apt-get could not install {absent}: see above")
