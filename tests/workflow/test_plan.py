"""What a user of the workflow relies on: plans, reruns, messages, and a profile of real rules.

The reruns are tested on the whole demo study with a stand-in for `python` that makes every script's
outputs in an instant, so that planning, provenance and dependencies are real while nothing is
computed.
"""

import logging
import re
import shutil
import stat
import zipfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from locations import ROOT
from planning import jobs, snakemake
from rule_texts import request, rules
from snakemake_executor_plugin_slurm.partitions import get_best_partition, read_partition_file

from cxrfmkd.commands.configuration import read_configuration
from cxrfmkd.study.forecast import ImageCounts, works
from cxrfmkd.study.grid import Study
from cxrfmkd.study.specs import SPECS
from cxrfmkd.vocabulary.figures import KINDS


def plan(finished, *arguments: str) -> dict[str, int]:
    """Jobs that the finished demo would run again."""
    folder, instant = finished
    status, said = snakemake(
        "-n", "--configfile", "config/demo.yaml", *arguments, folder=folder, instant=instant
    )
    assert status == 0, said[-3000:]
    assert jobs(said) or "Nothing to be done" in said
    return jobs(said)


def test_a_start_beside_jobs_that_write_the_same_names_them(checkout, tmp_path):
    """As after the head was killed: SLURM, here a stand-in for squeue, knows what still runs."""
    lines = f"76|/another/folder|rule_build_demo_teacher\n77|{checkout}|rule_build_demo_teacher"
    (tmp_path / "squeue").write_text(f"#!/bin/sh\necho '{lines}'\n")
    (tmp_path / "squeue").chmod(stat.S_IRWXU)
    target = "resources/demo/teacher/saved_model.pb"
    arguments = "--cores", "1", "--configfile", "config/demo.yaml", "--", target
    status, said = snakemake(*arguments, folder=checkout, instant=tmp_path)
    assert status == 1
    assert "77 (rule_build_demo_teacher)" in said
    assert "76 (rule" not in said
    assert not (checkout / target).exists()


@pytest.mark.parametrize("own", [False, True])
def test_a_study_can_be_planned_in_another_folder_with_its_configuration_or_the_projects(
    checkout, tmp_path, own
):
    if own:
        (tmp_path / "config").mkdir()
        shutil.copy(checkout / "config" / "nih.yaml", tmp_path / "config" / "config.yaml")
    status, said = snakemake("-n", "--directory", str(tmp_path), "--", "records", folder=checkout)
    assert status == 0, said[-3000:]
    assert ("Sampling the records of nih-pa" in said) == own
    assert ("Sampling the records of chexpert" in said) != own


def test_students_are_asked_for_on_every_backbone(checkout, tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text("distillation: {backbones: [resnet18]}")
    arguments = "--configfile", "config/demo.yaml", str(study), "--", "students"
    status, said = snakemake("-n", *arguments, folder=checkout)
    assert status == 0, said[-3000:]
    assert jobs(said)["assess_student"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config", "thesis", "demo", "nih", "nih-distillation"])
def test_every_shipped_configuration_can_be_planned(checkout, name):
    status, said = snakemake("-n", "--configfile", f"config/{name}.yaml", folder=checkout)
    assert status == 0, said[-3000:]
    counts = jobs(said)
    if name == "thesis":
        assert counts["distill"] == 110
        assert counts["finetune"] == 250
        assert counts["drifting_probe"] == 230
        assert counts["transfer_finetune"] == 70
        assert counts["transfer_drifting"] == 70
    assert counts["write_report"] == 1
    forecast = Counter()
    study = Study(read_configuration([checkout / f"config/{n}.yaml" for n in ("config", name)]))
    for work in works(study, dict.fromkeys(study.datasets, ImageCounts(1, 1, 1))):
        forecast[work.rule] += work.jobs
    # Reading embeddings from files is a job of rule embed as well, but none that the forecast
    # counts.
    named = set(forecast) - {"embed"}
    assert {rule: forecast[rule] for rule in named} == {rule: counts.get(rule) for rule in named}
    networks = {"distill", "finetune", "drifting_probe", "transfer_finetune", "extract_features"}
    assert networks & set(counts) <= named


@pytest.mark.slow
def test_a_finished_study_has_nothing_to_do(finished):
    assert plan(finished) == {}


@pytest.mark.slow
def test_a_finished_study_may_be_watched_or_run_elsewhere_without_a_rerun(finished, tmp_path):
    more = tmp_path / "more.yaml"
    more.write_text("network: {tensorboard: true, device: cpu}")
    assert plan(finished, str(more)) == {}


@pytest.mark.slow
def test_the_tables_are_told_where_every_measured_rule_was_measured(finished):
    folder, instant = finished
    _, said = snakemake(
        "-n",
        "-p",
        "--forcerun",
        "make_tables",
        "--configfile",
        "config/demo.yaml",
        folder=folder,
        instant=instant,
    )
    told = re.search(r"make_tables\.py\S* .*? --benchmarks (.*?) --out-dir", said)[1].split()
    top = "benchmarks/results/demo"
    files = (folder / top).rglob("*.jsonl")
    measured = {path.relative_to(folder / top).parts[0] for path in files}
    assert {"distill", "embed", "evaluate"} <= measured
    assert {f"{top}/{rule}" for rule in measured} <= set(told)
    rules = [file.read_text() for file in ROOT.glob("workflow/rules/*.smk")]
    assert len(told) == sum(text.count("\n    benchmark:") for text in rules)


@pytest.mark.slow
def test_snakemake_s_report_shows_every_figure_under_its_caption(finished):
    folder, instant = finished
    status, said = snakemake(
        "--configfile", "config/demo.yaml", "--report", "report.zip", folder=folder, instant=instant
    )
    assert status == 0, said[-3000:]
    drawn = [path.name for path in (folder / "results/demo/figures").rglob("*.svg")]
    with zipfile.ZipFile(folder / "report.zip") as report:
        kept = [Path(name).name for name in report.namelist()]
        page = report.read("report/report.html").decode()
    assert len(drawn) > 20
    assert sorted(kept) == sorted([*drawn, "index.html", "report.html"])
    for kind in KINDS.keys() & {Path(name).stem for name in drawn}:
        first = KINDS[kind].about.split("’")[0]  # an apostrophe is written otherwise in HTML
        assert first in page, kind


@pytest.mark.slow
def test_touching_every_source_file_reruns_nothing(finished):
    folder, _ = finished
    for file in [folder / "Snakefile", *folder.glob("workflow/**/*"), *folder.glob("src/**/*.py")]:
        if file.is_file():
            file.touch()
    for file in folder.glob("config/*.yaml"):
        file.touch()
    assert plan(finished) == {}


@pytest.mark.slow
def test_one_loss_s_setting_reruns_its_branch_alone(finished, tmp_path):
    (tmp_path / "more.yaml").write_text("distillation: {per_loss: {cosine: {epochs: 9}}}")
    counts = plan(finished, str(tmp_path / "more.yaml"))
    study = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
    seeds = len(study["distillation"]["seeds"])
    assert counts["distill"] == seeds
    assert counts["probe"] == 2  # cxr-fmkd-lp and cxr-fmkd-direct-lp of that loss
    for untouched in ("embed", "pack_images", "sample_records", "build_demo_teacher"):
        assert untouched not in counts


@pytest.mark.slow
def test_a_changed_probe_setting_trains_no_network_again(finished, tmp_path):
    (tmp_path / "more.yaml").write_text("probe: {l2: [0.5]}")
    counts = plan(finished, str(tmp_path / "more.yaml"))
    assert counts["probe"] > 0
    assert not {"distill", "finetune", "extract_features", "embed"} & set(counts)


@pytest.mark.slow
def test_plotting_code_redraws_figures_alone(finished):
    folder, _ = finished
    module = folder / "src/cxrfmkd/figures/style.py"
    before = module.read_text()
    try:
        module.write_text(before + "\n\nEXTRA = 1\n")
        assert set(plan(finished)) <= {"all", "draw", "write_report"}
        assert plan(finished)["draw"] > 0
    finally:
        module.write_text(before)


@pytest.mark.slow
def test_code_of_the_network_retrains_but_does_not_sample_again(finished):
    folder, _ = finished
    module = folder / "src/cxrfmkd/networks/network.py"
    before = module.read_text()
    try:
        module.write_text(before + "\n\nEXTRA = 1\n")
        counts = plan(finished)
        assert counts["distill"] > 0
        assert counts["finetune"] > 0
        assert not {"embed", "pack_images", "sample_records", "resample_test"} & set(counts)
    finally:
        module.write_text(before)


@pytest.mark.slow
def test_rules_pass_the_workflow_linter():
    status, said = snakemake("--lint")
    assert status == 0, said[-3000:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", 'distillation={"epoch": 3}'], "Did you mean `epochs`?"),
        (["--config", 'distillation={"losses": ["l1"]}'], "there is no loss `l1`"),
    ],
)
def test_a_wrong_configuration_is_one_clear_message(checkout, arguments, message):
    status, said = snakemake("-n", *arguments, folder=checkout)
    assert status == 1
    assert message in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_missing_data_are_reported_before_anything_runs(checkout):
    status, said = snakemake("--cores", "1", folder=checkout)
    assert status == 1
    assert "datasets.chexpert.images is /data/chexpert, which does not exist" in said
    assert not (checkout / "results" / "chexpert").exists()


PROFILE = ROOT / "profiles" / "slurm"


@pytest.mark.parametrize("attempt", [1, 2, 3, 4])
def test_every_rule_fits_the_partition_that_it_is_sent_to(attempt):
    """Asked of the executor itself: heavy rules go to gpus48, light ones to gpus24, retries too."""
    partitions = read_partition_file(PROFILE / "config.yaml")
    for name, body in rules().items():
        asked = request(body)
        memory = asked.mem_mb * (attempt if asked.grows else 1)
        needs = {"gpu": int(asked.gpu), "mem_mb": memory, "runtime": asked.runtime}
        job = SimpleNamespace(name=name, threads=asked.threads, resources=needs)
        chosen = get_best_partition(partitions, job, logging.getLogger())
        assert chosen is not None, f"{name} fits no partition at attempt {attempt}: {needs}"
        if attempt == 1:
            assert chosen == ("gpus48" if asked.gpu else "gpus24"), name


def test_two_light_jobs_fit_a_node():
    limits = {p.name: p.limits for p in read_partition_file(PROFILE / "config.yaml")}
    for name, body in rules().items():
        asked = request(body)
        assert asked.gpu or 2 * asked.mem_mb <= limits["gpus24"].max_mem_mb, name


def test_a_time_out_of_a_training_asks_for_no_more_memory():
    requests = {name: request(body) for name, body in rules().items()}
    assert not [name for name, asked in requests.items() if asked.gpu and asked.grows]


def test_partitions_are_named_in_the_profile_alone():
    files = [ROOT / "Snakefile", *ROOT.glob("workflow/**/*.smk"), *ROOT.glob("src/**/*.py")]
    assert not [f for f in files if "gpus48" in f.read_text() or "gpus24" in f.read_text()]


def test_conda_environments_have_the_locked_versions():
    lock = (ROOT / "requirements.lock").read_text()
    locked = {}  # the first of two versions is the one for Python 3.11
    for name, version in re.findall(r"^([a-z0-9_.-]+)==([^ ;\\]+)", lock, re.MULTILINE):
        locked.setdefault(name, version)
    for file in ROOT.glob("workflow/envs/*.yaml"):
        wanted = yaml.safe_load(file.read_text())["dependencies"][-1]["pip"]
        for line in wanted:
            name, version = line.split("==")
            assert locked[name] == version, f"{file.name}: {line}"


def test_every_rule_has_a_log_an_environment_and_a_message():
    for name, body in rules().items():
        for directive in ("log:", "conda:", "threads:", "resources:", "message:", "shell:"):
            assert directive in body, f"rule {name} has no {directive}"


def test_a_rule_its_script_and_its_spec_have_one_name():
    scripts = {file.stem for file in ROOT.glob("workflow/scripts/*.py")}
    assert set(rules()) == scripts == set(SPECS)
    for name, body in rules().items():
        assert re.findall(r"SCRIPTS/(\w+)\.py", body) == [name]
        assert f'spec=spec("{name}")' in body


def test_every_output_is_passed_to_the_script_by_its_name():
    """A folder's files go through the folder; everything else is an argument of its own."""
    for name, body in rules().items():
        command = body.split("shell:")[1]
        found = re.search(r"\n    output:\n(.*?)\n    \w+:", body, re.DOTALL)
        outputs = found[1] if found else ""
        through_folder = re.findall(r"subpath\(output\.?(\w*)|folders\(\"(\w+)\"\)", body)
        for output in re.findall(r"^        (\w+)=", outputs, re.MULTILINE):
            assert f"{{output.{output}:q}}" in command or through_folder, f"{name}: {output}"
        assert not re.search(r"\{(input|output)[.\w]*\[\d\]\}", command), name


def test_scripts_are_thin():
    for file in ROOT.glob("workflow/scripts/*.py"):
        lines = [line for line in file.read_text().splitlines() if line.strip()]
        assert len(lines) <= 45, f"{file.name} has {len(lines)} lines"
