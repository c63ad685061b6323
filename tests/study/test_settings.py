"""Settings: checked wherever they are made, complete in a spec, each explained."""

import pytest
from configurations import configuration
from pydantic import ValidationError

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.grid import Study
from cxrfmkd.study.settings import (
    Bias,
    Configuration,
    Dataset,
    Distillation,
    Evaluation,
    Findings,
    Finetuning,
    Images,
    Labels,
    Network,
    Probe,
    Resampling,
    Teacher,
    TeacherSource,
    Transfer,
    sections,
)
from cxrfmkd.study.settings.base import meaning, plain_default

STUDY = Study(configuration())
OF_A_JOB = [Bias, Evaluation, Finetuning, Images, Labels, Network, Probe, Resampling, Transfer]
ALL = [*OF_A_JOB, Configuration, Dataset, Distillation, Teacher, TeacherSource]


@pytest.mark.parametrize(
    "section",
    sorted({*ALL, *sections().values()}, key=lambda kind: kind.__name__),
    ids=lambda kind: kind.__name__,
)
def test_every_setting_is_explained_and_its_default_is_one_of_its_values(section):
    assert section.__doc__
    assert all(meaning(field) for field in section.model_fields.values())
    if not any(field.is_required() for field in section.model_fields.values()):
        defaults = {name: plain_default(field) for name, field in section.model_fields.items()}
        assert section.model_validate(defaults) == section()


def test_settings_made_in_python_are_checked_and_do_not_change():
    settings = Evaluation(replicates=10)
    assert (settings.replicates, settings.confidence) == (10, 0.95)
    assert Distillation(learning_rate=1).learning_rate == 1.0
    with pytest.raises(ValidationError):
        settings.replicates = 20
    for wrong in ({"replicates": "10"}, {"replicates": 10.0}, {"replicate": 10}, {"unit": "image"}):
        with pytest.raises(ValidationError):
            Evaluation(**wrong)


@pytest.mark.parametrize(
    "settings",
    [{"names": ["Edema", "None"]}, {"names": ["n/A", "Edema"]}, {"averages": {"NA": ["Edema"]}}],
)
def test_what_tables_read_as_blank_names_no_finding_and_no_average(settings):
    with pytest.raises(InputError, match=r"(None|n/A|NA): tables read this as a blank cell"):
        Findings.read(settings)


@pytest.mark.parametrize("section", OF_A_JOB, ids=lambda kind: kind.__name__)
def test_a_job_is_told_all_its_settings_and_no_other(section):
    values = STUDY.section(section.__name__.lower(), "mimic")
    assert section.from_spec(values).model_dump() == values
    first = next(iter(values))
    with pytest.raises(InputError, match=f"lacks {first}"):
        section.from_spec({name: value for name, value in values.items() if name != first})
    with pytest.raises(InputError, match="there is no setting `seedz`"):
        section.from_spec(values | {"seedz": [1]})


def test_trainings_datasets_and_teachers_are_told_all_their_settings_too():
    for loss in STUDY.settings.distillation.losses:
        Distillation.from_spec(STUDY.distillation(loss))
    assert not {"datasets", "losses", "seeds", "per_loss"} & set(STUDY.distillation("mse"))
    Dataset.from_spec(STUDY.dataset("mimic"))
    TeacherSource.from_spec(STUDY.teacher_source("mimic").model_dump())
    Teacher.from_spec(STUDY.section("teacher") | {"workers": 2})


def test_a_dataset_may_have_the_name_of_a_setting():
    config = configuration()
    config["datasets"]["values"] = config["datasets"]["mimic"] | {"limit": 0}
    message = "config, datasets.values.limit: 0 should be greater than or equal to 1. It means: use"
    with pytest.raises(InputError, match=message):
        Study(config)


URL = {"source": "vertex", "variant": "elixr-b-img"}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://host.example/predict", "must start with https"),
        ("http://127.0.0.1.host.example/predict", "must start with https"),
        ("ftp://host.example/predict", "must start with https"),
        ("host.example/predict", "no address"),
        ("https://[secret/predict", "no address"),
        ("https://host.example/pre dict?key=secret", "no address"),
        ("https://host.example/predict?key=secret", "must hold no secret"),
        ("https://host.example/predict#secret", "must hold no secret"),
        ("https://user:secret@host.example/predict", "must hold no secret"),
    ],
)
def test_address_that_would_carry_a_secret_or_the_token_in_clear_is_refused_while_planning(
    url, message
):
    with pytest.raises(InputError, match=message) as error:
        TeacherSource.read(URL | {"url": url}, "teacher.")
    assert "secret" not in str(error.value).replace("hold no secret", "")
    config = configuration()
    for dataset in config["datasets"].values():
        dataset["teacher"] = URL | {"url": url}
    with pytest.raises(InputError, match=message):
        Study(config)


@pytest.mark.parametrize(
    "url", ["https://host.example:8443/v1/predict", "http://localhost:8080/p", "http://[::1]/p"]
)
def test_safe_address_of_an_endpoint_is_accepted(url):
    assert TeacherSource.read(URL | {"url": url}, "teacher.").url == url
