"""The grid of runs that a configuration asks for, and the messages for an impossible one."""

import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
import yaml
from configurations import configuration
from locations import ROOT

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study import schema
from cxrfmkd.study.grid import Study
from cxrfmkd.study.specs import SPECS
from cxrfmkd.vocabulary.losses import loss_title, split_control
from cxrfmkd.vocabulary.models import split_model
from cxrfmkd.vocabulary.titles import model_title


@pytest.mark.parametrize("name", [None, "thesis", "demo", "nih", "nih-distillation"])
def test_every_shipped_configuration_is_a_study(name):
    study = Study(configuration(name))
    assert study.students
    assert study.own_runs
    assert bool(study.transfer_runs) == (name != "nih-distillation")


def test_the_thesis_grid_names_all_of_its_815_runs():
    # Source: thesis method, section 9.2.
    study = Study(configuration("thesis"))
    own = Counter(run.model for run in study.own_runs)
    strategies = Counter(run.strategy for run in study.transfer_runs)
    distilled = sum(n for model, n in own.items() if split_model(model)[1])
    assert len(study.students) == 110
    assert (len(study.own_runs) - distilled, distilled) == (50, 440)
    assert strategies == {"direct": 75, "linear-probe": 70, "full-finetune": 70}
    assert len(study.students) + len(study.own_runs) + len(study.transfer_runs) == 815
    assert len(study.models) == 49
    assert {run.seed for run in study.own_runs} == {41, 42, 43, 44, 45}


def test_no_two_runs_share_a_folder():
    study = Study(configuration("thesis"))
    folders = [run.folder for run in study.own_runs + study.transfer_runs]
    assert len(set(folders)) == len(folders)


def test_datasets_that_no_stage_names_are_ignored():
    study = Study(configuration("nih"))
    assert study.datasets == ["nih-pa", "nih-ap"]
    assert all("chexpert" not in problem for problem in study.missing_inputs())


def test_missing_folders_are_reported_with_the_setting_to_change():
    problems = Study(configuration()).missing_inputs()
    assert (
        "datasets.chexpert.tables.train is /data/chexpert/CheXpert-v1.0/train.csv, which does not "
        "exist" in problems
    )
    assert any(problem.startswith("datasets.mimic.teacher.path is") for problem in problems)


def test_labels_of_experts_are_looked_for_and_evaluated_where_they_are_configured():
    plain = Study(configuration())
    assert plain.shape.report().get("reference_agreement") == []
    reference = {"table": "{chexpert}/experts.csv", "reader": "who"}
    study = Study(configuration(datasets={"chexpert": {"reference": reference}}))
    path = study.path("{chexpert}/experts.csv")
    assert f"datasets.chexpert.reference.table is {path}, which does not exist" in (
        study.missing_inputs()
    )
    wildcards = SimpleNamespace(dataset="chexpert")
    assert SPECS["evaluate_reference"](study, wildcards)["reference"]["table"] == [path]
    assert study.shape.report()["reference_agreement"] == [
        "evaluation/chexpert/reference_agreement.csv"
    ]
    # Records do not depend on what experts say.
    assert SPECS["sample_records"](study, wildcards) == SPECS["sample_records"](plain, wildcards)


def test_attributes_are_erased_from_probes_alone_and_only_where_that_is_asked_for():
    plain = Study(configuration())
    assert plain.shape.report()["erasure"] == []
    study = Study(configuration(bias={"erase": ["sex", "race"], "losses": ["mse"]}))
    probes = ["cxr-fm-lp", "cxr-model-lp", "cxr-fmkd-lp.mse", "cxr-fmkd-direct-lp.mse"]
    assert study.shape.report()["erasure"] == [
        f"bias/{dataset}/{model}/erasure.csv"
        for dataset in study.settings.classification.datasets
        for model in probes
    ]
    wildcards = SimpleNamespace(dataset="chexpert", model="cxr-fm-lp")
    spec = SPECS["erase_attributes"](study, wildcards)
    assert spec["erasure"]["attributes"] == ["sex", "race"]
    assert spec["targets"] == ["mimic"]
    assert "bias.erase" in study.asked_attributes("chexpert")["race"]
    # The analyses themselves do not run again.
    one, other = (SPECS["analyse_bias"](s, wildcards) for s in (study, plain))
    assert one == other


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datasets": {"chexpert": {"reference": {"table": "{nowhere}/x.csv"}}}}, "'nowhere'"),
        ({"distillation": {"lossses": []}}, "no setting `lossses`. Did you mean `losses`?"),
        ({"distilation": {}}, "no setting `distilation`. Did you mean `distillation`?"),
        ({"distillation": {"losses": ["mse", "l1"]}}, "no loss `l1`"),
        ({"distillation": {"losses": ["mse-cosine-1.5"]}}, "no loss `mse-cosine-1.5`"),
        ({"distillation": {"losses": ["mse-cosine-0.5"]}}, "Add it, or set distillation.loss"),
        ({"distillation": {"datasets": ["chexpret"]}}, "no dataset `chexpret`"),
        ({"distillation": {"datasets": ["mimic"]}}, "distilled models on `chexpert` need its stud"),
        (
            {"distillation": {"epochs": "many"}},
            "distillation.epochs: 'many' should be a valid integer. It means: passes",
        ),
        (
            {"distillation": {"epochs": 0}},
            "distillation.epochs: 0 should be greater than or equal to 1. It means: passes",
        ),
        (
            {"distillation": {"per_loss": {"mse": {"seeds": [1]}}}},
            "distillation.per_loss.mse: there is no setting `seeds`. The settings there are epochs",
        ),
        (
            {"classification": {"models": ["cxr-fm"]}},
            "'cxr-fm' should be 'cxr-fm-lp', 'cxr-model-lp', ",
        ),
        ({"classification": {"seeds": [41, 41]}}, "must be one or more different seeds"),
        ({"transfer": {"pairs": [["chexpert"]]}}, "is no [source, target] pair"),
        ({"transfer": {"losses": ["mse-cosine-0.5"]}}, "is transferred but never trained"),
        ({"datasets": {"mimic": {"teacher": {"variant": "elixr-c-v2-gap"}}}}, "has embeddings of"),
        (
            {"datasets": {"mimic": {"teacher": {"sorce": "dat"}}}},
            "datasets.mimic.teacher: there is no setting `sorce`. Did you mean `source`?",
        ),
        (
            {"datasets": {"mimic": {"attributes": ["sex", "weight"]}}},
            "datasets.mimic.attributes: there is no attribute `weight`. There are race, sex, age, "
            "view; `attributes` may declare others.",
        ),
        (
            {"bias": {"attributes": ["rase"]}},
            "bias.attributes: there is no attribute `rase`. Did you mean `race`?",
        ),
        (
            {"datasets": {"mimic": {"resampling": "smote"}}},
            "'smote' should be 'draws', 'weights' or 'none'",
        ),
        (
            {"datasets": {"mimic": {"attributes": ["sex", "age"]}}},
            "the resampled test set needs race, which the dataset does not have. Set "
            "datasets.mimic.resampling: none",
        ),
        (
            {"datasets": {"mimic": {"attributes": []}}},
            "datasets.mimic.attributes: the resampled test set needs age and",
        ),
        (
            {"classification": {"seeds": [41, 7, 9]}},
            "classification.seeds: there is no student of seed 7, 9 to start from. Add it to "
            "distillation.seeds, or set classification.student: selected.",
        ),
        (
            {"transfer": {"start": "selected-seed"}},
            "transfer.start: which student the selected seed of cxr-fmkd-lp.mse, ",
        ),
        ({"labels": {"uncertain": "perhaps"}}, "'perhaps' should be 'zeros', 'ones' or 'ignore'"),
        (
            {"datasets": {"mimic": {"adapter": "dicom"}}},
            "there is no adapter `dicom`. There are chexpert, mimic-cxr",
        ),
        ({"folders": {"chexpert": 3.5}}, "folders.chexpert: 3.5 should be a valid string"),
        ({"distillation": {"epochs": 20.0}}, "epochs: 20.0 should be a valid integer"),
        ({"distillation": {"epochs": True}}, "epochs: True should be a valid integer"),
        ({"distillation": {"learning_rate": "1-3"}}, "'1-3' should be a valid number"),
        ({"distillation": {"learning_rate": False}}, "False should be a valid number"),
        (
            {"distillation": {"per_loss": {"mse": {"epochs": "x"}}}},
            "per_loss.mse.epochs: 'x' should",
        ),
        ({"datasets": {"MIMIC": {}}}, "datasets.MIMIC: a dataset's name has small letters"),
    ],
)
def test_a_configuration_that_cannot_be_is_one_clear_message(changes, message):
    with pytest.raises(InputError) as error:
        Study(configuration(**changes))
    assert message in str(error.value)


def test_a_path_through_an_unnamed_folder_is_refused():
    config = configuration()
    config["datasets"]["chexpert"]["images"] = "{chexprt}/images"
    with pytest.raises(InputError, match="'chexprt', which `folders` does not name"):
        Study(config).dataset("chexpert")


def test_weights_of_every_backbone_are_the_file_that_its_run_writes():
    study = Study(configuration())
    assert study.weights_of("densenet169") is None
    for model, backbone in [
        ("cxr-fmkd-lp.mse-cosine-0.6", "chexpert.student.mse-cosine-0.6.seed43"),
        ("cxr-fmkd-fft.mse-cosine-0.6", "chexpert.cxr-fmkd-fft.mse-cosine-0.6.seed43"),
        ("cxr-model-fft", "chexpert.cxr-model-fft.seed43"),
        ("cxr-fm-lp", None),
        ("cxr-model-lp", "densenet169"),
    ]:
        assert study.backbone("chexpert", model, 43) == backbone
    assert (
        study.weights_of("chexpert.student.mse-cosine-0.6.seed43")
        == "chexpert/students/mse-cosine-0.6/seed43/weights.safetensors"
    )
    assert (
        study.weights_of("chexpert.cxr-fmkd-fft.mse-cosine-0.6.seed43")
        == "chexpert/models/cxr-fmkd-fft.mse-cosine-0.6/seed43/weights.safetensors"
    )


def test_the_thesis_transfers_the_selected_seed_alone():
    study = Study(configuration("thesis"))
    backbones = {study.backbone("chexpert", "cxr-model-fft", seed) for seed in (41, 45)}
    assert backbones == {"chexpert.cxr-model-fft.selected"}
    assert (
        study.weights_of("chexpert.cxr-model-fft.selected")
        == "chexpert/models/cxr-model-fft/selected.json"
    )


def test_one_loss_s_own_settings_touch_that_loss_alone():
    plain = Study(configuration())
    changed = Study(configuration(distillation={"per_loss": {"cosine": {"epochs": 60}}}))
    assert changed.distillation("cosine")["epochs"] == 60
    assert changed.distillation("mse") == plain.distillation("mse")


def test_a_dataset_without_race_is_asked_for_none_and_the_others_are():
    plain = configuration()
    mixed = configuration(
        datasets={"mimic": {"attributes": ["sex", "age", "view"], "resampling": "none"}}
    )
    before, after = Study(plain), Study(mixed)

    def specs(study: Study, name: str, dataset: str) -> dict:
        w = SimpleNamespace(dataset=dataset, model="cxr-fm-lp", figure=f"{dataset}/resampling")
        return SPECS[name](study, w)

    assert specs(after, "evaluate", "mimic")["evaluation"]["attributes"] == ["sex", "age", "view"]
    assert specs(after, "analyse_bias", "mimic")["bias"]["attributes"] == ["sex", "age"]
    assert specs(after, "resample_test", "mimic")["resampling"]["method"] == "none"
    for name in ("resample_test", "evaluate", "analyse_bias", "draw", "sample_records", "embed"):
        assert specs(after, name, "chexpert") == specs(before, name, "chexpert")
    for name in ("sample_records", "embed", "pack_images"):
        assert specs(after, name, "mimic") == specs(before, name, "mimic")
    assert after.shape.resampled == ["chexpert"]
    figures = after.shape.catalogue()
    assert "chexpert/resampling" in figures
    assert "mimic/resampling" not in figures


def test_settings_that_change_no_result_reach_the_jobs_beside_their_specs():
    plain = Study(configuration("demo"))
    asked = Study(configuration("demo", network={"device": "cpu", "tensorboard": True}))
    assert plain.environment == {"CXRFMKD_DEVICE": "auto"}
    assert asked.environment == {
        "CXRFMKD_DEVICE": "cpu",
        "CXRFMKD_TENSORBOARD": "logs/demo/tensorboard",
    }
    w = SimpleNamespace(dataset="chexpert", loss="mse", seed=41, model="cxr-model-fft")
    for name in ("distill", "finetune", "write_report"):
        assert SPECS[name](asked, w) == SPECS[name](plain, w)


def test_schema_and_settings_page_are_up_to_date():
    written = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    assert written == schema.schema(), "run: python -m cxrfmkd.study.schema"
    assert (ROOT / "config/README.md").read_text() == schema.reference()


def test_planning_imports_no_heavy_library():
    code = "import cxrfmkd.study.grid, cxrfmkd.study.specs, sys; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "pandas", "numpy", "tensorflow", "sklearn"} & set(loaded)


def test_controls_are_trained_beside_the_others_and_never_chosen():
    config = configuration("demo")
    config["distillation"]["losses"] = ["mse", "mse-shuffled", "mse-labels"]
    study = Study(config)
    assert study.students_of_teacher == ["mse"]
    assert "cxr-fmkd-lp.mse-shuffled" in study.models
    assert loss_title("mse-shuffled") == "MSE, embeddings of other patients"
    assert split_control("mse-cosine-0.6-random") == ("mse-cosine-0.6", "random")
    assert split_control("mse-cosine") == ("mse-cosine", "")
    assert study.scales_needed("mse-cosine-0.6-random")
    with pytest.raises(InputError, match="-shuffled, -random, -labels for a control"):
        Study(config | {"distillation": config["distillation"] | {"losses": ["mse-scrambled"]}})


def test_losses_have_the_names_that_people_read():
    assert model_title("cxr-fmkd-lp.mse-cosine-0.6") == "CXR-FMKD-LP (MSE + cosine, 0.6 : 0.4)"
    assert model_title("cxr-fm-lp") == "CXR-FM-LP"


def test_equal_patient_ids_mean_the_same_person_only_in_the_same_tables():
    assert Study(configuration("nih")).same_people("nih-pa", "nih-ap")
    assert not Study(configuration()).same_people("chexpert", "mimic")
