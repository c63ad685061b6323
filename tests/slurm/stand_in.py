"""Takes the place of a script where only what the scheduler does with it matters.

Works for so many seconds, or until there is a file `finish`; saves for so many when it is told to
stop, and ends at once when it is started again. `stand-in.json` in the working folder says how, and
`stand-in.jsonl` what happened, when, and in which job.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from cxrfmkd.runtime.arguments import run
from cxrfmkd.runtime.errors import InputError

STOPPED = 75


def note(event: str, **facts: object) -> None:
    """Append what happened to the record."""
    about = {"event": event, "job": os.environ["SLURM_JOB_ID"], "time": time.time(), **facts}
    with open("stand-in.jsonl", "a") as record:
        record.write(json.dumps(about) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("spec", "checkpoints", "weights", "history", "run", "out"):
        parser.add_argument(f"--{name}")
    args, _ = parser.parse_known_args()
    plan = json.loads(Path("stand-in.json").read_text())
    saved = Path(args.checkpoints or "checkpoints", "stand-in.json")
    resumed = saved.exists()
    note("started", resumed=resumed, spec=json.loads(args.spec))
    if error := plan.get("error"):
        raise InputError(error)
    memory = bytearray(plan.get("memory_mb", 0) << 20)  # zeros that are really written below
    memory[::4096] = b"x" * len(memory[::4096])
    told: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(time.monotonic()))
    end = time.monotonic() + plan["seconds"]
    while not (resumed or told or time.monotonic() > end or Path("finish").exists()):
        time.sleep(0.25)
    if told:
        note("told")
        while (given := time.monotonic() - told[0]) < plan.get("saving", 0):
            time.sleep(0.25)
        saved.parent.mkdir(parents=True, exist_ok=True)
        saved.write_text("{}")
        note("saved", seconds=given)
        sys.exit(STOPPED)
    for output in filter(None, (args.weights, args.history, args.run, args.out)):
        Path(output).write_text("a stand-in's\n")
    note("finished")


if __name__ == "__main__":
    run(main)
