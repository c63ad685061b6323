"""A real SLURM on this machine: nodes of the sizes that the profile is written for.

Debian's packages, loopback alone, no cgroups and no systemd; every file lies in one folder, ports
are free ones, and what was started is stopped by its process id, by a guardian that outlives
whoever asked for the cluster. GPUs are device nodes that nothing can compute on, so that the
scheduler hands out CUDA_VISIBLE_DEVICES and the jobs still run on the CPU.

    with Cluster(folder) as cluster:
        cluster.environment      # PATH and SLURM_CONF for whoever submits
        cluster.jobs()           # what sacct reports
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from configuration import NODES, claim_ports, configure

COLUMNS = (
    "JobID Partition State ExitCode AllocTRES ReqTRES TimelimitRaw ElapsedRaw NodeList Comment "
    "WorkDir Start End"
).split()


# In the environment of whatever is of a cluster: its folder.
MARK = "CXRFMKD_CLUSTER"
# Seconds in which even a busy machine comes to what is waited for.
PATIENCE = 900


class Cluster:
    """The cluster. folder: for its files, with a short name, since there are sockets among them.

    accounting: with a database, so that sacct answers.
    """

    def __init__(self, folder: Path, accounting: bool = True) -> None:
        self.folder, self.accounting = folder, accounting
        self.conf = folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which sbatch, squeue and the others talk to this cluster."""
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        about = {"PATH": path, "SLURM_CONF": str(self.conf), MARK: str(self.folder)}
        return os.environ | about

    def __enter__(self) -> Self:
        for name in ("bin", "state", "devices", *(f"spool-{node.name}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        self._guardian = subprocess.Popen(
            [sys.executable, __file__, self.folder], stdin=subprocess.PIPE, start_new_session=True
        )
        try:
            ports, claim = claim_ports()
            with claim:
                configure(self.folder, self.accounting, ports)
                self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """Have the guardian stop it. It does the same when this process dies in any way."""
        self._guardian.communicate()

    # --- what a test asks and does ---------------------------------------------------------------

    def run(self, *command: str, check: bool = True) -> str:
        """Output of a SLURM command."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def jobs(self, folder: Path | None = None) -> list[dict[str, str]]:
        """Every job as sacct reports it, oldest first, a requeued one once for each of its starts.

        folder: those that were submitted from there. Comment, which says rule and wildcards, is
        empty until a job has ended.
        """
        line = "sacct", "-X", "-D", "-n", "-P", "-S", "now-1day", "--format", ",".join(COLUMNS)
        jobs = [
            dict(zip(COLUMNS, line.split("|"), strict=True))
            for line in self.run(*line).splitlines()
        ]
        return [job for job in jobs if folder is None or job["WorkDir"] == str(folder)]

    def queue(self, folder: Path | None = None) -> list[dict[str, str]]:
        """Jobs that wait or run, as squeue reports them."""
        lines = self.run("squeue", "-h", "-o", "%i|%T|%P|%N|%r|%Z|%k").splitlines()
        names = ("id", "state", "partition", "node", "reason", "folder", "comment")
        jobs = [dict(zip(names, line.split("|"), strict=True)) for line in lines]
        return [job for job in jobs if folder is None or job["folder"] == str(folder)]

    def describe(self, job: str) -> dict[str, str]:
        """What `scontrol show job` reports."""
        words = self.run("scontrol", "show", "job", "-o", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def start_controller(self) -> None:
        """Start slurmctld and wait until it answers."""
        self._launch("/usr/sbin/slurmctld", "-f", str(self.conf))
        wait_for(lambda: "is UP" in self.run("scontrol", "ping", check=False), "slurmctld")

    def stop_controller(self) -> None:
        """Stop slurmctld; jobs go on."""
        self._stop("slurmctld")

    # --- how it is made --------------------------------------------------------------------------

    def _start(self) -> None:
        folder = self.folder
        key, munge = folder / "munge.key", folder / "munge.socket"
        subprocess.run(["/usr/sbin/mungekey", "--create", f"--keyfile={key}"], check=True)
        self._launch(
            "/usr/sbin/munged",
            f"--key-file={key}",
            f"--socket={munge}",
            "--force",  # its folder is nobody else's
            "--num-threads=2",
            f"--seed-file={folder}/munge.seed",
            f"--pid-file={folder}/munged.pid",
            f"--log-file={folder}/munged.log",
        )
        wait_for(munge.exists, "munged")
        if self.accounting:
            self._start_database()
        self.start_controller()
        for node in NODES:
            self._launch("/usr/sbin/slurmd", "-f", str(self.conf), "-N", node.name)
        idle = "sinfo", "-h", "-N", "-o", "%t"
        wait_for(lambda: self.run(*idle).split() == ["idle"] * len(NODES), "idle nodes")
        if self.accounting:
            add = "sacctmgr", "--immediate", "--quiet", "add"
            self.run(*add, "account", "lab", "Description=lab", "Organization=lab")
            self.run(*add, "user", "root", "Account=lab")

    def _start_database(self) -> None:
        folder, database = self.folder, self.folder / "database"
        path = folder / "mysql.socket"
        subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                f"--datadir={database}",
                "--user=root",
                "--auth-root-authentication-method=socket",
                "--auth-root-socket-user=root",
                "--skip-test-db",
            ],
            check=True,
            capture_output=True,
        )
        self._launch(
            "/usr/sbin/mariadbd",
            "--no-defaults",
            "--user=root",
            f"--datadir={database}",
            f"--socket={path}",
            f"--pid-file={folder}/mariadbd.pid",
            "--skip-networking",
            "--skip-log-bin",
            "--innodb-buffer-pool-size=64M",
            "--innodb-lock-wait-timeout=900",
            "--innodb-flush-log-at-trx-commit=0",
            f"--log-error={folder}/mariadbd.log",
            wait=False,
        )
        query = "mariadb", "--no-defaults", "-S", str(path), "-e", "select 1"
        wait_for(lambda: not subprocess.run(query, capture_output=True).returncode, "MariaDB")
        self._launch("/usr/sbin/slurmdbd", MYSQL_UNIX_PORT=str(path))
        wait_for(lambda: not self._fails("sacctmgr", "-n", "show", "cluster"), "slurmdbd")

    def _fails(self, *command: str) -> bool:
        done = subprocess.run(command, env=self.environment, capture_output=True, timeout=PATIENCE)
        return bool(done.returncode)

    def _launch(self, *command: str, wait: bool = True, **variables: str) -> None:
        """Start a daemon; those that go to the background by themselves are waited for."""
        with open(self.folder / "daemons.log", "a") as log:
            started = subprocess.Popen(
                command,
                env=self.environment | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait and started.wait(PATIENCE):
            text = (self.folder / "daemons.log").read_text()[-2000:]
            raise RuntimeError(f"{command[0]} did not start:\n{text}")

    def stop(self) -> None:
        """Stop every daemon and whatever a job has left behind, by process id."""
        if (self.folder / "slurmctld.pid").exists():
            with suppress(RuntimeError, TimeoutError, subprocess.TimeoutExpired):
                self.run("scancel", "--user=root", check=False)
                wait_for(lambda: not self.queue(), "an empty queue", 90)
        nodes = [f"slurmd-{node.name}" for node in NODES]
        for daemon in [*nodes, "slurmctld", "slurmdbd", "mariadbd", "munged"]:
            self._stop(daemon)
        for process in processes(f"{MARK}={self.folder}\0"):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _stop(self, daemon: str) -> None:
        file = self.folder / f"{daemon}.pid"
        if not file.exists() or not (text := file.read_text().strip()):
            return
        process = int(text)
        if str(self.folder) not in _described(process):
            return
        os.kill(process, signal.SIGTERM)
        try:
            wait_for(lambda: str(self.folder) not in _described(process), daemon, 20)
        except TimeoutError:
            os.kill(process, signal.SIGKILL)


def processes(*parts: str) -> list[int]:
    """Processes that have all of `parts` in their command line and environment."""
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [number for number in numbers if all(part in _described(number) for part in parts)]


def _described(process: int) -> str:
    """Command line and environment of a process; empty when it is gone."""
    try:
        return "".join(
            Path(f"/proc/{process}/{name}").read_bytes().decode(errors="replace")
            for name in ("cmdline", "environ")
        )
    except OSError:
        return ""


def wait_for(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Ask again and again until `condition` holds; TimeoutError after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"no {what} within {seconds:g} s")
        time.sleep(0.5)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that all processes of the tests share."""
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":  # the guardian
    sys.stdin.read()
    Cluster(Path(sys.argv[1])).stop()
