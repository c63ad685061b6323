"""Methods in a paragraph, and the works that it cites, as the settings of the study have them."""

from __future__ import annotations

from pathlib import Path

from cxrfmkd.report import prose
from cxrfmkd.report.data import ReportData
from cxrfmkd.vocabulary.backbones import STUDENT
from cxrfmkd.vocabulary.titles import attribute_words

WORKS = Path(__file__).parent / "references.bib"
BIBTEX = {
    entry[entry.index("{") + 1 : entry.index(",")]: entry.strip()
    for entry in WORKS.read_text(encoding="utf-8").split("\n\n")
}
READERS = {
    "chexpert": "irvin2019",
    "mimic-cxr": "johnson2019",
    "nih-cxr14": "wang2017",
    "biomedia": "irvin2019",
}
ADJUSTMENTS = {
    "fdr_by": "Benjamini and Yekutieli",
    "fdr_bh": "Benjamini and Hochberg",
    "holm": "Holm",
    "none": "none",
}


BALANCED = {"weights": "weighted", "draws": "resampled"}


def cited(data: ReportData) -> list[str]:
    """Keys of the works that the paragraph cites, in order."""
    settings = data.settings
    keys = []
    if not any(d["teacher"].get("variant") == "demo" for d in settings["datasets"].values()):
        keys.append("sellergren2022")
    if STUDENT in settings["distillation"]["backbones"]:
        keys.append("huang2017")
    if not settings["synthetic"]:
        keys += [READERS.get(settings["datasets"][name]["adapter"], "") for name in data.datasets]
    if data.balanced or len(data.table("scores")):
        keys.append("glocker2023")
    if settings["evaluation"]["adjustment"] == "fdr_by" or len(data.table("scores")):
        keys.append("benjamini2001")
    return list(dict.fromkeys(key for key in [*keys, "molder2021"] if key))


def bibtex(data: ReportData) -> str:
    """The cited works as BibTeX."""
    return "\n\n".join(BIBTEX[key] for key in cited(data))


def paragraph(data: ReportData) -> str:
    """The methods as a paper would have them; every number is of the settings."""
    s, keys = data.settings, cited(data)

    def cite(key: str) -> str:
        return f" [@{key}]" if key in keys else ""

    sources = [s["datasets"][name] for name in data.datasets]
    works = [
        f", {prose.reading(source)}" if source["pool"] else cite(READERS.get(source["adapter"], ""))
        for source in sources
    ]
    sizes = prose.listing(
        f"{prose.dataset_names([name])}{work}"
        + (
            f" ({prose.count(data.sizes[name][0], 'image')} of "
            f"{prose.count(data.sizes[name][1], 'patient')})"
            if name in data.sizes
            else ""
        )
        for name, work in zip(data.datasets, works, strict=True)
    )
    distillation, evaluation, probe = s["distillation"], s["evaluation"], s["probe"]
    sentences = [
        f"We used {sizes}, divided by patient into training, validation and test sets, at "
        f"{s['images']['size']} x {s['images']['size']} pixels."
    ]
    if distillation["datasets"]:
        losses = prose.loss_names(distillation["losses"])
        students = prose.backbone_names(distillation["backbones"])
        sentences.append(
            f"{students}{cite('huang2017')} ({_initial(s['network']['weights'])}) was trained on "
            f"images of {prose.dataset_names(distillation['datasets'])} to reproduce the "
            f"embeddings of {prose.teacher_names(s)}{cite('sellergren2022')} ({losses}; "
            f"{prose.count(len(distillation['seeds']), 'seed')}, at most "
            f"{prose.count(distillation['epochs'], 'epoch')}, batches of "
            f"{distillation['batch_size']}, learning rate {distillation['learning_rate']:g}); "
            f"{_selected(s)}."
        )
    sentences.append(
        f"Classifiers of {prose.count(len(data.findings.names), 'finding')} were linear probes "
        f"({probe['protocol'].replace('-', ' ')}) and full fine-tunes, "
        f"{prose.count(len(s['classification']['seeds']), 'seed')} each; "
        f"{_counted(s['labels'])}."
    )
    sentences += _absent_findings(data)
    # The bias analysis adjusts by the method of the cited work, whatever the evaluation's is.
    method, work = evaluation["adjustment"], cite("benjamini2001")
    adjusted = (
        "not adjusted" if method == "none" else f"adjusted by the method of {ADJUSTMENTS[method]}"
    )
    unit = "patients" if evaluation["unit"] == "patient" else "rows"
    seeds = " and on the variance over seeds" * (len(s["classification"]["seeds"]) > 1)
    sentences.append(
        f"Intervals of {100 * evaluation['confidence']:.0f} % rest on "
        f"{prose.count(evaluation['replicates'], 'bootstrap replicate')} over {unit}{seeds}; "
        f"differences are paired on the same replicates, and their p-values {adjusted}"
        f"{work if method == 'fdr_by' else ''}."
    )
    sentences += [
        f"The test sets of {prose.dataset_names(names)} were also {BALANCED[method]} to equal "
        f"shares of {balanced_by(s)}, prevalence and ages{cite('glocker2023')}."
        for method, names in _balanced(data).items()
    ]
    if len(data.table("scores")):
        bias = s["bias"]
        sentences.append(
            f"What embeddings reveal of {prose.listing(_analysed(data))} was tested by "
            f"Kolmogorov-Smirnov tests{'' if method == 'fdr_by' else work} along the first "
            f"{prose.count(bias['modes'], 'PCA mode')} and compared with "
            f"{prose.count(bias['permutations'], 'permutation')} of patients."
        )
    sentences.append(
        f"Groups of fewer than {evaluation['minimum_cell']} patients are not reported. The "
        f"analysis is a Snakemake workflow{cite('molder2021')}, cxr-fmkd."
    )
    return " ".join(sentences)


def balanced_by(settings: dict) -> str:
    """Whose groups have equal shares of the resampled test set."""
    by = settings["resampling"]["by"]
    return "races" if by == "race" else f"groups by {attribute_words(by)}"


def made_equal(data: ReportData) -> str:
    """What was done to the images of the resampled test sets."""
    return " or ".join("drawn" if method == "draws" else "weighted" for method in _balanced(data))


def _analysed(data: ReportData) -> list[str]:
    """Attributes whose traces in embeddings were looked for on some dataset."""
    asked = {name for dataset in data.trained for name in data.attributes[dataset]["bias"]}
    return [name for name in data.settings["bias"]["attributes"] if name in asked]


def _initial(weights: str) -> str:
    return "from random weights" if weights == "none" else f"from {weights} weights"


def _selected(settings: dict) -> str:
    """What of the students was selected, and on which images."""
    distillation, epoch = settings["distillation"], "the epoch was selected on validation images"
    one_student = settings["classification"]["student"] == "selected"
    if not one_student or len(distillation["seeds"]) == 1:
        return epoch
    if distillation["select_on"] == "test":
        return f"{epoch}, the seed on the distillation’s test part"
    return "the epoch and the seed were selected on validation images"


def _counted(labels: dict) -> str:
    """What became of uncertain labels and of blank ones."""
    kinds: dict[str, list[str]] = {}
    for kind in ("uncertain", "blank"):
        kinds.setdefault(labels[kind], []).append(kind)
    return prose.listing(
        f"{prose.listing(kinds[policy])} labels "
        f"{'were left out' if policy == 'ignore' else f'counted as {policy}'}"
        for policy in kinds
    )


def _balanced(data: ReportData) -> dict[str, list[str]]:
    """The datasets with a resampled test set, by how it was made."""
    study = data.settings["resampling"]["method"]
    methods: dict[str, list[str]] = {}
    for name in data.balanced:
        own = data.settings["datasets"][name]["resampling"]
        methods.setdefault(own or study, []).append(name)
    return methods


def _absent_findings(data: ReportData) -> list[str]:
    """What datasets know nothing of, and what direct transfer is then measured on."""
    has = data.findings_of
    sentences = [
        f"{prose.dataset_names([name])} says nothing of {prose.listing(absent)}: these take no "
        "part there, in no loss, metric or average."
        for name, known in has.items()
        if (absent := [finding for finding in data.findings.names if finding not in known])
    ]
    pairs = data.settings["transfer"]["pairs"] if has else []
    for source, target in pairs:
        shared = [finding for finding in has[target] if finding in has[source]]
        if len(shared) < len(has[target]):
            sentences.append(
                f"Direct transfer from {prose.dataset_names([source])} to "
                f"{prose.dataset_names([target])}, and its averages, are of the "
                f"{prose.count(len(shared), 'finding')} that both have ({prose.listing(shared)})."
            )
    return sentences
