# The study that the configuration asks for, and every function that the rules call.

import atexit
import gc
import inspect
import json
import logging
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from shlex import quote

from snakemake.exceptions import WorkflowError
from snakemake.jobs import Job
from snakemake.logging import logger
from snakemake.persistence import PersistenceBase
from snakemake.settings.types import DeploymentMethod, SharedFSUsage
from snakemake_interface_logger_plugins.common import LogEvent

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import write_json
from cxrfmkd.runtime.plugins import used
from cxrfmkd.runtime.provenance import canonical, code_hash, fingerprint, keep, remember
from cxrfmkd.runtime.scheduler import active_jobs, comment, final_failure
from cxrfmkd.study import targets
from cxrfmkd.study.grid import Study
from cxrfmkd.study.limits import known_images, time_limits
from cxrfmkd.study.origins import with_lines
from cxrfmkd.study.outputs import RUNS, TABLES
from cxrfmkd.study.rates import read_rates
from cxrfmkd.study.specs import SPECS
from cxrfmkd.vocabulary.figures import KINDS
from cxrfmkd.vocabulary.models import MODELS, split_model

# A plan is millions of small objects, none of which the collector could free. A run switches it on again.
gc.disable()
atexit.register(gc.freeze)  # nor go through when Python ends

ROOT = Path(workflow.current_basedir).parent.parent
SCRIPTS = ROOT / "workflow" / "scripts"
# The variables that name the file of the planned configuration, and that keep finished checkpoints.
PLAN, KEEP = "CXRFMKD_PLAN", "CXRFMKD_KEEP_CHECKPOINTS"

# Jobs work from the configuration and the limits that were planned, whatever becomes of the files while they wait.
planned = None
if not workflow.is_main_process and PLAN in os.environ:
    planned = json.loads(Path(os.environ[PLAN]).read_text(encoding="utf-8"))
    config.clear()
    config.update(planned["config"])

try:
    study = Study(config)
    rates = read_rates()
except InputError as error:
    raise WorkflowError(with_lines(str(error), workflow.configfiles)) from None

# A real run refuses to start (below).
if workflow.output_settings.dryrun and (missing := study.missing_inputs()):
    logger.warning(
        "The study's raw data are not there, so this plan could not run:\n  " + "\n  ".join(missing)
    )

# Minutes by rule and dataset, where the machine's rates are known (resources/rates.json).
if planned:
    LIMITS = planned["limits"]
elif rates:
    RESULTS = Path(study.settings.pathvars.get("results", "results"))
    LIMITS = time_limits(
        study,
        known_images(study, RESULTS),
        rates.at_size(study.settings.images.size, study.settings.network.compile),
    )
else:
    LIMITS = {}

# Whether a job finds every file of the others beside its own; else it gets those alone that it declares.
SHARED = SharedFSUsage.INPUT_OUTPUT in workflow.storage_settings.shared_fs_usage

# Rules say `exec python "$SCRIPTS/<rule>.py"`: the full path works from any folder and in a module, and
# exec puts the training in the shell's place, so that it gets SLURM's signals and their whole KillWait.
# Scripts find the package in whatever environment they run.
ENVIRONMENT = {"SCRIPTS": str(SCRIPTS), "PYTHONPATH": str(ROOT / "src")} | study.environment

# What the profile says of every job, and how many seeds of a training share a card, in one job.
defaults = workflow.resource_settings.default_resources
STATED = dict(text.split("=", 1) for text in (defaults.args if defaults else ()))
SEEDS_PER_JOB = int(STATED.get("seeds_per_job", 1))
if SEEDS_PER_JOB > 1:
    ENVIRONMENT[KEEP] = "1"  # a finished seed is kept while others of its job may fail
shell.prefix("".join(f"export {name}={quote(value)}; " for name, value in ENVIRONMENT.items()))

# The code as it is planned, hashed at once; a job hashes that of its own rule alone. What was parsed once is not
# parsed again.
PARSES = Path(".snakemake", "cxrfmkd", "parses.json")
remember(PARSES)
if workflow.is_main_process:
    for script in SCRIPTS.glob("*.py"):
        code_hash(script)
    keep(PARSES)

# The software of every job with --sdm apptainer; `make image` builds it. Snakemake takes no image
# whose path has a blank, so in such a folder it is named, and refused, only where it is asked for.
IMAGE = ROOT / "containers" / "cxr-fmkd.sif"
if workflow.deployment_settings.deployment_method or not re.search(r"\s", str(IMAGE)):

    container: str(IMAGE)


SEEDS = study.settings.classification.seeds
STUDENT_SEEDS = study.settings.distillation.seeds
FIGURES = study.shape.catalogue()


onstart:
    gc.enable()
    if missing := study.missing_inputs() if SHARED else []:
        raise WorkflowError("The study's raw data are not there:\n  " + "\n  ".join(missing))
    if (
        DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
        and not IMAGE.exists()
    ):
        raise WorkflowError(
            f"There is no {IMAGE}, which --sdm apptainer needs. Build it (make image) or link it there."
        )
    if orphans := jobs_of_another_head():
        raise WorkflowError(
            "These jobs, of a Snakemake that was killed or is still at work, write what is to be made:\n  "
            + "\n  ".join(orphans)
            + "\nWait until they have ended (squeue --me) or cancel them, then run this again."
        )
    planned = {"config": config, "limits": LIMITS}
    plan = Path(".snakemake", "plans", f"{fingerprint(planned)}.json").absolute()
    write_json(plan, planned)
    os.environ[PLAN] = str(plan)
    logger.addHandler(FinalFailures())
    if SEEDS_PER_JOB > 1:
        logger.addHandler(FinishedCheckpoints())


def job_of(number):
    """The job of the plan that Snakemake calls by this number."""
    return next(job for job in workflow.dag.jobs if workflow.dag.jobid(job) == number)


class FinalFailures(logging.Handler):
    """Takes its further attempts from a job that would fail again in the same way."""

    def emit(self, record):
        event = getattr(record, "event", None)
        if event is LogEvent.JOB_ERROR:
            jobid, message, logs = record.jobid, record.rule_msg or "", record.log
        elif event is LogEvent.GROUP_ERROR:
            jobid, message, logs = record.job_error_info[0]["jobid"], "", record.aux_logs
        else:
            return
        if reason := final_failure(message, logs[-1] if logs else None):
            job = job_of(jobid)
            job = workflow.dag.get_job_group(job) or job
            job.attempt = job.restart_times + 1
            logger.warning(
                f"Job {jobid} ({job.name}) is not tried again: {reason}. To go on, run the same command again."
            )


class FinishedCheckpoints(logging.Handler):
    """Removes the checkpoint of a training that shared a card, when all of its job has finished."""

    def emit(self, record):
        if getattr(record, "event", None) is LogEvent.JOB_FINISHED:
            if folder := job_of(record.job_id).params.get("checkpoints"):
                shutil.rmtree(folder, ignore_errors=True)


def recorded_by_jobs(finished):
    """`finished` of Snakemake's record of what files were made from, that writes it in a job too.

    Snakemake leaves it to the head. Results that jobs finished after the head was killed would have an old
    record, and be made again, or none, and be kept whatever becomes of the configuration.
    """

    async def record(persistence, job):
        settings = workflow.remote_execution_settings
        settings.immediate_submit = True  # with which the head leaves it to the jobs
        try:
            await finished(persistence, job)
        finally:
            settings.immediate_submit = False

    return record


def sparing_logs(remove):
    """`remove` of Snakemake's, of what a job made before, that leaves its log: this attempt adds to it."""

    async def remove_output(job):
        logs, job._log = job.log, []
        try:
            await remove(job)
        finally:
            job._log = logs

    return remove_output


if workflow.remote_exec:
    PersistenceBase.finished = recorded_by_jobs(PersistenceBase.finished)
    Job.remove_existing_output = sparing_logs(Job.remove_existing_output)


def jobs_of_another_head():
    """SLURM's jobs that already write, in this folder, what is to be made."""
    active = active_jobs(workflow.workdir_init)
    needed = workflow.dag.needrun_jobs() if active else []
    jobs = [workflow.dag.get_job_group(job) or job for job in needed]
    names = {comment(job.name, [] if job.is_group() else job.wildcards) for job in jobs}
    return [f"{number} ({name})" for name in sorted(names) for number in active.get(name, [])]


def inspected(function):
    """`function` with its signature at hand, which Snakemake asks for several times in every job."""
    function.__signature__ = inspect.signature(function)
    return function


def one_of(names):
    """A wildcard's pattern: one of `names`, or nothing at all."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


wildcard_constraints:
    dataset=one_of(study.datasets),
    source=one_of(study.datasets),
    target=one_of(study.datasets),
    teacher=one_of(study.further_teachers),
    loss=one_of(study.student_names),
    on="(-on-[a-z0-9_]+)?",
    model=one_of(study.models),
    backbone=r"[a-z0-9_-]+(\.[a-z0-9_.-]+)?",
    seed=r"\d+",


def spec(rule):
    """The settings that matter to a rule and the hash of its script's code, as one canonical text."""
    script = SCRIPTS / f"{rule}.py"

    def settings(wildcards):
        values = SPECS[rule](study, wildcards) | {"code": code_hash(script)}
        if study.plugins and (own := used(study.plugins, script, canonical(values))):
            values["plugins"] = own
        return canonical(values)

    return inspected(settings)


def checkpoints(rule):
    """Where a long job keeps what it needs to resume: outside every declared output, by study.

    `folders.checkpoints` names a volume that outlives the jobs, where they share no file system.
    """
    top = study.settings.folders.get("checkpoints", "checkpoints")
    study_name = Path(study.settings.pathvars.get("results", "results")).name
    folder = str(Path(top, study_name, rule))
    return inspected(lambda wildcards: "/".join([folder, *wildcards]))


def results(paths, root="<results>"):
    """Paths below the results as the rules write them."""
    return [f"{root}/{path}" for path in paths]


def need(files, *names, root="<results>"):
    """An input function: what `files` of study/targets.py names for the values of these wildcards."""
    return inspected(
        lambda wildcards: results(files(study, *(wildcards[name] for name in names)), root)
    )


def given(files):
    """An input function: a dataset's files that users give, as `files` of study/targets.py names them.

    Those of a synthetic dataset are made by a job, others are on a mounted disk.
    """

    def paths(wildcards):
        named = files(study, wildcards.dataset)
        if wildcards.dataset in study.settings.synthetic:
            return named
        return [local(path) for path in named]

    return paths


def named_results(files):
    """Files of study/outputs.py as named inputs."""
    return {name: results(paths) for name, paths in files.items()}


def candidates(files, *names):
    """An input function: the weights that a selected run of `need(files, …)` may point to.

    None where jobs share a file system: they are there when the selection is, and every file costs planning.
    """
    if SHARED:
        return []
    return lambda wildcards: results(
        targets.candidates(study, files(study, *(wildcards[name] for name in names)))
    )


def beside(*arrays):
    """An input function: data and index of keyed arrays, of which a rule names the meta.json.

    arrays: paths with wildcards, or input functions. None where jobs share a file system, as of `candidates`.
    """
    if SHARED:
        return []

    def files(wildcards):
        named = [
            array(wildcards) if callable(array) else [array.format(**wildcards)] for array in arrays
        ]
        below = dict.fromkeys(path.removeprefix("<results>/") for paths in named for path in paths)
        return results(file for path in below for file in targets.array_files(study, path))

    return files


def words(files):
    """One file or several as a list, of which the shell command quotes each."""
    return [files] if isinstance(files, str) else list(files or ())


def option(name):
    """An argument for an input that not every job has: `--name` and its files, or nothing."""
    flag = f"--{name.replace('_', '-')}"
    return inspected(
        lambda wildcards, input: [flag, *words(input.get(name))] if input.get(name) else []
    )


def by_name(wildcards, input):
    """Arguments for inputs of which a script finds each by its name: `--inputs NAME FILE...`."""
    named = {name: files for name, files in input.items() if name != "figures"}
    return [
        word for name, files in named.items() if files for word in ("--inputs", name, *words(files))
    ]


def together(name, family=lambda wildcards: "all", members=10_000):
    """The group of jobs that take seconds. On a cluster (`--jobs`), those of one `family` are one job.

    `--group-components` knows no family, and does not reach SLURM's job steps, which would take the jobs
    one by one; so a group without a number of members is made whole here, where Snakemake asks for its name.
    """

    def group(wildcards):
        if workflow.resource_settings.nodes is None:
            return None
        member = f"{name}-{family(wildcards)}"
        workflow.parent_groupids[member] = name
        settings = workflow.group_settings
        if name not in settings.group_components:
            components = {**settings.group_components, name: members}
            workflow.group_settings = replace(settings, group_components=components)
        return member

    return inspected(group)


def side_by_side(rule, family):
    """The group of the seeds of one training that share a card; none where each has its own.

    Their job asks for the cores of one training, and for one GPU: in a group, Snakemake adds up what
    is counted (`gpu`), and takes once what is named (`gres`).
    """
    return together(rule, family, SEEDS_PER_JOB) if SEEDS_PER_JOB > 1 else None


def shared(cores):
    """The cores of one training, which seeds that share a card divide among them."""
    return max(1, cores // SEEDS_PER_JOB)


def memory(mem_mb):
    """The memory of one training; seeds that share a card share the images too, half of it."""
    return mem_mb if SEEDS_PER_JOB == 1 else mem_mb // 2 + mem_mb // 2 // SEEDS_PER_JOB


def card(used=None, shared=False):
    """One GPU, of jobs that are `used` or of all, as the cluster wants it asked for.

    `gpu` is --gpus=1, and what one machine counts; where the profile says `gpu_gres`, that is --gres.
    shared: several seeds of the rule may be on it.
    """
    gres = STATED.get("gpu_gres") or ("gpu:1" if shared and SEEDS_PER_JOB > 1 else None)
    name, value, none = ("gres", gres, "") if gres else ("gpu", 1, 0)
    return {name: value if used is None else lambda wildcards: value if used(wildcards) else none}


def limit(minutes, rule, seeds=1):
    """The time limit of a rule's jobs, each of `seeds` runs: from the measured rates, else these minutes."""
    if not LIMITS:
        return minutes

    def measured(wildcards):
        pair = f"{wildcards.get('source')}-to-{wildcards.get('target')}"
        words = rule, wildcards.get("dataset") or pair, wildcards.get("loss")
        one = LIMITS.get(" ".join(filter(None, words)))
        return minutes if one is None else one * seeds

    return inspected(measured)


def growing(mem_mb):
    """Memory that grows with each attempt: a job without checkpoints fails for lack of it, not of time."""
    return inspected(lambda wildcards, attempt: mem_mb * attempt)


def folders(name):
    """The folders of a rule's named outputs."""
    return lambda wildcards, output: [str(Path(path).parent) for path in output.get(name)]


def benchmark_folders():
    """Where Snakemake measures the jobs of each rule: no input, so a measurement reruns nothing."""
    measured = [str(rule.benchmark) for rule in workflow.rules if rule.benchmark]
    return [path.partition("{")[0].rstrip(os.sep) for path in measured]


def kind_of(wildcards):
    """What a figure shows, as the catalogue has it."""
    return KINDS[Path(wildcards.figure).name]


def caption(wildcards):
    """What the workflow's own report says below a figure."""
    kind = kind_of(wildcards)
    return f"{kind.about} {kind.reading}"
