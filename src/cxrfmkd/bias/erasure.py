"""Use against encoding: what a probe's predictions lose when an attribute is erased.

And whether what tells an attribute on one dataset tells it on another.

The head of a linear probe is applied to its input as it is, and to the input from which an
attribute has been erased linearly (`statistics.erasure`), fitted on training images. It is not
trained again: the question is what the given classifier uses, and the erasure is the smallest
change that removes the attribute, so that whatever the head does not use stays as it was. Any
erasure takes directions away, those of groups drawn by chance too; what that alone does is measured
beside, with the groups exchanged among the training patients.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from cxrfmkd.bias.encoding import linear_scores, mean_area
from cxrfmkd.bias.grouping import codes_of
from cxrfmkd.datasets.disclosure import Disclosure, disclosure
from cxrfmkd.datasets.records import findings_of, targets
from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.evaluation.comparisons import difference_columns, paired_errors
from cxrfmkd.evaluation.metrics import metrics_and_thresholds
from cxrfmkd.evaluation.subgroups import EVERYONE, Cells, PatientGroups, count_cells
from cxrfmkd.networks.layers import Linear
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.erasure import fit_eraser, moments
from cxrfmkd.statistics.multiple import adjust_by_family
from cxrfmkd.statistics.sweep import ROC_AREA
from cxrfmkd.statistics.uncertainty import paired_seed_variance
from cxrfmkd.study.settings import Erasure, Findings, Labels
from cxrfmkd.vocabulary.attributes import PRESETS, Attribute, Attributes
from cxrfmkd.vocabulary.findings import MACRO

SHUFFLES = 5  # of the groups among patients
PLAIN = ("auc_roc", "tpr", "fpr")
# Of all patients, and gaps between the groups of the erased attribute.
MEASURES = (*PLAIN, *(f"gap_{name}" for name in PLAIN))
ERASURE_COLUMNS = (
    "dataset model erased measure finding before after difference low high chance p p_adjusted "
    "n_seeds"
).split()
AREA_COLUMNS = "target attribute group auc low high n_seeds".split()
TRANSFER_COLUMNS = ["dataset", "model", *AREA_COLUMNS]


class Inputs(NamedTuple):
    """What one seed's head gets of the images of each split, float32 (n, width), and the head.

    elsewhere: of the test images of other datasets, by name.
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    elsewhere: Mapping[str, np.ndarray]
    head: Linear


@dataclass(frozen=True)
class Splits:
    """Records of each split, in the order of `Inputs`; elsewhere: test records, by dataset."""

    train: pd.DataFrame
    val: pd.DataFrame
    test: pd.DataFrame
    elsewhere: Mapping[str, pd.DataFrame]


def erasure_tables(
    inputs: Iterable[Inputs],
    splits: Splits,
    settings: Erasure,
    labels: Labels,
    attributes: Attributes = PRESETS,
) -> dict[str, pd.DataFrame]:
    """Tables `erasure` and `attributes` (docs/bias.md), of the mean over seeds.

    inputs: of each seed, or one alone if it is the same for all. attributes: of the study.
    """
    values: dict[str, list[np.ndarray]] = {name: [] for name in settings.attributes}
    by_chance: dict[str, list[np.ndarray]] = {name: [] for name in settings.attributes}
    areas: dict[tuple[str, str, str], list[np.ndarray]] = {}
    truth = targets(splits.test, labels.uncertain, labels.blank).astype(float)
    disclosed = disclosure(
        splits.test, settings.minimum_cell, labels.uncertain, labels.blank, attributes
    )
    cells, samples, groups = {}, {}, {}
    for name in settings.attributes:
        cells[name] = _cells(splits.test, truth, attributes[name], settings, disclosed)
        samples[name] = _sample(splits.test, truth, cells[name], settings)
        codes = codes_of(splits.train, attributes[name])
        groups[name] = [codes, *_shuffled(codes, splits.train, settings.seed)]
    former: np.ndarray | None = None
    for seed in inputs:
        if seed.train is not former:
            of_train, former = moments(seed.train), seed.train
        cut = _thresholds(seed, splits.val, settings, labels)
        for attribute in settings.attributes:
            erasers = [fit_eraser(seed.train, codes, of_train) for codes in groups[attribute]]
            sample = samples[attribute]
            before, after = (
                _measure(sample, seed.head(test), cut)
                for test in (seed.test, erasers[0](seed.test))
            )
            values[attribute].append(np.stack([before, after]))
            once = replace(sample, replicates=0)
            for eraser in erasers[1:]:
                after = _measure(once, seed.head(eraser(seed.test)), cut)
                by_chance[attribute].append(np.stack([before[:, :1], after]))
            told = _areas(seed, groups[attribute][0], attributes[attribute], splits, settings)
            for key, area in told.items():
                areas.setdefault(key, []).append(area)
    erased = [
        _erasure(name, np.array(values[name]), np.array(by_chance[name]), cells[name], settings)
        for name in settings.attributes
    ]
    table = pd.concat(erased, ignore_index=True) if erased else pd.DataFrame()
    if len(table):
        table = adjust_by_family(table, ["erased", "measure"], settings.adjustment)
    rows = [
        (*key, *mean_area(by_seed, settings.confidence), len(by_seed))
        for key, by_seed in areas.items()
    ]
    return {
        "erasure": table.reindex(columns=ERASURE_COLUMNS),
        "attributes": pd.DataFrame(rows, columns=AREA_COLUMNS).reindex(columns=TRANSFER_COLUMNS),
    }


def _shuffled(codes: np.ndarray, records: pd.DataFrame, seed: int) -> list[np.ndarray]:
    """The groups exchanged among patients, SHUFFLES times; a first image has its group."""
    patients, labels = pd.factorize(records.patient_id)
    of_patient = codes[np.unique(patients, return_index=True)[1]]
    rng = np.random.default_rng(seed)
    return [of_patient[rng.permutation(len(labels))][patients] for _ in range(SHUFFLES)]


def _groups(records: pd.DataFrame, attribute: Attribute) -> PatientGroups:
    """Everyone, and the groups of one attribute as the bias analysis has them."""
    codes = codes_of(records, attribute).astype(np.int16)
    both = np.stack([np.zeros(len(codes), np.int16), np.where(codes >= 0, codes + 1, -1)], axis=1)
    names = attribute.groups
    of_groups = [EVERYONE, *[attribute.name] * len(names)]
    return PatientGroups(both, of_groups, [EVERYONE, *names], binned_ages=False)


def _cells(
    test: pd.DataFrame,
    truth: np.ndarray,
    attribute: Attribute,
    settings: Erasure,
    disclosed: Disclosure,
) -> Cells:
    patients, weights = test.patient_id.to_numpy(), np.ones(len(test))
    groups = _groups(test, attribute)
    counted = truth, patients, weights, groups
    findings = Findings(names=list(findings_of(test)))
    return count_cells(*counted, settings.minimum_cell, disclosed, findings)


def _sample(test: pd.DataFrame, truth: np.ndarray, cells: Cells, settings: Erasure) -> Sample:
    patients, weights = test.patient_id.to_numpy(), np.ones(len(test))
    bootstrap = settings.replicates, "patient", settings.seed
    return Sample(truth, patients, weights, cells.groups.codes, *bootstrap, cells.detail())


def _thresholds(seed: Inputs, val: pd.DataFrame, settings: Erasure, labels: Labels) -> np.ndarray:
    """Each finding's threshold from validation images, before anything is erased, (f, 1)."""
    truth = targets(val, labels.uncertain, labels.blank).astype(float)
    _, cut = metrics_and_thresholds(truth, seed.head(seed.val), None, settings.target_fpr)
    return cut[:, None]


def _measure(sample: Sample, logits: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """The plain measures of MEASURES in every group, (measures, 1 + replicates, f, groups)."""
    found = sample.measure(logits, cut)
    return np.stack([found.metrics[:, ROC_AREA], found.tpr[:, 0], found.fpr[:, 0]])


def _erasure(
    attribute: str, values: np.ndarray, by_chance: np.ndarray, cells: Cells, settings: Erasure
) -> pd.DataFrame:
    """Rows of one attribute, of the mean over seeds.

    values: (seeds, before and after, measures, 1 + replicates, f, groups); by_chance: of shuffled
    groups, one for each seed and shuffle, without replicates.
    """
    both = _with_gaps(values, cells)
    by_seed = both[:, 1] - both[:, 0]
    by_seed = np.moveaxis(by_seed, 2, 1)  # replicates before measures
    difference, seeds = by_seed.mean(axis=0), paired_seed_variance(by_seed)
    means = both[:, :, :, 0].mean(axis=0)
    chance = _with_gaps(by_chance, cells)[:, :, :, 0]
    table = long(
        {"measure": MEASURES, "finding": (*cells.findings.names, MACRO)},
        before=means[0],
        after=means[1],
        chance=(chance[:, 1] - chance[:, 0]).mean(axis=0),
        **difference_columns(difference[0], paired_errors(difference, seeds), settings.confidence),
    )
    return table.assign(erased=attribute, n_seeds=len(values))


def _with_gaps(values: np.ndarray, cells: Cells) -> np.ndarray:
    """MEASURES of every finding and their mean, (seeds, 2, 6, 1 + replicates, f + 1).

    values: as for `_erasure`. Blank where a group, or its count of a finding, is hidden; the mean
    is of the findings that are shown.
    """
    secret = cells.hidden_counts[1]
    hidden = np.stack([cells.hidden(name) | secret for name in PLAIN])
    shown = np.where(hidden[:, None], np.nan, values)
    groups = shown[..., 1:]
    few = np.isnan(groups[..., :1, :, :]).any(axis=-1)  # a gap of some groups is another gap
    gaps = np.where(few, np.nan, groups.max(axis=-1) - groups.min(axis=-1))
    both = np.concatenate([shown[..., 0], gaps], axis=2)
    return np.concatenate([both, _mean_of_shown(both)], axis=-1)


def _mean_of_shown(both: np.ndarray) -> np.ndarray:
    """Mean over the findings whose value is defined on the sample, (..., 1)."""
    kept = ~np.isnan(both[:, :, :, :1]).any(axis=(0, 1), keepdims=True)
    total = np.where(kept, both, 0).sum(axis=-1, keepdims=True)
    count = kept.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, total / count, np.nan)


def _areas(
    seed: Inputs, codes: np.ndarray, attribute: Attribute, splits: Splits, settings: Erasure
) -> dict[tuple[str, str, str], np.ndarray]:
    """Areas of linear probes for each group, fitted on training images: (1 + replicates,).

    By dataset of the test images (blank for the own), attribute and group. Of two groups one tells
    the other's.
    """
    names = attribute.groups
    probed = [code for code in range(len(names)) if len(names) > 2 or code == 1]
    member = np.where(codes[:, None] < 0, np.nan, codes[:, None] == np.array(probed))
    areas = {}
    tests = {"": (seed.test, splits.test)}
    tests |= {name: (seed.elsewhere[name], splits.elsewhere[name]) for name in seed.elsewhere}
    scores = linear_scores(seed.train, member, [values for values, _ in tests.values()])
    for (name, (_, records)), of_test in zip(tests.items(), scores, strict=True):
        groups = codes_of(records, attribute)
        # A group that training images cannot tell has no score.
        unknown = (groups[:, None] < 0) | np.isnan(of_test)
        truth = np.where(unknown, np.nan, groups[:, None] == np.array(probed))
        patients = records.patient_id.to_numpy()
        everyone = np.zeros((len(records), 1), np.int64)
        bootstrap = settings.replicates, "patient", settings.seed
        sample = Sample(truth, patients, np.ones(len(records)), everyone, *bootstrap)
        found = sample.measure(of_test).metrics[:, ROC_AREA, :, 0]
        for column, code in enumerate(probed):
            sides = [patients[truth[:, column] == side] for side in (1, 0)]
            few = min(len(np.unique(side)) for side in sides) < settings.minimum_cell
            area = np.full(len(found), np.nan) if few else found[:, column]
            areas[name, attribute.name, names[code]] = area
    return areas
