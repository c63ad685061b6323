"""Several teachers: what a configuration of them plans, and what is refused."""

from __future__ import annotations

import re
from copy import deepcopy
from types import SimpleNamespace as Wildcards

import pytest
import yaml
from configurations import configuration
from locations import ROOT
from snakemake.utils import update_config

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study import targets
from cxrfmkd.study.grid import Study
from cxrfmkd.study.settings import Teacher, TeacherSource
from cxrfmkd.study.specs import SPECS
from cxrfmkd.vocabulary.backbones import split_student
from cxrfmkd.vocabulary.titles import model_title

PAGE = (ROOT / "docs/teacher.md").read_text(encoding="utf-8")
EXAMPLE = yaml.safe_load(
    re.search(r"## Several teachers.+?```yaml\n(.+?)```", PAGE, re.DOTALL).group(1)
)


def study_of(*changes: dict) -> Study:
    config = configuration(None, **deepcopy(EXAMPLE))
    for change in changes:
        update_config(config, change)
    return Study(config)


def test_the_documented_example_plans_an_array_of_each_teacher():
    study = study_of()
    assert study.teachers == ["teacher", "rad-dino"]
    assert targets.teachers(study, "mimic") == [
        "mimic/teacher/meta.json",
        "mimic/teachers/rad-dino/meta.json",
    ]
    assert targets.teacher_on_gpu(study, "mimic", "rad-dino")
    assert not targets.teacher_on_gpu(study, "mimic")


def test_each_embedding_job_is_told_of_its_own_teacher_alone():
    study, alone = study_of(), Study(configuration(None))
    first = SPECS["embed"](study, Wildcards(dataset="mimic"))
    assert first == SPECS["embed"](alone, Wildcards(dataset="mimic"))
    further = SPECS["embed"](study, Wildcards(dataset="mimic", teacher="rad-dino"))
    assert TeacherSource.from_spec(further["teacher"]).variant == "rad-dino"
    common = Teacher.from_spec(further["common"] | {"workers": 1})
    assert (common.name, common.dimension) == ("RAD-DINO", 768)


def test_only_a_study_of_several_teachers_names_them_to_its_jobs():
    wildcards = Wildcards(dataset="mimic", loss="mse", seed=41)
    for rule in ("distill", "assess_student"):
        assert "teachers" not in SPECS[rule](Study(configuration(None)), wildcards)
        assert SPECS[rule](study_of(), wildcards)["teachers"] == ["rad-dino"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"distillation": {"teachers": ["rad-dinos"]}},
            "distillation.teachers: there is no teacher `rad-dinos`. Did you mean `rad-dino`?",
        ),
        (
            {"distillation": {"teachers": ["rad-dino", "rad-dino"]}},
            "distillation.teachers: rad-dino, rad-dino must be different teachers",
        ),
        (
            {"datasets": {"mimic": {"teachers": None}}},
            "datasets.mimic.teachers",
        ),
        (
            {"distillation": {"standardise_teacher": "none"}},
            "distillation.standardise_teacher is none for mse, but with several teachers",
        ),
        (
            {"distillation": {"per_loss": {"cosine": {"standardise_teacher": "none"}}}},
            "distillation.standardise_teacher is none for cosine",
        ),
        (
            {"datasets": {"mimic": {"teachers": {"rad-dino": {"variant": "rad-dino-2"}}}}},
            "chexpert has embeddings of rad-dino, mimic of rad-dino-2",
        ),
        (
            {"datasets": {"mimic": {"teachers": {"rad-dino": {"path": "{nowhere}/x"}}}}},
            "datasets.mimic.teachers.rad-dino.path: the path {nowhere}/x",
        ),
        (
            {"teachers": {"rad-dino": {"licence": ""}}},
            "datasets.chexpert: teachers.rad-dino.variant: 'rad-dino' is none of",
        ),
        (
            {"teachers": {"teacher": {"name": "X"}}},
            "teachers.teacher: a teacher's name has small letters",
        ),
        ({"distillation": {"losses": ["of-course"]}}, "a loss cannot begin like the probe on a te"),
        ({"teachers": {"RAD": {}}}, "a teacher's name has small letters, digits"),
    ],
)
def test_what_cannot_be_taught_is_refused_while_planning(changes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        study_of(changes)


def test_a_dataset_without_a_teacher_that_is_taught_is_named():
    config = configuration(None, **deepcopy(EXAMPLE))
    del config["datasets"]["mimic"]["teachers"]
    with pytest.raises(InputError, match=r"datasets.mimic.teachers: `rad-dino` of distillation"):
        Study(config)


def test_a_named_space_of_another_length_names_the_section_to_change():
    elixr = {"source": "savedmodel", "path": "/m", "variant": "elixr-b-img", "pooling": "mean"}
    change: dict = {
        "teachers": {"rad-dino": {"title": "", "licence": "", "dimension": 700}},
        "datasets": {name: {"teachers": {"rad-dino": elixr}} for name in ("chexpert", "mimic")},
    }
    with pytest.raises(InputError, match=r"Set teachers.rad-dino.dimension: 768"):
        study_of(change)


def test_a_teacher_that_is_not_on_the_disk_is_missing_with_its_setting():
    missing = [problem.partition(" is ")[0] for problem in study_of().missing_inputs()]
    assert "datasets.mimic.teachers.rad-dino.path" in missing


def test_every_teacher_is_probed_analysed_and_transferred_as_the_first_is():
    study = study_of({"teachers": {"x-on-random": EXAMPLE["teachers"]["rad-dino"]}})
    assert study.models[:2] == ["cxr-fm-lp", "cxr-fm-lp.of-rad-dino"]
    assert "cxr-fm-lp.of-rad-dino" in study.transferred
    assert "cxr-fm-lp.of-rad-dino" in study.analysed("mimic")
    features = targets.features(study, "chexpert", "mimic", "cxr-fm-lp.of-rad-dino")
    assert features == ["mimic/teachers/rad-dino/meta.json"]
    assert model_title("cxr-fm-lp.of-x-on-random") == "CXR-FM-LP (teacher x-on-random)"
    assert split_student("of-x-on-random") == ("", "densenet169")
