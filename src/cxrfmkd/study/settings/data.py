"""Settings of the data: raw tables, packed images, labels and the resampled test set."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from cxrfmkd.study.settings.attributes import AttributeName
from cxrfmkd.study.settings.base import AsWritten, Choice, Settings, Texts
from cxrfmkd.study.settings.teacher import TeacherSource
from cxrfmkd.vocabulary.datasets import ADAPTERS, POOL, ResamplingMethod


class PatientSplit(Settings):
    """How patients are divided into train, val and the rest, test."""

    train: float = Field(0.6, ge=0, le=1)
    """share of the patients"""
    val: float = Field(0.1, ge=0, le=1)
    """share of the patients"""
    seed: int = 42
    """seed of the division"""


def _texts(mapping: dict) -> dict:
    if any(isinstance(value, bool) for value in [*mapping, *mapping.values()]):
        raise ValueError(
            "YAML reads yes, no, on and off as true and false; write such a value in quotes."
        )
    return mapping


def _several(values: object) -> object:
    return [values] if isinstance(values, str | int | float) else values


class LabelList(Settings):
    """A column with all labels of an image, such as `Effusion|Mass`.

    A finding is present where one of its labels is listed, absent where other labels are, and
    blank where the cell is.
    """

    column: str
    """the file's column, of texts or, in Parquet, of lists of texts"""
    separator: str = "|"
    """what stands between labels; blanks, quotes and brackets around them do not count"""
    names: dict[str, Annotated[list[str], BeforeValidator(_several)]] = {}
    """finding -> its label, or labels any of which makes it present; its own name by default, and
    an empty list for a finding that the column says nothing of"""


class Dataset(Settings):
    """How one dataset's raw files become records."""

    adapter: Annotated[str, Choice("adapter", "adapter", (*ADAPTERS, POOL))]
    """reader of the raw layout; a `pool` of other datasets has none"""
    tables: dict[str, str]
    """raw tables, by the adapter's names for them (see docs/data.md)"""
    images: str
    """root folder of the image files that the tables name"""
    columns: dict[str, str] = {}
    """adapter table: our column name -> the file's column name"""
    values: dict[str, Annotated[dict, AfterValidator(_texts)]] = {}
    """adapter table: our column -> {the file's value: our value}; null is blank. `findings` stands
    for every finding's column that has none of its own"""
    thresholds: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = {}
    """adapter table: finding -> the number from which on its column, such as a probability, means
    that it is present; below it is absent"""
    label_list: LabelList | None = None
    """adapter table: a column that lists the findings of an image (see below)"""
    keep: dict[str, Annotated[list, BeforeValidator(_several)]] = {}
    """keep only records whose column has one of these values, such as {view: [PA]}"""
    split: PatientSplit = PatientSplit()
    """own patient split, where the adapter brings none: shares of train and val, and the seed"""
    inconsistent_race: Literal["strict", "informative"] = "informative"
    """MIMIC: `strict` drops every patient with two race values, as the thesis; `informative` lets
    unknown and unable-to-obtain not count as a second value"""
    limit: int | None = Field(None, ge=1)
    """use this many patients at the most, drawn with the split's seed before `keep`"""

    @classmethod
    def from_section(cls, values: dict) -> Dataset:
        """Settings from a dataset's section of a configuration, less what other jobs need of it."""
        others = DatasetSection.model_fields.keys() - Dataset.model_fields
        values = {name: value for name, value in values.items() if name not in others}
        return Dataset.read(values, "spec, dataset.")


class Reference(Settings):
    """Labels of experts for some of the test images, which the labels of the dataset are held to.

    Several readers stand in a file each, in rows of their own, or in columns of their own.
    """

    table: Texts
    """the table, or one for each reader"""
    unit: Literal["image", "study"] = "image"
    """what a row is about: an `image`, or a `study` with all its images"""
    key: str = ""
    """column with the image or study as the records name it; empty for `image_id` or `study_id`"""
    reader: str = ""
    """column that names the reader of a row; empty where there is none"""
    readers: list[str] = []
    """readers in columns of their own, each put for `{reader}` in `column`"""
    column: str = "{finding}"
    """name of a finding's column, such as `{reader}_{finding}`"""
    columns: dict[str, str] = {}
    """finding -> the table's name of it, put for `{finding}` in `column`"""
    values: Annotated[dict, AfterValidator(_texts)] = {}
    """the table's value -> 1, 0, -1 (uncertain) or null (blank), such as `{"YES": 1, "NO": 0}`"""
    blank: Literal["ignore", "zeros"] = "ignore"
    """what no label means: `ignore`, the finding was not read, or `zeros`, absent"""
    consensus: str = "majority"
    """truth among several readers: the `majority` of those who say 1 or 0, without a tie, or the
    name of the reader whose word it is"""

    @model_validator(mode="after")
    def _readers_fit(self) -> Self:
        ways = [len(self.table) > 1, bool(self.reader), bool(self.readers)]
        if sum(ways) > 1:
            raise ValueError(
                "several tables, `reader` and `readers` are three ways to tell readers apart; "
                "use one."
            )
        if ("{reader}" in self.column) != bool(self.readers):
            raise ValueError("`readers` and `{reader}` in `column` need each other.")
        if "{finding}" not in self.column:
            raise ValueError("`column` must hold `{finding}`.")
        if self.consensus != "majority" and not any(ways):
            raise ValueError("`consensus` names a reader, but nothing tells readers apart.")
        return self


def _of_pool_or_files(schema: dict) -> None:
    """A pool needs the names of its members alone."""
    required = schema.pop("required")
    schema["anyOf"] = [{"required": ["pool"]}, {"required": required}]


class DatasetSection(Dataset):
    """One source of images and records, under a name of your choice."""

    pool: list[str] = []
    """datasets that are one here, in place of `adapter`, `tables`, `images` and `teacher`, which
    are theirs (docs/data.md)"""
    teacher: Annotated[TeacherSource, AsWritten]
    """where the teacher's embeddings come from (see below, and docs/teacher.md)"""
    teachers: dict[str, Annotated[TeacherSource, AsWritten]] = {}
    """where the embeddings of further teachers come from, by their names in `teachers`"""
    attributes: list[AttributeName] | None = None
    """attributes that the dataset has; `evaluation.attributes` and `bias.attributes` are
    asked of it as far as it has them. null: all of them"""
    resampling: ResamplingMethod | None = None
    """`resampling.method` of this dataset, where it differs from the others': `none` without race.
    null: as there"""
    reference: Reference | None = None
    """labels of experts for some of the test images (see below, and docs/data.md)"""

    model_config = ConfigDict(json_schema_extra=_of_pool_or_files)

    @model_validator(mode="after")
    def _is_one_or_pool(self) -> Self:
        if (self.adapter == POOL) != bool(self.pool):
            raise ValueError("`adapter: pool` and the datasets' names in `pool` need each other.")
        if not self.pool:
            return self
        if len(set(self.pool)) < max(2, len(self.pool)):
            raise ValueError(f"`pool` is {self.pool}; it must be two or more different datasets.")
        of_files = {"columns", "values", "keep", "split", "inconsistent_race", "limit", "reference"}
        written = sorted(self.model_fields_set & of_files)
        written += [name for name in ("tables", "images") if getattr(self, name)]
        if written:
            raise ValueError(
                f"a pool has no {', '.join(written)} of its own; set them for its members."
            )
        return self


class Images(Settings):
    """How raw images become the packed array."""

    size: int = Field(224, ge=32)
    """height and width in pixels"""
    aspect: Literal["squash", "pad"] = "squash"
    """`squash` to a square, as the thesis, or `pad` with black"""
    unreadable: float = Field(0.001, ge=0, le=1)
    """share of unreadable images above which the study stops; below it they are listed and
    excluded"""
    links: bool = False
    """read images that a symbolic link below a dataset's `images` leads to, outside of that folder;
    else they count as unreadable"""


class Labels(Settings):
    """How a raw label (1, 0, -1 or blank) becomes a target."""

    uncertain: Literal["zeros", "ones", "ignore"] = "zeros"
    """what -1 means: `zeros`, `ones`, or `ignore` (left out of loss and metrics)"""
    blank: Literal["zeros", "ignore"] = "zeros"
    """what no label means: `zeros`, not mentioned is negative, as the thesis; or `ignore`"""


class Resampling(Settings):
    """The test set with equal race shares, disease prevalence and age distribution."""

    method: ResamplingMethod = "weights"
    """`draws`: three nested weighted draws with replacement, as the thesis, kept as counts;
    `weights`: exact weights with the same targets; `none`: the natural test set alone"""
    factor: int = Field(3, ge=1)
    """draws: rows drawn per row of the test set"""
    seed: int = 42
    """draws: seed of torch's generator"""
    by: AttributeName = "race"
    """attribute whose groups get equal shares"""
