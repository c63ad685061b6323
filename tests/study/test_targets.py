"""The files that jobs need, by study and wildcard values."""

import pytest
from configurations import configuration

from cxrfmkd.study import targets
from cxrfmkd.study.grid import Study


def study(*names: str, **changes) -> Study:
    return Study(configuration(*names, **changes))


SOUND, THESIS, DEMO = study(), study("thesis"), study("demo")
SELECTED = study(classification={"student": "selected"})
SELECTED_SEED = study(classification={"student": "selected"}, transfer={"start": "selected-seed"})
SEEDS = SOUND.settings.classification.seeds


def seeds(folder, name="weights.safetensors", numbers=SEEDS):
    return [f"{folder}/seed{seed}/{name}" for seed in numbers]


def test_only_synthetic_raw_images_and_the_demo_teacher_are_made_by_rules():
    assert targets.synthetic_datasets(DEMO, "chexpert") == ["synthetic-chexpert"]
    assert targets.synthetic_datasets(SOUND, "chexpert") == []
    assert targets.raw_images(DEMO, "synthetic-chexpert") == [
        "resources/demo/synthetic-chexpert/images"
    ]
    assert targets.raw_images(SOUND, "chexpert") == []
    assert targets.demo_teacher(DEMO, "synthetic-mimic") == ["teacher/saved_model.pb"]
    assert targets.demo_teacher(SOUND, "mimic") == []


def test_raw_tables_are_those_that_exist_or_will_be_made(tmp_path):
    tables = dict(SOUND.settings.datasets["chexpert"].tables)
    present = tmp_path / "train.csv"
    present.touch()
    some = study(datasets={"chexpert": {"tables": tables | {"train": str(present)}}})
    assert targets.raw_tables(some, "chexpert") == [str(present)]
    made = targets.raw_tables(DEMO, "synthetic-mimic")
    assert len(made) == len(DEMO.settings.datasets["synthetic-mimic"].tables)


def test_scales_are_measured_for_weighted_losses_unless_they_are_set():
    assert targets.loss_scales(SOUND, "chexpert", "mse-cosine-0.6") == [
        "chexpert/students/scales.json"
    ]
    assert targets.loss_scales(SOUND, "chexpert", "mse") == []
    fixed = study(distillation={"loss_scales": {"mse": 0.1, "cosine": 0.2}})
    assert targets.loss_scales(fixed, "chexpert", "mse-cosine-0.6") == []


@pytest.mark.parametrize(
    ("model", "folder"),
    [
        ("cxr-fm-lp", None),
        ("cxr-model-fft", None),
        ("cxr-fmkd-lp.mse", "mimic/students/mse"),
        ("cxr-fmkd-direct-fft.cosine", "mimic/students/cosine"),
    ],
)
def test_distilled_classifiers_start_from_the_student_of_their_loss_and_seed(model, folder):
    of_seed = [f"{folder}/seed43/weights.safetensors"] if folder else []
    selected = [f"{folder}/selected.json"] if folder else []
    assert targets.student(SOUND, "mimic", model, "43") == of_seed
    assert targets.students(SOUND, "mimic", model) == (seeds(folder) if folder else [])
    assert targets.student(SELECTED, "mimic", model, "43") == selected
    assert targets.students(SELECTED, "mimic", model) == selected


def test_the_students_that_classifiers_start_from_are_assessed():
    names = [f"chexpert.student.mse-cosine-0.6.seed{seed}" for seed in SEEDS]
    folder, loss = "chexpert/students/mse-cosine-0.6", "mse-cosine-0.6"
    assert targets.assessed_students(SOUND, "chexpert", loss) == seeds(folder)
    assert targets.student_features(SOUND, "chexpert", loss) == [
        f"chexpert/features/{name}/meta.json" for name in names
    ]
    assert targets.assessed_students(SELECTED, "chexpert", loss) == [f"{folder}/selected.json"]
    assert targets.student_features(SELECTED, "chexpert", loss) == [
        "chexpert/features/chexpert.student.mse-cosine-0.6/meta.json"
    ]


def test_a_selected_run_was_chosen_among_the_seeds_of_its_stage():
    student_seeds = SOUND.settings.distillation.seeds
    assert targets.candidates(SOUND, ["mimic/students/mse/selected.json"]) == seeds(
        "mimic/students/mse", numbers=student_seeds
    )
    assert targets.candidates(SOUND, ["mimic/models/cxr-fm-lp/selected.json"]) == seeds(
        "mimic/models/cxr-fm-lp"
    )
    assert targets.candidates(SOUND, seeds("mimic/models/cxr-fm-lp")) == []
    assert targets.candidates(SOUND, []) == []


def test_a_backbone_is_loaded_from_the_file_that_its_name_says():
    assert targets.backbone_weights(SOUND, "densenet169") == []
    assert targets.backbone_weights(SOUND, "mimic.student.mse-cosine-0.6.seed42") == [
        "mimic/students/mse-cosine-0.6/seed42/weights.safetensors"
    ]
    assert targets.backbone_weights(SELECTED, "mimic.student.mse-cosine-0.6") == [
        "mimic/students/mse-cosine-0.6/selected.json"
    ]
    assert targets.backbone_weights(SOUND, "mimic.cxr-model-fft.seed41") == [
        "mimic/models/cxr-model-fft/seed41/weights.safetensors"
    ]
    assert targets.backbone_weights(SOUND, "mimic.cxr-model-fft.selected") == [
        "mimic/models/cxr-model-fft/selected.json"
    ]


def test_features_are_one_array_unless_every_seed_has_a_backbone_of_its_own():
    assert targets.features(SOUND, "chexpert", "mimic", "cxr-fm-lp") == ["mimic/teacher/meta.json"]
    assert targets.features(SOUND, "chexpert", "mimic", "cxr-model-lp") == [
        "mimic/features/densenet169/meta.json"
    ]
    assert targets.features(SOUND, "chexpert", "mimic", "cxr-fmkd-lp.mse") == [
        f"mimic/features/chexpert.student.mse.seed{seed}/meta.json" for seed in SEEDS
    ]
    assert targets.features(SELECTED, "chexpert", "mimic", "cxr-fmkd-lp.mse") == [
        "mimic/features/chexpert.student.mse/meta.json"
    ]
    assert targets.features(SOUND, "chexpert", "mimic", "cxr-model-fft") == [
        f"mimic/features/chexpert.cxr-model-fft.seed{seed}/meta.json" for seed in SEEDS
    ]
    assert targets.features(SELECTED_SEED, "chexpert", "mimic", "cxr-model-fft") == [
        "mimic/features/chexpert.cxr-model-fft.selected/meta.json"
    ]


def test_embeddings_of_fine_tuned_models_are_their_runs_own():
    assert targets.embeddings(SOUND, "mimic", "cxr-model-fft") == seeds(
        "mimic/models/cxr-model-fft", "embeddings/meta.json"
    )
    assert targets.embeddings(SOUND, "mimic", "cxr-fm-lp") == ["mimic/teacher/meta.json"]


def test_the_projection_is_the_student_s_or_each_fine_tuned_run_s_own():
    probe, finetuned = "cxr-fmkd-lp.mse", "cxr-fmkd-fft.mse"
    of_student = seeds("mimic/students/mse")
    of_runs = seeds(f"mimic/models/{finetuned}")
    assert targets.projection(SOUND, "mimic", probe) == of_student
    assert targets.projection(SOUND, "mimic", finetuned) == of_runs
    assert targets.projection(SOUND, "mimic", "cxr-fmkd-direct-lp.mse") == []
    assert targets.pending_projection(SOUND, "mimic", probe) == of_student
    assert targets.pending_projection(SOUND, "mimic", finetuned) == []
    assert targets.transfer_projection(SOUND, "mimic", finetuned) == of_runs
    discarding = study(transfer={"projection": "discard"})
    assert targets.transfer_projection(discarding, "mimic", finetuned) == []


def test_a_transfer_starts_from_the_run_of_its_seed_or_from_the_selected_one():
    folder = "mimic/models/cxr-fm-lp"
    seed = [f"{folder}/seed41/weights.safetensors"]
    assert targets.source_run(SOUND, "mimic", "cxr-fm-lp", "41") == seed
    assert targets.source_runs(SOUND, "mimic", "cxr-fm-lp") == seeds(folder)
    selected = [f"{folder}/selected.json"]
    assert targets.source_run(SELECTED_SEED, "mimic", "cxr-fm-lp", "41") == selected
    assert targets.source_runs(SELECTED_SEED, "mimic", "cxr-fm-lp") == selected


def test_a_probed_source_needs_its_student_beside_its_head():
    probe, finetuned = "cxr-fmkd-lp.mse", "cxr-fmkd-fft.mse"
    assert targets.probed_student(SOUND, "mimic", probe, "42") == [
        "mimic/students/mse/seed42/weights.safetensors"
    ]
    assert targets.probed_student(SELECTED, "mimic", probe, "42") == [
        "mimic/students/mse/selected.json"
    ]
    assert targets.probed_student(SOUND, "mimic", finetuned, "42") == []
    assert targets.probed_student(THESIS, "mimic", probe, "42") == []  # drifting: own network


def test_evaluation_needs_every_classifier_and_the_sources_of_direct_transfers():
    runs = SOUND.runs_on("mimic")
    assert len(targets.predictions(SOUND, "mimic")) == len(runs) > 0
    direct = [run for run in runs if run.strategy == "direct"]
    files = targets.source_predictions(SOUND, "mimic")
    assert len(files) == len(direct) > 0
    assert set(files) <= {f"{run.folder}/predictions.parquet" for run in SOUND.runs_on("chexpert")}
    assert targets.source_val_records(SOUND, "mimic") == ["chexpert/records/val.csv"]
    assert targets.source_predictions(SELECTED_SEED, "mimic") == []
    assert targets.source_val_records(SELECTED_SEED, "mimic") == []


def test_tables_are_of_the_selected_seeds_where_that_is_asked_for():
    assert targets.selected_seeds(SOUND, "chexpert") == []
    assert targets.performances(SOUND)[0] == "evaluation/chexpert/summary.csv"
    assert targets.performances(THESIS)[0] == "evaluation/chexpert/metrics.csv"
    selected = targets.selected_seeds(THESIS, "chexpert")
    assert selected[0] == "chexpert/models/cxr-fm-lp/selected.json"
    assert len(selected) == len(set(selected)) == 49
    assert targets.all_selected_seeds(THESIS)[:49] == selected


def test_tables_beside_the_thesis_are_for_its_datasets_alone():
    assert "tables/against_thesis.csv" in targets.table_files(SOUND)
    assert "tables/against_thesis.csv" not in targets.table_files(DEMO)
    figures = targets.figure_files(DEMO, "svg", "png")
    assert len(figures) == 2 * len(DEMO.shape.catalogue())
    assert "figures/synthetic-chexpert/flow.svg" in figures


def test_a_dataset_without_attributes_has_no_bias_analysis():
    bare = study(
        datasets={"mimic": {"attributes": [], "resampling": "none"}},
        classification={"datasets": ["chexpert", "mimic"]},
    )
    assert bare.analysed("mimic") == []
    assert bare.analysed("chexpert") == SOUND.analysed("chexpert") != []
    assert bare.compared == ["chexpert"]
    assert bare.asked_attributes("mimic") == {}
    nowhere = study(bias={"attributes": []})
    assert nowhere.compared == []
    assert "bias.attributes" not in str(nowhere.asked_attributes("chexpert"))


def test_without_race_the_bias_analysis_asks_for_sex():
    ages = study(bias={"attributes": ["age"]}, evaluation={"attributes": []})
    assert ages.asked_attributes("chexpert") == {
        "age": ["bias.attributes"],
        "sex": ["bias.attributes"],
    }
