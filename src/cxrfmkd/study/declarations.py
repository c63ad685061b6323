"""The files of a user's own pieces that a configuration names, and the names that are taken."""

from __future__ import annotations

from cxrfmkd.runtime import plugins
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.losses import loss_names
from cxrfmkd.study.paths import whole_path
from cxrfmkd.vocabulary.backbones import BACKBONES
from cxrfmkd.vocabulary.datasets import ADAPTERS
from cxrfmkd.vocabulary.metrics import MEASURES
from cxrfmkd.vocabulary.teachers import SOURCES


def declare(config: dict) -> list[str]:
    """Let the settings use the pieces of the files of `plugins`; returns these files, whole.

    Raises InputError where a file is not there or its pieces cannot be named so. What is not
    written as a list of texts is left to the settings' own check.
    """
    files, folders = config.get("plugins") or [], config.get("folders") or {}
    if not isinstance(files, list) or not isinstance(folders, dict):
        return []
    taken = {
        "adapter": ADAPTERS,
        "backbone": BACKBONES,
        "encoder": SOURCES,
        "loss": loss_names(),
        "metric": MEASURES,
    }
    try:
        paths = [whole_path(file, folders) for file in files if isinstance(file, str)]
        plugins.declare(paths, taken)
    except InputError as error:
        raise InputError(f"config, {error}") from None
    return paths
