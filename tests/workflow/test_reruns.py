"""Which rules an edit of the code reruns: those whose results can depend on it, and no other."""

import re
import shutil

import pytest
from locations import ROOT, SCRIPTS

from cxrfmkd.runtime import provenance

RULES = [script.stem for script in sorted(SCRIPTS.glob("*.py"))]
FINETUNING = "drifting_probe finetune transfer_drifting transfer_finetune"
TRAINING = f"distill {FINETUNING}"


def code(text: str) -> str:
    return text + "\n\nEXTRA = 1\n"


def document(text: str) -> str:
    return re.sub(r'^"""', '"""Said otherwise. ', text, count=1) + "\n\n# A comment.\n"


def reword(pattern: str):
    """Add words to the first text after `pattern`."""
    return lambda text: re.sub(pattern + r'\s*f?"', r"\g<0>Said otherwise. ", text, count=1)


error = reword(r"raise \w+\(")
log = reword(r"log\.\w+\(")


def annotate(text: str) -> str:
    return re.sub(r"\) -> \w+(\[.*\])?:\n", ") -> object:\n", text)


# (module, edit, the rules that it reruns)
TABLE = [
    # what is only said
    ("runtime/errors", code, ""),
    ("runtime/progress", code, ""),
    ("runtime/arguments", code, ""),
    ("runtime/cards", code, ""),
    ("runtime/provenance", code, ""),
    ("training/events", code, ""),
    ("training/divergence", code, ""),
    ("study/schema", code, ""),
    ("study/grid", code, ""),
    ("study/specs", code, ""),
    ("study/targets", code, ""),
    ("study/forecast", code, ""),
    ("commands/cost", code, ""),
    ("probing/run_files", error, ""),
    ("datasets/records", error, ""),
    ("networks/network", error, ""),
    ("runtime/arrays", error, ""),
    ("training/checkpoints", log, ""),
    ("datasets/images", log, ""),
    ("training/loop", document, ""),
    ("training/loop", annotate, ""),
    # what is computed
    ("training/augmentation", code, TRAINING),
    ("training/loop", code, TRAINING),
    ("training/checkpoints", code, TRAINING),
    ("training/distillation", code, "distill"),
    ("training/standardisation", code, "distill"),
    ("training/finetuning", code, FINETUNING),
    ("training/scales", code, "measure_scales"),
    ("networks/network", code, f"{TRAINING} extract_features measure_sizes"),
    ("networks/batches", code, f"{TRAINING} extract_features"),
    ("networks/features", code, "extract_features"),
    ("networks/inference", code, f"{FINETUNING} distill extract_features"),
    ("probing/probes", code, "assess_student probe transfer_probe"),
    ("probing/run_files", code, "probe transfer_direct transfer_probe"),
    ("probing/heads", code, "assess_student probe transfer_probe"),
    ("probing/direct", code, "transfer_direct"),
    ("probing/thesis", code, "assess_student probe transfer_probe"),
    ("assessment/selection", code, "select_loss select_model select_student"),
    ("assessment/measures", code, "assess_student"),
    ("datasets/adapters/nih", code, "sample_records"),
    (
        "datasets/gates",
        code,
        "check_attributes check_patients check_pixels pool_records sample_records",
    ),
    ("datasets/counting", code, "pool_records sample_records"),
    ("datasets/pooled_arrays", code, "pool_array"),
    ("bias/erasure", code, "erase_attributes"),
    ("bias/encoding", code, "analyse_bias erase_attributes"),
    ("datasets/exclusions", code, "analyse_bias evaluate evaluate_reference"),
    ("datasets/splits", code, "sample_records"),
    ("datasets/resampling", code, "resample_test"),
    ("datasets/images", code, "pack_images"),
    ("teacher/model", code, "embed"),
    ("teacher/demo", code, "build_demo_teacher"),
    ("synthetic/mimic", code, "synthesize_mimic"),
    ("synthetic/truth", code, "synthesize_chexpert synthesize_mimic"),
    ("statistics/ranking", code, "assess_student erase_attributes evaluate evaluate_reference"),
    ("statistics/delong", code, "erase_attributes evaluate evaluate_reference"),
    ("statistics/sweep", code, "assess_student erase_attributes evaluate evaluate_reference"),
    ("statistics/smirnov", code, "analyse_bias"),
    ("statistics/ridge", code, "analyse_bias assess_student erase_attributes"),
    ("evaluation/calibration", code, "evaluate evaluate_reference"),
    ("evaluation/reference", code, "evaluate_reference"),
    ("datasets/reference", code, "evaluate_reference"),
    ("bias/null", code, "analyse_bias"),
    ("bias/summary", code, "combine_bias"),
    ("tradeoff/correlation", code, "performance_vs_bias"),
    ("tables/against_thesis", code, "compare_with_thesis"),
    ("tables/wide", code, "make_tables"),
    ("tables/cohort", code, "make_tables"),
    ("tables/selecting", code, "compare_with_thesis draw draw_points make_tables write_report"),
    ("tables/gathering", code, "draw draw_points make_tables write_report"),
    ("figures/ks", code, "draw draw_points"),
    ("figures/style", code, "draw draw_points write_report"),
    ("report/headlines", code, "write_report"),
]


# Uncached: an edited module is parsed anew.
PARSE, HASH = provenance._parsed.__wrapped__, provenance.code_hash.__wrapped__


class Edited:
    """A copy of the package in which one module at a time is edited."""

    def __init__(self, source):
        self.source, self.parsed = source, {}

    def parse(self, path):
        if path not in self.parsed:
            self.parsed[path] = PARSE(path)
        return self.parsed[path]

    def hashes(self) -> dict[str, str]:
        return {rule: HASH(SCRIPTS / f"{rule}.py") for rule in RULES}


@pytest.fixture(scope="module")
def edited(tmp_path_factory):
    source = tmp_path_factory.mktemp("src") / "cxrfmkd"
    shutil.copytree(ROOT / "src/cxrfmkd", source, ignore=shutil.ignore_patterns("__pycache__"))
    package = Edited(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "SOURCE", source)
        patch.setattr(provenance, "_parsed", package.parse)
        package.before = package.hashes()
        yield package


@pytest.mark.parametrize(
    ("module", "edit", "rules"), TABLE, ids=[f"{m}-{e.__name__}" for m, e, _ in TABLE]
)
def test_an_edit_reruns_what_depends_on_it_and_nothing_else(edited, module, edit, rules):
    path = edited.source / f"{module}.py"
    before = path.read_text()
    assert edit(before) != before, "the edit changes nothing"
    try:
        path.write_text(edit(before))
        edited.parsed.pop(path, None)
        after = edited.hashes()
    finally:
        path.write_text(before)
        edited.parsed.pop(path, None)
    rerun = {rule for rule in RULES if after[rule] != edited.before[rule]}
    assert rerun == set(rules.split())


def test_settings_are_left_out_of_every_rule_s_code():
    """What of them matters to a rule is in its spec."""
    for rule in RULES:
        modules = provenance.modules(SCRIPTS / f"{rule}.py")
        assert not [name for name in modules if name.startswith("cxrfmkd.study.settings")]
