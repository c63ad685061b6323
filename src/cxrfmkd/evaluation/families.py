"""Run families, which are one model's runs over all seeds, and what each is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from cxrfmkd.vocabulary.backbones import on_backbone, split_student
from cxrfmkd.vocabulary.losses import CONTROLS, control_of, split_control
from cxrfmkd.vocabulary.models import join_model, reference_model


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
    validation; "control", the same model of each control of its loss, a kind named by the control.
    The first two references are of the family's own source and strategy if there are such, else
    those trained on `dataset` itself.
    """
    families = list(families)
    pairs: list[tuple[str, Family, Family]] = []
    for kind, family in product(kinds, families):
        of_control = bool(split_control(family.loss)[1])
        if kind == "control":
            if split_student(family.loss)[0] and not of_control:
                controls = {c: family._replace(loss=control_of(family.loss, c)) for c in CONTROLS}
                pairs += [(c, family, other) for c, other in controls.items() if other in families]
            continue
        if kind == "loss":
            alike = [
                other
                for other in families
                if _differ_by_loss(other, family) and not split_control(other.loss)[1]
            ]
            reference = max(alike, key=lambda other: validated[other], default=None)
            reference = None if of_control else reference
        else:
            model, loss = reference_model(kind, family.model, family.loss)
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
