"""Every setting of a study: its name, type, default, allowed values and meaning, defined once.

The Snakefile, the scripts, the JSON schema and `config/README.md` all read these classes. Defaults
are sound practice; `config/thesis.yaml` sets each switch to what the thesis did. Standard library
only, since this is imported whenever the workflow is planned.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields

from cxrfmkd.vocabulary.models import MODELS, STRATEGIES

ATTRIBUTES = ("sex", "race", "age", "view")
BALANCED = ("race", "age")  # what the resampled test set needs to know of every patient


def setting(doc: str, default=MISSING, *, choices=None, minimum=None, maximum=None):
    """A documented field; a list or dict default is copied for every instance."""
    about = {"doc": doc, "choices": choices, "minimum": minimum, "maximum": maximum}
    if isinstance(default, list | dict):
        return field(default_factory=default.copy, metadata=about)
    if default is MISSING:
        return field(metadata=about)
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Dataset:
    """One source of images and records, under a name of your choice."""

    adapter: str = setting(
        "reader of the raw layout",
        choices=["chexpert", "mimic-cxr", "nih-cxr14", "table", "biomedia"],
    )
    tables: dict = setting("raw tables, by the adapter's names for them (see docs/data.md)")
    images: str = setting("root folder of the image files that the tables name")
    teacher: dict = setting(
        "where the teacher's embeddings come from: `source` (savedmodel, dat, npy, npz, tfrecord, "
        "parquet, "
        "vertex), `path`, `variant`, and what that source needs (see docs/teacher.md)"
    )
    columns: dict = setting("adapter table: our column name -> the file's column name", {})
    values: dict = setting(
        "adapter table: our column -> {the file's value: our value}, for sex, race and view", {}
    )
    keep: dict = setting(
        "keep only records whose column has one of these values, such as {view: [PA]}", {}
    )
    split: dict = setting(
        "own patient split, where the adapter brings none: shares of train and val, and the seed",
        {"train": 0.6, "val": 0.1, "seed": 42},
    )
    inconsistent_race: str = setting(
        "MIMIC: `strict` drops every patient with two race values, as the thesis; `informative` "
        "lets unknown and "
        "unable-to-obtain not count as a second value",
        "informative",
        choices=["strict", "informative"],
    )
    attributes: list | None = setting(
        "patient attributes that the dataset has; `evaluation.attributes` and `bias.attributes` "
        "are asked of it as far "
        "as it has them. null: all of them",
        None,
        choices=list(ATTRIBUTES),
    )
    resampling: str | None = setting(
        "`resampling.method` of this dataset, where it differs from the others': `none` without "
        "race. null: as there",
        None,
        choices=["draws", "weights", "none"],
    )
    limit: int | None = setting(
        "use this many patients at the most, drawn with the split's seed before `keep`",
        None,
        minimum=1,
    )


@dataclass(frozen=True)
class Images:
    """How raw images become the packed array."""

    size: int = setting("height and width in pixels", 224, minimum=32)
    aspect: str = setting(
        "`squash` to a square, as the thesis, or `pad` with black",
        "squash",
        choices=["squash", "pad"],
    )
    unreadable: float = setting(
        "share of unreadable images above which the study stops; below it they are listed and "
        "excluded",
        0.001,
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True)
class Labels:
    """How a raw label (1, 0, -1 or blank) becomes a target."""

    uncertain: str = setting(
        "what -1 means: `zeros`, `ones`, or `ignore` (left out of loss and metrics)",
        "zeros",
        choices=["zeros", "ones", "ignore"],
    )


@dataclass(frozen=True)
class Resampling:
    """The test set with equal race shares, disease prevalence and age distribution."""

    method: str = setting(
        "`draws`: three nested weighted draws with replacement, as the thesis, kept as counts; "
        "`weights`: exact "
        "weights with the same targets; `none`: the natural test set alone",
        "weights",
        choices=["draws", "weights", "none"],
    )
    factor: int = setting("draws: rows drawn per row of the test set", 3, minimum=1)
    seed: int = setting("draws: seed of torch's generator", 42)


@dataclass(frozen=True)
class Teacher:
    """What every dataset's embeddings have in common."""

    name: str = setting("name of the teacher, for tables and metadata", "CXR-FM")
    dimension: int = setting("length of one embedding", 1376, minimum=1)
    workers: int = setting("processes that feed a SavedModel", 4, minimum=1)
    shard: int = setting("images per resumable shard", 2000, minimum=1)
    failed: float = setting(
        "share of images without an embedding above which the study stops",
        0.001,
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True)
class Network:
    """What students and classifiers have in common."""

    weights: str = setting(
        "initial weights: `imagenet` (torchvision's), `none` (random), or a folder with "
        "<architecture>.safetensors "
        "or .pth files",
        "imagenet",
    )
    input: str = setting(
        "`normalised`: scaled to 0-1 and standardised; `raw`: 0-255, as the thesis",
        "normalised",
        choices=["normalised", "raw"],
    )
    precision: str = setting(
        "`auto`: bf16 autocast where the device has it, else fp32; `fp32`: everywhere, as the "
        "thesis",
        "auto",
        choices=["auto", "fp32"],
    )
    compile: bool = setting("compile the training step with torch.compile (GPU)", False)
    deterministic: bool = setting("choose deterministic algorithms, at some cost in speed", False)
    device: str = setting("`auto`, `cuda` or `cpu`", "auto", choices=["auto", "cuda", "cpu"])
    tensorboard: bool = setting(
        "write every training's history as TensorBoard events too, below `tensorboard` in the "
        "folder of logs; needs the "
        "extra of that name",
        False,
    )


@dataclass(frozen=True)
class Distillation:
    """Training students on the teacher's embeddings."""

    datasets: list = setting("datasets whose teacher is distilled", ["chexpert", "mimic"])
    losses: list = setting(
        "losses, from the vocabulary of docs/training.md", ["mse", "cosine", "mse-cosine-learned"]
    )
    seeds: list = setting("one student per loss and seed", [41, 42, 43, 44, 45])
    epochs: int = setting("passes over the training images", 40, minimum=1)
    batch_size: int = setting("images per step", 128, minimum=1)
    learning_rate: float = setting(
        "peak of the one-cycle schedule (the thesis: 10 x 0.001)", 0.01, minimum=0
    )
    flip: bool = setting(
        "mirror half of the images; the teacher saw them unmirrored, so the thesis's `true` asks "
        "the student "
        "to be blind to the heart's side",
        False,
    )
    affine: bool = setting("rotate and scale half of the images", True)
    standardise_teacher: str = setting(
        "`none`; `per-dimension` or `phi-s` standardise the targets on the training images",
        "none",
        choices=["none", "per-dimension", "phi-s"],
    )
    split: str = setting(
        "how the validation images are divided into the distillation's own validation and test "
        "parts, 70 : 30: "
        "`patient` (fixed, by patient) or `image-by-seed` (by image, anew for every seed, as the "
        "thesis)",
        "patient",
        choices=["patient", "image-by-seed"],
    )
    select_on: str = setting(
        "part on which the best seed is chosen: `val`, or `test` as the thesis did",
        "val",
        choices=["val", "test"],
    )
    loss_scales: dict = setting(
        "weighted losses: the plateau values that divide MSE and cosine; empty to measure them on "
        "the dataset's "
        "own mse and cosine students",
        {},
    )
    relational_weight: float = setting(
        "weight of the relational term (pairwise cosines within the batch) added to any loss; 0 "
        "for none",
        0.0,
        minimum=0,
    )
    per_loss: dict = setting(
        "settings of this section that differ for single losses, such as {cosine: {epochs: 60}}", {}
    )


@dataclass(frozen=True)
class Classification:
    """Training the 14-label classifiers."""

    datasets: list = setting("datasets on which classifiers are trained", ["chexpert", "mimic"])
    models: list = setting(f"models: {', '.join(MODELS)}", list(MODELS), choices=list(MODELS))
    seeds: list = setting("one classifier per model, loss and seed", [41, 42, 43, 44, 45])


@dataclass(frozen=True)
class Probe:
    """Linear probes: a new head on frozen features."""

    protocol: str = setting(
        "`converged`: standardised features, L2 grid, L-BFGS to convergence, best on validation; "
        "`thesis`: raw features, Adam at a "
        "constant rate, best epoch on validation",
        "converged",
        choices=["converged", "thesis"],
    )
    l2: list = setting("converged: penalties to choose from", [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0])
    bootstrap: bool = setting(
        "converged: `true` draws the training patients anew for every seed, so that the spread "
        "over seeds shows what "
        "the training sample contributes, at a cost in accuracy; `false` gives every seed the one "
        "optimum on all "
        "patients (see docs/probes.md)",
        False,
    )
    epochs: int = setting("thesis: passes over the training features", 20, minimum=1)
    batch_size: int = setting("thesis: rows per step", 128, minimum=1)
    learning_rate: float = setting("thesis: Adam's rate", 0.001, minimum=0)
    batch_norm: str = setting(
        "`frozen`; `drifting` reproduces the thesis's probes on images, whose batch-norm "
        "statistics moved while the "
        "head was trained (no features can be kept then, so every probe runs the network)",
        "frozen",
        choices=["frozen", "drifting"],
    )


@dataclass(frozen=True)
class Finetuning:
    """Full fine-tunes: every weight is trained."""

    epochs: int = setting("passes over the training images, at the most", 20, minimum=1)
    batch_size: int = setting("images per step", 128, minimum=1)
    learning_rate: float = setting("Adam's rate (the thesis: 0.001)", 1e-4, minimum=0)
    schedule: str = setting(
        "`constant` as the thesis, or `cosine` with warm-up",
        "cosine",
        choices=["constant", "cosine"],
    )
    patience: int | None = setting(
        "stop after this many epochs without a better validation loss; null to run all",
        3,
        minimum=1,
    )
    flip: bool = setting("mirror half of the images", True)
    affine: bool = setting("rotate and scale half of the images", True)
    bce: str = setting(
        "`logits`, or `probabilities` (binary cross-entropy after the sigmoid, as the thesis)",
        "logits",
        choices=["logits", "probabilities"],
    )


@dataclass(frozen=True)
class Transfer:
    """Using the models of one dataset on another."""

    pairs: list = setting("[source, target] pairs", [["chexpert", "mimic"]])
    strategies: list = setting(
        f"strategies: {', '.join(STRATEGIES)}", list(STRATEGIES), choices=list(STRATEGIES)
    )
    models: list = setting(
        "models to transfer",
        [
            "cxr-fm-lp",
            "cxr-model-lp",
            "cxr-model-fft",
            "cxr-fmkd-lp",
            "cxr-fmkd-fft",
            "cxr-fmkd-direct-lp",
            "cxr-fmkd-direct-fft",
        ],
        choices=list(MODELS),
    )
    losses: list = setting("losses of the distilled models to transfer", ["mse", "cosine"])
    start: str = setting(
        "`same-seed`: the target's seed s starts from the source's seed s; `selected-seed`: every "
        "seed starts from "
        "the source's best, as the thesis",
        "same-seed",
        choices=["same-seed", "selected-seed"],
    )
    projection: str = setting(
        "linear probe and full fine-tune of cxr-fmkd models: `keep` the projection, or `discard` "
        "it as the thesis",
        "keep",
        choices=["keep", "discard"],
    )
    probed_source: str = setting(
        "full fine-tune of a source that was a linear probe: `finetune` every weight, or "
        "`head-only` as the thesis",
        "finetune",
        choices=["finetune", "head-only"],
    )


@dataclass(frozen=True)
class Evaluation:
    """Metrics and their intervals."""

    replicates: int = setting("bootstrap replicates; 0 for none", 2000, minimum=0)
    unit: str = setting(
        "what a replicate draws: `patient`, or `row` within label strata as the thesis",
        "patient",
        choices=["patient", "row"],
    )
    confidence: float = setting("coverage of the intervals", 0.95, minimum=0.5, maximum=0.999)
    target_fpr: float = setting(
        "false-positive rate of the operating point", 0.2, minimum=0, maximum=1
    )
    attributes: list = setting(
        "patient attributes for subgroups; what a dataset lacks, `datasets.<name>.attributes` "
        "leaves out",
        ["sex", "race", "age", "view"],
        choices=list(ATTRIBUTES),
    )
    comparisons: list = setting(
        "what each model is compared with, every kind a family of tests: `teacher` (the probe on "
        "the teacher's "
        "embeddings), `baseline` (the same network without distillation), `loss` (the loss that "
        "does best on validation)",
        ["teacher", "baseline", "loss"],
        choices=["teacher", "baseline", "loss"],
    )
    adjustment: str = setting(
        "adjustment of p-values within a family: Benjamini-Yekutieli, as the thesis's bias tests, "
        "Benjamini-Hochberg, "
        "Holm or none",
        "fdr_by",
        choices=["fdr_by", "fdr_bh", "holm", "none"],
    )
    minimum_cell: int = setting("smaller groups are suppressed", 10, minimum=1)
    seed: int = setting("seed of the replicates", 42)


@dataclass(frozen=True)
class Bias:
    """What the embeddings reveal about sex, race and age."""

    attributes: list = setting(
        "attributes to test; what a dataset lacks, `datasets.<name>.attributes` leaves out",
        ["sex", "race", "age"],
        choices=["sex", "race", "age", "view"],
    )
    losses: list = setting("losses of the distilled models that are analysed; empty for all", [])
    seeds: str = setting(
        "`all` seeds of a fine-tuned model, or only the one `selected` on validation, as the "
        "thesis",
        "all",
        choices=["all", "selected"],
    )
    variant: str = setting(
        "`v2`: unique images, race samples matched by sex, disease and age (the thesis's final "
        "analysis); `v1`: every "
        "resampled row",
        "v2",
        choices=["v1", "v2"],
    )
    sample_per_group: int = setting("images per race in the main sample", 1000, minimum=2)
    shortage: str = setting(
        "where a race has fewer images: `reduce` all to the largest equal number, or stop with an "
        "`error`, as the thesis",
        "reduce",
        choices=["reduce", "error"],
    )
    fit: str = setting(
        "images on which PCA is fitted: `test`, as the thesis, or `validation`",
        "test",
        choices=["test", "validation"],
    )
    simulations: int = setting("repeated samples with seeds 1, 2, …; 0 for none", 5000, minimum=0)
    permutations: int = setting(
        "patient permutations for the null of the score; 0 for none", 1000, minimum=0
    )
    replicates: int = setting(
        "patient bootstrap replicates of the effect sizes; 0 for none", 1000, minimum=0
    )
    variance: float = setting("share of variance that PCA keeps", 0.99, minimum=0.1, maximum=1)
    modes: int = setting("PCA modes that are tested", 4, minimum=1)
    tsne_points: int = setting("images in the t-SNE picture; 0 for none", 3000, minimum=0)
    seed: int = setting("seed of samples, permutations and t-SNE", 42)


@dataclass(frozen=True)
class Configuration:
    """A whole study."""

    title: str = setting("title of the report")
    datasets: dict[str, Dataset] = setting("the datasets, by name")
    folders: dict = setting(
        "short names of folders; a path may begin with one in braces, such as `{mimic}/files`", {}
    )
    images: Images = setting("packed images", Images())
    labels: Labels = setting("label policy", Labels())
    resampling: Resampling = setting("resampled test set", Resampling())
    teacher: Teacher = setting("the teacher", Teacher())
    network: Network = setting("networks", Network())
    distillation: Distillation = setting("students", Distillation())
    classification: Classification = setting("classifiers", Classification())
    probe: Probe = setting("linear probes", Probe())
    finetuning: Finetuning = setting("full fine-tunes", Finetuning())
    transfer: Transfer = setting("transfer", Transfer())
    evaluation: Evaluation = setting("metrics", Evaluation())
    bias: Bias = setting("bias analysis", Bias())
    synthetic: dict = setting(
        "settings of the generator of synthetic raw files, by dataset; the demo alone has them", {}
    )
    pathvars: dict = setting(
        "folders of this study's results, logs, benchmarks and resources, so that studies do not "
        "mix",
        {},
    )


def on_dataset(section: str, values: dict, dataset: dict) -> dict:
    """The settings `values` of a section as they hold on one dataset, whose own settings are
    `dataset`.

    Only the attributes that the dataset has are asked for; its own resampling goes before the
    common one.
    """
    if section in ("evaluation", "bias") and dataset["attributes"] is not None:
        has = [name for name in values["attributes"] if name in dataset["attributes"]]
        return values | {"attributes": has}
    if section == "resampling" and dataset["resampling"] is not None:
        return values | {"method": dataset["resampling"]}
    return values


def sections() -> dict[str, type]:
    """Name and class of every section but `datasets`, in order."""
    return {
        entry.name: type(entry.default)
        for entry in fields(Configuration)
        if hasattr(entry.default, "__dataclass_fields__")
    }
