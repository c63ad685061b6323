"""Run families, which are one model's runs over all seeds, and what each is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from cxrfmkd.vocabulary.backbones import on_backbone, split_student
from cxrfmkd.vocabulary.models import MODELS, join_model


class Family(NamedTuple):
    """The runs that differ by seed alone; strategy "own" is training on the dataset itself."""

    source: str
    strategy: str
    model: str
    loss: str

    @property
    def name(self) -> str:
        """As in comparisons.csv: "strategy/model.loss@source"."""
        return f"{self.strategy}/{join_model(self.model, self.loss)}@{self.source}"


def references(
    families: Iterable[Family], dataset: str, validated: dict[Family, float], kinds: Iterable[str]
) -> list[tuple[str, Family, Family]]:
    """Every comparison as (kind, family, its reference).

    validated: macro AUC-ROC of each family on validation images. Kinds: "teacher", the probe on the
    teacher's own embeddings; "baseline", the same network without distillation, probed or
    fine-tuned as the family is; "loss", the distillation loss of the same model that does best on
    validation. The first two references are of the family's own source and strategy if there are
    such, else those trained on `dataset` itself.
    """
    families = list(families)
    pairs = []
    for kind, family in product(kinds, families):
        if kind == "loss":
            alike = [other for other in families if _differ_by_loss(other, family)]
            reference = max(alike, key=lambda other: validated[other], default=None)
        else:
            probe = "cxr-model-fft" if MODELS[family.model].finetuned else "cxr-model-lp"
            model = "cxr-fm-lp" if kind == "teacher" else probe
            # The undistilled network of the same architecture; the teacher's probe has none.
            loss = "" if kind == "teacher" else on_backbone(family.loss)
            candidates = [
                family._replace(model=model, loss=loss),
                Family(dataset, "own", model, loss),
            ]
            reference = next((other for other in candidates if other in families), None)
        if reference not in (None, family):
            pairs.append((kind, family, reference))
    return pairs


def _differ_by_loss(one: Family, other: Family) -> bool:
    """Whether two families are of one model and one backbone, and distilled."""
    distilled = all(split_student(family.loss)[0] for family in (one, other))
    return distilled and one[:3] == other[:3] and on_backbone(one.loss) == on_backbone(other.loss)
