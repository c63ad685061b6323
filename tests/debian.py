"""Debian's packages; run as a program, this installs those named that are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

POLICY = Path("/usr/sbin/policy-rc.d")


def missing(packages: Sequence[str]) -> list[str]:
    """Those of `packages` that this machine does not have."""
    if not shutil.which("dpkg-query"):
        return list(packages)
    query = "dpkg-query", "-W", "-f", "${db:Status-Status}"
    status = {
        name: subprocess.run([*query, name], capture_output=True, text=True).stdout
        for name in packages
    }
    return [name for name, state in status.items() if state != "installed"]


def install(packages: Sequence[str]) -> str:
    """Install what is missing, where there are apt and the rights to; start no service of it.

    Returns what could not be installed; nothing where this was not tried.
    """
    absent = missing(packages)
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
    return ", ".join(missing(packages))


if __name__ == "__main__":
    if absent := install(sys.argv[1:]):
        print(f"apt-get could not install {absent}: tests that need it are skipped")
