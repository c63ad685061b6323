"""What students reproduce: the vectors of one teacher, or of several side by side.

A student of several teachers has one backbone and a projection for each. In training these are one
linear layer, whose rows are the teachers' one below the other, and the targets are their
standardised vectors side by side. The loss is the mean over teachers of the loss of each. Source:
Ranzinger et al. (2024), AM-RADIO, for several teachers with a projection each; Ranzinger et al.
(2024), PHI-S, for targets on one scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.training.controls import Vectors
from cxrfmkd.training.losses import Objective, Terms
from cxrfmkd.training.standardisation import Standardisation

# Facts of an array of embeddings that a student's weights tell.
FACTS = ("name", "variant", "licence")


@dataclass(frozen=True)
class Targets:
    """Standardised vectors of every teacher, and the way back.

    vectors: of each split, float32 (n, sum of dimensions), the teachers' side by side; standards:
    of each teacher, by name, in the same order; dimensions: of each teacher's vectors.
    """

    vectors: Vectors
    standards: dict[str, Standardisation]
    dimensions: dict[str, int]

    @classmethod
    def of(cls, teachers: Mapping[str, Vectors], kind: str) -> Targets:
        """Standardise each teacher's vectors by its own training images.

        teachers: by name, each teacher's vectors by split. kind: see `Standardisation.fit`; with
        several teachers not `none`, as the one with the largest numbers would be learnt alone.
        """
        if len(teachers) > 1 and kind == "none":
            raise InputError(
                "distillation.standardise_teacher is none; several teachers need phi-s or "
                "per-dimension."
            )
        standards = {
            name: Standardisation.fit(of_split["train"], kind)
            for name, of_split in teachers.items()
        }
        vectors = {
            split: _side_by_side(
                [standards[name].apply(of_split[split]) for name, of_split in teachers.items()]
            )
            for split in next(iter(teachers.values()))
        }
        dimensions = {name: of_split["train"].shape[1] for name, of_split in teachers.items()}
        return cls(vectors, standards, dimensions)

    @property
    def width(self) -> int:
        """Numbers that a student gives of an image in training."""
        return sum(self.dimensions.values())

    def objective(self, make: Callable[[], Objective]) -> Objective | JointObjective:
        """What is minimised: `make`'s objective, or one of each teacher."""
        return make() if len(self.dimensions) == 1 else JointObjective(make, self.dimensions)

    def fold(self, projection: nn.Linear) -> None:
        """Let a projection that was trained on these targets put out the teachers' own vectors."""
        for name, rows in columns_of(self.dimensions):
            self.standards[name].fold(projection, rows)


def embeddings_of(
    teachers: Mapping[str, KeyedArray], records: Mapping[str, pd.DataFrame]
) -> dict[str, Vectors]:
    """Each teacher's vectors of the images of each split, float32 (n, d), by key."""
    return {
        name: {split: embeddings(array, table.image_id) for split, table in records.items()}
        for name, array in teachers.items()
    }


def embeddings(teacher: KeyedArray, image_ids: pd.Series) -> np.ndarray:
    """The teacher's vectors of some images, float32 (n, d); InputError where one is not finite."""
    vectors = np.asarray(teacher.take(image_ids), np.float32)
    broken = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(broken):
        rows = teacher.rows(image_ids)[broken]
        raise InputError(
            f"{teacher.name}: {len(broken)} embeddings are not finite (rows {some(rows)} of its "
            "data.npy). Make it again from sound embeddings."
        )
    return vectors


def described(teachers: Mapping[str, KeyedArray]) -> dict[str, dict]:
    """What a student's weights say of each of its teachers, in their order."""
    return {
        name: {"dimension": array.data.shape[1]}
        | {fact: array.meta[fact] for fact in FACTS if fact in array.meta}
        for name, array in teachers.items()
    }


def columns_of(dimensions: Mapping[str, int]) -> Iterator[tuple[str, slice]]:
    """Where each teacher's numbers are among those of all, side by side."""
    bounds = pairwise(accumulate(dimensions.values(), initial=0))
    for name, (start, stop) in zip(dimensions, bounds, strict=True):
        yield name, slice(start, stop)


class JointObjective(nn.Module):
    """The mean over teachers of an objective, each with weights of its own where it has any.

    Called with (student, teacher), both (n, sum of dimensions), it returns each term's mean over
    the teachers, and each teacher's own as `<term>_<teacher>`.
    """

    def __init__(self, make: Callable[[], Objective], dimensions: Mapping[str, int]) -> None:
        super().__init__()
        self.dimensions = dict(dimensions)
        self.objectives = nn.ModuleList([make() for _ in dimensions])

    def extra_repr(self) -> str:
        """The teachers, so that the objective's repr tells it from any other."""
        return str(self.dimensions)

    def forward(self, student: Tensor, teacher: Tensor) -> Terms:
        """The terms of a batch."""
        widths = list(self.dimensions.values())
        parts = zip(student.split(widths, 1), teacher.split(widths, 1), strict=True)
        terms = [objective(*part) for objective, part in zip(self.objectives, parts, strict=True)]
        means = {name: torch.stack([one[name] for one in terms]).mean() for name in terms[0]}
        return means | {
            f"{name}_{teacher_name}": value
            for teacher_name, one in zip(self.dimensions, terms, strict=True)
            for name, value in one.items()
        }


def _side_by_side(arrays: list[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, 1)
