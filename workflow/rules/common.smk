# The study that the configuration asks for, and every function that the rules call.

import re
from pathlib import Path

from snakemake.exceptions import WorkflowError

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.outputs import KINDS, TABLES
from cxrfmkd.runtime.provenance import canonical, code_hash
from cxrfmkd.study.specs import SPECS
from cxrfmkd.study.grid import Study
from cxrfmkd.vocabulary.models import MODELS, WIDTHS, split_model

ROOT = Path(workflow.current_basedir).parent.parent
SCRIPTS = ROOT / "workflow" / "scripts"

try:
    study = Study(config)
except InputError as error:
    raise WorkflowError(str(error)) from None

# Scripts find the package in whatever environment they run.
ENVIRONMENT = {"PYTHONPATH": str(ROOT / "src")} | study.environment
shell.prefix("".join(f"export {name}={value}; " for name, value in ENVIRONMENT.items()))

SEEDS = study.settings.classification.seeds


onstart:
    if missing := study.missing_inputs():
        raise WorkflowError("The study's raw data are not there:\n  " + "\n  ".join(missing))


def one_of(names):
    """A wildcard's pattern: one of `names`, or nothing at all."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


wildcard_constraints:
    dataset=one_of(study.datasets),
    source=one_of(study.datasets),
    target=one_of(study.datasets),
    loss=one_of(study.settings.distillation.losses),
    model=one_of(study.models),
    backbone=r"[a-z0-9-]+(\.[a-z0-9.-]+)?",
    seed=r"\d+",


def spec(name, script=None):
    """The settings that matter to a rule and the hash of the code that it runs, as one canonical text."""
    code = code_hash(SCRIPTS / f"{script or name}.py")
    return lambda wildcards: canonical(SPECS[name](study, wildcards) | {"code": code})


def checkpoints(stage):
    """Where a long job keeps what it needs to go on after a stop: outside every declared output."""
    return lambda wildcards: str(Path("checkpoints", CHECKPOINTS, stage, *wildcards))


# Studies that do not share results do not share checkpoints either.
CHECKPOINTS = str(Path(study.settings.pathvars.get("results", "results")).name)


def as_list(paths):
    """One path or several as a list."""
    return [paths] if isinstance(paths, str) else list(paths)


def option(flag, name, most=None):
    """An argument for an input that not every job has: the flag and its files, or nothing."""
    return lambda wildcards, input: (
        " ".join([flag, *as_list(input.get(name))[:most]]) if input.get(name) else ""
    )


def benchmark_folders():
    """Where Snakemake measures the jobs of each rule: no input of anything, so that a measurement reruns nothing."""
    top = study.settings.pathvars.get("benchmarks", "benchmarks")
    return [f"{top}/{rule.name}" for rule in workflow.rules if rule.benchmark]


def folders(name):
    """The folders of a rule's named outputs."""
    return lambda wildcards, output: [str(Path(path).parent) for path in output.get(name)]


def records(*splits, dataset="{dataset}"):
    """Record tables of a dataset."""
    return [f"<results>/{dataset}/records/{split}.csv" for split in splits]


def synthetic(site):
    """Datasets whose raw files are drawn in the layout of `site`."""
    return [name for name, chosen in study.settings.synthetic.items() if chosen["site"] == site]


def raw_tables(wildcards):
    """Raw tables of a dataset: those that a rule makes, and those that are there."""
    paths = study.dataset(wildcards.dataset)["tables"].values()
    made = wildcards.dataset in study.settings.synthetic
    return [path for path in paths if made or Path(path).exists()]


def raw_images(wildcards):
    """The folder of raw images where a rule makes it; a real one is too large to watch."""
    made = wildcards.dataset in study.settings.synthetic
    return study.dataset(wildcards.dataset)["images"] if made else []


def demo_teacher(wildcards):
    """The stand-in teacher where the dataset's embeddings come from it."""
    teacher = study.dataset(wildcards.dataset)["teacher"]
    return "<resources>/teacher/saved_model.pb" if teacher["variant"] == "demo" else []


def run_files(runs, name):
    """One file of every run."""
    return [f"<results>/{run.folder}/{name}" for run in runs]


def direct_runs(target):
    """Direct transfers to a dataset whose source run has the same seed; a selected one is not known beforehand."""
    same = study.settings.transfer.start == "same-seed"
    return [run for run in study.runs_on(target) if run.strategy == "direct" and same]


def direct_sources(target):
    """For every direct transfer to a dataset, what its source run predicted for the source's own patients."""
    runs = direct_runs(target)
    return [
        f"<results>/{run.source}/models/{run.model}/seed{run.seed}/predictions.parquet"
        for run in runs
    ]


def direct_source_records(target):
    """Validation records of every source that is transferred directly to a dataset, once each."""
    sources = unique(run.source for run in direct_runs(target))
    return [path for source in sources for path in records("val", dataset=source)]


def scales_needed(wildcards):
    """The measured plateau values, for the losses that are divided by them."""
    needed = study.scales_needed(wildcards.loss)
    return f"<results>/{wildcards.dataset}/students/scales.json" if needed else []


def student(dataset, loss):
    """The chosen student of a dataset and loss, and the weights that it was chosen from."""
    folder = f"<results>/{dataset}/students/{loss}"
    seeds = study.settings.distillation.seeds
    weights = [f"{folder}/seed{seed}/weights.safetensors" for seed in seeds]
    return [f"{folder}/selected.json", *weights]


def backbone_weights(backbone):
    """What a backbone is loaded from, first the file to name; empty for initial weights."""
    name = study.weights_of(backbone)
    if name is None:
        return []
    folder = f"<results>/{Path(name).parent}"
    if not name.endswith("selected.json"):
        return [f"<results>/{name}"]
    chosen = study.settings.distillation if "/students/" in name else study.settings.classification
    weights = [f"{folder}/seed{seed}/weights.safetensors" for seed in chosen.seeds]
    return [f"<results>/{name}", *weights]


def seen_by(source, target, model, seed=SEEDS[0]):
    """The keyed array through which `model` of `source` sees `target`: the teacher's or a backbone's."""
    backbone = study.backbone(source, model, seed)
    folder = f"features/{backbone}" if backbone else "teacher"
    return f"<results>/{target}/{folder}/meta.json"


def projection(source, model):
    """Where the projection between features and head is: the student's, or each fine-tuned run's own."""
    name, loss = split_model(model)
    if not MODELS[name].projection:
        return []
    if study.owns_backbone(model):
        return source_runs(source, model)
    return [f"<results>/{source}/students/{loss}/selected.json"]


def probe_projection(dataset, model):
    """The projection that a probe's kept features have not passed yet; a run's own embeddings have."""
    return [] if study.owns_backbone(model) else projection(dataset, model)


def start(dataset, model):
    """The student that a classifier's network starts from, if it starts from one."""
    name, loss = split_model(model)
    return student(dataset, loss) if MODELS[name].student else []


def unique(items):
    """Each of `items` once, in order."""
    return list(dict.fromkeys(items))


def source_run(source, model, seed):
    """The source's run that a transfer's `seed` starts from, first the file to name."""
    folder = f"<results>/{source}/models/{model}"
    if study.settings.transfer.start == "selected-seed":
        return [
            f"{folder}/selected.json",
            *(f"{folder}/seed{s}/weights.safetensors" for s in SEEDS),
        ]
    return [f"{folder}/seed{seed}/weights.safetensors"]


def source_runs(source, model):
    """The source's runs that a transfer starts from: one a seed, or the chosen one for all."""
    return unique(source_run(source, model, seed)[0] for seed in SEEDS)


def probed_student(source, model):
    """The student below a source that was probed: its run holds the head alone."""
    return [] if study.owns_backbone(model) else start(source, model)


def kept_projection(source, model):
    """The projection through which a new head on the target sees, unless transfer discards it."""
    return projection(source, model) if study.settings.transfer.projection == "keep" else []


def penultimate(dataset, model):
    """The embeddings just before the head, one array for every seed that has its own."""
    if study.owns_backbone(model):
        folder = f"<results>/{dataset}/models/{model}"
        return [f"{folder}/seed{seed}/embeddings/meta.json" for seed in SEEDS]
    return [seen_by(dataset, dataset, model)]


FIGURES = study.shape.catalogue()


def table_files():
    """Every table for people."""
    names = [*TABLES, *(["against_thesis.csv"] if study.like_thesis else [])]
    return [f"<results>/tables/{name}" for name in names]


def figure_files(*kinds):
    """Every figure, in the file formats `kinds`."""
    return [f"<results>/figures/{name}.{kind}" for name in FIGURES for kind in kinds]


def figure_tables(wildcards):
    """What a figure is drawn from."""
    return results(FIGURES[wildcards.figure])


def kind_of(wildcards):
    """What a figure shows, as the catalogue has it."""
    return KINDS[Path(wildcards.figure).name]


def caption(wildcards):
    """What the workflow's own report says below a figure."""
    return (ROOT / "workflow" / "report" / f"{Path(wildcards.figure).name}.rst").read_text().strip()


def results(paths):
    """Paths below the results as the rules write them."""
    return [f"<results>/{path}" for path in paths]
