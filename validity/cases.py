"""Simulated worlds, and how often an interval or a test does in them what it says.

A topic is a module beside this one with a list `CASES`. A case makes worlds whose truth is known,
hands each to the study's own functions, and asks of each statistic whether the interval covered the
truth, or whether the test was significant. What was measured must lie within a declared band.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

# Whether each statistic's interval covered, or its test was significant; None without an interval.
Hits = Mapping[str, bool | None]


@dataclass(frozen=True)
class Kind:
    """What is measured: its name, what it should be, and the band that it must lie in."""

    name: str
    nominal: float
    band: tuple[float, float]


COVERAGE = Kind("coverage", 0.95, (0.93, 0.97))
# An interval that covers no distance as well is wide elsewhere, and says so.
AT_LEAST = Kind("coverage, at least", 0.95, (0.93, 1.0))
ERRORS = Kind("false positives", 0.05, (0.03, 0.07))
AT_MOST = Kind("false positives, at most", 0.05, (0.0, 0.07))


@dataclass(frozen=True)
class Case:
    """Worlds of one kind.

    world: what they are, for readers. simulate: makes one world from a generator and judges each
    statistic in it. worlds: how many the whole suite makes. kinds: what is measured of single
    statistics, where it is not `kind`.
    """

    topic: str
    world: str
    simulate: Callable[[np.random.Generator], Hits]
    worlds: int = 1000
    kind: Kind = COVERAGE
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    def measure(self, worlds: int | None = None, seed: int = 0) -> list[dict]:
        """One row a statistic; the same numbers for the same seed."""
        hits: dict[str, list[bool | None]] = {}
        for world in range(worlds or self.worlds):
            for statistic, hit in self.simulate(np.random.default_rng([seed, world])).items():
                hits.setdefault(statistic, []).append(hit)
        return [self._row(statistic, of_worlds) for statistic, of_worlds in hits.items()]

    def _row(self, statistic: str, hits: list[bool | None]) -> dict:
        kind = self.kinds.get(statistic, self.kind)
        known = [hit for hit in hits if hit is not None]
        measured = float(np.mean(known)) if known else np.nan
        return {
            "topic": self.topic,
            "statistic": statistic,
            "world": self.world,
            "kind": kind.name,
            "nominal": kind.nominal,
            "measured": round(measured, 4),
            "band": list(kind.band),
            "worlds": len(known),
            "without": round(1 - len(known) / len(hits), 4),
        }


def within_band(row: dict, slack: float = 0.0) -> bool:
    """Whether a row lies in its band, widened by `slack`."""
    low, high = row["band"]
    return low - slack <= row["measured"] <= high + slack


def noise(worlds: int, nominal: float = 0.95, deviations: float = 3.5) -> float:
    """How far chance alone takes a share of `worlds` from the nominal one, nearly always."""
    return deviations * (nominal * (1 - nominal) / worlds) ** 0.5
