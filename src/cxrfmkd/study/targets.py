"""Which files the jobs of a study need, by their wildcards' values.

Paths are below the results, if not said otherwise. A function that names one file returns it in a
list, or an empty list where the job needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from cxrfmkd.runtime import plugins
from cxrfmkd.study.grid import Study
from cxrfmkd.study.outputs import TABLES
from cxrfmkd.study.runs import Run
from cxrfmkd.vocabulary.backbones import on_backbone, probed_teacher, split_student
from cxrfmkd.vocabulary.datasets import SPLITS
from cxrfmkd.vocabulary.models import MODELS, split_model
from cxrfmkd.vocabulary.teachers import ENCODERS, TEACHER, teacher_folder

FILES = ("data.npy", "index.parquet", "meta.json")  # of a keyed array
VIEWS = ("images", "teacher", "teachers", "features")  # folders of what a pool has no copy of
SELECTED, WEIGHTS = "selected.json", "weights.safetensors"


def unique(items: Iterable[str]) -> list[str]:
    """Each of `items` once, in order."""
    return list(dict.fromkeys(items))


def _of_seeds(folder: str | PurePosixPath, seeds: Sequence[int], name: str) -> list[str]:
    return [f"{folder}/seed{seed}/{name}" for seed in seeds]


# --- raw files


def synthetic_datasets(study: Study, site: str) -> list[str]:
    """Datasets whose raw files are synthesised in the layout of `site`."""
    return [name for name, values in study.settings.synthetic.items() if values["site"] == site]


def raw_tables(study: Study, dataset: str) -> list[str]:
    """Paths of a dataset's raw tables: those that a rule makes, and those that exist."""
    paths = study.dataset(dataset)["tables"].values()
    synthetic = dataset in study.settings.synthetic
    return [path for path in paths if synthetic or Path(path).exists()]


def reference_tables(study: Study, dataset: str) -> list[str]:
    """Paths of a dataset's tables of expert labels; none where it has no reference."""
    return study.reference_tables(dataset)


def raw_images(study: Study, dataset: str) -> list[str]:
    """Path of the folder of raw images where a rule makes it; a real one is too large to watch."""
    return [study.dataset(dataset)["images"]] if dataset in study.settings.synthetic else []


def demo_teacher(study: Study, dataset: str, teacher: str = TEACHER) -> list[str]:
    """The stand-in teacher, below the resources, where the dataset's embeddings come from it."""
    is_demo = study.source_of(dataset, teacher).variant == "demo"
    return ["teacher/saved_model.pb"] if is_demo else []


def teacher_on_gpu(study: Study, dataset: str, teacher: str = TEACHER) -> bool:
    """Whether a dataset's embeddings are extracted with a model on a GPU, not read from files."""
    source = study.source_of(dataset, teacher)
    return extracted_here(source.source) and source.device == "gpu"


def extracted_here(source: str) -> bool:
    """Whether embeddings of a source are made by a model on this machine."""
    return source in ("savedmodel", *ENCODERS, *plugins.names("encoder"))


def further_teachers(study: Study, dataset: str) -> list[str]:
    """The embeddings of every teacher beside the first."""
    return teachers(study, dataset)[1:]


def teachers(study: Study, dataset: str) -> list[str]:
    """The embeddings of every teacher."""
    return [f"{dataset}/{teacher_folder(name)}/meta.json" for name in study.teachers]


# --- pools


def member_records(study: Study, dataset: str) -> list[str]:
    """The records of a pool's members."""
    return [f"{name}/records/{split}.csv" for name in study.pool(dataset) for split in SPLITS]


def member_summaries(study: Study, dataset: str) -> list[str]:
    """What was counted and checked of the records of a pool's members."""
    return [f"{name}/records/summary.json" for name in study.pool(dataset)]


def member_arrays(study: Study, dataset: str, array: str) -> list[str]:
    """Images, embeddings or features of a pool's members, whose rows those of the pool are."""
    return [f"{name}/{array}/meta.json" for name in study.pool(dataset)]


def member_exclusions(study: Study, dataset: str, array: str) -> list[str]:
    """What images and embeddings of a pool's members lack; features lack what images do."""
    if array.startswith("features"):
        return []
    return [f"{name}/{array}/excluded.csv" for name in study.pool(dataset)]


def array_files(study: Study, meta: str) -> list[str]:
    """Data and index of a keyed array; of a pool's, its index and the members' whole arrays.

    meta: its meta.json.
    """
    folder = PurePosixPath(meta).parent
    dataset, *array = folder.parts
    members = study.pool(dataset) if array[0] in VIEWS else []
    if not members:
        return [f"{folder}/data.npy", f"{folder}/index.parquet"]
    parts = [PurePosixPath(name, *array) for name in members]
    return [f"{folder}/index.parquet", *(f"{part}/{file}" for part in parts for file in FILES)]


# --- students and backbones


def loss_scales(study: Study, dataset: str, loss: str) -> list[str]:
    """The measured plateau values, for a loss that is divided by them."""
    on = f"-{backbone}" if (backbone := on_backbone(loss)) else ""
    return [f"{dataset}/students/scales{on}.json"] if study.scales_needed(loss) else []


def undistilled(study: Study, dataset: str, loss: str) -> list[str]:
    """Features of a student's network before it is distilled into."""
    return [f"{dataset}/features/{split_student(loss)[1]}/meta.json"]


def student(study: Study, dataset: str, model: str, seed: int | str) -> list[str]:
    """The student that a classifier's network starts from: of its seed, or the selected one."""
    name, loss = split_model(model)
    if not MODELS[name].student:
        return []
    folder = f"{dataset}/students/{loss}"
    return [f"{folder}/{SELECTED}" if study.one_student else f"{folder}/seed{seed}/{WEIGHTS}"]


def students(study: Study, dataset: str, model: str) -> list[str]:
    """The students of all seeds of a classifier: one a seed, or the selected one for all."""
    seeds = study.settings.classification.seeds
    return unique(path for seed in seeds for path in student(study, dataset, model, seed))


def assessed_students(study: Study, dataset: str, loss: str) -> list[str]:
    """The students of a loss whose quality is measured: those that classifiers may start from."""
    folder = f"{dataset}/students/{loss}"
    if study.one_student:
        return [f"{folder}/{SELECTED}"]
    return _of_seeds(folder, study.settings.distillation.seeds, WEIGHTS)


def student_features(study: Study, dataset: str, loss: str) -> list[str]:
    """The features of the same students, on the dataset that they were distilled on."""
    seeds = study.settings.distillation.seeds
    backbones = unique(study.student_backbone(dataset, loss, seed) for seed in seeds)
    return [f"{dataset}/features/{backbone}/meta.json" for backbone in backbones]


def candidates(study: Study, selected: Iterable[str]) -> list[str]:
    """The weights of every seed that each `selected.json` of `selected` was chosen from."""
    folders = [PurePosixPath(path).parent for path in selected if path.endswith(SELECTED)]
    settings = study.settings
    return [
        path
        for folder in folders
        for section in [
            settings.distillation if "students" in folder.parts else settings.classification
        ]
        for path in _of_seeds(folder, section.seeds, WEIGHTS)
    ]


def backbone_weights(study: Study, backbone: str) -> list[str]:
    """The file that a backbone is loaded from; none for initial weights."""
    path = study.weights_of(backbone)
    return [] if path is None else [path]


def family(backbone: str) -> str:
    """Backbones that are made alike and at about the same time, whatever their loss and seed.

    `mimic.student.mse` is of `mimic.student`, an architecture with initial weights of `initial`.
    """
    source, _, rest = backbone.partition(".")
    return f"{source}.{rest.partition('.')[0]}" if rest else "initial"


def features(study: Study, source: str, target: str, model: str) -> list[str]:
    """Arrays through which `model` of `source` sees `target`: the teacher's or its backbones'."""
    backbones = [
        study.backbone(source, model, seed) for seed in study.settings.classification.seeds
    ]
    teacher = teacher_folder(probed_teacher(split_model(model)[1]) or TEACHER)
    folders = [f"features/{backbone}" if backbone else teacher for backbone in backbones]
    return unique(f"{target}/{folder}/meta.json" for folder in folders)


# --- classifiers


def run_files(runs: Iterable[Run], name: str) -> list[str]:
    """One file of every run."""
    return [f"{run.folder}/{name}" for run in runs]


def embeddings(study: Study, dataset: str, model: str) -> list[str]:
    """The embeddings just before the head, one array for every seed that has its own."""
    if study.owns_backbone(model):
        folder, seeds = f"{dataset}/models/{model}", study.settings.classification.seeds
        return _of_seeds(folder, seeds, "embeddings/meta.json")
    return features(study, dataset, dataset, model)


def analyses(name: str) -> Callable[[Study, str], list[str]]:
    """Files `name` of the bias analyses of all models of a dataset."""
    return lambda study, dataset: [
        f"bias/{dataset}/{model}/{name}" for model in study.analysed(dataset)
    ]


def projection(study: Study, dataset: str, model: str) -> list[str]:
    """Where the projection before the head is: the student's, or each fine-tuned run's own."""
    if not MODELS[split_model(model)[0]].projection:
        return []
    own = study.owns_backbone(model)
    return source_runs(study, dataset, model) if own else students(study, dataset, model)


def pending_projection(study: Study, dataset: str, model: str) -> list[str]:
    """The projection that `embeddings` have not passed yet; a run's own have."""
    return [] if study.owns_backbone(model) else projection(study, dataset, model)


def heads(study: Study, dataset: str, model: str) -> list[str]:
    """The heads of all seeds of a model."""
    return _of_seeds(f"{dataset}/models/{model}", study.settings.classification.seeds, WEIGHTS)


def features_elsewhere(study: Study, dataset: str, model: str) -> list[str]:
    """Arrays through which `model` of `dataset` sees the datasets that it is moved to, in turn."""
    targets = study.seen_elsewhere(dataset, model)
    return [path for target in targets for path in features(study, dataset, target, model)]


def test_elsewhere(study: Study, dataset: str, model: str) -> list[str]:
    """Test records of the same datasets."""
    return [f"{target}/records/test.csv" for target in study.seen_elsewhere(dataset, model)]


# --- transfers


def source_run(study: Study, source: str, model: str, seed: int | str) -> list[str]:
    """The source's run that a transfer's `seed` starts from."""
    folder = f"{source}/models/{model}"
    if study.settings.transfer.start == "selected-seed":
        return [f"{folder}/{SELECTED}"]
    return [f"{folder}/seed{seed}/{WEIGHTS}"]


def source_runs(study: Study, source: str, model: str) -> list[str]:
    """The source's runs that a transfer starts from: one a seed, or the selected one for all."""
    seeds = study.settings.classification.seeds
    return unique(path for seed in seeds for path in source_run(study, source, model, seed))


def probed_student(study: Study, source: str, model: str, seed: int | str) -> list[str]:
    """The student of a source that was probed: its run holds the head alone."""
    return [] if study.owns_backbone(model) else student(study, source, model, seed)


def transfer_projection(study: Study, source: str, model: str) -> list[str]:
    """The projection before a new head on the target, unless transfer discards it."""
    keep = study.settings.transfer.projection == "keep"
    return projection(study, source, model) if keep else []


# --- evaluation


def direct_runs(study: Study, target: str) -> list[Run]:
    """Direct transfers to a dataset whose source run has the same seed.

    Which seed `selected-seed` starts from is not known before the source's runs are finished.
    """
    same_seed = study.settings.transfer.start == "same-seed"
    return [run for run in study.runs_on(target) if run.strategy == "direct" and same_seed]


def source_predictions(study: Study, target: str) -> list[str]:
    """Of every direct transfer to a dataset, the source run's predictions for its own patients."""
    return [
        f"{run.source}/models/{run.model}/seed{run.seed}/predictions.parquet"
        for run in direct_runs(study, target)
    ]


def source_val_records(study: Study, target: str) -> list[str]:
    """Validation records of every source that is transferred directly to a dataset, once each."""
    return unique(f"{run.source}/records/val.csv" for run in direct_runs(study, target))


def source_images(study: Study, target: str) -> list[str]:
    """Packed images of the same sources: what cannot be read is measured nowhere."""
    return unique(f"{run.source}/images/meta.json" for run in direct_runs(study, target))


def source_teacher(study: Study, target: str) -> list[str]:
    """Every teacher's embeddings of the same sources."""
    sources = unique(run.source for run in direct_runs(study, target))
    return [path for source in sources for path in teachers(study, source)]


def selected_seeds(study: Study, dataset: str) -> list[str]:
    """The choice of a seed of every model trained on a dataset, where tables are of that seed."""
    own = study.own_runs if study.settings.evaluation.seeds == "selected" else []
    models = unique(run.model for run in own if run.source == dataset)
    return [f"{dataset}/models/{model}/{SELECTED}" for model in models]


def performances(study: Study) -> list[str]:
    """The tables of performance that are held against bias: of single seeds, or of their mean."""
    table = "metrics" if study.settings.evaluation.seeds == "selected" else "summary"
    return [f"evaluation/{name}/{table}.csv" for name in study.compared]


def all_selected_seeds(study: Study) -> list[str]:
    """`selected_seeds` of every dataset of which performance is held against bias."""
    return [path for name in study.compared for path in selected_seeds(study, name)]


def predictions(study: Study, dataset: str) -> list[str]:
    """Predictions of every classifier that is evaluated on a dataset."""
    return run_files(study.runs_on(dataset), "predictions.parquet")


# --- tables and figures


def table_files(study: Study) -> list[str]:
    """Every table for people."""
    shape = study.shape
    names = [*TABLES, *["against_thesis"] * shape.thesis, *["sizes"] * shape.sized]
    return [f"tables/{name}.csv" for name in names]


def figure_files(study: Study, *suffixes: str) -> list[str]:
    """Every figure, in each of the file formats."""
    names = study.shape.catalogue()
    return [f"figures/{name}.{suffix}" for name in names for suffix in suffixes]
