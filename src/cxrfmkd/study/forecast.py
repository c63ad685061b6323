"""What a study will cost before anything runs: jobs, runs, and how often a network sees an image.

Upper bounds where the study itself decides: every epoch of a fine-tune, all validation images in
every epoch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from cxrfmkd.study.grid import Study
from cxrfmkd.study.targets import extracted_here
from cxrfmkd.vocabulary.backbones import split_student, student_name
from cxrfmkd.vocabulary.models import MODELS, join_model, network_of, split_model
from cxrfmkd.vocabulary.teachers import TEACHER

# An image that is only seen costs a third of one that is trained on: the backward pass takes about
# twice the forward one.
SEEN = 1 / 3


class ImageCounts(NamedTuple):
    """Images of a dataset by split."""

    train: int
    val: int
    test: int


# What the published tables yield, by adapter. Source: thesis method, section 3.2; sampling
# reference, section 1.
PUBLISHED = {
    "chexpert": ImageCounts(76_205, 12_673, 38_240),
    "mimic-cxr": ImageCounts(110_280, 17_665, 55_262),
}


@dataclass(frozen=True)
class Work:
    """All jobs of a rule on a dataset through one network.

    network: an image network, a teacher (see `teacher_network`), or empty where heads are trained
    on kept features. runs: trained or transferred things, of which a job may make several. trained,
    seen: images that go forward and backward, and forward alone, through the network, counted as
    often as they do.
    """

    rule: str
    dataset: str
    network: str
    jobs: int
    runs: int
    trained: int = 0
    seen: int = 0

    def hours(self, rates: Mapping[str, float]) -> float | None:
        """Hours on one device; None if the network's rate is unknown.

        rates: images trained on in a second by network; for a teacher, images seen.
        """
        if not self.network or not self.trained + self.seen:
            return 0.0
        if self.network not in rates:
            return None
        share = 1.0 if is_teacher(self.network) else SEEN
        return (self.trained + share * self.seen) / rates[self.network] / 3600


def published(study: Study, name: str, images: Mapping[str, ImageCounts]) -> ImageCounts | None:
    """Images of a dataset that is all of its adapter's published tables; None for any other.

    Of a pool the sum of its members', as far as `images` has those of all.
    """
    if members := study.pool(name):
        known = [images[member] for member in members if member in images]
        whole = len(known) == len(members)
        return ImageCounts(*map(sum, zip(*known, strict=True))) if whole else None
    dataset = study.settings.datasets[name]
    if dataset.limit is not None or dataset.keep or name in study.settings.synthetic:
        return None
    return PUBLISHED.get(dataset.adapter)


def works(study: Study, images: Mapping[str, ImageCounts]) -> list[Work]:
    """All work through networks and on features, in the order in which it is done.

    images: of every dataset.
    """
    return [
        *_embeddings(study, images),
        *_students(study, images),
        *_features(study, images),
        *_classifiers(study, images),
        *_transfers(study, images),
    ]


def _embeddings(study: Study, images: Mapping[str, ImageCounts]) -> Iterator[Work]:
    for name, teacher in product(study.from_files, study.teachers):
        if extracted_here(study.source_of(name, teacher).source):
            rule = "embed" if teacher == TEACHER else "embed_teacher"
            network = teacher_network(teacher)
            yield Work(rule, name, network, jobs=1, runs=0, seen=sum(images[name]))


def teacher_network(name: str) -> str:
    """What a teacher is called among networks: `teacher`, the others `teacher <name>`."""
    return TEACHER if name == TEACHER else f"{TEACHER} {name}"


def is_teacher(network: str) -> bool:
    """Whether a network is a teacher, which embeds images and is not trained."""
    return network.partition(" ")[0] == TEACHER


def student_work(study: Study, images: ImageCounts, dataset: str, student: str) -> Work:
    """All seeds of one student, by its wildcard, for the epochs of its own loss."""
    epochs, runs = study.distillation(student)["epochs"], len(study.settings.distillation.seeds)
    trained, seen = runs * epochs * images.train, runs * (epochs + 1) * images.val
    return Work("distill", dataset, split_student(student)[1], runs, runs, trained, seen)


def _students(study: Study, images: Mapping[str, ImageCounts]) -> Iterator[Work]:
    section = study.settings.distillation
    for name, backbone in product(section.datasets, section.backbones):
        students = [student_name(loss, backbone) for loss in section.losses]
        parts = [student_work(study, images[name], name, student) for student in students]
        yield Work(
            "distill",
            name,
            backbone,
            jobs=sum(part.jobs for part in parts),
            runs=sum(part.runs for part in parts),
            trained=sum(part.trained for part in parts),
            seen=sum(part.seen for part in parts),
        )


def _features(study: Study, images: Mapping[str, ImageCounts]) -> Iterator[Work]:
    """Frozen networks that a dataset passes through: for students' assessment, probes, transfer."""
    backbones: set[tuple[str, str | None]] = set()
    for name in study.settings.distillation.datasets:
        backbones |= {(name, network) for network in study.settings.distillation.backbones}
        backbones |= {
            (name, study.student_backbone(name, student, seed))
            for student in study.student_names
            for seed in study.settings.distillation.seeds
        }
    strategies = ("direct",) if study.drifting else ("direct", "linear-probe")
    backbones |= {
        (run.target, study.backbone(run.source, run.model, run.seed))
        for run in study.own_runs + study.transfer_runs
        if run.strategy in strategies
        or (run.strategy == "own" and not study.owns_backbone(run.model))
    }
    members = {
        (member, backbone) for name, backbone in backbones for member in study.pool(name) or [name]
    }
    jobs = Counter((name, _network(backbone)) for name, backbone in members if backbone)
    for (name, network), n in sorted(jobs.items()):
        yield Work("extract_features", name, network, n, 0, seen=n * sum(images[name]))


def _network(backbone: str) -> str:
    """The image network of a backbone's name."""
    if "." not in backbone:
        return backbone
    _, model, rest = backbone.split(".", 2)
    loss = re.sub(r"\.?(seed\d+|selected)$", "", rest)
    return network_of(join_model("cxr-fmkd-lp" if model == "student" else model, loss))


def _classifiers(study: Study, images: Mapping[str, ImageCounts]) -> Iterator[Work]:
    finetuned = [name for name in study.models if MODELS[split_model(name)[0]].finetuned]
    drifting = [name for name in study.models if study.drifts(name)]
    probed = [name for name in study.models if not study.owns_backbone(name)]
    for name in study.settings.classification.datasets:
        yield from _on_features(study, "probe", name, probed)
        yield from _through_networks(study, images[name], "drifting_probe", name, drifting)
        yield from _through_networks(study, images[name], "finetune", name, finetuned)


def _transfers(study: Study, images: Mapping[str, ImageCounts]) -> Iterator[Work]:
    by_strategy: dict[str, list[str]] = {"direct": [], "linear-probe": [], "full-finetune": []}
    for model in study.transferred:
        for strategy in study.strategies(model):
            by_strategy[strategy].append(model)
    direct, probed, finetuned = by_strategy.values()
    head_only = [
        name
        for name in finetuned
        if study.settings.transfer.probed_source == "head-only"
        and not MODELS[split_model(name)[0]].finetuned
    ]
    whole = [name for name in finetuned if name not in head_only]
    for source, target in study.pairs:
        pair, n = f"{source}-to-{target}", images[target]
        yield from _on_features(study, "transfer_direct", pair, direct)
        if study.drifting:
            yield from _through_networks(study, n, "transfer_drifting", pair, probed)
        else:
            yield from _on_features(study, "transfer_probe", pair, probed)
        yield from _through_networks(study, n, "transfer_finetune", pair, whole)
        yield from _through_networks(study, n, "transfer_finetune", pair, head_only, frozen=True)


def _on_features(study: Study, rule: str, dataset: str, models: Sequence[str]) -> Iterator[Work]:
    """Heads of `models` on kept features: a job trains those of all seeds."""
    if models:
        runs = len(models) * len(study.settings.classification.seeds)
        yield Work(rule, dataset, "", len(models), runs)


def _through_networks(
    study: Study,
    images: ImageCounts,
    rule: str,
    dataset: str,
    models: Sequence[str],
    frozen: bool = False,
) -> Iterator[Work]:
    """Runs of `models` through their networks; frozen: only a head is trained, images are seen."""
    drifting = "drifting" in rule
    epochs = (study.settings.probe if drifting else study.settings.finetuning).epochs
    networks = Counter(map(network_of, models))
    for network, n in networks.items():
        runs = n * len(study.settings.classification.seeds)
        trained = runs * epochs * images.train
        seen = runs * (epochs * images.val + images.val + images.test)
        if drifting or frozen:
            trained, seen = 0, seen + trained
        yield Work(rule, dataset, network, runs, runs, trained, seen)
