"""A section of the report, and the figures that are numbered through all of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup

from cxrfmkd.report.data import ReportData
from cxrfmkd.report.markup import inline
from cxrfmkd.report.prose import dataset_title
from cxrfmkd.study.outputs import KINDS

# Figures that a reader opens when the first ones raise a question.
FURTHER = {"training", "auc-pr", "youden", "calibration", "relative", "pca-3-4", "tsne"}


@dataclass
class Section:
    """id, title: of the heading; lead: what the section answers; parts: tables and figures; further: behind a fold."""

    id: str
    title: str
    lead: str
    parts: list[Markup] = field(default_factory=list)
    further: list[Markup] = field(default_factory=list)


class Plates:
    """Figures with their numbers, in the order in which they are asked for."""

    def __init__(self, data: ReportData) -> None:
        self.data, self.number = data, 0

    def of(self, section: Section, name: str) -> None:
        """Add the figures of the catalogue's section `name`."""
        for subject, kind, path in self.data.figures_of(name):
            self.number += 1
            known, ref = KINDS[kind], f"figure-{self.number}"
            source, _, target = subject.partition("-to-")
            where = (
                f"{dataset_title(source)} to {dataset_title(target)}"
                if target
                else dataset_title(subject)
            )
            where = "" if subject == "study" else f", {where}"
            label = f"{known.title}{where}. {known.about}"
            caption = Markup(
                '<b>Figure {}.</b> {}{}. {} <span class="data">Numbers: figures/{}/{}.csv</span>'
            ).format(self.number, known.title, where, known.about, subject, kind)
            plate = Markup(
                '<figure id="{}"><div class="plate">{}</div><figcaption>{}</figcaption></figure>'
            ).format(ref, inline(path, ref, label), caption)
            (section.further if kind in FURTHER else section.parts).append(plate)
