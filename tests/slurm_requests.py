"""What the SLURM executor would send to sbatch for every job of a plan; nothing is sent.

Run as Snakemake itself: `python slurm_requests.py OUT --profile … --configfile …`. OUT becomes a
JSON list with the name, the rules and the sbatch options of each job or group.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from snakemake.cli import main
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string


def requests(scheduler: JobScheduler) -> list[dict]:
    """The request for each job that is not run on the head."""
    dag, executor = scheduler.workflow.dag, scheduler._executor
    units = {dag.get_job_group(job) or job for job in dag.needrun_jobs() if not job.is_local}
    return [
        {
            "name": job.name,
            "rules": sorted(job.rules if job.is_group() else [job.rule.name]),
            "sbatch": get_submit_command(
                job,
                {
                    "run_uuid": "one",
                    "slurm_logfile": "log",
                    "comment_str": job.name,
                    "account": next(executor.get_account_arg(job)),
                    "partition": executor.get_partition_arg(job),
                    "workdir": ".",
                },
                settings=scheduler.workflow.executor_settings,
            )
            + set_gres_string(job),
        }
        for job in units
    ]


if __name__ == "__main__":
    out, *arguments = sys.argv[1:]

    def schedule(scheduler: JobScheduler) -> bool:
        Path(out).write_text(json.dumps(requests(scheduler)))
        return True

    JobScheduler.schedule = schedule
    main(arguments)
