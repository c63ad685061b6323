"""The study: what the configuration asks for, checked, and what each run needs.

The Snakefile asks this module which targets exist, what each needs and which settings matter to it.
Standard library and pydantic only, so that planning stays quick.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from cxrfmkd.study.checks import check
from cxrfmkd.study.outputs import Shape
from cxrfmkd.study.paths import whole_path
from cxrfmkd.study.runs import Runs
from cxrfmkd.study.settings import Dataset, TeacherSource
from cxrfmkd.vocabulary.attributes import drawn_by
from cxrfmkd.vocabulary.models import MODELS, network_of, split_model
from cxrfmkd.vocabulary.teachers import TEACHER, teacher_setting


class Study(Runs):
    """A configuration whose settings fit together, and the grid of runs that it asks for."""

    def __init__(self, config: dict) -> None:
        super().__init__(config)
        check(self)

    @cached_property
    def shape(self) -> Shape:
        """What the study's figures, tables and report depend on."""
        s = self.settings
        return Shape(
            datasets=self.datasets,
            students={dataset: self.student_names for dataset in s.distillation.datasets},
            seeds=s.distillation.seeds,
            trained=s.classification.datasets,
            evaluated=self.evaluated,
            pairs=self.pairs,
            analysed={name: self.analysed(name) for name in s.classification.datasets},
            runs=[run.folder for run in self.own_runs + self.transfer_runs],
            resampled=[name for name in self.datasets if self.balanced(name)],
            attributes={
                name: self.section("evaluation", name)["attributes"] for name in self.datasets
            },
            tsne=s.bias.tsne_points > 0,
            thesis=self.like_thesis,
            backbones=s.distillation.backbones if s.distillation.datasets else [],
            teachers=self.further_teachers,
            erased={name: self.erased(name) for name in s.classification.datasets},
            referenced=[name for name in self.evaluated if s.datasets[name].reference],
        )

    @property
    def compared(self) -> list[str]:
        """Datasets of whose classifiers both performance and bias are measured."""
        return self.shape.compared

    def asked_attributes(self, dataset: str) -> dict[str, list[str]]:
        """Patient attributes that the test images of a dataset must have -> the settings why.

        The bias analysis draws its samples by one of them (`drawn_by`).
        """
        stages = {"evaluation": dataset in self.evaluated, "bias": dataset in self.compared}
        asked: dict[str, list[str]] = {}
        for stage in (name for name, runs in stages.items() if runs):
            attributes = self.section(stage, dataset)["attributes"]
            if stage == "bias" and attributes:
                balanced = drawn_by(attributes, bool(self.has(dataset, ["sex"])))
                attributes = list(dict.fromkeys([*attributes, balanced]))
            for attribute in attributes:
                asked.setdefault(attribute, []).append(f"{stage}.attributes")
        if dataset in self.compared:
            for attribute in self.erased_attributes(dataset):
                asked.setdefault(attribute, []).append("bias.erase")
        return asked

    def backbone(self, source: str, model: str, seed: int) -> str | None:
        """Name of the frozen network that `model` of `source` is fed by; None for the teacher."""
        name, loss = split_model(model)
        if MODELS[name].backbone == "teacher":
            return None
        if self.owns_backbone(model):
            selected = self.settings.transfer.start == "selected-seed"
            return f"{source}.{model}.{'selected' if selected else f'seed{seed}'}"
        if MODELS[name].student:
            return self.student_backbone(source, loss, seed)
        return network_of(model)

    def student_backbone(self, dataset: str, loss: str, seed: int) -> str:
        """Name of the student that classifiers of `seed` start from, as a frozen network."""
        return f"{dataset}.student.{loss}" + ("" if self.one_student else f".seed{seed}")

    def weights_of(self, backbone: str) -> str | None:
        """File below the results that holds the weights of a backbone; None for initial weights."""
        if "." not in backbone:
            return None
        source, _, rest = backbone.partition(".")
        if rest.startswith("student."):
            folder, rest = "students", rest.removeprefix("student.")
            rest = f"{rest}.selected" if self.one_student else rest
        else:
            folder = "models"
        name, _, last = rest.rpartition(".")
        file = "selected.json" if last == "selected" else f"{last}/weights.safetensors"
        return f"{source}/{folder}/{name}/{file}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables for every job: settings without effect on results, which so rerun nothing."""
        variables: dict[str, str] = {"CXRFMKD_DEVICE": self.settings.network.device}
        if self.settings.network.tensorboard:
            logs = self.settings.pathvars.get("logs", "logs")
            variables["CXRFMKD_TENSORBOARD"] = f"{logs}/tensorboard"
        return variables

    def path(self, text: str) -> str:
        """A configured path, whole (see `paths.whole_path`)."""
        return whole_path(text, self.settings.folders)

    def dataset(self, name: str) -> dict:
        """What reads a dataset's raw files, with whole paths."""
        values = self._settings["datasets"][name]
        tables = {key: self.path(path) for key, path in values["tables"].items()}
        values = {key: values[key] for key in Dataset.model_fields}
        return values | {"tables": tables, "images": self.path(values["images"])}

    def reference(self, name: str) -> dict | None:
        """Where a dataset's labels of experts are, with whole paths; None where it has none."""
        reference = self.settings.datasets[name].reference
        if reference is None:
            return None
        values = reference.model_dump()
        return values | {"table": [self.path(path) for path in reference.table]}

    def reference_tables(self, name: str) -> list[str]:
        """Whole paths of a dataset's tables of expert labels; none where it has no reference."""
        reference = self.reference(name)
        return reference["table"] if reference else []

    def teacher_source(self, name: str, teacher: str = TEACHER) -> TeacherSource:
        """Where a dataset's embeddings of a teacher come from, with whole paths."""
        source = self.source_of(name, teacher)
        paths = [self.path(path) for path in source.path]
        return source.model_copy(update={"path": paths, "qformer": self.path(source.qformer)})

    def same_people(self, source: str, target: str) -> bool:
        """Whether equal patient ids of two datasets mean one person: they share raw tables.

        Those of a pool name the people that a patient is one of, so they can always be compared.
        """
        if self.pool(source) or self.pool(target):
            return True
        one, other = self.dataset(source), self.dataset(target)
        common = set(one["tables"].values()) & set(other["tables"].values())
        return one["adapter"] == other["adapter"] and bool(common)

    def people(self, name: str) -> str:
        """The first dataset of the study that has the same people, its own name if none before.

        The patients of a pool's members are told apart by it.
        """
        same, pending = {name}, [name]
        while pending:
            one = pending.pop()
            more = [m for m in self.from_files if m not in same and self.same_people(one, m)]
            same.update(more)
            pending += more
        return next(one for one in self.from_files if one in same)

    def missing_inputs(self) -> list[str]:
        """Raw files that the datasets need and the disk lacks, with the setting to change."""
        paths = [
            (f"datasets.{name}.{setting}", path)
            for name in self.from_files
            if name not in self.settings.synthetic
            for setting, path in self._inputs(name)
        ]
        return [
            f"{setting} is {path}, which does not exist"
            for setting, path in paths
            if not Path(path).exists()
        ]

    def _inputs(self, name: str) -> list[tuple[str, str]]:
        """(setting, path) of every file and folder that a dataset is read from."""
        dataset = self.dataset(name)
        sources = {teacher_setting(t): self.teacher_source(name, t) for t in self.teachers}
        return [
            *((f"tables.{key}", path) for key, path in dataset["tables"].items()),
            ("images", dataset["images"]),
            *(("reference.table", path) for path in self.reference_tables(name)),
            *(
                (f"{setting}.path", path)
                for setting, source in sources.items()
                for path in source.path
                if not _made_elsewhere(source)
            ),
        ]


def _made_elsewhere(teacher: TeacherSource) -> bool:
    """Whether a teacher's path need not be on the disk yet: the stand-in, or a name on a hub."""
    return teacher.variant == "demo" or (teacher.source == "transformers" and teacher.on_hub)
