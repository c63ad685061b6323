"""The source of embeddings that a dataset's settings name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cxrfmkd.study.settings import Teacher, TeacherSource
from cxrfmkd.teacher.encoders import EncoderSource
from cxrfmkd.teacher.files import FILE_READERS
from cxrfmkd.teacher.rows import EmbeddingSource
from cxrfmkd.teacher.savedmodel import SavedModel
from cxrfmkd.teacher.tables import EmbeddingTables
from cxrfmkd.teacher.vertex import Endpoint
from cxrfmkd.vocabulary.teachers import ENCODERS

STORED_SOURCES = FILE_READERS | {"parquet": EmbeddingTables}
MODEL_SOURCES: dict[str, Callable[[TeacherSource, Teacher, Path], EmbeddingSource]] = {
    "savedmodel": SavedModel,
    "vertex": Endpoint,
    **dict.fromkeys(ENCODERS, EncoderSource),
}


def open_source(settings: TeacherSource, teacher: Teacher, images_root: Path) -> EmbeddingSource:
    """Open the source that `settings` name; raises InputError where it cannot be used."""
    settings.check_dimension(teacher)
    if settings.source in STORED_SOURCES:
        return STORED_SOURCES[settings.source](settings, teacher)
    # A source of none of these names is an encoder of the user's.
    make = MODEL_SOURCES.get(settings.source, EncoderSource)
    return make(settings, teacher, images_root)
