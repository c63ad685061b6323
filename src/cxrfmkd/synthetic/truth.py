"""What is planted in the synthetic images and tables, as one object per site.

Every number that a study of these files should find again is here: how often each finding occurs,
what it goes together with, how strongly sex, age and race show in the images, and how the two sites
differ.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.vocabulary.findings import FINDINGS

PATHOLOGIES = tuple(name for name in FINDINGS if name not in ("No Finding", "Support Devices"))

# Corners of a triangle with sides of length 1: every pair of races is equally far apart.
RACE_CODES = {
    "White": (0.0, 1 / math.sqrt(3)),
    "Asian": (-0.5, -0.5 / math.sqrt(3)),
    "Black": (0.5, -0.5 / math.sqrt(3)),
}

# Share of studies with each finding at the two sites, and its loadings on standard normal causes;
# what is left of each unit variance is the finding's own.
_FINDINGS: dict[str, tuple[float, float, dict[str, float]]] = {
    "Enlarged Cardiomediastinum": (0.13, 0.10, {"fluid": 0.4}),
    "Cardiomegaly": (0.18, 0.22, {"fluid": 0.5, "age": 0.25}),
    "Lung Opacity": (0.28, 0.23, {"infection": 0.5, "collapse": 0.3}),
    "Lung Lesion": (0.10, 0.09, {"chronic": 0.3, "age": 0.15}),
    "Edema": (0.25, 0.18, {"fluid": 0.6, "age": 0.2}),
    "Consolidation": (0.13, 0.10, {"infection": 0.6}),
    "Pneumonia": (0.12, 0.14, {"infection": 0.6}),
    "Atelectasis": (0.18, 0.20, {"collapse": 0.5}),
    "Pneumothorax": (0.14, 0.10, {"trauma": 0.5}),
    "Pleural Effusion": (
        0.34,
        0.26,
        {"fluid": 0.55, "collapse": 0.4, "infection": 0.2, "age": 0.15},
    ),
    "Pleural Other": (0.09, 0.08, {"chronic": 0.4, "age": 0.2}),
    "Fracture": (0.10, 0.09, {"trauma": 0.5, "age": 0.1}),
    "Support Devices": (0.45, 0.32, {"trauma": 0.4, "fluid": 0.3}),
}
CAUSES = {name: loadings for name, (_, _, loadings) in _FINDINGS.items()}


@dataclass(frozen=True)
class Truth:
    """One site's planted truth.

    races: share of each race among the patients with one of the three races.
    female: share of female patients.
    age: mean and standard deviation in years, normal, cut at 18 and 90.
    age_shift: years added by race.
    healthy: share of studies drawn without any pathology.
    prevalence: share of studies with each finding ("No Finding" follows from the others).
    causes: loadings of the findings on common causes (a Gaussian copula); two findings correlate
        by the products of their shared loadings.
    traces: distance between the sexes, or between any two races, in standard deviations of the
        planted quantity that the image shows (0: no trace at all); for age, the slope per standard
        deviation of age against noise of 1. The best possible classifier of a trace is known: see
        `ceilings`.
    fainter: finding -> {group: factor} by which its visibility is multiplied in that group.
    severity: range of the visibility of a present finding.
    uncertain: chance that the label of a present, and of an absent, finding is -1.
    mentioned: chance that an absent finding is labelled 0 rather than left blank.
    missed: finding -> {group: chance} that the labeller overlooks it where it is present in a study
        of that group; experts do not.
    readers: experts who read each test image. misread: chance that one of them is wrong about a
        finding, whatever the others say.
    ap: share of AP among frontal studies without support devices, and with them.
    images: height and width in pixels.
    exposure: mean and spread of the gamma.
    noise: standard deviation in grey levels.
    marker: corner of the side marker.
    """

    site: str
    races: dict[str, float]
    female: float
    age: tuple[float, float]
    age_shift: dict[str, float]
    healthy: float
    prevalence: dict[str, float]
    traces: dict[str, float]
    fainter: dict[str, dict[str, float]]
    ap: tuple[float, float]
    images: tuple[int, int]
    exposure: tuple[float, float]
    noise: float
    marker: str
    causes: dict[str, dict[str, float]] = field(default_factory=lambda: CAUSES)
    severity: tuple[float, float] = (0.4, 1.0)
    uncertain: tuple[float, float] = (0.05, 0.02)
    mentioned: float = 0.15
    missed: dict[str, dict[str, float]] = field(default_factory=dict)
    readers: int = 3
    misread: float = 0.05

    def ceilings(self) -> dict[str, float]:
        """Highest AUC that anything can reach from the planted traces alone.

        Two normal distributions d standard deviations apart: AUC = Phi(d / sqrt 2). For race this
        holds for every pair; for age the value is that of older against younger than the mean.
        """
        auc = {name: 0.5 * (1 + math.erf(self.traces[name] / 2)) for name in ("sex", "race")}
        slope = self.traces["age"]
        # P(trace of an older > trace of a younger), bivariate normal, by symmetry of both halves.
        return auc | {"age": _halves_auc(slope / math.hypot(1, slope))}


def _halves_auc(rho: float, steps: int = 2000) -> float:
    """AUC of z for x > 0, where (x, z) are standard normal with correlation rho.

    The density of z given x > 0 is 2 phi(z) Phi(k z), k = rho / sqrt(1 - rho^2); integrated by the
    midpoint rule.
    """
    k = rho / math.sqrt(1 - rho * rho)
    below, area, width = 0.0, 0.0, 16 / steps
    for step in range(steps):
        z = -8 + (step + 0.5) * width
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi) * width
        older = 1 + math.erf(k * z / math.sqrt(2))
        younger = 2 - older
        area += density * older * (below + density * younger / 2)
        below += density * younger
    return area


CHEXPERT = Truth(
    site="chexpert",
    races={"White": 0.45, "Asian": 0.30, "Black": 0.25},
    female=0.42,
    age=(62, 16),
    age_shift={"White": 2, "Asian": 0, "Black": -4},
    healthy=0.15,
    prevalence={name: share for name, (share, _, _) in _FINDINGS.items()},
    traces={"sex": 1.15, "age": 0.9, "race": 1.1},
    fainter={"Pleural Effusion": {"Female": 0.6}},
    ap=(0.7, 0.95),
    images=(272, 320),
    exposure=(1.0, 0.12),
    noise=5.0,
    marker="top right",
)

MIMIC = Truth(
    site="mimic",
    races={"White": 0.45, "Asian": 0.25, "Black": 0.30},
    female=0.50,
    age=(60, 17),
    age_shift={"White": 0, "Asian": 0, "Black": 0},
    healthy=0.28,
    prevalence={name: share for name, (_, share, _) in _FINDINGS.items()},
    traces={"sex": 1.15, "age": 0.9, "race": 0.0},
    fainter={},
    ap=(0.4, 0.9),
    images=(320, 264),
    exposure=(0.8, 0.15),
    noise=8.0,
    marker="top left",
)

SITES = {truth.site: truth for truth in (CHEXPERT, MIMIC)}


def planted(site: str, **changes) -> Truth:
    """The site's truth with `changes` to its fields; a dictionary changes the entries it names."""
    if site not in SITES:
        raise InputError(f"synthetic: no site {site!r}; there are {some(SITES)}.")
    truth = SITES[site]
    settings = {entry.name for entry in dataclasses.fields(Truth)} - {"site", "causes"}
    _check_names(f"synthetic.{site}", "settings", changes, settings)
    merged: dict[str, Any] = {}
    for name, value in changes.items():
        default = getattr(truth, name)
        if isinstance(default, dict):
            allowed = set(FINDINGS) if name in ("fainter", "missed") else set(default)
            _check_names(f"synthetic.{site}.{name}", "entries", value, allowed)
            merged[name] = {**default, **value}
        else:
            merged[name] = tuple(value) if isinstance(default, tuple) else value
    truth = dataclasses.replace(truth, **merged)
    if abs(sum(truth.races.values()) - 1) > 1e-6:
        raise InputError(
            f"synthetic.{site}.races: the shares add up to {sum(truth.races.values()):g}, not to 1."
        )
    return truth


def _check_names(setting: str, what: str, names: Iterable[str], allowed: set[str]) -> None:
    if unknown := sorted(set(names) - allowed):
        raise InputError(
            f"{setting}: unknown {what} {some(unknown)}; there are {some(sorted(allowed), 20)}."
        )
