"""Which seed, and which loss, stands for a family: chosen by a written rule from the runs' files.

The result, `selected.json`, names the weights relative to its own folder and lists every candidate,
so that a choice can be read and questioned. Standard library only.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_json
from cxrfmkd.runtime.seals import altered, written_by

LOSS_OF_PART = {"val": "val_loss", "test": "test_loss"}
STUDENT_RULES = {
    "val": "lowest loss on the distillation's validation part",
    "test": "lowest loss on the distillation's test part, as in the thesis (biased: that part then "
    "tests nothing)",
}
MODEL_RULE = "lowest binary cross-entropy on the validation records"

# What a loss may be selected by: a measure of the student in quality.json, and the rule in words.
LOSS_RULES = {
    "probe_auc": "highest macro AUC-ROC of a linear probe on the student's embeddings, validation "
    "records",
    "centred_cosine": "highest centred cosine to the teacher, validation records",
}


def select_seed(
    runs: Sequence[str | Path],
    out: str | Path,
    on: str,
    rule: str,
    family: Mapping[str, object] | None = None,
) -> dict:
    """The run with the lowest loss on the part `on` (`val` or `test`); ties: the lowest seed.

    runs: the `run.json` of every seed, in folders `seed<number>`; out: where the choice will be
    written. Returns {seed, weights (relative to `out`'s folder), rule, candidates: [{seed,
    val_loss, test_loss}]}. Losses of different objectives cannot be compared, so the runs must be
    of one family: family, such as {"loss": "mse"}, is what each run's spec must say.
    """
    if not runs:
        raise InputError(f"{out}: there are no runs to choose from.")
    expected = dict(family or {})
    candidates = sorted((_candidate(Path(run), expected) for run in runs), key=lambda c: c["seed"])
    loss = LOSS_OF_PART[on]
    for candidate in candidates:
        if candidate[loss] is None:
            raise InputError(
                f"{candidate['run']}: best.{loss} is missing or not finite, so the seeds cannot be "
                "compared. Delete this run's folder and train it again."
            )
    best = min(candidates, key=lambda c: c[loss])
    return {
        "seed": best["seed"],
        "weights": _relative(best["run"].parent / "weights.safetensors", out),
        "rule": rule,
        "candidates": [{k: v for k, v in c.items() if k != "run"} for c in candidates],
    }


def select_loss(
    qualities: Sequence[str | Path],
    selections: Sequence[str | Path],
    out: str | Path,
    rule: str = "probe_auc",
) -> dict:
    """The loss whose students are best by `rule`, a key of `LOSS_RULES`; ties: the first.

    qualities, selections: the `quality.json` and `selected.json` of every loss, both in a folder
    named by the loss; of students of several teachers the mean measure counts. Distillation losses
    themselves are not compared: they have different scales and zero points. Returns {loss, seed,
    weights, rule, candidates: [{loss, seed, <every rule's measure>}]}.
    """
    if rule not in LOSS_RULES:
        raise InputError(
            f"select_loss: there is no rule {rule!r}; choose of {', '.join(LOSS_RULES)}."
        )
    if not qualities:
        raise InputError(f"{out}: there are no students to choose from.")
    of_loss = {Path(path).parent.name: path for path in selections}
    candidates, weights = [], {}
    for path in map(Path, qualities):
        loss = path.parent.name
        if loss not in of_loss:
            raise InputError(f"{path}: the selected.json of {loss} is not among the selections.")
        selected, measures = read_json(of_loss[loss]), _measures(read_json(path))
        if measures[rule] is None:
            raise InputError(
                f"{path}: student.{rule} is missing, so the losses cannot be compared."
            )
        weights[loss] = _relative(path.parent / selected["weights"], out)
        candidates.append({"loss": loss, "seed": selected["seed"]} | measures)
    best = max(candidates, key=lambda c: c[rule])
    return {
        "loss": best["loss"],
        "seed": best["seed"],
        "weights": weights[best["loss"]],
        "rule": LOSS_RULES[rule],
        "candidates": candidates,
    }


def _measures(quality: dict) -> dict[str, float | None]:
    """Every rule's measure of a loss's students, over their teachers; None where absent."""
    parts = [quality, *quality.get("teachers", {}).values()]
    measures = {name: [part["student"].get(name) for part in parts] for name in LOSS_RULES}
    return {name: None if None in values else fmean(values) for name, values in measures.items()}


def _relative(path: Path, out: str | Path) -> str:
    """`path` as seen from the folder of `out`."""
    return Path(os.path.relpath(path, Path(out).parent)).as_posix()


def _candidate(run: Path, family: Mapping[str, object]) -> dict:
    """Run, seed (from the folder's name) and best losses; None for one that is not finite."""
    seed = re.fullmatch(r"seed(\d+)", run.parent.name)
    if not seed:
        raise InputError(
            f"{run}: a run lies in a folder named seed<number>, not {run.parent.name}."
        )
    content = read_json(run)
    spec = content.get("spec", {})
    told = {name: spec.get(name, value) for name, value in family.items()}
    told["seed"] = content.get("seed", int(seed[1]))
    for name, value in {**family, "seed": int(seed[1])}.items():
        if told[name] != value:
            raise altered(run, f"it tells of {name} {told[name]}, not of {value}", written_by(run))
    best = content.get("best", {})
    losses = {name: best.get(name) for name in LOSS_OF_PART.values()}
    finite = {k: v if v is not None and math.isfinite(v) else None for k, v in losses.items()}
    return {"run": run, "seed": int(seed[1])} | finite
