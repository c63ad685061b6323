"""The settings that matter to each rule, and no others: a change of them reruns the rule's jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cxrfmkd.study.grid import Study
from cxrfmkd.study.outputs import assets
from cxrfmkd.vocabulary.attributes import declarations
from cxrfmkd.vocabulary.backbones import split_student
from cxrfmkd.vocabulary.models import network_of
from cxrfmkd.vocabulary.teachers import TEACHER


def _sections(study: Study, *names: str) -> dict:
    return {name: study.section(name) for name in names}


def _findings(study: Study) -> dict:
    """The study's findings, where they are not the 14: files and jobs of these need not say so."""
    findings = study.settings.findings
    return {} if findings.is_thesis else {"findings": findings.model_dump()}


def _minimum_cell(study: Study) -> dict:
    return {"minimum_cell": study.settings.evaluation.minimum_cell}


def _uncertain(study: Study) -> dict:
    """What an uncertain label counts as: it decides which images have a finding."""
    return {"uncertain": study.settings.labels.uncertain}


def _declared(study: Study, dataset: str = "") -> dict:
    """Declared attributes of a dataset's records, else of all; nothing for the presets alone."""
    attributes = study.attributes_on(dataset) if dataset else study.attributes
    described = [one.describe() for one in declarations(attributes)]
    return {"attributes": described} if described else {}


def _by(study: Study) -> dict:
    """The attribute whose groups the resampled test set has equal shares of, where not race."""
    by = study.settings.resampling.by
    return {} if by == "race" else {"by": by}


def _resampling(study: Study, dataset: str) -> dict:
    """Settings of a resampled test set; by race, as published, is not said."""
    values = study.section("resampling", dataset)
    return {name: value for name, value in values.items() if (name, value) != ("by", "race")}


def _classifier_seeds(study: Study, w: Any) -> dict:
    """All seeds of a classifier whose heads are made by one job."""
    return {"model": w.model, "seeds": study.settings.classification.seeds}


def _classifier(study: Study, w: Any) -> dict:
    """One seed of a classifier that is trained through its network."""
    settings = _sections(study, "labels", "network", "finetuning")
    return {"model": w.model, "seed": int(w.seed)} | settings


def _probe(study: Study, w: Any) -> dict:
    return _classifier_seeds(study, w) | _sections(study, "labels", "probe")


def _drifting_probe(study: Study, w: Any) -> dict:
    return _classifier(study, w) | _sections(study, "probe")


def _transfer(study: Study, w: Any) -> dict:
    return {"source": w.source, "target": w.target} | _sections(study, "transfer")


def _evaluation(study: Study, w: Any) -> dict:
    return {
        "dataset": w.dataset,
        "evaluation": study.section("evaluation", w.dataset),
        "runs": [run.describe() for run in study.runs_on(w.dataset)],
        **_declared(study, w.dataset),
        **_sections(study, "labels"),
        **_findings(study),
    }


def _user_metrics(study: Study) -> dict:
    """Metrics of users' files; nothing where there are none."""
    metrics = study.settings.evaluation.metrics
    return {"metrics": list(metrics)} if metrics else {}


def _embedding(study: Study, w: Any) -> dict:
    """The embeddings of a further teacher where the rule has its name, else of the first."""
    teacher = getattr(w, "teacher", TEACHER)
    return {
        "dataset": w.dataset,
        "teacher": study.teacher_source(w.dataset, teacher).model_dump(),
        "images": study.dataset(w.dataset)["images"],
        "common": study.teacher_section(teacher),
    }


def _further_teachers(study: Study) -> dict:
    """Names of the teachers beside the first; nothing where there are none."""
    return {"teachers": study.further_teachers} if study.further_teachers else {}


def _fetched(study: Study, w: Any) -> dict:
    """Initial weights that some network of the study starts from."""
    weights = study.settings.network.weights
    students = {split_student(name)[1] for name in study.student_names}
    backbones = students | {network_of(model) for model in study.models}
    return {"weights": weights, "architectures": sorted(backbones - {"teacher"})}


def _erasure(study: Study, w: Any) -> dict:
    bias, evaluation = (study.section(name, w.dataset) for name in ("bias", "evaluation"))
    settings = {name: bias[name] for name in ("replicates", "seed")}
    names = ("confidence", "target_fpr", "minimum_cell", "adjustment")
    settings |= {name: evaluation[name] for name in names}
    return {
        "dataset": w.dataset,
        "erasure": {"attributes": study.erased_attributes(w.dataset), **settings},
        **_declared(study, w.dataset),
        "targets": study.seen_elsewhere(w.dataset, w.model),
        **_classifier_seeds(study, w),
        **_sections(study, "labels"),
        **_findings(study),
    }


def _families(study: Study) -> list[list[str]]:
    """Dataset, source, strategy, model and loss of everything that is evaluated, once each."""
    runs = [(name, run.describe()) for name in study.evaluated for run in study.runs_on(name)]
    columns = ("source", "strategy", "model", "loss")
    families = dict.fromkeys((name, *(run[c] for c in columns)) for name, run in runs)
    return [list(family) for family in families]


def _figure(study: Study, w: Any) -> dict:
    subject, _, kind = w.figure.rpartition("/")
    about: dict = {"method": None}
    if kind == "resampling":
        resampling = _resampling(study, subject)
        about = {name: resampling[name] for name in ("method", "by") if name in resampling}
    return (
        {"figure": w.figure, "assets": assets()}
        | about
        | (_minimum_cell(study) | _uncertain(study) | _findings(study) | _declared(study))
    )


def _points(study: Study, w: Any) -> dict:
    return {"figure": f"{w.dataset}/{w.space}", "assets": assets()} | _declared(study)


def _report(study: Study) -> dict:
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


def _patients(study: Study, w: Any) -> dict:
    """What equal patient ids of two datasets mean; those of a pool begin with `people`."""
    one, other = w.source, w.target
    spec = {"source": one, "target": other, "same_people": study.same_people(one, other)}
    if study.pool(one) or study.pool(other):
        spec["people"] = {name: study.people(name) for name in (one, other) if not study.pool(name)}
    return spec


# Rule -> its settings, from the study and the values of the wildcards.
SPECS: dict[str, Callable[[Study, Any], dict]] = {
    "synthesize_chexpert": lambda study, w: study.settings.synthetic[w.dataset],
    "synthesize_mimic": lambda study, w: study.settings.synthetic[w.dataset],
    "sample_records": lambda study, w: {
        "name": w.dataset,
        "dataset": study.dataset(w.dataset),
        **_findings(study),
        **_declared(study, w.dataset),
    },
    "pool_records": lambda study, w: {
        "dataset": w.dataset,
        "people": {name: study.people(name) for name in study.pool(w.dataset)},
        **_findings(study),
        **_declared(study, w.dataset),
    },
    "pool_array": lambda study, w: {"dataset": w.dataset, "members": study.pool(w.dataset)},
    "resample_test": lambda study, w: {
        "dataset": w.dataset,
        "resampling": _resampling(study, w.dataset),
        **_minimum_cell(study),
        **_declared(study, w.dataset),
    },
    "pack_images": lambda study, w: {
        "dataset": w.dataset,
        "root": study.dataset(w.dataset)["images"],
        **_sections(study, "images"),
    },
    "check_attributes": lambda study, w: {
        "dataset": w.dataset,
        "asked": study.asked_attributes(w.dataset),
        "balanced": study.balanced(w.dataset),
        **_by(study),
    },
    "check_pixels": lambda study, w: {"dataset": w.dataset},
    "check_patients": _patients,
    "build_demo_teacher": lambda study, w: {
        "seed": 42,
        "dimension": study.settings.teacher.dimension,
    },
    "embed": _embedding,
    "fetch_weights": _fetched,
    "distill": lambda study, w: {
        "loss": w.loss,
        "seed": int(w.seed),
        "distillation": study.distillation(w.loss),
        **_sections(study, "network"),
        **_further_teachers(study),
    },
    "measure_scales": lambda study, w: {},
    "measure_sizes": lambda study, w: {
        "backbones": study.settings.distillation.backbones,
        "size": study.settings.images.size,
        "dimension": study.settings.teacher.dimension,
    },
    "select_student": lambda study, w: {
        "loss": w.loss,
        "select_on": study.settings.distillation.select_on,
    },
    "select_loss": lambda study, w: {"losses": study.students_of_teacher},
    "assess_student": lambda study, w: {
        "loss": w.loss,
        "seeds": [] if study.one_student else study.settings.distillation.seeds,
        **_sections(study, "labels"),
        **_further_teachers(study),
    },
    "extract_features": lambda study, w: {"backbone": w.backbone, **_sections(study, "network")},
    "probe": _probe,
    "drifting_probe": _drifting_probe,
    "finetune": _classifier,
    "select_model": lambda study, w: {"model": w.model},
    "transfer_direct": lambda study, w: _classifier_seeds(study, w) | _transfer(study, w),
    "transfer_probe": lambda study, w: _probe(study, w) | _transfer(study, w),
    "transfer_drifting": lambda study, w: _drifting_probe(study, w) | _transfer(study, w),
    "transfer_finetune": lambda study, w: _classifier(study, w) | _transfer(study, w),
    "evaluate": lambda study, w: _evaluation(study, w) | _user_metrics(study),
    "evaluate_reference": lambda study, w: (
        _evaluation(study, w) | {"reference": study.reference(w.dataset)}
    ),
    "compare_with_thesis": lambda study, w: {"datasets": study.evaluated},
    "analyse_bias": lambda study, w: {
        "dataset": w.dataset,
        "bias": study.section("bias", w.dataset),
        **_declared(study, w.dataset),
        "evaluation": _minimum_cell(study),
        **_uncertain(study),
        **_classifier_seeds(study, w),
        **_findings(study),
    },
    "erase_attributes": _erasure,
    "combine_bias": lambda study, w: {
        "dataset": w.dataset,
        "models": study.analysed(w.dataset),
        **_declared(study, w.dataset),
        **_findings(study),
        "margin": study.settings.bias.margin,
        "adjustment": study.settings.evaluation.adjustment,
    },
    "performance_vs_bias": lambda study, w: {
        "datasets": study.compared,
        "seeds": study.settings.evaluation.seeds,
        **_findings(study),
    },
    "make_tables": lambda study, w: (
        _minimum_cell(study)
        | _uncertain(study)
        | _findings(study)
        | _declared(study)
        | {"families": _families(study)}
    ),
    "draw": _figure,
    "draw_points": _points,
    "write_report": lambda study, w: _report(study),
}
