"""Time limits follow the measured rates and the images of a study."""

import pytest
import yaml
from locations import ROOT

from cxrfmkd.runtime.files import write_json
from cxrfmkd.study.forecast import PUBLISHED, ImageCounts
from cxrfmkd.study.grid import Study
from cxrfmkd.study.limits import MARGIN, START, known_images, time_limits

RATES = {"densenet169": 500.0, "densenet121": 700.0, "resnet50": 900.0}


@pytest.fixture(scope="module")
def study():
    return Study(yaml.safe_load((ROOT / "config/config.yaml").read_text()))


@pytest.fixture(scope="module")
def images(study):
    return {"chexpert": ImageCounts(60000, 10000, 30000), "mimic": ImageCounts(90000, 15000, 50000)}


def test_a_distillation_has_twice_the_time_that_its_images_take(study, images):
    epochs = study.settings.distillation.epochs
    seconds = (epochs * 60000 + (epochs + 1) * 10000 / 3) / 500
    limit = time_limits(study, images, RATES)["distill chexpert mse"]
    assert limit == pytest.approx(MARGIN * seconds / 60 + START, abs=1)


def test_a_loss_of_more_epochs_has_more_time_and_leaves_the_others_theirs(study, images):
    settings = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    before = time_limits(study, images, RATES)
    epochs = study.settings.distillation.epochs
    settings["distillation"]["per_loss"] = {"cosine": {"epochs": 3 * epochs}}
    longer = Study(settings)
    after = time_limits(longer, images, RATES)
    assert {key for key in after if after[key] != before[key]} == {
        f"distill {name} cosine" for name in longer.settings.distillation.datasets
    }
    seconds = (3 * epochs * 60000 + (3 * epochs + 1) * 10000 / 3) / 500
    assert after["distill chexpert cosine"] == pytest.approx(MARGIN * seconds / 60 + START, abs=1)


def test_twice_the_rate_is_half_the_time_and_more_images_are_more(study, images):
    limits = time_limits(study, images, RATES)
    quick = time_limits(study, images, {name: 2 * rate for name, rate in RATES.items()})
    for key, minutes in limits.items():
        assert quick[key] - START == pytest.approx((minutes - START) / 2, abs=1), key
    assert limits["finetune mimic"] > limits["finetune chexpert"]
    assert limits["transfer_finetune chexpert-to-mimic"] > START
    assert limits["extract_features chexpert"] < limits["distill chexpert mse"]


def test_the_slowest_network_decides_for_all_of_a_rule_s_jobs(study, images):
    slow = time_limits(study, images, RATES | {"resnet50": 100.0})
    assert slow["finetune chexpert"] > time_limits(study, images, RATES)["finetune chexpert"]
    unmeasured = time_limits(study, images, {"densenet121": 100.0, "densenet169": 500.0})
    assert unmeasured["finetune chexpert"] == slow["finetune chexpert"]


@pytest.mark.parametrize("rates", [{}, {"teacher": 4.0}])
def test_without_rates_of_networks_nothing_is_said(study, images, rates):
    assert time_limits(study, images, rates) == {}


def test_without_the_images_of_a_dataset_nothing_is_said(study):
    assert time_limits(study, {"chexpert": ImageCounts(1, 1, 1)}, RATES) == {}


def test_a_teacher_that_is_read_or_was_not_measured_has_no_limit(study, images):
    assert not [key for key in time_limits(study, images, RATES) if key.startswith("embed")]


def test_images_are_those_that_were_sampled_else_those_that_were_published(study, tmp_path):
    counts = {split: {"images": n} for n, split in enumerate(ImageCounts._fields, start=5)}
    write_json(tmp_path / "mimic/records/summary.json", {"counts": counts})
    assert known_images(study, tmp_path) == {
        "chexpert": PUBLISHED["chexpert"],
        "mimic": ImageCounts(5, 6, 7),
    }
