"""Synthetic sites: official layouts, the same bytes for a seed, and a truth found again.

Statistical bounds are standard errors of the sample's size. The seeds are fixed and the streams are
numpy's, so the samples are the same on any CPU.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from locations import SCRIPTS, SHARED
from PIL import Image
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxrfmkd.datasets.sampling import sample
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Dataset
from cxrfmkd.synthetic import anatomy, chexpert, mimic
from cxrfmkd.synthetic.images import Exposure, draw
from cxrfmkd.synthetic.population import PRESENTABLE, population, stream
from cxrfmkd.synthetic.truth import CHEXPERT, MIMIC, PATHOLOGIES, planted
from cxrfmkd.synthetic.writing import exposure
from cxrfmkd.vocabulary.findings import FINDINGS

WRITERS = {"chexpert": chexpert.write, "mimic": mimic.write}
TABLES = {
    "chexpert": {
        "train": "train.csv",
        "demographics": "CHEXPERT DEMO.xlsx",
        "split": "chexpert_split_2021_08_20.csv",
    },
    "mimic": {
        "metadata": "mimic-cxr-2.0.0-metadata.csv.gz",
        "labels": "mimic-cxr-2.0.0-chexpert.csv.gz",
        "patients": "hosp/patients.csv.gz",
        "admissions": "hosp/admissions.csv.gz",
    },
}
ADAPTERS = {"chexpert": "chexpert", "mimic": "mimic-cxr"}
PATIENTS = 50


@pytest.fixture(scope="module")
def sites(tmp_path_factory) -> dict[str, tuple[Path, dict]]:
    """Folder and counts of each site, small."""
    root = tmp_path_factory.mktemp("sites")
    small = {"images": (64, 72)}
    return {
        site: (root / site, write(root / site, planted(site, **small), PATIENTS, 3, 1))
        for site, write in WRITERS.items()
    }


def dataset(site: str, folder: Path, **settings) -> Dataset:
    tables = {name: str(folder / file) for name, file in TABLES[site].items()}
    return Dataset(adapter=ADAPTERS[site], tables=tables, images=str(folder / "images"), **settings)


# The raw layouts


def test_chexpert_has_the_official_columns(sites):
    folder, _ = sites["chexpert"]
    train = pd.read_csv(folder / "train.csv")
    facts = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA"]
    assert train.columns.tolist() == [*facts, *FINDINGS]
    style = r"CheXpert-v1\.0/train/patient\d{5}/study\d+/view\d+_(frontal|lateral)\.jpg"
    assert train.Path.str.fullmatch(style).all()
    lateral = train["Frontal/Lateral"] == "Lateral"
    assert lateral.any()
    assert (train.Path.str.contains("lateral") == lateral).all()
    assert train["AP/PA"].isna().equals(lateral)
    given = train[list(FINDINGS)].to_numpy()
    assert set(given[~np.isnan(given)]) == {-1.0, 0.0, 1.0}
    assert np.isnan(given).any()
    assert set(train["No Finding"].dropna()) == {1.0}
    demographics = pd.read_excel(folder / "CHEXPERT DEMO.xlsx")
    assert demographics.columns.tolist() == [
        "PATIENT",
        "PRIMARY_RACE",
        "GENDER",
        "AGE_AT_CXR",
        "ETHNICITY",
    ]
    split = pd.read_csv(folder / "chexpert_split_2021_08_20.csv")
    assert split.columns.tolist() == ["Unnamed: 0", "index", "split"]
    assert set(split.split) == {"train", "validate", "test"}
    assert split["index"].is_monotonic_increasing
    assert split["index"].is_unique


def test_mimic_has_the_official_columns(sites):
    folder, _ = sites["mimic"]
    tables = {name: pd.read_csv(folder / file) for name, file in TABLES["mimic"].items()}
    assert tables["metadata"].columns.tolist() == [
        "dicom_id",
        "subject_id",
        "study_id",
        "PerformedProcedureStepDescription",
        "ViewPosition",
        "Rows",
        "Columns",
        "StudyDate",
        "StudyTime",
        "ProcedureCodeSequence_CodeMeaning",
        "ViewCodeSequence_CodeMeaning",
        "PatientOrientationCodeSequence_CodeMeaning",
    ]
    assert tables["labels"].columns.tolist() == ["subject_id", "study_id", *sorted(FINDINGS)]
    assert tables["patients"].columns.tolist() == [
        "subject_id",
        "gender",
        "anchor_age",
        "anchor_year",
        "anchor_year_group",
        "dod",
    ]
    real = SHARED / "data" / "mimic-iv-demo" / "admissions.csv"
    if real.exists():
        columns = pd.read_csv(real, nrows=0).columns.tolist()
        assert tables["admissions"].columns.tolist() == columns
    assert not tables["labels"].study_id.duplicated().any()
    assert (tables["admissions"].groupby("subject_id").race.nunique() > 1).any()


@pytest.mark.parametrize("site", WRITERS)
def test_adapter_finds_what_was_counted(sites, site):
    folder, counts = sites[site]
    records = sample(site, dataset(site, folder)).records
    assert len(records) == counts["records"]
    assert all((folder / "images" / path).is_file() for path in records.path)
    assert records.patient_id.duplicated().any()
    assert records.groupby("patient_id").split.nunique().max() == 1
    assert set(records.race) == {"White", "Asian", "Black"}


def test_adapter_and_population_agree_on_every_patient(sites):
    folder, _ = sites["mimic"]
    records = sample("mimic", dataset("mimic", folder)).records
    truth = planted("mimic", images=(64, 72))
    rows = population(truth, PATIENTS, 3)
    kept = rows[rows.included & (rows["view"] != "LATERAL")]
    for column in ("sex", "race", "view", "age"):
        assert sorted(records[column]) == sorted(kept[column])


def test_a_race_that_is_once_unknown_counts_against_the_strict_rule_only(sites):
    folder, counts = sites["mimic"]
    strict = sample("mimic", dataset("mimic", folder, inconsistent_race="strict")).records
    informative = sample("mimic", dataset("mimic", folder)).records
    lost = informative.patient_id.nunique() - strict.patient_id.nunique()
    assert lost == counts["patients"]["also unknown"] > 0


# The same bytes


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("site", WRITERS)
def test_the_seed_decides_every_byte(sites, tmp_path, site):
    folder, _ = sites[site]
    truth = planted(site, images=(64, 72))
    WRITERS[site](tmp_path / "again", truth, PATIENTS, 3, 1)
    assert content(tmp_path / "again") == content(folder)
    WRITERS[site](tmp_path / "other", truth, 3, 4, 1)
    assert not content(tmp_path / "other").items() & content(folder).items()


def test_processes_and_clock_do_not_matter(tmp_path):
    script = SCRIPTS / "synthesize_mimic.py"
    spec = {"site": "mimic", "patients": 20, "seed": 3, "images": [64, 64]}
    command = [sys.executable, script, "--spec", json.dumps(spec), "--out", tmp_path / "two"]
    command += ["--truth", tmp_path / "truth.json", "--workers", "2"]
    subprocess.run(command, check=True)
    mimic.write(tmp_path / "one", planted("mimic", images=(64, 64)), 20, 3, 1)
    assert content(tmp_path / "two") == content(tmp_path / "one")
    table = (tmp_path / "two" / "hosp" / "patients.csv.gz").read_bytes()
    assert table[4:8] == bytes(4)
    assert gzip.decompress(table).startswith(b"subject_id")
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert truth["planted"]["traces"]["race"] == 0
    assert truth["best possible AUC from the traces"]["race"] == 0.5


# The settings


def test_settings_reach_the_truth():
    truth = planted("chexpert", races={"White": 0.2, "Black": 0.5}, traces={"race": 0})
    assert truth.races == {"White": 0.2, "Asian": 0.3, "Black": 0.5}
    assert truth.traces["race"] == 0
    assert truth.traces["sex"] == CHEXPERT.traces["sex"]


@pytest.mark.parametrize(
    ("site", "changes", "message"),
    [
        ("nih", {}, "no site 'nih'"),
        ("mimic", {"colour": 1}, "unknown settings colour"),
        ("mimic", {"traces": {"height": 1}}, r"synthetic.mimic.traces: unknown entries height"),
        ("mimic", {"races": {"White": 0.9}}, "add up to 1.45"),
    ],
)
def test_wrong_settings_are_named(site, changes, message):
    with pytest.raises(InputError, match=message):
        planted(site, **changes)


# The truth


def four_errors(share: float, n: int):
    """The share, give or take 4 standard errors of a share of n."""
    return pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / n))


@pytest.mark.parametrize("truth", [CHEXPERT, MIMIC], ids=lambda truth: truth.site)
def test_population_has_the_planted_frequencies(truth):
    rows = population(truth, 2000, 1)
    studies = rows.drop_duplicates(["patient", "study"])
    for name, share in truth.prevalence.items():
        # Studies of one patient resemble each other, so only patients count for the error.
        assert (studies[name] > 0).mean() == four_errors(share, 2000), name
    people = rows[rows.included].drop_duplicates("patient")
    for race, share in truth.races.items():
        assert (people.race == race).mean() == four_errors(share, len(people))
    assert (people.sex == "Female").mean() == four_errors(truth.female, len(people))
    together = studies[list(PATHOLOGIES)].gt(0).corr()
    assert together.loc["Consolidation", "Pneumonia"] > 0.1
    assert together.loc["Cardiomegaly", "Edema"] > 0.1


@pytest.mark.parametrize("truth", [CHEXPERT, MIMIC], ids=lambda truth: truth.site)
def test_ceilings_are_what_the_planted_quantities_allow(truth):
    rows = population(truth, 4000, 2)
    rows = rows[rows.included].drop_duplicates("patient")
    ceilings = truth.ceilings()
    # About 3 standard errors of an AUC (Hanley and McNeil 1982): 0.008 for some 3,600 patients of
    # two sexes or ages, 0.011 to 0.013 for the 2,000 of two races.
    assert roc_auc_score(rows.sex == "Female", rows.trace_sex) == pytest.approx(
        ceilings["sex"], abs=0.025
    )
    assert roc_auc_score(rows.age > truth.age[0], rows.trace_age) == pytest.approx(
        ceilings["age"], abs=0.025
    )
    two = rows[rows.race.isin(["Asian", "Black"])]  # they differ along the first axis alone
    assert roc_auc_score(two.race == "Black", two.trace_race_1) == pytest.approx(
        ceilings["race"], abs=0.035
    )


def test_ceiling_of_age_equals_a_simulation():
    random = np.random.default_rng(0)
    age, noise = random.normal(size=(2, 100_000))
    shown = CHEXPERT.traces["age"] * age + noise
    # The standard error of an AUC of 100,000 is below sqrt(0.25 / 50,000) = 0.0022.
    assert roc_auc_score(age > 0, shown) == pytest.approx(CHEXPERT.ceilings()["age"], abs=0.005)
    assert CHEXPERT.ceilings()["sex"] == pytest.approx(norm.cdf(1.15 / np.sqrt(2)))


def plain(**changes) -> Exposure:
    nothing = dict.fromkeys(PRESENTABLE, 0.0)
    shown = Exposure("PA", nothing, 0.0, 0.0, (0.0, 0.0), 1, 2, 0, 0)
    findings = nothing | changes.pop("findings", {})
    return dataclasses.replace(shown, findings=findings, **changes)


@pytest.mark.parametrize("truth", [CHEXPERT, MIMIC], ids=lambda truth: truth.site)
@pytest.mark.parametrize("finding", PRESENTABLE)
def test_every_finding_shows_at_64_pixels(truth, finding):
    def seen(strength: float) -> np.ndarray:
        drawn = Image.fromarray(draw(plain(findings={finding: strength}), truth))
        return np.asarray(drawn.resize((64, 64), Image.Resampling.BILINEAR), float)

    change = np.abs(seen(1.0) - seen(0.0))
    fainter = np.abs(seen(0.4) - seen(0.0))
    assert (change > 20).sum() >= 6, "strong in several pixels"
    assert change.mean() > fainter.mean() > 0.1, "and the stronger the more visible"
    assert (change < 10).mean() > 0.5, "but not all over the image"


@pytest.mark.parametrize(
    ("trace", "side"),
    [
        ({"sex": 2.0}, "brighter"),
        ({"age": 2.0}, "fainter ribs"),
        ({"race": (2.0, 0.0)}, "lower half"),
    ],
)
def test_traces_show_as_documented(trace, side):
    before, after = (draw(plain(**t), MIMIC).astype(float) for t in ({}, trace))
    change = after - before
    middle, width = change.shape[0] // 2, change.shape[1]
    if side == "brighter":
        assert change[int(middle * 1.25) : int(middle * 1.5), width // 5 : -width // 5].mean() > 2
    elif side == "lower half":
        assert change[middle:].mean() > 2 > -2 > change[:middle].mean()
    else:
        lung = slice(int(0.3 * len(change)), middle), slice(width // 5, int(0.4 * width))
        assert after[lung].mean(1).std() < before[lung].mean(1).std()


def test_views_and_images_of_one_patient_differ():
    first = draw(plain(), CHEXPERT)
    assert (first != draw(plain(view="AP"), CHEXPERT)).any()
    assert (first != draw(plain(image=1), CHEXPERT)).any()
    np.testing.assert_array_equal(first, draw(plain(), CHEXPERT))
    assert first.shape == CHEXPERT.images
    assert first.dtype == np.uint8


@pytest.mark.slow
@pytest.mark.parametrize("truth", [CHEXPERT, MIMIC], ids=lambda truth: truth.site)
def test_a_linear_probe_finds_what_is_planted_and_nothing_else(truth):
    """Patient-wise cross-validated logistic regression on 64-pixel images.

    The bounds leave room for 4 standard errors of an AUC.
    """
    rows = population(truth, 450, 5)
    rows = rows[rows.included & (rows["view"] != "LATERAL")].reset_index(drop=True)
    images = np.stack(
        [
            np.asarray(Image.fromarray(draw(exposure(row, 5), truth)).resize((64, 64)), np.float32)
            for _, row in rows.iterrows()
        ]
    ).reshape(len(rows), -1)

    def auc(chosen: pd.Series, truths: pd.Series) -> float:
        probe = make_pipeline(
            StandardScaler(), PCA(80, random_state=0), LogisticRegression(C=0.01, max_iter=300)
        )
        scores = cross_val_predict(
            probe,
            images[chosen],
            truths[chosen],
            groups=rows.patient[chosen],
            cv=GroupKFold(4),
            method="decision_function",
        )
        return roc_auc_score(truths[chosen], scores)

    everyone = rows.age > 0
    for name in ("Cardiomegaly", "Pleural Effusion", "Pneumothorax", "Edema"):
        assert auc(everyone, rows[name] > 0) > 0.75, name
    assert auc(everyone, rows["view"] == "AP") > 0.9
    assert 0.58 < auc(everyone, rows.sex == "Female") < truth.ceilings()["sex"] + 0.06
    assert 0.56 < auc(everyone, rows.age > truth.age[0]) < truth.ceilings()["age"] + 0.06
    white_or_black = rows.race.isin(["White", "Black"])
    race = auc(white_or_black, rows.race == "Black")
    if truth.traces["race"]:
        assert 0.6 < race < truth.ceilings()["race"] + 0.06
    else:
        assert 0.4 < race < 0.6


@pytest.mark.parametrize("site", WRITERS)
def test_nothing_else_in_the_drawing_goes_with_the_attributes(site):
    """Anatomy is drawn apart from people: a shared stream would be a trace that nobody planted."""
    truth = planted(site, age_shift=dict.fromkeys(("White", "Asian", "Black"), 0))
    people = population(truth, 3000, 1).drop_duplicates("patient")
    shapes = [anatomy.build(stream("anatomy", truth, 1, k)) for k in people.patient]
    drawn = pd.DataFrame(
        {
            "width": [chest.width for chest in shapes],
            "apex": [chest.apex for chest in shapes],
            "heart": [chest.heart[2] for chest in shapes],
            "base": [chest.diaphragm[1] for chest in shapes],
            "ribs": [chest.rib_phase for chest in shapes],
            "age": people.age.to_numpy(),
            **{name: people[name].to_numpy() for name in PRESENTABLE},
        }
    )
    female = (people.sex == "Female").to_numpy()
    if truth.fainter:
        drawn = drawn.drop(columns=list(truth.fainter))
    drawn = drawn.join(((drawn - drawn.mean()) ** 2).add_suffix(", spread"))
    for group in (female, *((people.race == race).to_numpy() for race in truth.races)):
        apart = drawn[group].mean() - drawn[~group].mean()
        error = np.sqrt(drawn[group].var() / group.sum() + drawn[~group].var() / (~group).sum())
        assert (apart.abs() / error).max() < 4
    assert np.abs(np.corrcoef(drawn.age, drawn.width)[0, 1]) < 4 / np.sqrt(len(drawn))


def test_two_sites_with_one_seed_have_different_patients():
    first, second = (population(planted(site), 300, 1) for site in WRITERS)
    together = min(len(first), len(second))
    for column in ("trace_sex", "age"):
        correlation = np.corrcoef(first[column][:together], second[column][:together])[0, 1]
        assert abs(correlation) < 4 / np.sqrt(300)  # 4 standard errors for 300 patients
