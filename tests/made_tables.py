"""Small result tables with known numbers, as evaluation and bias analysis would write them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.tables.selecting import where
from cxrfmkd.vocabulary.findings import AVERAGES, FINDINGS
from cxrfmkd.vocabulary.metrics import METRICS
from cxrfmkd.vocabulary.models import MODELS, reference_model

SKILL = {
    "cxr-fm-lp": 0.752,
    "cxr-model-lp": 0.701,
    "cxr-model-fft": 0.780,
    "densenet121-fft": 0.780,
    "resnet50-fft": 0.777,
    "cxr-fmkd-lp": 0.762,
    "cxr-fmkd-fft": 0.787,
    "cxr-fmkd-direct-lp": 0.768,
    "cxr-fmkd-direct-fft": 0.792,
}


# A few of the models, so that tests stay quick.
CHOSEN = ["cxr-fm-lp", "cxr-model-lp", "cxr-model-fft", "cxr-fmkd-lp", "cxr-fmkd-direct-fft"]


def pairs(losses=("mse", "cosine")) -> list[tuple[str, str]]:
    """(model, loss) of every classifier of a small study."""
    return [(m, loss) for m in CHOSEN for loss in (losses if MODELS[m].student else ("",))]


def _row(rng, skill: float, metric: str, finding: str) -> float:
    hard = (FINDINGS.index(finding) * 7 % 14) / 14 * 0.14 if finding in FINDINGS else 0.07
    value = skill + 0.07 - hard + rng.normal(0, 0.003)
    scale = {"auc_pr": 0.45, "auc_roc": 1.0, "youden_j_max": 0.55, "youden_j_at_fpr20": 0.52}
    return float(value * scale[metric])


def metrics(
    dataset="chexpert", losses=("mse", "cosine"), seeds=(41, 42, 43), transfer=True
) -> pd.DataFrame:
    """One row per run, population, finding or group, and metric."""
    rng = np.random.default_rng(7)
    runs = [(dataset, "own", m, loss) for m, loss in pairs(losses)]
    if transfer:
        other = "mimic" if dataset == "chexpert" else "chexpert"
        for m, loss in pairs(losses):
            if m in ("densenet121-fft", "resnet50-fft"):
                continue
            for strategy in ("direct", "linear-probe", "full-finetune"):
                if strategy == "direct" or m != "cxr-fm-lp":
                    runs.append((other, strategy, m, loss))
    drop = {"own": 0.0, "direct": -0.05, "linear-probe": -0.01, "full-finetune": 0.005}
    rows = []
    for source, strategy, model, loss in runs:
        skill = SKILL[model] + drop[strategy] + (0.004 if loss == "cosine" else 0)
        for seed in seeds:
            for population in ("natural", "resampled"):
                for metric in METRICS:
                    shift = 0.02 if population == "natural" else 0.0
                    base = {f: _row(rng, skill + shift, metric, f) for f in FINDINGS}
                    values = base | {
                        g: float(np.mean([base[f] for f in of])) for g, of in AVERAGES.items()
                    }
                    for finding, value in values.items():
                        rows.append(
                            (
                                dataset,
                                source,
                                strategy,
                                model,
                                loss,
                                seed,
                                population,
                                finding,
                                metric,
                                value,
                                value - 0.012,
                                value + 0.012,
                                400,
                                90,
                            )
                        )
    columns = (
        "dataset source strategy model loss seed population finding metric estimate low high "
        "n positives"
    ).split()
    return pd.DataFrame(rows, columns=columns)


def summary(of: pd.DataFrame) -> pd.DataFrame:
    """Mean and SD over seeds with an interval."""
    keys = ["dataset", "source", "strategy", "model", "loss", "population", "finding", "metric"]
    table = (
        of.groupby(keys, sort=False, dropna=False)
        .estimate.agg(["mean", "std", "size"])
        .reset_index()
    )
    table = table.rename(columns={"std": "sd", "size": "n_seeds"})
    primary = (table.finding == "Macro") & (table.metric == "auc_roc")
    table["validation"] = table["mean"].where(primary)
    return table.assign(
        low=table["mean"] - 0.015, high=table["mean"] + 0.014, n=400, positives=90, prevalence=0.225
    )


def comparisons(
    dataset="chexpert", losses=("mse", "cosine"), metrics=("auc_roc", "auc_pr")
) -> pd.DataFrame:
    """Paired macro differences from the teacher's probe and from the undistilled network."""
    rows = []
    for metric in metrics:
        for kind in ("teacher", "baseline"):
            for model, loss in pairs(losses):
                fine = "cxr-model-fft" if MODELS[model].finetuned else "cxr-model-lp"
                other = "cxr-fm-lp" if kind == "teacher" else fine
                if other == model:
                    continue
                name = f"own/{model}.{loss}@{dataset}" if loss else f"own/{model}@{dataset}"
                d = SKILL[model] - SKILL[other]
                sure = abs(d) > 0.01
                for population in ("natural", "resampled"):
                    rows.append(
                        (
                            dataset,
                            population,
                            "Macro",
                            metric,
                            name,
                            f"own/{other}@{dataset}",
                            d,
                            d - 0.008,
                            d + 0.008,
                            0.001 if sure else 0.4,
                            0.01 if sure else 0.7,
                            f"{kind}: {'primary' if metric == 'auc_roc' else metric}",
                            0.005 if sure else 0.6,
                            0.01,
                            0.001 if d > 0 else 0.3,
                            0.3 if sure else 0.02,
                        )
                    )
    columns = (
        "dataset population finding metric model_a model_b difference low high p p_adjusted family "
        "p_max_t margin p_noninferior p_equivalent"
    ).split()
    return pd.DataFrame(rows, columns=columns)


COMPARISONS = (
    ("disease", "Pleural Effusion", "No Finding"),
    ("race", "White", "Asian"),
    ("race", "White", "Black"),
    ("race", "Asian", "Black"),
    ("sex", "Male", "Female"),
    ("age", "up to 50", "51-70"),
    ("age", "up to 50", "over 70"),
    ("age", "51-70", "over 70"),
)


def ks(model: str, dataset="chexpert", seeds=(0,), modes=4, race=True) -> pd.DataFrame:
    """Distances and bands of one model; the last race comparison is suppressed."""
    rng = np.random.default_rng(len(model))
    rows = []
    for seed in seeds:
        for sample in ("main", "all", "simulation"):
            for mode in range(1, modes + 1):
                for attribute, a, b in COMPARISONS:
                    if attribute == "race" and not race:
                        continue
                    d = float(rng.uniform(0.01, 0.35 if attribute == "disease" else 0.2))
                    adjusted = 0.5 if d < 0.07 else 0.01 if d < 0.1 else 1e-5
                    band = "FALSE" if adjusted >= 0.05 else "TRUE" if adjusted >= 0.001 else "TRUE+"
                    line = (
                        dataset,
                        model,
                        seed,
                        sample,
                        mode,
                        attribute,
                        a,
                        b,
                        1000,
                        1000,
                        d,
                        adjusted / 9,
                        adjusted,
                        band,
                    )
                    small = a == "Asian" and model == "cxr-model-lp"
                    rows.append((*line[:8], *[np.nan] * 5, np.nan) if small else line)
    columns = "dataset model seed sample mode attribute a b n_a n_b d p p_adjusted band".split()
    return pd.DataFrame(rows, columns=columns)


def score(model: str, dataset="chexpert", seeds=(0,), race=True) -> pd.DataFrame:
    """The score of one model in every sample and form."""
    rng = np.random.default_rng(len(model) + 1)
    names = (["race"] if race else []) + ["sex", "age", "combined" if race else "combined (sex)"]
    rows = []
    for seed in seeds:
        for sample in ("main", "all", "simulation"):
            for form in ("normalised", "unnormalised", "filtered"):
                for name in names:
                    value = float(rng.uniform(20, 140))
                    many = sample == "simulation"
                    rows.append(
                        (
                            dataset,
                            model,
                            seed,
                            sample,
                            form,
                            name,
                            value,
                            value - 12 if many else np.nan,
                            value + 12 if many else np.nan,
                        )
                    )
    return pd.DataFrame(
        rows,
        columns=["dataset", "model", "seed", "sample", "form", "attribute", "score", "low", "high"],
    )


def null(model: str, dataset="chexpert", race=True) -> pd.DataFrame:
    """The null distribution of one model's score: combined and race beyond it, sex within."""
    table = score(model, dataset, race=race)
    table = where(table, form="normalised", sample="main")
    table = table[table.attribute != "age"]
    table = table.assign(null_mean=18.0, null_low=2.0, null_high=41.0, permutations=200)
    table["z"] = (table.score - 18) / 10
    table["p"] = np.where(table.score > 41, 0.005, 0.3)
    return table.drop(columns=["sample", "low", "high"]).reset_index(drop=True)


def encoding(model: str, dataset="chexpert", race=True) -> pd.DataFrame:
    """AUC of a probe by group, a little lower given one disease; Black once suppressed."""
    rng = np.random.default_rng(len(model) + 2)
    groups = [("sex", "Female"), ("age", "up to 50"), ("age", "51-70"), ("age", "over 70")]
    groups += [("race", "White"), ("race", "Asian"), ("race", "Black")] if race else []
    rows = []
    for attribute, group in groups:
        for given in ("", "No Finding", "Other", "AP"):
            auc = float(rng.uniform(0.55, 0.95)) - (0.03 if given else 0)
            if model == "cxr-model-lp" and group == "Black":
                rows.append((dataset, model, 0, attribute, group, given, *[np.nan] * 5))
            else:
                rows.append(
                    (
                        dataset,
                        model,
                        0,
                        attribute,
                        group,
                        given,
                        auc,
                        auc - 0.02,
                        auc + 0.02,
                        900,
                        300,
                    )
                )
    columns = "dataset model seed attribute group given auc low high n n_group".split()
    return pd.DataFrame(rows, columns=columns)


def against_bias(dataset="chexpert", losses=("mse", "cosine")) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and correlations of performance against bias."""
    rng = np.random.default_rng(3)
    rows, lines = [], []
    for measure, top in (("score", 150), ("D", 0.3)):
        for metric in METRICS:
            for model, loss in pairs(losses):
                y = SKILL[model] + rng.normal(0, 0.003)
                x = top * rng.uniform(0.2, 0.9)
                rows.append(
                    (
                        dataset,
                        "resampled",
                        "Average Classes 1 to 7",
                        metric,
                        model,
                        loss,
                        y,
                        y - 0.01,
                        y + 0.01,
                        x,
                        x - 0.05 * top,
                        x + 0.05 * top,
                        measure,
                        "f",
                        "linear probe of pooled features",
                    )
                )
            lines.append(
                (
                    dataset,
                    "resampled",
                    "Average Classes 1 to 7",
                    metric,
                    measure,
                    len(pairs(losses)),
                    6,
                    0.0001 if top > 1 else 0.05,
                    0.75,
                    0.4,
                    0.31,
                    -0.42,
                    0.78,
                    0.2,
                    *((0.3, -0.5, 0.8, 0.3) if measure == "score" else (np.nan,) * 4),
                )
            )
    points = (
        "dataset population finding metric model loss performance performance_low "
        "performance_high bias bias_low bias_high measure family kind"
    ).split()
    columns = (
        "dataset population finding metric measure models families slope intercept spearman "
        "within low high p split split_low split_high split_p"
    ).split()
    return pd.DataFrame(rows, columns=points), pd.DataFrame(lines, columns=columns)


def qualities(losses=("mse", "cosine"), dataset="chexpert") -> list[dict]:
    """Contents of quality.json by loss; the control `untrained` has an R2 far below any axis."""

    def found(cosine, centred, r2, cka, overlap, own, teachers):
        return {
            "cosine": cosine,
            "mse": 0.09,
            "centred_cosine": centred,
            "r2_overall": r2,
            "cka_debiased": cka,
            "cka": cka + 0.02,
            "neighbour_overlap": overlap,
            "retrieval_top1": 0.1,
            "retrieval_top5": 0.2,
            "probe_auc": own,
            "teacher_probe_auc": teachers,
        }

    return [
        {
            "about": {"dataset": dataset, "loss": loss},
            "images": {"train": 800, "val": 120},
            "teacher": {"probe_auc": 0.81},
            "student": found(0.99, 0.72 + 0.01 * i, 0.55, 0.8, 0.5, 0.79, 0.78),
            "students": [
                {"seed": seed, **found(0.99, 0.72 + 0.01 * i + d, 0.55, 0.8, 0.5, 0.79, 0.78)}
                for seed, d in ((41, -0.02), (42, 0.02))
            ],
            "controls": {
                "mean_vector": found(0.97, 0.0, 0.0, 0.0, 0.08, 0.5, 0.5),
                "shuffled": found(0.96, 0.01, -0.8, 0.0, 0.08, 0.5, 0.5),
                "untrained": found(0.05, 0.03, -12.5, 0.2, 0.12, 0.7, 0.52),
                "untrained_linear": found(0.98, 0.4, 0.2, 0.35, 0.2, 0.71, 0.7),
            },
        }
        for i, loss in enumerate(losses)
    ]


def history(loss: str, seed: int, dataset="chexpert", epochs=8) -> pd.DataFrame:
    """Losses by epoch of one student."""
    rng = np.random.default_rng(seed)
    epoch = np.arange(epochs)
    train = 0.3 * np.exp(-epoch / 3) + 0.05 + rng.normal(0, 0.002, epochs)
    shift = -5 if loss == "mse-cosine-learned" else 0
    return pd.DataFrame(
        {
            "dataset": dataset,
            "loss": loss,
            "seed": seed,
            "epoch": epoch,
            "train_loss": train + shift,
            "val_loss": train + 0.02 + shift,
        }
    )


def curves(
    dataset="chexpert", losses=("mse", "cosine")
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Curves, thresholds and calibration of the dataset's own models."""
    lines, points, bins = [], [], []
    x = np.linspace(0, 1, 51).round(2)
    for model, loss in pairs(losses):
        run = (dataset, dataset, "own", model, loss)
        power = (1 - SKILL[model]) / SKILL[model]
        for population in ("natural", "resampled"):
            for i, finding in enumerate(FINDINGS):
                p = 0.05 + 0.03 * i
                tpr = x ** (power * (1 + i / 14))
                precision = p + (1 - p) * (1 - x) ** 2 * SKILL[model]
                lines += [
                    (*run, population, finding, "roc", a, b) for a, b in zip(x, tpr, strict=True)
                ]
                lines += [
                    (*run, population, finding, "pr", a, b)
                    for a, b in zip(x, precision, strict=True)
                ]
                s = float(0.2 ** (power * (1 + i / 14)))
                for metric, value in (
                    ("sensitivity", s),
                    ("specificity", 0.8),
                    ("ppv", p + (1 - p) * (1 - s) ** 2 * SKILL[model]),
                ):
                    points.append(
                        (
                            *run,
                            population,
                            finding,
                            "validation",
                            0.3,
                            0.01,
                            metric,
                            value,
                            value - 0.03,
                            value + 0.03,
                        )
                    )
                for b in range(1, 11):
                    predicted = p * b / 5
                    bins.append(
                        (
                            *run,
                            population,
                            finding,
                            "observed",
                            b,
                            predicted,
                            predicted * 0.9,
                            predicted * 0.8,
                            predicted,
                        )
                    )
                bins.append((*run, population, finding, "ece", np.nan, np.nan, 0.02, 0.01, 0.03))
    start = ["dataset", "source", "strategy", "model", "loss", "population", "finding"]
    return (
        pd.DataFrame(lines, columns=[*start, "curve", "x", "y"]),
        pd.DataFrame(
            points,
            columns=[
                *start,
                "rule",
                "threshold",
                "threshold_sd",
                "metric",
                "estimate",
                "low",
                "high",
            ],
        ),
        pd.DataFrame(
            bins, columns=[*start, "metric", "bin", "predicted", "estimate", "low", "high"]
        ),
    )


GROUPED = {
    "all": ["all"],
    "sex": ["Female", "Male"],
    "race": ["Asian", "Black", "White"],
    "age": ["31-40", "41-50", "51-60", "61-70"],
    "view": ["AP", "PA"],
    "sex x race": ["Female, Asian", "Male, Asian"],
}


def subgroups(dataset="chexpert", losses=("mse", "cosine"), race=True) -> pd.DataFrame:
    """AUC-ROC and sensitivity of every group; Asian patients are too few for Pneumothorax."""
    rng = np.random.default_rng(5)
    rows = []
    for model, loss in pairs(losses):
        for population in ("natural", "resampled"):
            for attribute, names in GROUPED.items():
                if "race" in attribute and not race:
                    continue
                for group in names:
                    for finding in FINDINGS:
                        for metric in ("auc_roc", "tpr"):
                            value = SKILL[model] + rng.normal(0, 0.02)
                            line = (
                                dataset,
                                dataset,
                                "own",
                                model,
                                loss,
                                population,
                                attribute,
                                group,
                                finding,
                                metric,
                            )
                            if group == "Asian" and finding == "Pneumothorax":
                                rows.append((*line, *[np.nan] * 9, True))
                            else:
                                share = 100 * (value / 0.77 - 1)
                                rows.append(
                                    (
                                        *line,
                                        value,
                                        value - 0.03,
                                        value + 0.03,
                                        share,
                                        share - 3,
                                        share + 3,
                                        120,
                                        80,
                                        30,
                                        False,
                                    )
                                )
    columns = (
        "dataset source strategy model loss population attribute group finding metric "
        "estimate low high relative relative_low relative_high n patients positives "
        "suppressed"
    ).split()
    return pd.DataFrame(rows, columns=columns)


def gaps(dataset="chexpert", losses=("mse", "cosine"), race=True) -> pd.DataFrame:
    """Ranges over groups, the largest of them 0.09 for race in Pleural Effusion."""
    rng = np.random.default_rng(6)
    rows = []
    for model, loss in pairs(losses):
        for population in ("natural", "resampled"):
            for attribute, names in GROUPED.items():
                if attribute == "all" or ("race" in attribute and not race):
                    continue
                for finding in FINDINGS:
                    value = float(rng.uniform(0.01, 0.06))
                    if (attribute, finding, model) == ("race", "Pleural Effusion", "cxr-fm-lp"):
                        value = 0.09
                    rows.append(
                        (
                            dataset,
                            dataset,
                            "own",
                            model,
                            loss,
                            population,
                            attribute,
                            finding,
                            "auc_roc",
                            "range",
                            names[0],
                            names[-1],
                            value,
                            max(value - 0.02, 0),
                            value + 0.02,
                            0.02,
                            value * 0.8,
                            0.01 if value > 0.05 else 0.4,
                        )
                    )
    columns = (
        "dataset source strategy model loss population attribute finding metric kind a b "
        "estimate low high expected corrected p"
    ).split()
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(p_adjusted=np.minimum(2 * table.p, 1))


def points(race=True, images=240) -> pd.DataFrame:
    """Coordinates of single images with their groups, of which Black has five images, too few."""
    rng = np.random.default_rng(11)
    table = pd.DataFrame({f"mode_{mode}": rng.normal(size=images) for mode in range(1, 5)})
    table[["tsne_1", "tsne_2"]] = rng.normal(size=(images, 2))
    table["disease"] = rng.choice(["Pleural Effusion", "No Finding", "Other"], images)
    table["sex"] = rng.choice(["Male", "Female"], images)
    table["age"] = rng.choice(["up to 50", "51-70", "over 70"], images)
    table["race"] = (
        np.where(np.arange(images) < 5, "Black", rng.choice(["White", "Asian"], images))
        if race
        else None
    )
    table.insert(0, "image_id", [f"patient64537/study{i}" for i in range(images)])
    return table.assign(seed=0, sample=True)


def scores(dataset="chexpert", losses=("mse", "cosine"), race=True) -> pd.DataFrame:
    """One row per model: score, null band, distances, probes; cxr-model-fft scores lowest."""
    rows = []
    for i, (model, loss) in enumerate(pairs(losses)):
        value = 30.0 if model == "cxr-model-fft" else 60.0 + 5 * i
        rows.append(
            {
                "dataset": dataset,
                "model": model,
                "loss": loss,
                "scored": "race, sex" if race else "sex",
                "score": value,
                "score_sd": 4.0,
                "score_race": value if race else np.nan,
                "score_sex": value,
                "score_age": value + 1,
                "null_low": 2.0,
                "null_high": 41.0,
                "z": 3.0,
                "p": 0.3 if value < 41 else 0.005,
                "distance_p": 0.3 if value < 41 else 0.005,
                "distance_p_race": 0.004,
                "distance_p_sex": 0.6,
                "d_combined": 0.1 + i / 100,
                "d_combined_low": 0.05,
                "d_combined_high": 0.3,
                **{
                    f"d_{attribute}{end}": 0.1
                    for attribute in ("race", "sex")
                    for end in ("", "_low", "_high")
                },
                "auc_race": 0.8 if race else np.nan,
                "auc_sex": 0.9,
                "auc_age": 0.7,
                "cka_teacher": 0.5,
            }
        )
    return pd.DataFrame(rows)


def bias_differences(dataset="chexpert", losses=("mse", "cosine"), race=True) -> pd.DataFrame:
    """Paired differences in bias: less than the teacher's, and no more than the undistilled's."""
    rows = []
    combined = "combined" if race else "combined (sex)"
    for kind, size in (("teacher", -0.08), ("baseline", 0.004)):
        for model, loss in pairs(losses):
            reference, _ = reference_model(kind, model, loss)
            if reference == model:
                continue
            about = {"dataset": dataset, "model": model, "loss": loss, "kind": kind}
            for measure in ("D", "W1", "energy", "AUC"):
                rows += [
                    about
                    | {"reference": reference, "measure": measure, "attribute": attribute}
                    | {"difference": size, "low": size - 0.02, "high": size + 0.02}
                    | {"p": 0.001 if size < 0 else 0.6, "p_adjusted": 0.004 if size < 0 else 1.0}
                    | {"p_max_t": 0.003, "family": f"{kind}: {measure}", "margin": 0.05}
                    | {"p_noninferior": 0.001, "p_equivalent": 0.9 if size < 0 else 0.001}
                    | {"n_seeds": 3}
                    for attribute in (["race"] if race else [])
                    + ["sex", "age"]
                    + ([combined] if measure != "AUC" else [])
                ]
    return pd.DataFrame(rows)


def sizes() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "backbone": ["densenet169", "mobilenet_v3_small"],
            "parameters": [14_776_928, 2_342_304],
            "gflops": [6.72, 0.11],
            "images_per_second": [12.5, 140.0],
        }
    )


def against_thesis(summaries: pd.DataFrame) -> pd.DataFrame:
    """The thesis's numbers, all 0.01 below ours."""
    ours = summaries[(summaries.population == "resampled") & (summaries.finding == "Macro")]
    ours = ours.rename(columns={"mean": "ours", "sd": "ours_sd"})
    columns = "dataset source strategy model loss finding metric ours ours_sd".split()
    table = ours[columns].assign(thesis=ours.ours - 0.01, thesis_sd=0.002, difference=0.01)
    table["z"] = table.difference / np.hypot(table.ours_sd, table.thesis_sd)
    return table.assign(outside=table.z > 2)
