"""Patients, studies and images of a synthetic site: who they are and what their images show.

One row an image. Everything is drawn from the site, the seed and the patient's number alone, so a
larger population begins with the same patients.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pandas as pd

from cxrfmkd.synthetic.truth import PATHOLOGIES, RACE_CODES, SITES, Truth
from cxrfmkd.vocabulary.groups import RACES

FACTORS = ("fluid", "infection", "trauma", "collapse", "chronic")
PRESENTABLE = (*PATHOLOGIES, "Support Devices")
PERSON = ("patient", "study", "image", "included", "sex", "age", "race", "view")
TRACES = ("trace_sex", "trace_age", "trace_race_1", "trace_race_2")
# What random numbers are for. Two purposes never share them, or chance in one would be a trace in
# the other.
PURPOSES = ("people", "tables", "labels", "anatomy", "places", "exposure", "missed", "readers")
# Share of a finding's variance that stays with the patient from study to study.
LASTING = 0.6
# Share of patients whom the study's rules leave out, for each site's own reasons.
LEFT_OUT = 0.1


def population(truth: Truth, patients: int, seed: int) -> pd.DataFrame:
    """Draw `patients` patients with all their images, in order.

    Columns: patient, study, image (numbers from 0), included (bool: race is one of the three and
    nothing in the patient's records speaks against it), sex, age (years, at this study), race (also
    of those left out), view (AP, PA, LATERAL), one column per finding but "No Finding" with its
    visibility (0: absent), trace_sex, trace_age, trace_race_1, trace_race_2.
    """
    rows = [
        row
        for number in range(patients)
        for row in _patient(truth, number, stream("people", truth, seed, number))
    ]
    return pd.DataFrame(rows, columns=[*PERSON, *PRESENTABLE, *TRACES])


def stream(purpose: str, truth: Truth, seed: int, *key: int) -> np.random.Generator:
    """Random numbers for one purpose, independent of those for any other purpose, site or key."""
    numbers = 1 + PURPOSES.index(purpose), 1 + sorted(SITES).index(truth.site)
    return np.random.default_rng([*numbers, seed, *key])


def _patient(truth: Truth, number: int, rng: np.random.Generator) -> list[tuple]:
    included = rng.random() >= LEFT_OUT
    race = str(rng.choice(RACES, p=[truth.races[name] for name in RACES]))
    sex = "Female" if rng.random() < truth.female else "Male"
    mean, spread = truth.age
    age = int(np.clip(round(rng.normal(mean + truth.age_shift[race], spread)), 18, 90))
    lasting = {"factors": rng.normal(size=len(FACTORS)), "own": rng.normal(size=len(PRESENTABLE))}
    lasting_trace = rng.normal(size=4)
    rows = []
    for study in range(1 + min(rng.poisson(0.9), 6)):
        if study:
            age = min(age + int(rng.random() < 0.3), 90)
        visibility = _findings(truth, (age - mean) / spread, lasting, rng)
        fainter = {name: truth.fainter.get(name, {}) for name in visibility}
        visible = {
            name: value * fainter[name].get(sex, 1) * fainter[name].get(race, 1)
            for name, value in visibility.items()
        }
        portable = rng.random() < truth.ap[visibility["Support Devices"] > 0]
        views = ["AP" if portable else "PA"] * (1 + (rng.random() < 0.12))
        if not portable and rng.random() < 0.4:
            views.append("LATERAL")
        for image, view in enumerate(views):
            noise = math.sqrt(0.7) * lasting_trace + math.sqrt(0.3) * rng.normal(size=4)
            planted = (
                truth.traces["sex"] * ((sex == "Female") - 0.5),
                truth.traces["age"] * (age - mean) / spread,
                *(corner * truth.traces["race"] for corner in RACE_CODES[race]),
            )
            person = (number, study, image, included, sex, age, race, view)
            rows.append((*person, *visible.values(), *(planted + noise)))
    return rows


def _findings(truth: Truth, age: float, lasting: dict, rng: np.random.Generator) -> dict:
    """Visibility of every finding in one study; 0 where it is absent."""
    mixed = {
        name: math.sqrt(LASTING) * values + math.sqrt(1 - LASTING) * rng.normal(size=len(values))
        for name, values in lasting.items()
    }
    causes = dict(zip(FACTORS, mixed["factors"], strict=True)) | {"age": age}
    healthy = rng.random() < truth.healthy
    severities = rng.uniform(*truth.severity, size=len(PRESENTABLE))
    visibility = {}
    for name, own, severity in zip(PRESENTABLE, mixed["own"], severities, strict=True):
        loadings = truth.causes[name]
        rest = math.sqrt(1 - sum(value**2 for value in loadings.values()))
        liability = rest * own + sum(value * causes[cause] for cause, value in loadings.items())
        share = truth.prevalence[name]
        if name in PATHOLOGIES:
            share = 0 if healthy else share / (1 - truth.healthy)
        present = share > 0 and liability > NormalDist().inv_cdf(1 - share)
        visibility[name] = float(severity) if present else 0.0
    return visibility
