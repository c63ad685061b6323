"""Every setting of a study: its name, type, default, allowed values and meaning, defined once.

Types, the JSON schema, `config/README.md` and the messages for a wrong value come from these
classes. Defaults are sound practice; `config/thesis.yaml` sets each switch to what the thesis did.
A `…Section` is a section of the configuration; its base class is what one job needs of it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator

from cxrfmkd.study.settings.analyses import (
    Bias,
    BiasSection,
    Erasure,
    Evaluation,
    EvaluationSection,
)
from cxrfmkd.study.settings.attributes import AttributeSection
from cxrfmkd.study.settings.base import Settings
from cxrfmkd.study.settings.classification import (
    Classification,
    Finetuning,
    Probe,
    Transfer,
    TransferSection,
)
from cxrfmkd.study.settings.data import (
    Dataset,
    DatasetSection,
    Images,
    LabelList,
    Labels,
    Reference,
    Resampling,
)
from cxrfmkd.study.settings.distillation import Distillation, DistillationSection
from cxrfmkd.study.settings.findings import Findings
from cxrfmkd.study.settings.networks import Network, NetworkSection
from cxrfmkd.study.settings.teacher import Teacher, TeacherName, TeacherSource

__all__ = [
    "AttributeSection",
    "Bias",
    "Classification",
    "Configuration",
    "Dataset",
    "DatasetSection",
    "Distillation",
    "Erasure",
    "Evaluation",
    "Findings",
    "Finetuning",
    "Images",
    "LabelList",
    "Labels",
    "Network",
    "Probe",
    "Reference",
    "Resampling",
    "Settings",
    "Teacher",
    "TeacherSource",
    "Transfer",
]


def _dataset_name(name: str) -> str:
    if not re.fullmatch("[a-z0-9][a-z0-9-]*", name):
        raise ValueError("a dataset's name has small letters, digits and hyphens alone.")
    return name


class Configuration(Settings):
    """A whole study."""

    title: str
    """title of the report"""
    datasets: dict[Annotated[str, AfterValidator(_dataset_name)], DatasetSection]
    """the datasets, by name"""
    folders: dict[str, str] = {}
    """short names of folders; a path may begin with one in braces, such as `{mimic}/files`"""
    plugins: list[str] = []
    """Python files with losses, backbones, adapters, encoders or metrics of your own
    (docs/extending.md)"""
    findings: Findings = Findings()
    """the label set (docs/data.md)"""
    attributes: dict[str, AttributeSection] = {}
    """attributes of your own beside sex, race, age and view, or these anew, by name (see below, and
    docs/data.md)"""
    images: Images = Images()
    """packed images"""
    labels: Labels = Labels()
    """label policy"""
    resampling: Resampling = Resampling()
    """resampled test set"""
    teacher: Teacher = Teacher()
    """the teacher"""
    teachers: dict[TeacherName, Teacher] = {}
    """further teachers by names of your choice, each declared as `teacher` is (docs/teacher.md)"""
    network: NetworkSection = NetworkSection()
    """networks"""
    distillation: DistillationSection = DistillationSection()
    """students"""
    classification: Classification = Classification()
    """classifiers"""
    probe: Probe = Probe()
    """linear probes"""
    finetuning: Finetuning = Finetuning()
    """full fine-tunes"""
    transfer: TransferSection = TransferSection()
    """transfer"""
    evaluation: EvaluationSection = EvaluationSection()
    """metrics"""
    bias: BiasSection = BiasSection()
    """bias analysis"""
    synthetic: dict[str, dict[str, Any]] = {}
    """settings of the generator of synthetic raw files, by dataset; the demo alone has them"""
    pathvars: dict[str, str] = {}
    """folders of this study's results, logs, benchmarks and resources, so that studies do not
    mix"""


def sections() -> dict[str, type[Settings]]:
    """Name and class of every section but `datasets`, in order."""
    return {
        name: field.annotation
        for name, field in Configuration.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
    }
