"""Resampling: the published draws one by one, the exact weights, and the command for any table."""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cxrfmkd.commands import resample as command
from cxrfmkd.datasets.resampling import (
    balance,
    draw_rows,
    effective,
    exact_weights,
    resample,
    stratify,
    weigh,
)
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.statistics.suppression import suppressed
from cxrfmkd.study.attributes import resolve
from cxrfmkd.study.settings import AttributeSection, Resampling

RACES = np.array(["White", "Asian", "Black"])
DISEASES = np.array(["No Finding", "Pleural Effusion", "Other"])


def table(n: int = 400, seed: int = 0) -> pd.DataFrame:
    """A test set with unequal races, whose prevalence and ages depend on race."""
    random = np.random.default_rng(seed)
    race = random.choice(3, n, p=[0.75, 0.15, 0.1])
    disease = np.array(
        [random.choice(3, p=[(0.1, 0.4, 0.5), (0.3, 0.3, 0.4), (0.2, 0.6, 0.2)][r]) for r in race]
    )
    return pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(n)],
            "patient_id": [f"p{k // 2}" for k in range(n)],
            "race": RACES[race],
            "disease": DISEASES[disease],
            "age": np.clip(random.normal(40 + 12 * race + 6 * disease, 15), 18, 90).round(),
        }
    ).assign(age_bin=lambda t: np.searchsorted((20, 30, 40, 50, 60, 70, 80), t.age))


def strata(frame: pd.DataFrame):
    return stratify(frame.race, frame.disease, frame.age_bin)


def published(frame: pd.DataFrame, factor: int, seed: int) -> list[int]:
    """Row positions as the published notebook draws them.

    By data frames, WeightedRandomSampler and torch's global generator.
    """
    frame = frame.reset_index(drop=True)
    torch.manual_seed(seed)

    def sampled(among: pd.DataFrame, weights: list[float], size: int) -> pd.DataFrame:
        chosen = torch.utils.data.WeightedRandomSampler(weights, size, replacement=True)
        return among.iloc[list(chosen)]

    def shares(values: pd.Series) -> dict:
        return (values.value_counts() / len(values)).to_dict()

    race = shares(frame.race)
    drawn = sampled(frame, [1 / race[r] for r in frame.race], len(frame) * factor)
    overall = shares(frame.disease)
    blocks = []
    for r in drawn.race.unique():
        group = drawn[drawn.race == r]
        own = shares(group.disease)
        group = sampled(group, [overall[d] / own[d] for d in group.disease], len(group))
        for d in frame.disease.unique():
            part = group[group.disease == d]
            wanted, own = shares(frame.age_bin[frame.disease == d]), shares(part.age_bin)
            if len(part):
                blocks.append(sampled(part, [wanted[a] / own[a] for a in part.age_bin], len(part)))
    return pd.concat(blocks).index.tolist()


@pytest.mark.parametrize(
    ("n", "factor", "seed"), [(400, 3, 42), (37, 3, 42), (400, 1, 7), (5, 3, 1)]
)
def test_draws_are_the_published_ones_in_the_published_order(n, factor, seed):
    frame = table(n, seed)
    assert draw_rows(strata(frame), factor, seed).tolist() == published(frame, factor, seed)


def test_codes_and_words_draw_alike():
    """The notebook draws by codes; records have words. Only the order of appearance counts."""
    frame = table()
    codes = stratify(
        frame.race.map({r: i for i, r in enumerate(RACES)}),
        frame.disease.map({d: i for i, d in enumerate(DISEASES)}),
        frame.age_bin,
    )
    assert draw_rows(codes).tolist() == draw_rows(strata(frame)).tolist()


def test_a_generator_of_its_own_draws_as_the_global_one_and_leaves_it_alone():
    weights = torch.from_numpy(np.random.default_rng(0).random(1000))
    torch.manual_seed(42)
    shared = [torch.multinomial(weights, 500, True).tolist() for _ in range(3)]
    own = torch.Generator().manual_seed(42)
    assert [
        torch.multinomial(weights, 500, True, generator=own).tolist() for _ in range(3)
    ] == shared
    before = torch.get_rng_state()
    draw_rows(strata(table(50)))
    assert torch.equal(torch.get_rng_state(), before)


def test_counts_of_draws_are_the_duplicated_rows_of_the_published_table():
    frame = table()
    weights, _ = resample(frame, Resampling(method="draws"), "here", 10)
    expected = frame.image_id.iloc[published(frame, 3, 42)].value_counts()
    assert weights.image_id.tolist() == frame.image_id.tolist()
    assert weights.weight.sum() == 1200
    assert weights.set_index("image_id").weight.loc[expected.index].tolist() == expected.tolist()
    assert (weights.weight == 0).sum() == len(frame) - len(expected)


def shares(frame: pd.DataFrame, weight: np.ndarray, by: list[str], within: list[str]) -> pd.Series:
    total = frame.assign(w=weight).groupby(by).w.sum()
    return total / (total.groupby(within).transform("sum") if within else total.sum())


def test_exact_weights_meet_the_three_targets():
    frame = table(3000)
    weight = exact_weights(strata(frame))
    assert weight.mean() == pytest.approx(1, abs=3000 * 2**-52)  # a sum of 3,000 in float64
    assert shares(frame, weight, ["race"], []).tolist() == pytest.approx([1 / 3] * 3)
    prevalence = frame.disease.value_counts() / len(frame)
    for (_, kind), share in shares(frame, weight, ["race", "disease"], ["race"]).items():
        assert share == pytest.approx(prevalence[kind])
    full = frame.groupby(["race", "disease"]).age_bin.nunique()
    for (r, kind), count in full.items():
        ages = frame.age_bin[frame.disease == kind].value_counts(normalize=True)
        if count == len(ages):
            part = (frame.race == r) & (frame.disease == kind)
            own = shares(frame[part], weight[part], ["age_bin"], [])
            np.testing.assert_allclose(own, ages.sort_index())
    assert (full == 8).any()


def test_exact_weights_are_what_many_draws_come_to():
    frame = table(300, 3)
    drawn = np.mean([weigh(strata(frame), "draws", 3, seed) for seed in range(400)], axis=0) / 3
    exact = exact_weights(strata(frame))
    codes = frame.race + frame.disease
    for cell in codes.unique():
        rows = (codes == cell).to_numpy()
        if rows.sum() > 10:
            # 4 standard errors: a cell's share varies by 13 % from seed to seed, the mean of 400 by
            # 0.65 %. The seeds are fixed, and torch draws the same on any CPU.
            assert drawn[rows].sum() == pytest.approx(exact[rows].sum(), rel=0.026)


CODES = st.integers(1, 80).flatmap(
    lambda n: st.tuples(
        *(arrays.arrays(np.int64, n, elements=st.integers(0, top)) for top in (2, 2, 7))
    )
)


@settings(deadline=None)
@given(CODES)
def test_exact_weights_for_any_cells(codes):
    frame = pd.DataFrame(dict(zip(("race", "disease", "age_bin"), codes, strict=True)))
    weight = exact_weights(strata(frame))
    assert (weight > 0).all()
    assert weight.mean() == pytest.approx(1)
    by_race = frame.assign(w=weight).groupby("race").w.sum()
    np.testing.assert_allclose(by_race, len(frame) / len(by_race))
    assert frame.assign(w=weight).groupby(["race", "disease", "age_bin"]).w.nunique().eq(1).all()


@settings(deadline=None, max_examples=50)
@given(CODES, st.integers(1, 4), st.integers(0, 2**31))
def test_draws_for_any_cells(codes, factor, seed):
    frame = pd.DataFrame(dict(zip(("race", "disease", "age_bin"), codes, strict=True)))
    drawn = draw_rows(strata(frame), factor, seed)
    assert len(drawn) == factor * len(frame)
    assert drawn.min() >= 0
    assert drawn.max() < len(frame)


def test_a_share_of_an_empty_cell_goes_to_its_race_and_disease_and_is_named():
    frame = pd.DataFrame(
        {
            "race": ["White"] * 40 + ["Black"] * 20,
            "disease": ["Other"] * 60,
            "age_bin": [2] * 20 + [5] * 20 + [5] * 20,
            "image_id": range(60),
            "patient_id": range(60),
        }
    )
    weights, table = resample(frame, Resampling(method="weights"), "here", 10)
    assert weights.weight[40:].tolist() == pytest.approx([1.5] * 20)
    assert weights.weight[:20].sum() == pytest.approx(10)
    assert table.set_index(["race", "age_bin"]).note.to_dict() == {
        ("Black", "2"): "empty",
        ("Black", "5"): "",
        ("White", "2"): "",
        ("White", "5"): "",
    }


def test_effective_number_of_images_is_kishs():
    frame = table(90)
    assert effective(strata(frame), np.ones(90)) == pytest.approx(
        frame.race.value_counts().to_dict()
    )
    halved = effective(strata(frame), (np.arange(90) % 2).astype(float))
    assert halved == pytest.approx(frame.race[1::2].value_counts().to_dict())


def test_balance_counts_every_cell_and_hides_small_ones():
    frame = table(3000)
    weight = weigh(strata(frame), "draws")
    found = balance(strata(frame), weight, frame.patient_id, 10)
    assert len(found) == 3 * 3 * frame.age_bin.nunique()
    patients = found.merge(
        frame.assign(age_bin=frame.age_bin.astype(str))
        .groupby(["race", "disease", "age_bin"], as_index=False)
        .patient_id.nunique(),
        "left",
    ).patient_id.fillna(0)
    hidden = suppressed(patients, 10, found.race, found.disease, found.age_bin)
    assert hidden.sum() > (patients.between(1, 9)).sum(), "no complementary cell in this example"
    for row, secret in zip(found.itertuples(), hidden, strict=True):
        part = (
            frame[["race", "disease", "age_bin"]].astype(str)
            == [row.race, row.disease, row.age_bin]
        ).all(axis=1)
        people = frame.patient_id[part].nunique()
        assert row.note == ("empty" if not people else "suppressed" if secret else "")
        if not row.note:
            assert (row.images, row.patients) == (part.sum(), people)
            assert row.used == (part & (weight > 0)).sum()
            # Shares are written with six decimals.
            assert row.share_before == pytest.approx(part.mean(), abs=1e-6)
            assert row.share_after == pytest.approx(weight[part].sum() / weight.sum(), abs=1e-6)
        else:
            assert pd.isna(
                [row.images, row.patients, row.used, row.share_before, row.share_after]
            ).all()
    assert set(found.note) == {"", "suppressed", "empty"}


def test_none_weighs_every_image_1_and_needs_no_race():
    frame = table(50).assign(race=pd.Series([None] * 50, dtype="str"))
    weights, found = resample(frame, Resampling(method="none"), "here", 10)
    assert weights.weight.tolist() == [1.0] * 50
    assert set(found.race) == {"blank"}


@pytest.mark.parametrize("method", ["draws", "weights"])
@pytest.mark.parametrize(
    ("blank", "first", "message"),
    [
        (
            "race",
            3,
            r"here: 47 of 50 test images have no race.*Set datasets\.here\.resampling: none",
        ),
        (
            "race",
            0,
            r"here: no test image has a known race, .* Set datasets\.here\.resampling: none",
        ),
        ("age_bin", 0, r"no test image has a known age, .* in datasets\.here\.attributes"),
    ],
)
def test_without_race_or_age_the_message_says_what_to_set(method, blank, first, message):
    frame = table(50)
    frame[blank] = frame[blank].astype(object).where(frame.index < first)
    with pytest.raises(InputError, match=message):
        resample(frame, Resampling(method=method), "here", 10)


def test_an_empty_test_set_or_an_unknown_method_is_refused():
    with pytest.raises(InputError, match="no records"):
        resample(table().iloc[:0], Resampling(method="weights"), "here", 10)
    with pytest.raises(InputError, match=r"resampling\.method: 'smote' should be 'draws'"):
        Resampling.read({"method": "smote"}, "resampling.")


def test_a_blank_age_is_a_bin_of_its_own():
    frame = table(100).assign(age_bin=lambda t: t.age_bin.astype("Int64").where(t.index >= 40))
    found = resample(frame, Resampling(method="weights"), "here", 10)[1]
    assert "blank" in set(found.age_bin)


# --- the command
# ------------------------------------------------------------------------------------------


def run(*words: object) -> None:
    parser = argparse.ArgumentParser()
    command.arguments(parser)
    command.main(parser.parse_args([str(word) for word in words]))


def notebook_file(path) -> pd.DataFrame:
    """A test file as the notebooks write it, with codes and an unnamed index."""
    frame = table(200)
    file = frame[["age", "race", "disease"]].assign(
        path_preproc=frame.image_id + ".jpg",
        race_label=frame.race.map({r: i for i, r in enumerate(RACES)}),
        disease_label=frame.disease.map({d: i for i, d in enumerate(DISEASES)}),
    )
    file.to_csv(path)
    return frame


def test_command_writes_the_published_rows_in_their_order(tmp_path, capsys):
    frame = notebook_file(tmp_path / "test.csv")
    run(tmp_path / "test.csv", "--out", tmp_path / "rows.csv", "--rows", "--seed", 5, "--factor", 2)
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert rows.row.tolist() == published(frame, 2, 5)
    assert list(rows) == [
        "row",
        "age",
        "race",
        "disease",
        "path_preproc",
        "race_label",
        "disease_label",
    ]
    assert rows.path_preproc.tolist() == [f"i{row}.jpg" for row in rows.row]
    assert "resampled" in capsys.readouterr().out


def test_command_balances_by_another_column(tmp_path, capsys):
    frame = table(200)
    frame["insurance"] = np.where(np.arange(200) % 4 == 0, "Medicaid", "Private")
    frame.to_csv(tmp_path / "test.csv")
    options = "--out", tmp_path / "weights.csv", "--method", "weights", "--by", "insurance"
    run(tmp_path / "test.csv", *options)
    weights = pd.read_csv(tmp_path / "weights.csv").weight
    shares = weights.groupby(frame.insurance).sum()
    assert shares["Medicaid"] == pytest.approx(shares["Private"], rel=1e-9)
    assert "Medicaid" in capsys.readouterr().out


def test_a_test_set_may_be_balanced_by_a_declared_attribute():
    frame = table(200)
    frame["bmi"] = np.where(np.arange(200) % 4 == 0, 31.0, 22.0)
    bmi = resolve({"bmi": AttributeSection(edges=[25])}, [])
    settings = Resampling(method="weights", by="bmi")
    weights, balance = resample(frame, settings, "here", 1, bmi)
    of_group = weights.weight.groupby(frame.bmi).sum()
    assert of_group[22] == pytest.approx(of_group[31], rel=1e-9)
    assert set(balance.bmi) == {"up to 25", "over 25"}
    with pytest.raises(InputError, match=r"1 of 200 test images have no bmi.*keep: \{bmi: \[up to"):
        resample(frame.assign(bmi=frame.bmi.mask(frame.index == 3)), settings, "here", 1, bmi)


def test_command_writes_counts_by_default(tmp_path, capsys):
    frame = notebook_file(tmp_path / "test.csv")
    run(tmp_path / "test.csv", "--out", tmp_path / "counts.csv")
    counts = pd.read_csv(tmp_path / "counts.csv")
    assert list(counts) == ["row", "path_preproc", "count"]
    expected = np.bincount(published(frame, 3, 42), minlength=200)
    assert counts["count"].tolist() == expected.tolist()
    small = table(200).groupby(["race", "disease"]).size().lt(10).sum()
    assert capsys.readouterr().out.count(" -") >= small > 0


def test_command_writes_exact_weights_of_records(tmp_path):
    frame = table(200)
    frame.to_parquet(tmp_path / "test.parquet")
    run(tmp_path / "test.parquet", "--out", tmp_path / "weights.parquet", "--method", "weights")
    weights = pd.read_parquet(tmp_path / "weights.parquet")
    assert list(weights) == ["row", "image_id", "weight"]
    np.testing.assert_allclose(weights.weight, exact_weights(strata(frame)))


def test_command_refuses_a_second_column_row(tmp_path):
    table(20).assign(row=7).to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(InputError, match=r"test.csv: --rows adds a column row, which it has"):
        run(tmp_path / "test.csv", "--out", tmp_path / "x.csv", "--rows")
    run(tmp_path / "test.csv", "--out", tmp_path / "x.csv")
    assert pd.read_csv(tmp_path / "x.csv").row.tolist() == list(range(20))


@pytest.mark.parametrize("name", ["weight", "patient", "images"])
def test_command_balances_by_a_column_of_any_name(tmp_path, capsys, name):
    table(200).rename(columns={"race": name}).to_csv(tmp_path / "test.csv", index=False)
    table(200).to_csv(tmp_path / "race.csv", index=False)
    options = "--out", tmp_path / "x.csv", "--method", "weights", "--by"
    run(tmp_path / "test.csv", *options, name)
    renamed = capsys.readouterr().out
    run(tmp_path / "race.csv", *options, "race")
    lines = [text.splitlines()[2:] for text in (renamed, capsys.readouterr().out)]
    assert [line.split() for line in lines[0]] == [line.split() for line in lines[1]]


@pytest.mark.parametrize(
    ("drop", "words", "message"),
    [
        (["race"], [], "neither a column race_label nor race"),
        (["disease"], [], "neither a column disease_label nor disease"),
        (["age"], [], "no column age"),
        ([], ["--rows", "--method", "weights"], "--rows writes the drawn rows"),
        ([], ["--by", "disease"], "--by disease: the prevalence of each disease is kept equal"),
    ],
)
def test_command_says_what_is_missing(tmp_path, drop, words, message):
    table(20).drop(columns=drop).to_csv(tmp_path / "test.csv")
    with pytest.raises(InputError, match=message):
        run(tmp_path / "test.csv", "--out", tmp_path / "x.csv", *words)
    with pytest.raises(InputError, match="no such file"):
        run(tmp_path / "none.csv", "--out", tmp_path / "x.csv")
