"""A finished study that grows; the first to ask for it, since it takes longest after that."""

from __future__ import annotations

import re

from checkout import Checkout, in_group, rule_of


def test_a_loss_added_to_a_finished_study_submits_its_branch_alone(whole_study: Checkout):
    study = whole_study
    config = study.folder / "tests" / "slurm" / "study.yaml"
    config.write_text(config.read_text().replace("losses: [mse]", "losses: [mse, mae]"))
    done = study.snakemake("--", "students", "models")
    assert done.returncode == 0, done.stdout[-3000:]
    jobs = study.jobs()
    assert {"distill", "finetune"} <= {rule_of(job) for job in jobs}
    assert all("mae" in job["Comment"] for job in jobs if not in_group(job))
    # Of a group SLURM knows the name alone; what is in it, the head has said.
    started = re.findall(r"^ *Job \d+: (.*)", done.stdout, re.MULTILINE)
    others = [message for message in started if "mae" not in message]
    # The choice of a loss alone is of the dataset: it compares all.
    assert all("loss with the best student" in message for message in others), others
