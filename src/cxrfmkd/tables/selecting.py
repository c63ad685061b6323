"""Which rows of the study's tables a reader is shown, and in what order: for figures and report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.backbones import probed_teacher, split_student
from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.losses import LOSS_TITLES, split_control
from cxrfmkd.vocabulary.metrics import METRICS
from cxrfmkd.vocabulary.models import MODELS, STRATEGIES, split_model

HEADLINE_METRIC = "auc_roc"
SIGNIFICANCE = 0.05  # adjusted p-values below it are called significant
# The order of a column's values, where it is not the alphabet's.
ORDERS = {
    "strategy": ["own", *STRATEGIES],
    "model": list(MODELS),
    "loss": ["", *LOSS_TITLES],
    "population": ["resampled", "natural"],
    "metric": list(METRICS),
}
FAMILY_NAME = re.compile(r"(?P<strategy>[^/]+)/(?P<model>[^@]+)@(?P<source>.+)")


def where(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Rows of `table` whose columns have these values; a list or tuple allows each of its items."""
    for column, value in values.items():
        allowed = value if isinstance(value, list | tuple) else [value]
        table = table[table[column].isin(allowed)]
    return table


def in_order(table: pd.DataFrame, by: Sequence[str], findings: Findings = THESIS) -> pd.DataFrame:
    """`table` sorted by the columns `by`, each in the study's order, unlisted values last."""
    orders = ORDERS | {"finding": [*findings.by_relevance, *findings.means]}

    def rank(column: pd.Series) -> pd.Series:
        order = orders.get(str(column.name), [])
        values = [*order, *sorted(set(column.astype(str)) - set(order))]
        return column.astype(str).map({value: i for i, value in enumerate(values)})

    return table.sort_values(list(by), key=rank, kind="stable", ignore_index=True)


def of_each_teacher(quality: dict) -> list[dict]:
    """The parts of a `quality.json` that tell of one teacher each; the first is the whole."""
    return [quality, *quality.get("teachers", {}).values()]


def averaged(findings: Findings) -> str:
    """In words, the findings whose mean performance is held against bias."""
    if findings.is_thesis:
        return "the seven most relevant findings"
    return "all findings" if findings.headline == MACRO else f"the group {findings.headline}"


def main_population(table: pd.DataFrame) -> str:
    """The population that figures and text lead with: the resampled one where there is one."""
    return "resampled" if (table.population == "resampled").any() else "natural"


def in_main_population(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the main population of each dataset."""
    resampled = table.population.eq("resampled").groupby(table.dataset).transform("any")
    return table[table.population == resampled.map({True: "resampled", False: "natural"})]


def native(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Rows of the models that were trained on the dataset on which they are tested."""
    return where(table, dataset=dataset, strategy="own")


def transferred(summary: pd.DataFrame, source: str, target: str) -> pd.DataFrame:
    """Macro averages on the target in its main population, by strategy.

    Of the source's models, and below them of the same models trained on the target itself.
    """
    table = in_main_population(where(summary, dataset=target, finding=MACRO))
    moved = where(table, source=source, strategy=STRATEGIES)
    models = moved[["model", "loss"]].drop_duplicates()
    return pd.concat([moved, where(table, strategy="own").merge(models)])


def single_attributes(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of groups by one attribute, without those by two at once."""
    return table[~table.attribute.str.contains(" x ", regex=False)]


def loss_order(loss: str) -> tuple[int, str]:
    """Sort key: the plain losses in the vocabulary's order, then the weighted by share of MSE."""
    order = ORDERS["loss"]
    return (order.index(loss) if loss in order else len(order), loss)


def ordered_models(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Distinct (model, loss) pairs in the order of the vocabulary."""
    return sorted(set(pairs), key=lambda pair: (list(MODELS).index(pair[0]), loss_order(pair[1])))


def models_in(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Distinct (model, loss) pairs of `table` in the order of the vocabulary."""
    return ordered_models(zip(table.model, table.loss, strict=True))


def aligned(table: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """One row of `table` for every (model, loss) pair, in that order; NaN where it has none."""
    index = pd.MultiIndex.from_tuples(pairs, names=["model", "loss"])
    return table.set_index(["model", "loss"]).reindex(index).reset_index()


def losses_of(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """The losses of `pairs` where there is more than one to tell apart, else none.

    Probes on further teachers, which have these in the place of a loss, are always told apart.
    """
    losses = sorted({loss for _, loss in pairs if loss}, key=loss_order)
    return losses if len(losses) > 1 or any(map(probed_teacher, losses)) else []


def ranked_models(summary: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Macro AUC-ROC of the dataset's own models in the main population, best first.

    The best is the best on validation images: the test set chooses nothing.
    """
    table = in_main_population(native(summary, dataset))
    table = where(table, finding=MACRO, metric=HEADLINE_METRIC)
    return table[table["mean"].notna()].sort_values("validation", ascending=False, kind="stable")


def distilled(models: pd.DataFrame) -> pd.DataFrame:
    """Rows of students of the teacher, without those of controls."""
    of_teacher = [bool(split_student(x)[0]) and not split_control(x)[1] for x in models.loss]
    return models[np.array(of_teacher, bool)]


def family_name_parts(name: str) -> tuple[str, str, str, str]:
    """`own/cxr-fmkd-lp.mse@mimic` -> (strategy, model, loss, source)."""
    if match := FAMILY_NAME.fullmatch(name):
        return (match["strategy"], *split_model(match["model"]), match["source"])
    return ("", name, "", "")


def comparisons_by_model(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Comparisons with `strategy`, `model` and `loss` of the compared family in columns.

    `reference` is the wildcard of the model that it is compared with; `kind` says why that one.
    """
    families = [family_name_parts(name) for name in comparisons.model_a]
    references = [family_name_parts(name) for name in comparisons.model_b]
    return comparisons.assign(
        kind=[name.partition(":")[0] for name in comparisons.family],
        strategy=[strategy for strategy, *_ in families],
        model=[model for _, model, *_ in families],
        loss=[loss for _, _, loss, _ in families],
        reference=[f"{model}.{loss}".rstrip(".") for _, model, loss, _ in references],
    )
