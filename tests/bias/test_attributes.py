"""Attributes of a study's own in the bias analysis: comparisons, families, null, small studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_embeddings import equal_weights, make_embeddings, make_records
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from cxrfmkd.bias.analysis import analyse
from cxrfmkd.bias.design import build_design
from cxrfmkd.bias.projection import fit_pca
from cxrfmkd.bias.summary import combine
from cxrfmkd.networks.layers import HeadInput
from cxrfmkd.study.attributes import resolve
from cxrfmkd.study.settings import AttributeSection, Bias
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.attributes import drawn_by

SECTIONS = {
    "insurance": {
        "values": ["Private", "Medicare", "Medicaid"],
        "comparisons": [["Private", "Medicare"], ["Medicaid", "others"]],
    },
    "bmi": {"edges": [25, 30]},
    "scanner": {"values": ["Agfa", "Siemens"]},
}
ATTRIBUTES = resolve(
    {name: AttributeSection.read(section) for name, section in SECTIONS.items()}, THESIS.names
)
SETTINGS = Bias(
    attributes=["sex", "race", "insurance", "bmi", "scanner"],
    simulations=0,
    permutations=60,
    replicates=10,
    tsne_points=0,
)


def patients_records(patients: int = 150) -> pd.DataFrame:
    records = make_records(patients)
    rng = np.random.default_rng(5)
    owner = pd.factorize(records.patient_id)[0]
    payers = rng.choice(["Private", "Medicare", "Medicaid"], patients)[owner]
    return records.assign(
        insurance=payers,
        bmi=rng.normal(27, 4, patients)[owner].round(1).astype(str),
        scanner=rng.choice(["Agfa", "Siemens"], len(records)),
    )


def run(records: pd.DataFrame, embeddings, settings: Bias = SETTINGS) -> dict[str, pd.DataFrame]:
    return analyse(
        [HeadInput(embeddings, None)],
        embeddings,
        records,
        equal_weights(records),
        settings,
        dataset="ward",
        model="cxr-fm-lp",
        seeds=[41],
        attributes=ATTRIBUTES,
    )


@pytest.fixture(scope="module")
def planted() -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Embeddings in which Medicaid shows, and nothing else."""
    records = patients_records()
    embeddings = make_embeddings(records, planted={("insurance", "Medicaid"): 2.0})
    return records, run(records, embeddings)


def test_one_group_against_all_others_is_tested_as_by_scipy(planted):
    records, tables = planted
    embeddings = make_embeddings(records, planted={("insurance", "Medicaid"): 2.0})
    scores = fit_pca(embeddings.data, 0.99, 4).scores(embeddings.data, 4)
    ks = tables["ks"][tables["ks"]["sample"] == "all"]
    own = ks[ks.attribute == "insurance"].sort_values(["mode", "a"])
    assert set(zip(own.a, own.b, strict=True)) == {("Private", "Medicare"), ("Medicaid", "others")}
    expected = []
    for mode in range(4):
        for a, b in (("Medicaid", None), ("Private", "Medicare")):
            first = records.insurance.eq(a)
            second = ~first if b is None else records.insurance.eq(b)
            expected.append(
                stats.ks_2samp(scores[first, mode], scores[second, mode], method="exact")
            )
    np.testing.assert_allclose(own.d, [test.statistic for test in expected], atol=1e-12)
    p = [test.pvalue for test in expected]
    np.testing.assert_allclose(own.p, p, rtol=1e-9)
    # A family of its own: adjusted among these eight tests alone.
    np.testing.assert_allclose(own.p_adjusted, multipletests(p, method="fdr_by")[1], rtol=1e-9)


def test_the_thesis_score_is_not_moved_by_other_attributes(planted):
    records, tables = planted
    embeddings = make_embeddings(records, planted={("insurance", "Medicaid"): 2.0})
    alone = run(records, embeddings, SETTINGS.model_copy(update={"attributes": ["sex", "race"]}))
    keys = ["sample", "form", "attribute"]
    both = alone["score"].merge(tables["score"], on=keys, suffixes=("", "_with"))
    assert len(both) == len(alone["score"])
    np.testing.assert_array_equal(both.score, both.score_with)


def test_only_attributes_of_patients_are_exchanged_and_what_was_planted_is_found(planted):
    _, tables = planted
    null = tables["null"].set_index(["form", "attribute"])
    assert {"insurance", "bmi"} <= set(null.index.get_level_values(1))
    assert "scanner" not in null.index.get_level_values(1)
    assert null.loc[("distance", "insurance"), "p"] < 0.02  # 1 / 61 at the least
    assert null.loc[("distance", "bmi"), "p"] > 0.02


def test_probes_tell_each_group_from_the_others(planted):
    records, tables = planted
    encoding = tables["encoding"].set_index(["attribute", "group", "given"])
    area = encoding.loc[("insurance", "Medicaid", "")].auc
    embeddings = make_embeddings(records, planted={("insurance", "Medicaid"): 2.0})
    # The planted direction alone: no probe can do much better.
    truth = records.insurance == "Medicaid"
    assert area == pytest.approx(roc_auc_score(truth, embeddings.data[:, 0]), abs=0.04)
    assert encoding.loc[("scanner", "Siemens", "")].auc == pytest.approx(0.5, abs=0.12)


def test_the_summary_has_columns_of_each_declared_attribute(planted, tmp_path):
    _, tables = planted
    names = {"scores": "score", "nulls": "null", "encodings": "encoding", "effects": "effects"}
    paths = {}
    for name, table in names.items():
        tables[table].to_csv(tmp_path / f"{table}.csv", index=False)
        paths[name] = [tmp_path / f"{table}.csv"]
    row = combine(paths, ["cxr-fm-lp"], ATTRIBUTES).iloc[0]
    score = tables["score"].set_index(["sample", "form", "attribute"]).score
    assert row.score_insurance == pytest.approx(score["main", "normalised", "insurance"])
    assert row.distance_p_insurance < 0.02
    assert row.auc_insurance > row.auc_bmi
    assert row.scored == "race, sex"


@pytest.mark.parametrize("attributes", [["insurance"], ["bmi", "scanner"], ["age"]])
def test_without_race_and_sex_samples_have_as_many_of_another_attribute(attributes):
    records = patients_records().assign(race=None, sex=None)
    settings = SETTINGS.model_copy(update={"attributes": attributes})
    design = build_design("ward", records, equal_weights(records), settings, attributes=ATTRIBUTES)
    assert drawn_by(attributes, False) == attributes[0]
    sizes = {len(members) for members in design.pool.members}
    assert len(design.pool.names) == len(ATTRIBUTES[attributes[0]].groups)
    assert design.pool.size == min(sizes)
    assert "combined" not in set(
        run(records, make_embeddings(records), settings)["score"].attribute
    )


def test_groups_of_few_patients_are_blank_lines():
    records = patients_records(16)
    tables = run(records, make_embeddings(records))
    ks = tables["ks"]
    assert set(ks.attribute) >= {"insurance", "bmi", "scanner", "race", "sex"}
    assert ks[ks.attribute == "insurance"].d.isna().all()
    assert tables["encoding"].query("attribute == 'insurance'").auc.isna().all()
