"""The report as one page of HTML."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cxrfmkd.report import headlines
from cxrfmkd.report.data import ReportData
from cxrfmkd.report.headlines import Finding
from cxrfmkd.report.prose import count, dataset_title, listing
from cxrfmkd.report.sections import all_sections

HERE = Path(__file__).parent


def findings(m: ReportData) -> list[Finding]:
    """The headline findings, those that the study has something to say about."""
    summary, comparisons = m.table("summary"), m.table("comparisons")
    qualities, confidence = m.documents("quality"), m.settings["evaluation"]["confidence"]
    found: list[Finding | None] = []
    for name in m.settings["distillation"]["datasets"]:
        found.append(headlines.distillation(qualities, name))
    for name in m.trained:
        found.append(headlines.performance(summary, comparisons, name, confidence))
        found.append(headlines.losses(summary, comparisons, name))
    for source, target in m.settings["transfer"]["pairs"]:
        found.append(headlines.transfer(summary, source, target))
    for name in m.trained:
        if len(m.table("gaps")):
            found.append(headlines.subgroups(m.table("gaps"), summary, name))
        if len(m.table("scores")):
            found.append(headlines.bias(m.table("scores"), name))
        if len(m.table("correlation")):
            found.append(headlines.tradeoff(m.table("correlation"), name))
    if len(m.table("against_thesis")):
        found.append(headlines.thesis(m.table("against_thesis")))
    return [finding for finding in found if finding]


def facts(m: ReportData) -> list[tuple[str, str]]:
    """The study in a few numbers. Patients are not summed over datasets, which may be of the same people."""
    runs = [d for d in m.documents("run")]
    hours = m.table("costs")
    spent = hours[hours.what.isin(["student", "classifier"])].hours.sum() if len(hours) else 0.0
    given = [
        (
            f"{images:,}",
            f"images of {count(patients, 'patient')}"
            + (f", {dataset_title(name)}" if len(m.sizes) > 1 else ""),
        )
        for name, (images, patients) in m.sizes.items()
    ]
    given.append((f"{len(runs):,}", "runs"))
    return given + ([(f"{spent:,.1f}", "hours of training")] if spent else [])


def page(m: ReportData, code: str) -> str:
    """The whole page; deterministic for the same material."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    s = m.settings
    names = listing([dataset_title(name) for name in m.datasets])
    return environment.get_template("page.html").render(
        title=s["title"],
        subtitle=f"{s['teacher']['name']} distilled into DenseNet-169: {names}; {count(len(s['distillation']['losses']), 'loss', 'losses')}, "
        f"{count(len(s['classification']['seeds']), 'seed')}.",
        synthetic=bool(s["synthetic"]),
        facts=facts(m),
        findings=findings(m),
        sections=all_sections(m, code),
        style=Markup((HERE / "page.css").read_text()),
        script=Markup((HERE / "page.js").read_text()),
    )
