"""One machine with several cards: each training sees its own, which its process records."""

import os
import stat
import subprocess
import sys

import pytest
from planning import SNAKEMAKE

# Trains nothing: takes a device as a training does, says what it sees, and stays for a while.
RECORD = """#!{python}
import os, sys, time
from pathlib import Path
from cxrfmkd.runtime.cards import claim

claim()
start = time.time()
time.sleep(2)
with open({record!r}, "a") as file:
    file.write(f"{{os.environ['CUDA_VISIBLE_DEVICES']}} {{start}} {{time.time()}}\\n")
for name in ("--weights", "--history", "--run"):
    path = Path(sys.argv[sys.argv.index(name) + 1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
"""


@pytest.mark.slow
def test_two_cards_are_both_used_and_never_by_two_trainings_at_once(own_study, tmp_path):
    (tmp_path / "python").write_text(
        RECORD.format(python=sys.executable, record=str(tmp_path / "record"))
    )
    (tmp_path / "python").chmod(stat.S_IRWXU)
    (tmp_path / "seeds.yaml").write_text("distillation: {seeds: [41, 42, 43]}")
    done = subprocess.run(
        [
            *(*SNAKEMAKE, "--cores", "16", "--resources", "gpu=2", "--set-threads", "distill=2"),
            *("--configfile", "config/demo.yaml", str(tmp_path / "seeds.yaml")),
            *(
                "--forcerun",
                "distill",
                "--until",
                "distill",
                "--nolock",
                "--rerun-triggers",
                "mtime",
            ),
        ],
        cwd=own_study,
        env=os.environ
        | {
            "CUDA_VISIBLE_DEVICES": "0,1",
            "TMPDIR": str(tmp_path),
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "PYTHONPATH": str(own_study / "src"),
            "XDG_CACHE_HOME": str(own_study / ".cache"),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    records = [line.split() for line in (tmp_path / "record").read_text().splitlines()]
    jobs = sorted((float(start), float(end), card) for card, start, end in records)
    assert len(jobs) == 6
    assert {card for *_, card in jobs} == {"0", "1"}
    at_once = [
        (one, other)
        for number, one in enumerate(jobs)
        for other in jobs[number + 1 :]
        if other[0] < one[1]
    ]
    assert at_once, "no two trainings ran at once"
    assert all(one[2] != other[2] for one, other in at_once)
