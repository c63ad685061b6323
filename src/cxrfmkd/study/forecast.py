"""What a study will cost before anything runs: jobs, runs, and how often a network sees an image.
Standard library only.

Upper bounds where the study itself decides: every epoch of a fine-tune, all validation images in
every epoch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cxrfmkd.study.grid import Study
from cxrfmkd.vocabulary.models import MODELS, split_model

# An image that is only seen costs a third of one that is trained on: the backward pass takes about
# twice the forward one.
SEEN = 1 / 3

STUDENT = MODELS["cxr-fmkd-lp"].backbone


class Images(NamedTuple):
    """Images of a dataset by split."""

    train: int
    val: int
    test: int


# What the published tables yield, by adapter. Source: thesis method, section 3.2; sampling
# reference, section 1.
PUBLISHED = {
    "chexpert": Images(76_205, 12_673, 38_240),
    "mimic-cxr": Images(110_280, 17_665, 55_262),
}


@dataclass(frozen=True)
class Work:
    """All jobs of a rule on a dataset through one network.

    network: an image network, `teacher`, or empty where heads are trained on kept features. runs:
    trained or transferred things, of which a job may make several. trained, seen: images that go
    forward and backward, and forward alone, through the network, counted as often as they do.
    """

    rule: str
    dataset: str
    network: str
    jobs: int
    runs: int
    trained: int = 0
    seen: int = 0

    def hours(self, rates: Mapping[str, float]) -> float | None:
        """Hours on one device. rates: images trained on in a second by network (for `teacher`, seen); None if unknown."""
        if not self.network or not self.trained + self.seen:
            return 0.0
        if self.network not in rates:
            return None
        share = 1.0 if self.network == "teacher" else SEEN
        return (self.trained + share * self.seen) / rates[self.network] / 3600


def published(study: Study, name: str) -> Images | None:
    """Images of a dataset where its adapter's tables are public and nothing is left out of them; else None."""
    dataset = study.settings.datasets[name]
    whole = dataset.limit is None and not dataset.keep and name not in study.settings.synthetic
    return PUBLISHED.get(dataset.adapter) if whole else None


def works(study: Study, images: Mapping[str, Images]) -> list[Work]:
    """All work through networks and on features, in the order in which it is done. images: of every dataset."""
    return [
        *_embeddings(study, images),
        *_students(study, images),
        *_features(study, images),
        *_classifiers(study, images),
        *_transfers(study, images),
    ]


def _embeddings(study: Study, images: Mapping[str, Images]) -> Iterator[Work]:
    for name in study.datasets:
        if study.settings.datasets[name].teacher.source == "savedmodel":
            yield Work("embed", name, "teacher", jobs=1, runs=0, seen=sum(images[name]))


def _students(study: Study, images: Mapping[str, Images]) -> Iterator[Work]:
    settings = study.settings.distillation
    for name in settings.datasets:
        epochs = sum(study.distillation(loss)["epochs"] for loss in settings.losses)
        runs = len(settings.losses) * len(settings.seeds)
        seen = (epochs * len(settings.seeds) + runs) * images[name].val
        trained = epochs * len(settings.seeds) * images[name].train
        yield Work("distill", name, STUDENT, runs, runs, trained, seen)


def _features(study: Study, images: Mapping[str, Images]) -> Iterator[Work]:
    """Frozen networks through which a dataset is seen: for probes, for direct transfer, and to assess the students."""
    wanted: set[tuple[str, str | None]] = set()
    for name in study.settings.distillation.datasets:
        wanted |= {(name, f"{name}.student.{s}") for s in study.settings.distillation.losses}
        wanted.add((name, STUDENT))
    for run in study.own_runs:
        if not study.owns_backbone(run.model):
            wanted.add((run.target, study.backbone(run.target, run.model, run.seed)))
    for run in study.transfer_runs:
        if run.strategy == "direct" or (run.strategy == "linear-probe" and not study.drifting):
            wanted.add((run.target, study.backbone(run.source, run.model, run.seed)))
    count = Counter((name, _network(b)) for name, b in wanted if b is not None)
    for (name, network), jobs in sorted(count.items()):
        yield Work("extract_features", name, network, jobs, 0, seen=jobs * sum(images[name]))


def _network(backbone: str) -> str:
    """The image network of a backbone's name."""
    model = backbone.split(".")[1] if "." in backbone else ""
    return MODELS[model].backbone if model in MODELS else STUDENT if model else backbone


def _classifiers(study: Study, images: Mapping[str, Images]) -> Iterator[Work]:
    seeds = len(study.settings.classification.seeds)
    for name in study.settings.classification.datasets:
        probes = [m for m in study.models if not study.owns_backbone(m)]
        if probes:
            yield Work("probe", name, "", len(probes), len(probes) * seeds)
        live = [m for m in study.models if study.owns_backbone(m)]
        for rule, chosen in [
            ("drifting_probe", [m for m in live if study.drifts(m)]),
            ("finetune", [m for m in live if not study.drifts(m)]),
        ]:
            yield from _live(study, images[name], rule, name, chosen, rule == "finetune")


def _transfers(study: Study, images: Mapping[str, Images]) -> Iterator[Work]:
    seeds = len(study.settings.classification.seeds)
    whole = study.settings.transfer.probed_source == "finetune"
    for source, target in study.pairs:
        place = f"{source}-to-{target}"
        by_strategy: dict[str, list[str]] = {}
        for model in study.transferred:
            for strategy in study.strategies(model):
                by_strategy.setdefault(strategy, []).append(model)
        direct, probed = by_strategy.get("direct", []), by_strategy.get("linear-probe", [])
        if direct:
            yield Work("transfer_direct", place, "", len(direct), len(direct) * seeds)
        if probed and study.drifting:
            yield from _live(study, images[target], "transfer_drifting", place, probed, False)
        elif probed:
            yield Work("transfer_probe", place, "", len(probed), len(probed) * seeds)
        tuned = by_strategy.get("full-finetune", [])
        for trains in (True, False):
            chosen = [m for m in tuned if (whole or MODELS[split_model(m)[0]].finetuned) == trains]
            yield from _live(study, images[target], "transfer_finetune", place, chosen, trains)


def _live(
    study: Study, images: Images, rule: str, place: str, models: list[str], trains: bool
) -> Iterator[Work]:
    """Runs of `models` through their networks; trains: every weight is trained, else images are only seen."""
    seeds = len(study.settings.classification.seeds)
    section = study.settings.probe if "drifting" in rule else study.settings.finetuning
    for network, n in Counter(MODELS[split_model(m)[0]].backbone for m in models).items():
        runs = n * seeds
        trained, seen = runs * section.epochs * images.train, runs * section.epochs * images.val
        seen += runs * (images.val + images.test)
        if not trains:
            trained, seen = 0, seen + trained
        yield Work(rule, place, network, runs, runs, trained, seen)
