"""How fast a machine is: the file that `cxrfmkd gpu-check` writes and that forecasts read.

The hours of `cxrfmkd cost` and the time limits of jobs rest on it. It belongs to a machine, not to
a study, so all studies of a checkout share one.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings.base import Settings

RATES = Path("resources/rates.json")


class Rates(Settings):
    """The content of `resources/rates.json`."""

    device: str
    """model of the GPU, or `cpu`"""
    measured: str
    """time in UTC, as ISO 8601"""
    image_size: int = Field(ge=1)
    """height and width of the images in pixels"""
    batch_size: int = Field(ge=1)
    """images in a batch"""
    images_per_second: dict[str, float]
    """images trained on in a second, forward and backward, by network (`densenet169`, …); under
    `teacher`, if it is there, images that the teacher embeds in a second"""
    compiled_images_per_second: dict[str, float] = Field(default_factory=dict)
    """the same of networks that are compiled (`network.compile`), where that was measured"""
    checks: list[dict[str, str | float | bool]] = Field(default_factory=list)
    """a row for each fast path: `name`, `difference` to the plain one and its `bound`, `ok`"""
    facts: dict[str, str | float] = Field(default_factory=dict)
    """what else was measured: versions, the thesis's loop, memory, the GPU's busy share"""

    def at_size(self, size: int, compiled: bool = False) -> dict[str, float]:
        """Images a second for images of `size` pixels: the cost of one grows with its pixels.

        compiled: of compiled networks, where that was measured. The teacher's rate stays, since its
        images have a size of their own.
        """
        share = (self.image_size / size) ** 2
        rates = self.images_per_second | (self.compiled_images_per_second if compiled else {})
        return {
            network: rate if network == "teacher" else rate * share
            for network, rate in rates.items()
        }


def read_rates(path: Path = RATES) -> Rates | None:
    """The rates in `path`; None where there is no such file, InputError where it is damaged."""
    if not path.is_file():
        return None
    remedy = f"Delete it, or measure again: cxrfmkd gpu-check --out {path}"
    try:
        rates = Rates.read(json.loads(path.read_text(encoding="utf-8")), f"{path}: ")
    except ValueError as error:  # of JSON, or of a value that is refused
        raise InputError(f"{path}: it is not what gpu-check writes ({error}). {remedy}") from None
    measured = [*rates.images_per_second.items(), *rates.compiled_images_per_second.items()]
    if wrong := [name for name, rate in measured if not rate > 0]:
        raise InputError(f"{path}: the rate of {', '.join(wrong)} is not more than 0. {remedy}")
    return rates
