"""Time limits of jobs, from how fast the machine is and how much there is to do.

A limit that is near the truth lets a scheduler fit a job into a gap; since trainings continue from
their checkpoints, one that is too short costs a second start and no result.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from cxrfmkd.study.forecast import ImageCounts, is_teacher, published, student_work, works
from cxrfmkd.study.grid import Study

# Times the forecast, which knows neither a busy disk nor a slower card of the same name.
MARGIN = 2.0
# Minutes to start, to compile a network and to read the images.
START = 15


def known_images(study: Study, results: Path) -> dict[str, ImageCounts]:
    """Images of the datasets that were sampled already or are all of their published tables."""
    images: dict[str, ImageCounts] = {}
    for name in study.datasets:
        summary = results / name / "records" / "summary.json"
        if summary.is_file():
            counts = json.loads(summary.read_text())["counts"]
            images[name] = ImageCounts(*(counts[split]["images"] for split in ImageCounts._fields))
        elif number := published(study, name, images):
            images[name] = number
    return images


def time_limits(
    study: Study, images: Mapping[str, ImageCounts], rates: Mapping[str, float]
) -> dict[str, int]:
    """Minutes for a job by `<rule> <dataset or pair>`: MARGIN times the forecast, and START.

    Of distillation by `distill <dataset> <student>`, since each loss may have epochs of its own.

    images: of datasets; rates: images a second by network. A job through the slowest of a rule's
    networks decides, and a network without a rate of its own has the lowest. Nothing is said where
    a dataset's images or all rates are unknown, nor of a teacher without a rate.
    """
    networks = {name: rate for name, rate in rates.items() if not is_teacher(name)}
    if not networks or set(study.datasets) - set(images):
        return {}
    limits: dict[str, int] = {}
    units = [(f"{w.rule} {w.dataset}", w) for w in works(study, images) if w.rule != "distill"]
    units += [
        (f"distill {name} {student}", student_work(study, images[name], name, student))
        for name in study.settings.distillation.datasets
        for student in study.student_names
    ]
    for key, work in units:
        unknown = not is_teacher(work.network) and work.network not in rates
        hours = work.hours({work.network: min(networks.values())} if unknown else rates)
        if work.network and hours is not None:
            minutes = math.ceil(MARGIN * 60 * hours / work.jobs) + START
            limits[key] = max(minutes, limits.get(key, 0))
    return limits
