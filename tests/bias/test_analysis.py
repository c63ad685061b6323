"""The whole analysis: what is planted is tables, what is not is not, and what its tables hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from certificates import rounding
from made_embeddings import equal_weights, make_embeddings, make_records
from safetensors.numpy import save_file
from scipy import stats
from scripts import run_script

from cxrfmkd.bias.analysis import ALL_SEEDS, analyse, select_embeddings
from cxrfmkd.bias.balance import balance_table
from cxrfmkd.bias.design import build_design
from cxrfmkd.bias.summary import combine
from cxrfmkd.datasets.halves import half
from cxrfmkd.datasets.records import complete, write_records
from cxrfmkd.networks.layers import HeadInput
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Bias
from cxrfmkd.vocabulary.findings import FINDINGS

SMALL = Bias(
    attributes=["sex", "race", "age"], simulations=20, permutations=40, replicates=40, tsne_points=0
)
QUICK = {"simulations": 2, "permutations": 2, "replicates": 2}


def _analyse(records, arrays, settings=SMALL, seeds=(41,), weights=None, **others):
    weights = equal_weights(records) if weights is None else weights
    return analyse(
        [HeadInput(array) for array in arrays],
        arrays[0],
        records,
        weights,
        settings,
        dataset="d",
        model="cxr-fm-lp",
        seeds=list(seeds),
        **others,
    )


@pytest.fixture(scope="module")
def planted():
    records = make_records(400)
    return records, _analyse(records, [make_embeddings(records, planted={("sex", "Female"): 0.8})])


def test_planted_sex_is_found_everywhere_and_race_nowhere(planted):
    _, tables = planted
    score = (
        tables["score"]
        .query("sample == 'main' and form == 'normalised'")
        .set_index("attribute")
        .score
    )
    assert score.sex > 25
    assert score.race == 0
    assert score.combined == pytest.approx(score.sex / 2)
    null = tables["null"].set_index(["form", "attribute"])
    for form in ("normalised", "distance", "energy"):
        assert null.p[form, "sex"] == 1 / 41
        assert null.p[form, "race"] > 0.02
    auc = tables["encoding"].set_index(["attribute", "group", "given"])
    assert auc.auc["sex", "Female", ""] > 0.6
    assert auc.auc["race", "Black", ""] == pytest.approx(0.5, abs=0.1)
    assert ((auc.low < auc.auc) & (auc.auc < auc.high)).all()
    assert auc.low["sex", "Female", ""] > 0.5
    assert auc.low["race", "Black", ""] < 0.5 < auc.high["race", "Black", ""]
    whole = (
        tables["effects"].query("mode == 0 and measure == 'D' and a == ''").set_index("attribute")
    )
    assert whole.low.sex > 0.02
    assert whole.low.race == 0


def test_main_tests_are_scipys_on_the_pca_scores_of_the_sample(planted):
    _, tables = planted
    points = tables["points"]
    sample = points[points["sample"]]
    table = tables["ks"].query("sample == 'main'")
    assert len(table) == 4 * (5 + 3)
    for line in table.itertuples():
        values = sample[f"mode_{line.mode}"]
        own = sample[line.attribute]
        expected = stats.ks_2samp(values[own == line.a], values[own == line.b])
        assert line.p == pytest.approx(expected.pvalue, abs=1e-12)
        assert line.d == pytest.approx(expected.statistic, abs=1e-12)
        assert (line.n_a, line.n_b) == ((own == line.a).sum(), (own == line.b).sum())


def test_main_sample_has_equal_races_and_the_thesis_family_is_twenty_tests(planted):
    _, tables = planted
    sample = tables["points"].query("sample")
    assert sample.race.value_counts().nunique() == 1
    family = tables["ks"].query("sample == 'main' and attribute in ['disease', 'race', 'sex']")
    assert len(family) == 20


def test_tables_have_the_documented_columns(planted):
    _, tables = planted
    leading = ["dataset", "model", "seed"]
    expected = {
        "ks": [
            "sample",
            "mode",
            "attribute",
            "a",
            "b",
            "n_a",
            "n_b",
            "d",
            "p",
            "p_adjusted",
            "band",
        ],
        "score": ["sample", "form", "attribute", "score", "low", "high"],
        "effects": ["attribute", "a", "b", "mode", "measure", "estimate", "low", "high"],
        "null": ["form", "attribute", "score", "null_mean", "null_low", "null_high", "z", "p"],
        "encoding": ["attribute", "group", "given", "auc", "low", "high", "n", "n_group"],
        "variance": ["mode", "ratio"],
    }
    for name, columns in expected.items():
        assert list(tables[name])[: 3 + len(columns)] == leading + columns
    assert set(tables["score"]["sample"]) == {
        "main",
        "all",
        "simulation",
        "one per patient",
        "AP",
        "PA",
        "half 1",
        "half 2",
    }
    assert tables["variance"].ratio.sum() >= 0.99


def test_only_the_points_are_row_level(planted):
    records, tables = planted
    for name, table in tables.items():
        text = table.to_csv(index=False)
        assert (name == "points") == any(i in text for i in (records.image_id[0], "image_id"))
        assert "patient" not in text.replace("one per patient", "") or name == "points"


def test_the_same_input_gives_the_same_tables(planted):
    records, tables = planted
    again = _analyse(records, [make_embeddings(records, planted={("sex", "Female"): 0.8})])
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, again[name])


def test_row_order_of_the_array_does_not_matter(planted):
    records, tables = planted
    array = make_embeddings(records, planted={("sex", "Female"): 0.8})
    order = np.random.default_rng(0).permutation(len(array))
    shuffled = KeyedArray(array.data[order], array.index.iloc[order].reset_index(drop=True))
    again = _analyse(records, [shuffled])
    pd.testing.assert_frame_equal(tables["ks"], again["ks"])


def test_without_race_sex_is_scored_alone_under_its_name():
    records = make_records(150, race=False)
    settings = SMALL.model_copy(update=dict(attributes=["sex", "age"], simulations=3))
    tables = _analyse(records, [make_embeddings(records)], settings)
    names = set(tables["score"].attribute)
    assert "combined (sex)" in names
    assert not names & {"combined", "race"}
    assert set(tables["null"].attribute) == {"sex", "combined (sex)"}
    sample = tables["points"].query("sample")
    assert sample.sex.value_counts().nunique() == 1


def test_an_attribute_that_the_dataset_lacks_is_named():
    records = make_records(60, race=False)
    with pytest.raises(InputError, match="no test image has a known race"):
        _analyse(records, [make_embeddings(records)])


def test_small_groups_are_listed_blank_and_take_no_part():
    records = make_records(200)
    records.loc[records.index[8:][records.disease[8:] == "No Finding"], "disease"] = "Other"
    tables = _analyse(
        records, [make_embeddings(records)], SMALL.model_copy(update=dict(simulations=2))
    )
    table = tables["ks"].query("attribute == 'disease'")
    assert table[["n_a", "n_b", "d", "p", "p_adjusted", "band"]].isna().all(axis=None)
    assert len(table.query("sample == 'main'")) == 4
    assert tables["effects"].query("attribute == 'disease'").estimate.isna().all()
    given = tables["encoding"].query("given == 'No Finding'")
    assert given[["auc", "n", "n_group"]].isna().all(axis=None)
    family = tables["ks"].query("sample == 'main' and attribute in ['race', 'sex']")
    expected = stats.false_discovery_control(family.p, method="by")
    np.testing.assert_allclose(family.p_adjusted, expected, rtol=1e-12)


def _with_few(records: pd.DataFrame, attribute: str, group: str, other: str, patients: int):
    """`records` in which only so many patients have the group; the others' are `other`."""
    of_group = records.patient_id[records[attribute] == group].unique()
    moved = records.patient_id.isin(of_group[patients:]) & (records[attribute] == group)
    return records.assign(**{attribute: records[attribute].where(~moved, other)})


def test_small_groups_are_counted_in_patients_not_images():
    records = _with_few(make_records(300, images=(3, 4)), "sex", "Female", "Male", 9)
    assert (records.sex == "Female").sum() == 27
    settings = SMALL.model_copy(update=QUICK)
    tables = _analyse(records, [make_embeddings(records)], settings)
    assert tables["ks"].query("sample == 'all' and attribute == 'sex'").p.isna().all()
    assert tables["effects"].query("attribute == 'sex'").estimate.isna().all()
    assert tables["encoding"].query("attribute == 'sex'").auc.isna().all()
    tested = _analyse(records, [make_embeddings(records)], settings, minimum_cell=9)
    assert tested["ks"].query("sample == 'all' and attribute == 'sex'").p.notna().all()


def test_sizes_from_which_a_small_group_would_follow_are_blank_but_tested():
    records = _with_few(make_records(300), "age_bin", 7, 0, 0)
    records = _with_few(records, "age_bin", 6, 0, 5)
    settings = SMALL.model_copy(update=QUICK)
    tables = _analyse(records, [make_embeddings(records)], settings)
    ages = (
        tables["ks"]
        .query("sample == 'all' and attribute == 'age' and mode == 1")
        .set_index("a b".split())
    )
    assert ages.p.notna().sum() == 1
    assert np.isfinite(ages.p["up to 50", "51-70"])
    assert ages.n_a.isna().all()
    races = tables["ks"].query("sample == 'all' and attribute == 'race'")
    assert races.n_a.notna().all()
    encoding = tables["encoding"].query("attribute == 'age'").set_index(["group", "given"])
    assert encoding.auc.notna()["51-70", ""]
    # The size of "over 70" and that of one other group, of which either may be the one.
    assert encoding.n_group.xs("", level="given").isna().sum() == 2
    assert encoding.auc.isna()["over 70", ""]
    assert encoding.n_group.isna()["over 70", ""]


def test_a_handful_of_images_has_tables_without_numbers(tmp_path):
    records = make_records(12, seed=3)
    tables = _analyse(
        records, [make_embeddings(records)], SMALL.model_copy(update=dict(simulations=3))
    )
    assert tables["ks"].query("attribute == 'race'").n_a.isna().all()
    assert tables["score"].query("attribute == 'race'").empty
    assert np.isnan(_summary(tables, tmp_path).score_race)


def _summary(tables: dict[str, pd.DataFrame], folder: Path) -> pd.Series:
    """The one row of `scores.csv`."""
    parts = {"scores": "score", "nulls": "null", "encodings": "encoding", "effects": "effects"}
    paths = {name: [folder / f"{part}.csv"] for name, part in parts.items()}
    for name, part in parts.items():
        tables[part].to_csv(paths[name][0], index=False)
    [(_, row)] = combine(paths, ["cxr-fm-lp"]).iterrows()
    return row


@pytest.mark.parametrize(
    ("races", "combined"), [(["White", "Asian"], "combined"), (["White"], "combined (sex)")]
)
def test_a_part_that_lacks_a_test_has_no_combined_score(races, combined, tmp_path):
    """All Black patients are in one half; the other's score is of other races, or of sex alone."""
    records = make_records(300)
    other_half = half(records.patient_id) == 1
    records["race"] = records.race.where(records.race.isin([*races, "Black"]), "White")
    records["race"] = records.race.mask(other_half & (records.race == "Black"), "White")
    settings = SMALL.model_copy(update=QUICK)
    tables = _analyse(records, [make_embeddings(records)], settings)
    of_half = tables["score"].query("sample == 'half 2' and form == 'normalised'")
    assert combined in set(of_half.attribute)
    row = _summary(tables, tmp_path)
    assert row.scored == "race, sex"
    assert np.isnan(row.score_half_2)
    assert row[["score", "score_all", "score_ap", "score_half_1"]].notna().all()


def test_one_embedding_for_all_seeds_has_one_label_and_any_other_number_is_refused():
    records = make_records(60)
    array = make_embeddings(records)
    settings = SMALL.model_copy(update=dict(simulations=0, permutations=0, replicates=0))
    tables = _analyse(records, [array], settings, seeds=(41, 42))
    assert set(tables["ks"].seed) == {ALL_SEEDS}
    assert tables["null"].empty
    assert tables["effects"].low.isna().all()
    both = _analyse(records, [array, make_embeddings(records, seed=1)], settings, seeds=(41, 42))
    assert set(both["ks"].seed) == {41, 42}
    assert set(both["points"].seed) == {41}
    with pytest.raises(InputError, match="2 embeddings for 3 seeds"):
        _analyse(records, [array, array], settings, seeds=(1, 2, 3))


def test_pca_can_be_fitted_on_validation_images():
    records = pd.concat(
        [
            make_records(80),
            make_records(60, 1)
            .assign(split="val")
            .pipe(lambda v: v.assign(image_id="v" + v.image_id)),
        ],
        ignore_index=True,
    )
    array = make_embeddings(records)
    settings = SMALL.model_copy(
        update=dict(simulations=0, permutations=0, replicates=0, fit="validation")
    )
    tables = _analyse(records, [array], settings)
    val = array.take(records.image_id[records.split == "val"])
    values = np.linalg.eigvalsh(np.cov(val.T.astype(float)))[::-1]
    assert tables["variance"].ratio[0] == pytest.approx(values[0] / values.sum())
    assert len(tables["points"]) == (records.split == "test").sum()


def test_pca_may_be_of_standardised_embeddings():
    records = make_records(80)
    array = make_embeddings(records)
    settings = SMALL.model_copy(
        update=dict(simulations=0, permutations=0, replicates=0, scaling="standardise")
    )
    values = np.linalg.eigvalsh(np.corrcoef(array.data.T.astype(float)))[::-1]
    tables = _analyse(records, [array], settings)
    assert tables["variance"].ratio[0] == pytest.approx(values[0] / values.sum())


def test_the_balance_of_the_main_sample_is_counted():
    records = make_records(300)
    settings = SMALL.model_copy(update=dict(simulations=0, permutations=0, replicates=0))
    tables = _analyse(records, [make_embeddings(records)], settings)
    balance = tables["balance"].set_index(["attribute", "group", "level"])
    sample = records[records.image_id.isin(tables["points"].query("sample").image_id)]
    for race, own in sample.groupby("race"):
        for sex, share in own.sex.value_counts(normalize=True).items():
            assert balance.drawn["sex", race, sex] == pytest.approx(share)
    available = pd.crosstab(records.race, records.disease, normalize="index")
    for disease in available:
        assert balance.available["disease", "Asian", disease] == pytest.approx(
            available[disease]["Asian"]
        )
        assert balance.wanted["disease", "Asian", disease] == pytest.approx(
            available[disease].mean()
        )


def _told(shown: np.ndarray, sizes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which numbers of images follow from shares in the balance, bool (groups, levels).

    shown: bool (groups, levels), whether a share is; sizes: images of each group; wanted: whether a
    level's mean share over groups is shown. The images of each level are known.
    """
    cells = np.eye(shown.size).reshape(*shown.shape, -1)
    means = (cells / sizes[:, None, None]).sum(axis=0)
    known = [*cells.sum(axis=1), *cells.sum(axis=0), *cells[shown], *means[wanted]]
    rank = np.linalg.matrix_rank(known)
    return np.array(
        [[np.linalg.matrix_rank([*known, cell]) == rank for cell in row] for row in cells]
    )


@pytest.mark.parametrize(
    ("by", "group", "rare"),
    [("race", "Black", ("sex", "Female", "Male")), ("sex", "Female", ("age_bin", 7, 6))],
)
def test_no_number_of_few_patients_follows_from_the_balance(by, group, rare):
    records = make_records(300, race=by == "race")
    of_group = records[by] == group
    records.loc[of_group] = _with_few(records[of_group], *rare, 6)
    settings = SMALL.model_copy(update=QUICK | {"attributes": [by, "age"]})
    design = build_design("d", records, equal_weights(records), settings)
    balance, attacked = balance_table(design), 0
    for column, rows in (("available", design.rows), ("drawn", design.rows[design.main])):
        images = records.iloc[rows].astype({"age_bin": str})
        for attribute, table in balance[balance.attribute != by].groupby("attribute"):
            patients = images.groupby([by, attribute]).patient_id.nunique().unstack(fill_value=0)
            few = ((patients > 0) & (patients < 10)).to_numpy()
            shown, wanted = (
                table.pivot(index="group", columns="level", values=value).notna().to_numpy()
                for value in (column, "wanted")
            )
            # What is wanted is a mean of what is available.
            means = wanted.any(axis=0) & (column == "available")
            sizes = images.groupby(by).size().to_numpy()
            assert not (few & _told(shown, sizes, means)).any()
            attacked += few.sum()
    assert attacked
    assert balance[["wanted", "drawn", "available"]].notna().any().all()


def test_several_seeds_are_tested_by_their_mean_and_widen_the_intervals():
    records = make_records(120)
    settings = SMALL.model_copy(update=dict(simulations=0, permutations=30, replicates=30))
    arrays = [make_embeddings(records, seed=seed) for seed in (0, 5)]
    both = _analyse(records, arrays, settings, seeds=[41, 42])
    alone = [_analyse(records, [array], settings, seeds=[41]) for array in arrays]
    keys = ["form", "attribute"]
    for column in ("score", "null_mean"):
        one, other = (tables["null"].set_index(keys)[column] for tables in alone)
        mean = both["null"].set_index(keys)[column]
        np.testing.assert_allclose(mean, (one + other) / 2)
    assert (both["null"].seed == ALL_SEEDS).all()
    assert len(both["null"]) == len(alone[0]["null"])
    keys = ["attribute", "a", "b", "mode", "measure"]
    one, other, mean = (
        tables["effects"].query("measure != 'CKA'").set_index(keys) for tables in (*alone, both)
    )
    np.testing.assert_allclose(mean.estimate, (one.estimate + other.estimate) / 2)
    deltas = mean.index.get_level_values("measure") == "Cliff's delta"
    widths = [(of.high - of.low)[deltas] for of in (one, other, mean)]
    apart = abs(one.estimate - other.estimate)[deltas]
    # Two seeds that differ by d have a standard error of d / 2, and Student's quantile is 12.7.
    clear = apart > 0.1
    assert clear.any()
    assert (widths[2][clear] > 5 * apart[clear]).all()
    areas = (tables["encoding"].auc for tables in (*alone, both))
    one, other, mean = (area.to_numpy() for area in areas)
    np.testing.assert_allclose(mean, (one + other) / 2)


def test_first_analysis_looks_at_every_drawn_row():
    records = make_records(120)
    drawn = np.random.default_rng(0).integers(0, 4, len(records)).astype(float)
    settings = SMALL.model_copy(
        update=dict(variant="v1", simulations=2, permutations=5, replicates=5)
    )
    tables = _analyse(
        records,
        [make_embeddings(records)],
        settings,
        weights=equal_weights(records).assign(weight=drawn),
    )
    line = tables["ks"].query("sample == 'all' and attribute == 'sex' and mode == 1").iloc[0]
    assert line.n_a + line.n_b == drawn.sum()
    assert len(tables["points"]) == (drawn > 0).sum()


def test_tsne_shows_no_more_points_than_asked():
    records = make_records(80)
    settings = SMALL.model_copy(
        update=dict(simulations=0, permutations=0, replicates=0, tsne_points=25)
    )
    points = _analyse(records, [make_embeddings(records)], settings)["points"]
    shown = points.tsne_1.notna()
    assert shown.sum() == 25
    assert points["sample"][shown].all()


def test_selected_seed_and_projection_choose_what_is_analysed(tmp_path):
    records = make_records(20)
    arrays = [make_embeddings(records, 6, seed) for seed in (0, 1)]
    (tmp_path / "selected.json").write_text(json.dumps({"seed": 42, "weights": "w.safetensors"}))
    weight, bias = np.ones((3, 6), np.float32), np.arange(3, dtype=np.float32)
    save_file({"projection.weight": weight, "projection.bias": bias}, tmp_path / "w.safetensors")
    chosen = SMALL.model_copy(update=dict(seeds="selected"))
    seen, seeds = select_embeddings(arrays, [], tmp_path / "selected.json", chosen, [41, 42])
    assert seeds == [42]
    assert seen[0].features is arrays[1]
    layer = tmp_path / "selected.json"
    seen, seeds = select_embeddings(arrays[:1], [layer], None, SMALL, [41, 42])
    assert seeds == [41, 42]
    expected = arrays[0].data.astype(float) @ weight.T + bias
    apart = np.abs(seen[0].take(records.image_id) - expected)
    assert (apart <= rounding(arrays[0].data, weight, bias)).all()


def _write(folder: Path, records: pd.DataFrame) -> None:
    """Records on disk, with the findings that make their disease."""
    for finding in FINDINGS:
        records[finding] = np.where(records.disease == finding, 1.0, np.nan)
    records = records.assign(study_id=records.patient_id, path=records.image_id + ".png")
    test = complete(records.drop(columns=["disease", "age_bin"]))
    write_records(folder / "test.csv", test)
    val = test.assign(split="val", image_id="v" + test.image_id, patient_id="v" + test.patient_id)
    write_records(folder / "val.csv", val)


def without(array: KeyedArray, image_id: str) -> KeyedArray:
    """The array without one image, which it declares as excluded."""
    keep = (array.index.image_id != image_id).to_numpy()
    index = array.index[keep].reset_index(drop=True)
    return KeyedArray(array.data[keep], index, array.meta | {"excluded": [image_id]})


def test_scripts_make_the_tables_of_two_models_and_put_them_side_by_side(tmp_path, monkeypatch):
    records = make_records(70)
    _write(tmp_path, records.copy())
    both = pd.concat([records, records.assign(image_id="v" + records.image_id)], ignore_index=True)
    equal_weights(records).to_csv(tmp_path / "weights.csv", index=False)
    # The teacher lacks one test image; packed images and a fine-tune's embeddings lack another.
    unreadable, unknown = records.image_id[[3, 8]]
    without(make_embeddings(both, 8), unknown).save(tmp_path / "teacher")
    embeddings = make_embeddings(both, 6, 1, {("race", "Black"): 2})
    for name in ("images", "embeddings"):
        without(embeddings, unreadable).save(tmp_path / name)
    settings = Bias(attributes=["sex", "race"], simulations=3, permutations=5, replicates=5)
    tables = ("ks", "score", "effects", "null", "encoding", "variance", "balance")
    models = {"cxr-fm-lp": "teacher", "cxr-fmkd-fft.mse": "embeddings"}
    for model, array in models.items():
        spec = {
            "dataset": "d",
            "model": model,
            "seeds": [41, 42],
            "bias": settings.model_dump(),
            "evaluation": {"minimum_cell": 10},
            "uncertain": "zeros",
        }
        run_script(
            monkeypatch,
            "analyse_bias",
            spec,
            embeddings=[tmp_path / array / "meta.json"],
            images=tmp_path / "images",
            teacher=tmp_path / "teacher",
            val=tmp_path / "val.csv",
            test=tmp_path / "test.csv",
            resampled=tmp_path / "weights.csv",
            points=tmp_path / model / "projection.parquet",
            replicates=tmp_path / model / "replicates.parquet",
            **{name: tmp_path / model / f"{name}.csv" for name in tables},
        )
    analysed = [pd.read_parquet(tmp_path / m / "projection.parquet").image_id for m in models]
    assert set(analysed[0]) == set(analysed[1]) == set(records.image_id) - {unreadable, unknown}
    parts = {"scores": "score", "nulls": "null", "encodings": "encoding", "effects": "effects"}
    paths = {k: [tmp_path / m / f"{v}.csv" for m in models] for k, v in parts.items()}
    expected = list(reversed(models))
    run_script(
        monkeypatch,
        "combine_bias",
        {"models": expected, "margin": 0.05, "adjustment": "fdr_by"},
        out=tmp_path / "scores.csv",
        differences=tmp_path / "differences.csv",
        replicates=[tmp_path / m / "replicates.parquet" for m in models],
        **paths,
    )
    differences = pd.read_csv(tmp_path / "differences.csv")
    assert set(differences.kind) == {"teacher"}
    assert set(differences.measure) == {"D", "W1", "energy", "AUC", "score"}
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert scores.model.tolist() == ["cxr-fmkd-fft", "cxr-fm-lp"]
    assert scores.loss[0] == "mse"
    assert (scores.scored == "race, sex").all()
    own = pd.read_csv(tmp_path / "cxr-fmkd-fft.mse" / "score.csv")
    main = own.query("sample == 'main' and form == 'normalised'").set_index("attribute").score
    assert scores.score[0] == pytest.approx(main["combined"])
    assert scores.score_race[0] == pytest.approx(main["race"])
    assert scores.auc_race[0] > 0.6
    assert scores.cka_teacher[1] == pytest.approx(1)
    with pytest.raises(InputError, match="no bias analysis"):
        combine(paths, ["cxr-model-lp"])
    with pytest.raises(InputError, match="a list of tables is empty"):
        combine(paths | {"nulls": []}, expected)
