"""Everything that a study needs, looked at before it runs; every problem at once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from cxrfmkd.datasets import adapters
from cxrfmkd.datasets.raw import Raw
from cxrfmkd.datasets.sampling import sample
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.text_tables import read_text_table
from cxrfmkd.study.forecast import teacher_network
from cxrfmkd.study.grid import Study
from cxrfmkd.study.settings import Dataset
from cxrfmkd.study.specs import SPECS
from cxrfmkd.teacher.keys import key_rule, match_keys
from cxrfmkd.teacher.sources import STORED_SOURCES, open_source
from cxrfmkd.vocabulary.attributes import declarations
from cxrfmkd.vocabulary.backbones import TIMM
from cxrfmkd.vocabulary.teachers import TEACHER, teacher_setting

PROFILE = Path("profiles/slurm/config.yaml")
MATCHED = 200  # images that a teacher's vector is looked for
# Bytes of an image beside its pixels: vectors and features as float32, with room for predictions.
VECTORS = 4 * 4096
# Images of the shards stay until all are packed.
TWICE = 2
WEIGHTS_MB = 60  # of a trained network


class Finding(NamedTuple):
    """about: what was looked at; text: what was seen; ok: whether the study can run with it."""

    about: str
    text: str
    ok: bool = True


@dataclass
class Sampled:
    """A dataset's records, once its raw tables have been read."""

    records: pd.DataFrame
    images: Path


def findings(study: Study) -> Iterator[Finding]:
    """What was seen of each need of the study, as soon as it is known."""
    images = 0
    for name in study.datasets:
        if members := study.pool(name):
            yield Finding(name, f"a pool of {', '.join(members)}")
            continue
        if name in study.settings.synthetic:
            yield Finding(name, "synthetic: the study makes its raw files")
            continue
        sampled: list[Sampled] = []
        yield from dataset_findings(study, name, sampled)
        for one in sampled:
            images += len(one.records)
            for teacher in study.teachers:
                about = f"{name}, {teacher_network(teacher)}"
                yield _attempt(about, partial(_teacher, study, name, one, teacher))
    yield from weights_findings(study)
    yield from resource_findings(study, images)
    yield from partition_findings()


def _attempt(about: str, look: Callable[[], str]) -> Finding:
    """What `look` says, or the message of the error that it raises."""
    try:
        return Finding(about, look())
    except InputError as error:
        return Finding(about, str(error), ok=False)
    except (OSError, ValueError, ImportError) as error:
        return Finding(about, f"{type(error).__name__}: {error}", ok=False)


def dataset_findings(study: Study, name: str, sampled: list[Sampled]) -> Iterator[Finding]:
    """A dataset's folders, each table, and what all of it yields.

    sampled: gets the records, if there are any.
    """
    settings = Dataset.from_spec(study.dataset(name))
    findings, attributes = study.settings.findings, study.attributes_on(name)
    raw, adapter = Raw(name, settings, findings, attributes), adapters.ADAPTERS[settings.adapter]
    found = [_attempt(f"{name}, images", lambda: _folder(name, Path(settings.images)))]

    def require() -> str:
        raw.require(adapter.NEEDED, (*adapter.OPTIONAL, *adapters.OF_ALL))
        return f"{len(settings.tables)} configured, all there"

    found.append(_attempt(f"{name}, tables", require))
    for key, path in settings.tables.items():
        if Path(path).is_file():
            found.append(_attempt(f"{name}, {key}", partial(_head, raw, key)))
    yield from found
    if not all(finding.ok for finding in found):
        return

    def read() -> str:
        made = sample(name, settings, findings, attributes)
        sampled.append(Sampled(made.records, Path(settings.images)))
        sides = made.records.split.value_counts()
        notes = [note for note in made.summary["notes"] if "do not exist" in note]
        counts = ", ".join(f"{sides.get(side, 0):,} {side}" for side in ("train", "val", "test"))
        of_test = made.summary["counts"]["test"]
        blanks = [
            f"{one.name} blank for {of_test[one.name].get('blank', 0):,} of the test images"
            for one in declarations(attributes)
            if one.name in of_test
        ]
        return "; ".join([f"{counts} images", *blanks, *notes])

    yield _attempt(f"{name}, records", read)


def _folder(name: str, path: Path) -> str:
    if not path.is_dir():
        raise InputError(f"datasets.{name}.images is {path}, which is no folder")
    if not os.access(path, os.R_OK | os.X_OK):
        raise InputError(f"datasets.{name}.images: {path} may not be read by you")
    if next(path.iterdir(), None) is None:
        raise InputError(f"datasets.{name}.images: {path} is empty")
    return str(path)


def _head(raw: Raw, key: str) -> str:
    """The header and the rows of a raw table."""
    columns = raw.header(key)
    rows = read_text_table(raw.path(key), raw.source(key), columns[:1])
    if rows.empty:
        raise InputError(f"{raw.source(key)}: there is a header and no row")
    return f"{raw.path(key).name}: {len(columns)} columns, {len(rows):,} rows"


def _teacher(study: Study, name: str, sampled: Sampled, teacher: str = TEACHER) -> str:
    """Whether the source opens, and has vectors of a sample of the images."""
    settings, common = study.teacher_source(name, teacher), study.teacher_settings(teacher)
    section = teacher_setting(teacher)
    where = ", ".join(settings.path) or settings.source
    if settings.source == "vertex":
        return "an endpoint; it is not asked here"
    if settings.variant == "demo":
        return "the stand-in, which the study makes"
    if absent := [path for path in settings.path if not Path(path).exists()]:
        if settings.on_hub:
            return f"{where}: fetched from its hub"
        raise InputError(f"datasets.{name}.{section}.path is {absent[0]}, which does not exist")
    if settings.source not in STORED_SOURCES:
        return f"{where} is there; examine it with --model {where}"
    step = max(1, len(sampled.records) // MATCHED)
    some = sampled.records.iloc[::step].head(MATCHED)
    with closing(open_source(settings, common, sampled.images)) as source:
        stored = source.stored_keys or []
        _, missing, _ = match_keys(some, key_rule(settings), stored, where)
    share = len(missing) / len(some)
    text = f"{len(some) - len(missing)} of {len(some)} images have a vector in {where}"
    if share > common.failed:
        raise InputError(
            f"{text}; {section}.failed allows {common.failed:g} to be without. Set "
            f"{section}.key to the rule that fits, or add the vectors."
        )
    return text


def weights_findings(study: Study) -> Iterator[Finding]:
    """The initial weights of every network that is trained."""
    spec = SPECS["fetch_weights"](study, None)
    if spec["weights"] == "none":
        yield Finding("initial weights", "random")
        return
    for name in spec["architectures"]:
        initial = partial(_initial_weights, name, spec["weights"])
        yield _attempt(f"initial weights, {name}", initial)


def _initial_weights(name: str, weights: str) -> str:
    """Where a network's initial weights are, or come from; InputError where nothing gives them."""
    from cxrfmkd.networks.architectures import imagenet_file, imagenet_url, weights_files

    if weights == "imagenet" and name.startswith(TIMM):
        return "to be fetched by timm: `snakemake fetch_weights`"
    if weights == "imagenet":
        file = imagenet_file(name)
        fetched = f"to be fetched from {imagenet_url(name)}: `snakemake fetch_weights`"
        return str(file) if file.is_file() else fetched
    if not (files := weights_files(Path(weights), name)):
        raise InputError(
            f"network.weights: {weights} has neither {name}.safetensors nor {name}*.pth"
        )
    return str(files[0])


def resource_findings(study: Study, images: int) -> Iterator[Finding]:
    """Disk for the results, and memory for the largest array, against what there is."""
    pixels = study.settings.images.size**2
    trained = [
        run
        for run in study.own_runs + study.transfer_runs
        if run.strategy == "full-finetune"
        or (run.strategy == "own" and study.owns_backbone(run.model))
    ]
    networks = len(study.students) + len(trained)
    disk = images * (TWICE * pixels + VECTORS) / 1e9 + networks * WEIGHTS_MB / 1e3
    folder = Path(study.settings.pathvars.get("results", "results")).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    text = f"about {disk:,.1f} GB needed, {free:,.1f} GB free at {folder}"
    yield Finding("disk", text, disk < free)
    numbers = sum(study.teacher_settings(name).dimension for name in study.teachers)
    memory = images * 4 * numbers * TWICE / 1e9 + 2
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    text = f"about {memory:,.1f} GB needed by the largest job, {installed:,.1f} GB installed here"
    yield Finding("memory", text, memory < installed)


def partition_findings() -> Iterator[Finding]:
    """The partitions that the SLURM profile names, against those of the scheduler."""
    if not PROFILE.is_file() or not shutil.which("sinfo"):
        return
    named = list(yaml.safe_load(PROFILE.read_text()).get("partitions", {}))
    asked = subprocess.run(["sinfo", "-h", "-o", "%R"], capture_output=True, text=True)
    if asked.returncode:
        reason = next(iter(asked.stderr.splitlines()), "")
        yield Finding("SLURM partitions", f"no scheduler answers here ({reason})")
        return
    there = sorted(set(asked.stdout.split()))
    absent = [name for name in named if name not in there]
    text = f"{PROFILE} names {', '.join(named)}; sinfo has {', '.join(there) or 'none'}"
    yield Finding("SLURM partitions", text, not absent)
