"""The main results in sentences that are computed from the tables and carry their intervals."""

from __future__ import annotations

from cxrfmkd.report import bias_sentences as bias
from cxrfmkd.report import performance_sentences as performance
from cxrfmkd.report.data import ReportData
from cxrfmkd.report.prose import Headline


def headlines(data: ReportData) -> list[Headline]:
    """Every headline that the study has numbers for; first, what distillation gains and loses."""
    summary, comparisons = data.table("summary"), data.table("comparisons")
    quality, scores = data.documents("quality"), data.table("scores")
    settings, confidence = data.settings, data.settings["evaluation"]["confidence"]
    candidates = [performance.gain(summary, comparisons, name, confidence) for name in data.trained]
    for name, generated in settings["synthetic"].items():
        candidates.append(bias.planted(scores, name, generated.get("traces", {})))
    for name in settings["distillation"]["datasets"]:
        candidates.append(performance.distillation(quality, name))
    for name in data.trained:
        candidates.append(performance.performance(summary, name, confidence))
        candidates.append(performance.losses(summary, comparisons, name))
    for pair in settings["transfer"]["pairs"]:
        candidates.append(performance.transfer(summary, *pair))
    for name in data.trained:
        candidates.append(bias.subgroups(data.table("gaps"), summary, name, data.findings))
        candidates.append(bias.bias(scores, name, settings["evaluation"]["adjustment"]))
        candidates.append(bias.less_bias(summary, data.table("bias_differences"), name))
        candidates.append(bias.tradeoff(data.table("correlation"), name, data.findings))
    candidates.append(performance.thesis(data.table("against_thesis")))
    return [headline for headline in candidates if headline]
