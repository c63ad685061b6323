"""The settings that matter to each rule, and nothing else: what a change of the configuration must rerun."""

from __future__ import annotations

from collections.abc import Callable

from cxrfmkd.study.grid import Study
from cxrfmkd.study.outputs import assets
from cxrfmkd.study.runs import Run


def synthesize_chexpert(study: Study, w) -> dict:
    return study.settings.synthetic[w.dataset]


def synthesize_mimic(study: Study, w) -> dict:
    return study.settings.synthetic[w.dataset]


def sample_records(study: Study, w) -> dict:
    return {"name": w.dataset, "dataset": study.dataset(w.dataset)}


def resample_test(study: Study, w) -> dict:
    return {
        "dataset": w.dataset,
        "resampling": study.section("resampling", w.dataset),
        "minimum_cell": study.settings.evaluation.minimum_cell,
    }


def pack_images(study: Study, w) -> dict:
    root = study.dataset(w.dataset)["images"]
    return {"images": study.section("images"), "root": root, "dataset": w.dataset}


def check_pixels(study: Study, w) -> dict:
    return {"dataset": w.dataset}


def check_patients(study: Study, w) -> dict:
    same = study.same_people(w.source, w.target)
    return {"source": w.source, "target": w.target, "same_people": same}


def build_demo_teacher(study: Study, w) -> dict:
    return {"seed": 42, "dimension": study.settings.teacher.dimension}


def embed(study: Study, w) -> dict:
    return {
        "dataset": w.dataset,
        "teacher": study.teacher_source(w.dataset).model_dump(),
        "images": study.dataset(w.dataset)["images"],
        "common": study.section("teacher"),
    }


def distill(study: Study, w) -> dict:
    return {
        "loss": w.loss,
        "seed": int(w.seed),
        "distillation": study.distillation(w.loss),
        "network": study.section("network"),
    }


def measure_scales(study: Study, w) -> dict:
    return {}


def select_student(study: Study, w) -> dict:
    return {"select_on": study.settings.distillation.select_on, "loss": w.loss}


def select_loss(study: Study, w) -> dict:
    return {"losses": study.settings.distillation.losses}


def assess_student(study: Study, w) -> dict:
    return {"loss": w.loss, "labels": study.section("labels")}


def extract_features(study: Study, w) -> dict:
    return {"backbone": w.backbone, "network": study.section("network")}


def probe(study: Study, w) -> dict:
    return {
        "model": w.model,
        "seeds": study.settings.classification.seeds,
        "labels": study.section("labels"),
        "probe": study.section("probe"),
    }


def drifting_probe(study: Study, w) -> dict:
    return {
        "model": w.model,
        "seed": int(w.seed),
        "labels": study.section("labels"),
        "probe": study.section("probe"),
        "network": study.section("network"),
        "finetuning": study.section("finetuning"),
    }


def finetune(study: Study, w) -> dict:
    return {
        "model": w.model,
        "seed": int(w.seed),
        "labels": study.section("labels"),
        "network": study.section("network"),
        "finetuning": study.section("finetuning"),
    }


def select_model(study: Study, w) -> dict:
    return {"model": w.model}


def transfer(study: Study, w) -> dict:
    """What every transfer has in common."""
    return {"source": w.source, "target": w.target, "transfer": study.section("transfer")}


def transfer_direct(study: Study, w) -> dict:
    seeds = study.settings.classification.seeds
    return transfer(study, w) | {"model": w.model, "seeds": seeds}


def transfer_probe(study: Study, w) -> dict:
    return probe(study, w) | transfer(study, w)


def transfer_drifting(study: Study, w) -> dict:
    return drifting_probe(study, w) | transfer(study, w)


def transfer_finetune(study: Study, w) -> dict:
    return finetune(study, w) | transfer(study, w)


def _described(runs: list[Run]) -> list[dict]:
    return [run.describe() for run in runs]


def evaluate(study: Study, w) -> dict:
    return {
        "dataset": w.dataset,
        "evaluation": study.section("evaluation", w.dataset),
        "labels": study.section("labels"),
        "runs": _described(study.runs_on(w.dataset)),
    }


def compare_with_thesis(study: Study, w) -> dict:
    return {"datasets": study.evaluated}


def analyse_bias(study: Study, w) -> dict:
    return {
        "dataset": w.dataset,
        "model": w.model,
        "seeds": study.settings.classification.seeds,
        "bias": study.section("bias", w.dataset),
        "evaluation": {"minimum_cell": study.settings.evaluation.minimum_cell},
    }


def combine_bias(study: Study, w) -> dict:
    return {"dataset": w.dataset, "models": study.analysed}


def performance_vs_bias(study: Study, w) -> dict:
    return {"datasets": study.settings.classification.datasets}


def make_tables(study: Study, w) -> dict:
    return {"minimum_cell": study.settings.evaluation.minimum_cell}


def draw(study: Study, w) -> dict:
    subject, _, kind = w.figure.rpartition("/")
    method = study.section("resampling", subject)["method"] if kind == "resampling" else None
    return {
        "figure": w.figure,
        "method": method,
        "minimum_cell": study.settings.evaluation.minimum_cell,
        "assets": assets(),
    }


def write_report(study: Study, w) -> dict:
    return {
        "settings": study.described(),
        "datasets": study.shape.datasets,
        "trained": study.shape.trained,
        "balanced": study.shape.resampled,
        "attributes": {
            name: {
                stage: study.section(stage, name)["attributes"] for stage in ("evaluation", "bias")
            }
            for name in study.datasets
        },
        "assets": assets(),
    }


SPECS: dict[str, Callable[[Study, object], dict]] = {
    function.__name__: function
    for function in (
        synthesize_chexpert,
        synthesize_mimic,
        sample_records,
        resample_test,
        pack_images,
        check_pixels,
        check_patients,
        build_demo_teacher,
        embed,
        distill,
        measure_scales,
        select_student,
        select_loss,
        assess_student,
        extract_features,
        probe,
        drifting_probe,
        finetune,
        select_model,
        transfer_direct,
        transfer_probe,
        transfer_drifting,
        transfer_finetune,
        evaluate,
        compare_with_thesis,
        analyse_bias,
        combine_bias,
        performance_vs_bias,
        make_tables,
        draw,
        write_report,
    )
}
