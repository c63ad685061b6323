"""The study as a grid of runs: what the configuration asks for, checked, without running anything.

The Snakefile asks this module which targets exist, what each needs and which settings matter to it.
Standard library only (and jsonschema), so that planning stays quick.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import get_type_hints

from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.study import schema
from cxrfmkd.study.outputs import Shape
from cxrfmkd.study.settings import BALANCED, Configuration, Dataset, Distillation, on_dataset
from cxrfmkd.study.teachers import Settings as TeacherSettings
from cxrfmkd.vocabulary import models as zoo
from cxrfmkd.vocabulary.models import MODELS, join_model, split_model

# What no rule's result depends on: how fast it comes and who watches, and which runs exist.
MANNER = {"teacher": ("workers",), "network": ("device", "tensorboard")}
GRID = MANNER | {
    "distillation": ("datasets", "losses", "seeds", "select_on", "loss_scales", "per_loss"),
    "bias": ("losses",),
}


@dataclass(frozen=True)
class Run:
    """One trained or transferred classifier. `model` carries its loss: `cxr-fmkd-lp.mse`."""

    source: str
    target: str
    strategy: str
    model: str
    seed: int

    @property
    def folder(self) -> str:
        """Its folder below the results."""
        if self.strategy == "own":
            return f"{self.target}/models/{self.model}/seed{self.seed}"
        return f"{self.source}-to-{self.target}/{self.strategy}/{self.model}/seed{self.seed}"

    def describe(self) -> dict:
        """The run as columns of the evaluation's tables."""
        model, loss = split_model(self.model)
        return {
            "source": self.source,
            "strategy": self.strategy,
            "model": model,
            "loss": loss,
            "seed": self.seed,
        }


def listed(value: str | list[str]) -> list[str]:
    """One text or several as a list."""
    return [value] if isinstance(value, str) else list(value)


def _typed(section: type, values: dict):
    """Settings of one class from plain values; sections inside become their own classes."""
    hints = get_type_hints(section)
    made = {}
    for entry in fields(section):
        if entry.name not in values:
            continue
        value = values[entry.name]
        if is_dataclass(hints[entry.name]):
            value = _typed(hints[entry.name], value)
        elif entry.name == "datasets" and section is Configuration:
            value = {name: _typed(Dataset, dataset) for name, dataset in value.items()}
        made[entry.name] = value
    return section(**made)


class Study:
    """A checked configuration and the grid of runs that it asks for."""

    def __init__(self, config: dict) -> None:
        schema.check(config)
        self.settings: Configuration = _typed(Configuration, config)
        self._check()

    # --- what exists
    # -----------------------------------------------------------------------------------

    @cached_property
    def datasets(self) -> list[str]:
        """Datasets that some stage names; the others in the configuration are ignored."""
        stages = self.settings.distillation.datasets + self.settings.classification.datasets
        named = [*stages, *(name for pair in self.pairs for name in pair)]
        return list(dict.fromkeys(named))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(source, target) of every transfer."""
        return [tuple(pair) for pair in self.settings.transfer.pairs]

    @cached_property
    def students(self) -> list[tuple[str, str, int]]:
        """(dataset, loss, seed) of every distillation."""
        chosen = self.settings.distillation
        return [
            (dataset, loss, seed)
            for dataset in chosen.datasets
            for loss in chosen.losses
            for seed in chosen.seeds
        ]

    @cached_property
    def models(self) -> list[str]:
        """Every classifier, the distilled ones once per loss."""
        return self._with_losses(
            self.settings.classification.models, self.settings.distillation.losses
        )

    @cached_property
    def transferred(self) -> list[str]:
        """Every classifier that is transferred."""
        return self._with_losses(self.settings.transfer.models, self.settings.transfer.losses)

    @staticmethod
    def _with_losses(models: list[str], losses: list[str]) -> list[str]:
        return [
            join_model(model, loss)
            for model in models
            for loss in (losses if MODELS[model].student else [""])
        ]

    def strategies(self, model: str) -> list[str]:
        """Transfer strategies that mean something for `model`: a probe on the teacher has no network to train."""
        kept = self.settings.transfer.strategies
        return [
            s for s in kept if s == "direct" or MODELS[split_model(model)[0]].backbone != "teacher"
        ]

    @cached_property
    def own_runs(self) -> list[Run]:
        """Classifiers trained on the dataset that they are tested on."""
        chosen = self.settings.classification
        return [
            Run(dataset, dataset, "own", model, seed)
            for dataset in chosen.datasets
            for model in self.models
            for seed in chosen.seeds
        ]

    @cached_property
    def transfer_runs(self) -> list[Run]:
        """Classifiers of a source on a target, by every strategy."""
        return [
            Run(source, target, strategy, model, seed)
            for source, target in self.pairs
            for model in self.transferred
            for strategy in self.strategies(model)
            for seed in self.settings.classification.seeds
        ]

    def runs_on(self, dataset: str) -> list[Run]:
        """Every classifier that is evaluated on `dataset`."""
        return [run for run in self.own_runs + self.transfer_runs if run.target == dataset]

    @cached_property
    def evaluated(self) -> list[str]:
        """Datasets on which some classifier is tested."""
        return [dataset for dataset in self.datasets if self.runs_on(dataset)]

    @cached_property
    def analysed(self) -> list[str]:
        """Models whose embeddings the bias analysis looks at."""
        losses = self.settings.bias.losses or self.settings.distillation.losses
        return [m for m in self.models if split_model(m)[1] in ("", *losses)]

    @property
    def drifting(self) -> bool:
        """Whether batch-norm statistics move while the head of a probe on images is trained."""
        return self.settings.probe.batch_norm == "drifting"

    def drifts(self, model: str) -> bool:
        """Whether `model` is such a probe."""
        kind = MODELS[split_model(model)[0]]
        return self.drifting and kind.backbone != "teacher" and not kind.finetuned

    def owns_backbone(self, model: str) -> bool:
        """Whether each run of `model` has an image network of its own, trained or with drifting statistics."""
        return MODELS[split_model(model)[0]].finetuned or self.drifts(model)

    @property
    def like_thesis(self) -> bool:
        """Whether the study has datasets of the thesis, so that its numbers can stand beside ours."""
        return bool({"chexpert", "mimic"} & set(self.evaluated))

    @cached_property
    def shape(self) -> Shape:
        """What the study's figures, tables and report depend on."""
        s = self.settings
        return Shape(
            datasets=self.datasets,
            students={dataset: s.distillation.losses for dataset in s.distillation.datasets},
            seeds=s.distillation.seeds,
            trained=s.classification.datasets,
            evaluated=self.evaluated,
            pairs=self.pairs,
            analysed=self.analysed,
            runs=[run.folder for run in self.own_runs + self.transfer_runs],
            resampled=[name for name in self.datasets if self.balanced(name)],
            attributes={
                name: self.section("evaluation", name)["attributes"] for name in self.datasets
            },
            tsne=s.bias.tsne_points > 0,
            thesis=self.like_thesis,
        )

    # --- what each needs
    # -------------------------------------------------------------------------------

    def backbone(self, source: str, model: str, seed: int) -> str | None:
        """Name of the frozen network that `model` of `source` looks through; None for the teacher itself."""
        name, loss = split_model(model)
        if MODELS[name].backbone == "teacher":
            return None
        if self.owns_backbone(model):
            chosen = self.settings.transfer.start == "selected-seed"
            return f"{source}.{model}." + ("selected" if chosen else f"seed{seed}")
        return f"{source}.student.{loss}" if MODELS[name].student else MODELS[name].backbone

    def weights_of(self, backbone: str) -> str | None:
        """File below the results that holds the weights of a backbone; None for initial weights."""
        if backbone in zoo.WIDTHS:
            return None
        source, _, rest = backbone.partition(".")
        if rest.startswith("student."):
            return f"{source}/students/{rest.removeprefix('student.')}/selected.json"
        model, _, last = rest.rpartition(".")
        name = "selected.json" if last == "selected" else f"{last}/weights.safetensors"
        return f"{source}/models/{model}/{name}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that tell every job what changes no result, beside its settings, so that it reruns nothing."""
        network = self.settings.network
        logs = self.settings.pathvars.get("logs", "logs")
        watched = {"CXRFMKD_TENSORBOARD": f"{logs}/tensorboard"} if network.tensorboard else {}
        return {"CXRFMKD_DEVICE": network.device} | watched

    def scales_needed(self, loss: str) -> bool:
        """Whether `loss` divides its parts by plateau values that must be measured first."""
        return zoo.loss_share(loss) is not None and not self.settings.distillation.loss_scales

    # --- settings that matter to a rule
    # ----------------------------------------------------------------

    @cached_property
    def _sections(self) -> dict[str, dict]:
        return {
            name: {k: v for k, v in asdict(section).items() if k not in GRID.get(name, ())}
            for name, section in vars(self.settings).items()
            if is_dataclass(section)
        }

    def section(self, name: str, dataset: str | None = None) -> dict:
        """A section's settings, less those that no single result depends on; as they hold on `dataset`."""
        values = self._sections[name]
        if dataset is None:
            return values
        return on_dataset(name, values, asdict(self.settings.datasets[dataset]))

    def balanced(self, dataset: str) -> bool:
        """Whether a dataset has a resampled test set beside the natural one."""
        return self.section("resampling", dataset)["method"] != "none"

    def described(self) -> dict:
        """Every setting that a reader may want to know: all but those of `MANNER`."""
        values = asdict(self.settings)
        for section, names in MANNER.items():
            values[section] = {k: v for k, v in values[section].items() if k not in names}
        return values

    def distillation(self, loss: str) -> dict:
        """Settings of the distillation with `loss`, its own differences applied."""
        chosen = self.settings.distillation
        values = self.section("distillation") | chosen.per_loss.get(loss, {})
        weighted = zoo.loss_share(loss) is not None
        return values | {"loss_scales": chosen.loss_scales if weighted else {}}

    def path(self, text: str) -> str:
        """A configured path with its folder's short name replaced."""
        try:
            return text.format(**self.settings.folders)
        except KeyError as missing:
            raise InputError(
                f"config: the path {text} begins with the folder {missing}, which `folders` does "
                "not name."
            ) from None

    def dataset(self, name: str) -> dict:
        """Settings of a dataset with its paths made whole."""
        values = asdict(self.settings.datasets[name])
        values["tables"] = {key: self.path(path) for key, path in values["tables"].items()}
        values["images"] = self.path(values["images"])
        for key in {"path", "qformer"} & set(values["teacher"]):
            place = values["teacher"][key]
            whole = [self.path(part) for part in listed(place)]
            values["teacher"][key] = whole[0] if isinstance(place, str) else whole
        return values

    def same_people(self, source: str, target: str) -> bool:
        """Whether two datasets are read from the same tables, so that equal patient ids mean the same person."""
        one, other = self.dataset(source), self.dataset(target)
        common = set(one["tables"].values()) & set(other["tables"].values())
        return one["adapter"] == other["adapter"] and bool(common)

    # --- checks
    # ----------------------------------------------------------------------------------------

    def missing_inputs(self) -> list[str]:
        """What the configured datasets need and the disk does not have, with the setting to change."""
        problems = []
        for name in self.datasets:
            if name in self.settings.synthetic:
                continue
            values = self.dataset(name)
            wanted = {f"datasets.{name}.tables.{k}": p for k, p in values["tables"].items()}
            wanted[f"datasets.{name}.images"] = values["images"]
            places = values["teacher"].get("path")
            if values["teacher"].get("variant") != "demo" and places is not None:
                for place in listed(places):
                    wanted[f"datasets.{name}.teacher.path"] = place
            problems += [
                f"{setting} is {path}, which does not exist"
                for setting, path in wanted.items()
                if not Path(path).exists()
            ]
        return problems

    def _check(self) -> None:
        """Settings that the schema cannot compare with one another."""
        s = self.settings
        for place, names in [
            ("distillation.datasets", s.distillation.datasets),
            ("classification.datasets", s.classification.datasets),
            ("transfer.pairs", [name for pair in s.transfer.pairs for name in pair]),
        ]:
            for name in names:
                if name not in s.datasets:
                    raise InputError(
                        f"config, {place}: there is no dataset `{name}`. "
                        f"`datasets` has {', '.join(s.datasets)}."
                    )
        for name in self.datasets:
            try:
                TeacherSettings.read(s.datasets[name].teacher)
            except InputError as error:
                raise InputError(f"config, datasets.{name}.{error}") from None
            has = s.datasets[name].attributes
            absent = set() if has is None else set(BALANCED) - set(has)
            if absent and self.balanced(name):
                raise InputError(
                    f"config, datasets.{name}.attributes: the resampled test set needs "
                    f"{' and '.join(sorted(absent))}, "
                    f"which the dataset does not have. Set datasets.{name}.resampling: none."
                )
        for pair in s.transfer.pairs:
            if len(pair) != 2 or pair[0] == pair[1]:
                raise InputError(f"config, transfer.pairs: {pair} is no [source, target] pair.")
            variants = [s.datasets[name].teacher["variant"] for name in pair]
            if variants[0] != variants[1]:
                raise InputError(
                    f"config, transfer.pairs: {pair[0]} has embeddings of {variants[0]}, {pair[1]} "
                    f"of {variants[1]}. "
                    "What is learnt on one variant means nothing on another: use one for both."
                )
            if s.transfer.strategies and pair[0] not in s.classification.datasets:
                raise InputError(
                    f"config, transfer.pairs: nothing is trained on the source `{pair[0]}`. "
                    "Add it to classification.datasets."
                )
        for place, seeds in [
            ("distillation.seeds", s.distillation.seeds),
            ("classification.seeds", s.classification.seeds),
        ]:
            if not seeds or len(set(seeds)) < len(seeds):
                raise InputError(f"config, {place}: {seeds} must be one or more different seeds.")
        for place, losses in [
            ("distillation.losses", s.distillation.losses),
            ("distillation.per_loss", list(s.distillation.per_loss)),
            ("transfer.losses", s.transfer.losses),
            ("bias.losses", s.bias.losses),
        ]:
            for loss in losses:
                if not zoo.known_loss(loss):
                    raise InputError(
                        f"config, {place}: there is no loss `{loss}`. Known are "
                        f"{', '.join(zoo.LOSS_TITLES)} "
                        "and mse-cosine-A with a share of MSE such as 0.6."
                    )
        allowed = {entry.name for entry in fields(Distillation)} - set(GRID["distillation"])
        for loss, own in s.distillation.per_loss.items():
            if wrong := set(own) - allowed:
                raise InputError(
                    f"config, distillation.per_loss.{loss}: {', '.join(sorted(wrong))} cannot "
                    "differ by loss."
                )
        self._check_students()

    def _check_students(self) -> None:
        """Every model, transfer and weighted loss has the students that it starts from."""
        s = self.settings
        if any(MODELS[name].student for name in s.classification.models):
            for dataset in set(s.classification.datasets) - set(s.distillation.datasets):
                raise InputError(
                    f"config, classification.models: distilled models on `{dataset}` need its "
                    "students. "
                    "Add it to distillation.datasets, or leave those models out."
                )
        for loss in s.distillation.losses:
            absent = {"mse", "cosine"} - set(s.distillation.losses)
            if self.scales_needed(loss) and absent:
                raise InputError(
                    f"config, distillation.losses: {loss} is scaled by the plateaus of mse and "
                    "cosine, but "
                    f"{' and '.join(sorted(absent))} is not among the losses. Add it, or set "
                    "distillation.loss_scales."
                )
        if unknown := [m for m in self.transferred if m not in self.models and s.transfer.pairs]:
            raise InputError(
                f"config, transfer: {some(unknown, 3)} is transferred but never trained. Add its "
                "model to "
                "classification.models and its loss to distillation.losses, or do not transfer it."
            )
