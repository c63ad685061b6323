"""The history of a training as TensorBoard's scalars, for those who want to watch it grow.

tensorboard --logdir logs/tensorboard
"""

from __future__ import annotations

import os
from pathlib import Path

from cxrfmkd.runtime.errors import InputError

# The folder of all events; the workflow sets it where network.tensorboard is true.
VARIABLE = "CXRFMKD_TENSORBOARD"


def events_folder(run: Path) -> Path | None:
    """The folder of a run's events: the run's path below the folder of all; None without one."""
    top = os.environ.get(VARIABLE)
    return Path(top, *run.parts[len(run.anchor) :]) if top else None


class Events:
    """Writes rows of a history. folder: of one run, or None; epoch: the first to come."""

    def __init__(self, folder: Path | None, epoch: int = 0) -> None:
        self.writer = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise InputError(
                "network.tensorboard is true, but the package tensorboard is not installed. "
                "Install it (pip install tensorboard), or set network.tensorboard to false."
            ) from None
        self.writer = SummaryWriter(str(folder), purge_step=epoch)

    def add(self, row: dict) -> None:
        """One epoch: its number is the step, every other column a scalar of the same name."""
        if self.writer is None:
            return
        for name, value in row.items():
            if name != "epoch":
                self.writer.add_scalar(name, value, row["epoch"])
        self.writer.flush()

    def close(self) -> None:
        """Finish the file."""
        if self.writer is not None:
            self.writer.close()
