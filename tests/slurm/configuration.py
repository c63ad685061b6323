"""The configuration of a SLURM on one machine: its nodes, and the daemons' files."""

from __future__ import annotations

import os
import random
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

CLIENTS = "sacct sacctmgr sbatch scancel scontrol sinfo squeue srun sshare sstat"


@dataclass(frozen=True)
class Node:
    """A node: its partition, cores, memory in MB and GPUs."""

    name: str
    partition: str
    cores: int
    memory: int
    gpus: int = 1


# As many with a GPU as there are tests side by side, so that none waits for another's job.
NODES = (
    *(Node(f"large{number}", "gpus48", 16, 128_000) for number in range(1, 7)),
    *(Node(f"small{number}", "gpus24", 12, 63_488) for number in range(1, 3)),
)

CONF = """\
ClusterName=tests
SlurmctldHost={host}({address})
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits until its credential has expired: 120 s by default.
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
MailProg=/bin/true
# By process group: by parent, an orphan of a killed shell would never be found.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
PropagateResourceLimits=NONE
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
GresTypes=gpu
DefMemPerCPU=500
# The declared sizes stand, whatever this machine has.
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=30
MinJobAge=300
SlurmctldTimeout=300
SlurmdTimeout=300
MessageTimeout=60
JobRequeue=1
# What no partition can ever run is refused, not left pending.
EnforcePartLimits=ALL
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
{accounting}
"""

WITH_ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={address}
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment"""

DBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr={address}
DbdPort={port}
CommunicationParameters=NoInAddrAny
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_accounting
"""


def claim_ports() -> tuple[list[int], socket.socket]:
    """Free ports of slurmctld, slurmdbd and each node, below those of outgoing connections.

    As long as the socket is open, another cluster that is being started takes others.
    """
    count = 2 + len(NODES)
    for first in random.sample(range(20000, 32000, count), 500):
        ports = list(range(first, first + count))
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0cxrfmkd-cluster-{first}")
            for port in ports:
                with socket.socket() as trial:
                    trial.bind(("", port))
        except OSError:
            claim.close()
            continue
        return ports, claim
    raise OSError("no free ports")


def configure(folder: Path, accounting: bool, ports: list[int]) -> None:
    """Write the configuration, the GPUs' device nodes and the clients' wrappers into `folder`.

    ports: of slurmctld, slurmdbd, and each node.
    """
    host = socket.gethostname()
    # The daemons listen on what the host's name stands for: 127.0.0.1, or a container's address.
    address = socket.gethostbyname(host)
    controller, database_daemon, *nodes = ports
    values = {"folder": folder, "host": host.split(".")[0], "address": address}
    database = "AccountingStorageType=accounting_storage/none"
    if accounting:
        database = WITH_ACCOUNTING.format(**values, port=database_daemon)
    lines, gres, first = [], [], 0
    for port, node in zip(nodes, NODES, strict=True):
        for device in range(first, first := first + node.gpus):
            path = folder / "devices" / f"gpu{device}"
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            gres.append(f"NodeName={node.name} Name=gpu File={path}")
        lines.append(
            f"NodeName={node.name} NodeHostname={values['host']} NodeAddr={address} "
            f"Port={port} Sockets=1 CoresPerSocket={node.cores} "
            f"ThreadsPerCore=1 RealMemory={node.memory} Gres=gpu:{node.gpus} State=UNKNOWN"
        )
    for partition in dict.fromkeys(node.partition for node in NODES):
        members = ",".join(node.name for node in NODES if node.partition == partition)
        lines.append(f"PartitionName={partition} Nodes={members} MaxTime=3-00:00:00 State=UP")
    conf = folder / "slurm.conf"
    text = CONF.format(**values, port=controller, accounting=database)
    conf.write_text(text + "\n".join(lines) + "\n")
    (folder / "gres.conf").write_text("\n".join(gres) + "\n")
    dbd = folder / "slurmdbd.conf"
    dbd.write_text(DBD_CONF.format(**values, port=database_daemon))
    dbd.chmod(0o600)
    # The job step drops every SLURM_* variable, SLURM_CONF too, before it calls srun.
    for client in CLIENTS.split():
        wrapper = folder / "bin" / client
        wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec /usr/bin/{client} "$@"\n')
        wrapper.chmod(0o755)
