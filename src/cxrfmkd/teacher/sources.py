"""The source of embeddings that a dataset's settings name."""

from __future__ import annotations

from pathlib import Path

from cxrfmkd.study.settings import Teacher
from cxrfmkd.study.teachers import Settings
from cxrfmkd.teacher.rows import Source


def open_source(settings: Settings, teacher: Teacher, images_root: Path) -> Source:
    """The source that `settings` name; raises InputError where it cannot be used."""
    settings.check_dimension(teacher)
    match settings.source:
        case "savedmodel":
            from cxrfmkd.teacher.savedmodel import SavedModel

            return SavedModel(settings, teacher, images_root)
        case "vertex":
            from cxrfmkd.teacher.vertex import Endpoint

            return Endpoint(settings, teacher, images_root)
        case "parquet":
            from cxrfmkd.teacher.tables import Tables

            return Tables(settings, teacher)
    from cxrfmkd.teacher import files

    readers = {"dat": files.Dat, "npy": files.npy, "npz": files.npz, "tfrecord": files.tfrecords}
    return readers[settings.source](settings, teacher)
