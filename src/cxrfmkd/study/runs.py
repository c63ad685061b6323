"""The runs that a configuration asks for, and the settings that matter to one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from cxrfmkd.study.attributes import resolve, with_defaults
from cxrfmkd.study.bounds import bounded
from cxrfmkd.study.declarations import declare
from cxrfmkd.study.paths import whole_path
from cxrfmkd.study.pools import with_pools
from cxrfmkd.study.settings import (
    Bias,
    Configuration,
    Distillation,
    Evaluation,
    Network,
    Settings,
    Teacher,
    TeacherSource,
    Transfer,
    sections,
)
from cxrfmkd.vocabulary.attributes import Attributes
from cxrfmkd.vocabulary.backbones import STUDENT, probe_of, split_student, student_name
from cxrfmkd.vocabulary.datasets import SITE
from cxrfmkd.vocabulary.losses import loss_share, split_control
from cxrfmkd.vocabulary.models import MODELS, join_model, run_folder, split_model
from cxrfmkd.vocabulary.teachers import TEACHER

# Settings without effect on results: how fast they come, and who watches.
WITHOUT_EFFECT = {"teacher": ("workers",), "network": ("device", "tensorboard")}
# Sections of which one job needs no more than a base class; the rest says which jobs there are.
OF_ONE_JOB: dict[str, type[Settings]] = {
    "distillation": Distillation,
    "network": Network,
    "transfer": Transfer,
    "evaluation": Evaluation,
    "bias": Bias,
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
        return run_folder(self.source, self.target, self.strategy, self.model, self.seed)

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


def attributes_of(dataset: dict, names: Sequence[str]) -> list[str]:
    """Those of the attributes `names` that the dataset with these settings has."""
    known = dataset["attributes"]
    if known is None and not dataset["pool"]:
        return [name for name in names if name != SITE]
    return [name for name in names if known is None or name in known]


def on_dataset(section: str, values: dict, dataset: dict) -> dict:
    """The settings `values` of a section as they hold on the dataset with the settings `dataset`.

    Only the attributes that the dataset has are asked for; its own resampling goes before the
    common one.
    """
    if section in ("evaluation", "bias"):
        return values | {"attributes": attributes_of(dataset, values["attributes"])}
    if section == "resampling" and dataset["resampling"] is not None:
        return values | {"method": dataset["resampling"]}
    return values


class Runs:
    """A configuration, each of its settings checked, and what it asks for."""

    def __init__(self, config: dict) -> None:
        config = bounded(config)
        self.plugins = declare(config)
        self.settings = with_defaults(Configuration.read(with_pools(config)))

    @cached_property
    def attributes(self) -> Attributes:
        """The presets and the declared attributes, by name."""
        return resolve(self.settings.attributes, self.settings.findings.names)

    @cached_property
    def datasets(self) -> list[str]:
        """Datasets that some stage names, members before their pool; others are ignored."""
        stages = self.settings.distillation.datasets + self.settings.classification.datasets
        named = [*stages, *(name for pair in self.pairs for name in pair)]
        with_members = (one for name in named for one in (*self.pool(name), name))
        return list(dict.fromkeys(with_members))

    def pool(self, dataset: str) -> list[str]:
        """Members of a pool; none of a dataset that is read from files."""
        return self.settings.datasets[dataset].pool

    @cached_property
    def pools(self) -> list[str]:
        """Datasets that are several others as one."""
        return [name for name in self.datasets if self.pool(name)]

    @cached_property
    def from_files(self) -> list[str]:
        """Datasets that are read from files of their own."""
        return [name for name in self.datasets if not self.pool(name)]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(source, target) of every transfer."""
        return [(source, target) for source, target in self.settings.transfer.pairs]

    @cached_property
    def students(self) -> list[tuple[str, str, int]]:
        """(dataset, student, seed) of every distillation."""
        section = self.settings.distillation
        return list(product(section.datasets, self.student_names, section.seeds))

    @property
    def further_teachers(self) -> list[str]:
        """Teachers beside each dataset's own that students reproduce, in order."""
        return self.settings.distillation.teachers

    @property
    def teachers(self) -> list[str]:
        """Every teacher that students reproduce; the first is each dataset's own."""
        return [TEACHER, *self.further_teachers]

    def attributes_on(self, dataset: str) -> Attributes:
        """Attributes that the records of a dataset have columns of: `site`, of a pool alone."""
        pooled = self.pool(dataset)
        return {name: one for name, one in self.attributes.items() if pooled or name != SITE}

    def source_of(self, dataset: str, teacher: str) -> TeacherSource:
        """Where a dataset's embeddings of a teacher come from, as it is configured."""
        settings = self.settings.datasets[dataset]
        return settings.teacher if teacher == TEACHER else settings.teachers[teacher]

    def teacher_settings(self, name: str) -> Teacher:
        """How a teacher is declared, whatever the dataset."""
        return self.settings.teacher if name == TEACHER else self.settings.teachers[name]

    def teacher_section(self, name: str) -> dict:
        """What one job needs to know of a teacher, whatever the dataset."""
        return self.teacher_settings(name).model_dump(exclude=set(WITHOUT_EFFECT[TEACHER]))

    @cached_property
    def student_names(self) -> list[str]:
        """Every student by its wildcard: a loss and, where it is not the default, a backbone."""
        return self._on_backbones(self.settings.distillation.losses)

    def _on_backbones(self, losses: list[str]) -> list[str]:
        backbones = self.settings.distillation.backbones
        return [student_name(loss, backbone) for backbone in backbones for loss in losses]

    @cached_property
    def models(self) -> list[str]:
        """Every classifier, the distilled ones once per loss and backbone."""
        return self._with_losses(
            self.settings.classification.models, self.settings.distillation.losses
        )

    @cached_property
    def transferred(self) -> list[str]:
        """Every classifier that is transferred."""
        return self._with_losses(self.settings.transfer.models, self.settings.transfer.losses)

    def _with_losses(self, models: list[str], losses: list[str]) -> list[str]:
        """The wildcards of `models`; undistilled networks and further teachers are among them."""
        return [join_model(model, x) for model in models for x in self._variants(model, losses)]

    def _variants(self, model: str, losses: list[str]) -> list[str]:
        """What stands in the place of a loss in each wildcard of `model`."""
        kind = MODELS[model]
        if kind.backbone == "teacher":
            return ["", *map(probe_of, self.further_teachers)]
        if kind.backbone != STUDENT:
            return [""]
        return self._on_backbones(losses if kind.student else [""])

    def strategies(self, model: str) -> list[str]:
        """Transfer strategies of `model`: a probe on the teacher has no network to train."""
        on_teacher = MODELS[split_model(model)[0]].backbone == "teacher"
        strategies = self.settings.transfer.strategies
        return [name for name in strategies if name == "direct" or not on_teacher]

    @cached_property
    def own_runs(self) -> list[Run]:
        """Classifiers trained on the dataset that they are tested on."""
        section = self.settings.classification
        combinations = product(section.datasets, self.models, section.seeds)
        return [Run(name, name, "own", model, seed) for name, model, seed in combinations]

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
    def students_of_teacher(self) -> list[str]:
        """Students that reproduce the teacher, by their wildcards: all but those of controls."""
        return [name for name in self.student_names if not split_control(name)[1]]

    def analysed(self, dataset: str) -> list[str]:
        """Models whose embeddings the bias analysis of a dataset looks at: none, no attribute."""
        bias = self.settings.bias
        if not self.section("bias", dataset)["attributes"]:
            return []
        losses = bias.losses_of.get(dataset, bias.losses) or self.settings.distillation.losses
        models = bias.models or self.settings.classification.models
        return [
            name
            for name in self.models
            if split_model(name)[0] in models
            and split_student(split_model(name)[1])[0] in ("", *losses)
        ]

    def erased(self, dataset: str) -> list[str]:
        """Analysed models of which the input of a probe's head gets attributes erased."""
        models = self.analysed(dataset) if self.erased_attributes(dataset) else []
        return [name for name in models if not self.owns_backbone(name)]

    def erased_attributes(self, dataset: str) -> list[str]:
        """Attributes that are erased, as far as the dataset has them."""
        return self.has(dataset, self.settings.bias.erase)

    def has(self, dataset: str, names: Sequence[str]) -> list[str]:
        """Those of the attributes `names` that the dataset is said to have."""
        return attributes_of(self._settings["datasets"][dataset], names)

    def seen_elsewhere(self, dataset: str, model: str) -> list[str]:
        """Datasets that the frozen network of `model` of `dataset` sees too, since it is moved."""
        frozen = [run for run in self.transfer_runs if run.strategy in ("direct", "linear-probe")]
        targets = [run.target for run in frozen if (run.source, run.model) == (dataset, model)]
        return list(dict.fromkeys(targets))

    @property
    def one_student(self) -> bool:
        """Whether all seeds of a distilled classifier start from one student, the selected one."""
        return self.settings.classification.student == "selected"

    @property
    def drifting(self) -> bool:
        """Whether batch-norm statistics move while the head of a probe on images is trained."""
        return self.settings.probe.batch_norm == "drifting"

    def drifts(self, model: str) -> bool:
        """Whether `model` is such a probe."""
        kind = MODELS[split_model(model)[0]]
        return self.drifting and kind.backbone != "teacher" and not kind.finetuned

    def owns_backbone(self, model: str) -> bool:
        """Whether each run of `model` has an image network of its own: trained, or drifting."""
        return MODELS[split_model(model)[0]].finetuned or self.drifts(model)

    @property
    def like_thesis(self) -> bool:
        """Whether the study has datasets and findings of the thesis: its numbers then compare."""
        its_own = bool({"chexpert", "mimic"} & set(self.evaluated))
        return its_own and self.settings.findings.is_thesis

    @cached_property
    def _settings(self) -> dict:
        return self.settings.model_dump()

    def section(self, name: str, dataset: str | None = None) -> dict:
        """What one job needs to know of a section, as it holds on `dataset`."""
        section: type[Settings] = OF_ONE_JOB.get(name) or sections()[name]
        fields = [
            field for field in section.model_fields if field not in WITHOUT_EFFECT.get(name, ())
        ]
        values = {field: self._settings[name][field] for field in fields}
        if name == "network":
            values["weights"] = whole_path(values["weights"], self.settings.folders)
        if dataset is None:
            return values
        return on_dataset(name, values, self._settings["datasets"][dataset])

    def balanced(self, dataset: str) -> bool:
        """Whether a dataset has a resampled test set beside the natural one."""
        return self.section("resampling", dataset)["method"] != "none"

    def described(self) -> dict:
        """Every setting that a reader may want to know: all but those without effect."""
        hidden: dict = {section: set(names) for section, names in WITHOUT_EFFECT.items()}
        hidden["teachers"] = {"__all__": hidden[TEACHER]}
        return self.settings.model_dump(exclude=hidden)

    def distillation(self, loss: str) -> dict:
        """Settings of a student's training, those of its loss applied. loss: its wildcard."""
        loss, _ = split_student(loss)
        differences = self._settings["distillation"]["per_loss"].get(loss, {})
        values = self.section("distillation") | differences
        return values if loss_share(loss) is not None else values | {"loss_scales": {}}

    def scales_needed(self, loss: str) -> bool:
        """Whether `loss` divides its parts by plateau values that must be measured first."""
        share = loss_share(split_student(loss)[0])
        return share is not None and not self.distillation(loss)["loss_scales"]
