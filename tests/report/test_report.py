"""The report: every section, numbers that are computed, nobody named, and strict HTML."""

from __future__ import annotations

import base64
import gzip
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import made_report
import made_results
import made_tables as made
import numpy as np
import pandas as pd
import pytest
from locations import ROOT
from matplotlib.figure import Figure

from cxrfmkd.bias.erasure import ERASURE_COLUMNS, TRANSFER_COLUMNS
from cxrfmkd.evaluation.columns import REFERENCE_COLUMNS
from cxrfmkd.report import bias_sentences as bias
from cxrfmkd.report import charts, headlines, markup, methods, overview, prose
from cxrfmkd.report import performance_sentences as performance
from cxrfmkd.report.checklist import checklist
from cxrfmkd.report.data import ReportData
from cxrfmkd.report.page import SECTIONS, facts, numbered_figures, page
from cxrfmkd.report.switches import compare
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import write_table
from cxrfmkd.study.settings import sections
from cxrfmkd.tables.selecting import ranked_models
from cxrfmkd.vocabulary import titles
from cxrfmkd.vocabulary.figures import KINDS
from cxrfmkd.vocabulary.models import MODELS

SCRIPT = ROOT / "workflow/scripts/write_report.py"
VOID = {"meta", "br", "hr", "img", "input", "link"}
TITLES = [
    "Key results",
    "Warnings",
    "What was run",
    "Data",
    "Distillation",
    "Performance",
    "Transfer",
    "Subgroups",
    "Bias of the embeddings",
    "Performance against bias",
    "Against the thesis",
    "Methods and switches",
    "Provenance and cost",
    "Caveats",
]


def contents(html: str, name: str) -> str:
    """What a packed script element of the page holds."""
    element = re.search(rf'<script type="application/gzip" id="{name}">(.*?)</script>', html)
    return gzip.decompress(base64.b64decode(element[1])).decode()


class Strict(HTMLParser):
    """Tags must close in order, ids must be unique, links within the page must lead somewhere."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.links, self.text, self.urls = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.ids += [named["id"]] if "id" in named else []
        for key in ("href", "src", "xlink:href"):
            if (value := named.get(key)) is not None:
                (self.links if value.startswith("#") else self.urls).append(value.removeprefix("#"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open[-1:] == [tag], f"</{tag}> closes <{self.open[-1:]}>"
        self.open.pop()

    def handle_data(self, data):
        if "style" not in self.open and "script" not in self.open:
            self.text.append(data)


def with_settings(data: ReportData, **sections: dict) -> ReportData:
    """`data` with other values in sections of its settings."""
    settings = {name: data.settings[name] | values for name, values in sections.items()}
    return replace(data, settings=data.settings | settings)


def parsed(html: str) -> Strict:
    reader = Strict()
    reader.feed(html)
    reader.close()
    return reader


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> ReportData:
    return made_report.study(tmp_path_factory.mktemp("study") / "results")


@pytest.fixture(scope="module")
def html(small) -> str:
    return page(small, "c0de")


def test_every_section_is_there_in_order_and_in_the_contents(html):
    titles = re.findall(r'<h2 id="[^"]+">([^<]+)</h2>', html)
    assert titles == TITLES
    contents = html[html.index("<nav") : html.index("</nav>")]
    assert re.findall(r'<a href="#[^"]+">([^<]+)</a>', contents) == TITLES


def test_the_page_says_what_the_numbers_were_made_with(html):
    table = re.search(r'<table id="made-with".*?</table>', html, re.DOTALL).group()
    rows = dict(re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td></tr>", table))
    expected = {
        "cxr-fmkd": "1.2.3",
        "commit": "0123456789ab",
        "Snakemake": "9.25.0",
        "processor or GPU": "NVIDIA L40",
        "image size": "224 pixels",
        "initial weights": "imagenet",
        "tables of CheXpert": "train.csv 87d6744c1200",
        "teacher’s vectors of MIMIC-CXR": "c8c7f9d608ff",
    }
    assert {name: rows[name] for name in expected} == expected
    assert re.fullmatch(r"\d+ epochs, batches of \d+, learning rate [\d.e-]+", rows["students"])
    assert "attributes that are asked for" in html


def dots_in_several_panels(svg: str) -> int:
    """Dots that stand at one place of two or more panels: who joins them joins attributes."""
    places = []
    for panel in re.split(r'<g id="[^"]*axes_\d+">', svg)[1:]:
        corner = [float(v) for v in re.findall(r"-?[\d.]+", panel[panel.index(' d="') :])[:2]]
        panel = panel.partition("legend_")[0]
        dots = re.findall(r'<use [^>]*?x="([-\d.]+)" y="([-\d.]+)"', panel)
        places.append({tuple(np.subtract(dot, corner).round(1)) for dot in np.array(dots, float)})
    joined = [a & b for i, a in enumerate(places) for b in places[:i]]
    return len(set().union(*joined))


def test_no_image_of_an_embedding_can_be_joined_across_attributes_on_the_page(html, tmp_path):
    points = made.points()
    figure = Figure()
    for panel in figure.subplots(1, 2):
        panel.scatter(points.mode_1, points.mode_2)
    figure.savefig(tmp_path / "dots.svg")
    assert dots_in_several_panels((tmp_path / "dots.svg").read_text()) > 200
    plates = re.findall(r'<div class="plate".*?</svg>', html, re.DOTALL)
    (picture,) = [plate for plate in plates if "PCA mode 1" in plate]
    assert picture.count("axes_") >= 8
    assert dots_in_several_panels(picture) == 0
    numbers = json.loads(contents(html, "numbers"))
    of_embeddings = [table for table in numbers.values() if "q25" in table]
    assert of_embeddings
    for table in of_embeddings:
        assert min(table["images"]) >= 10
        exact = {f"{value:.6g}" for value in points[["mode_1", "mode_2"]].to_numpy().ravel()}
        assert not exact & {
            f"{value:.6g}" for name in ("q25", "median", "q75") for value in table[name]
        }


def test_images_that_are_left_out_are_counted_where_there_are_any(small, html, tmp_path):
    text = "".join(parsed(html).text)
    assert "6 validation or test images that cannot be read or of which the teacher has no" in text
    tables = [pd.read_csv(path) for path in small.files["exclusions"]]
    files = [tmp_path / f"evaluation/{table.dataset[0]}/exclusions.csv" for table in tables]
    for path, table in zip(files, tables, strict=True):
        path.parent.mkdir(parents=True)
        table.assign(unreadable=0, without_embedding=0, measured=table.images).to_csv(path)
    nothing = page(replace(small, files=small.files | {"exclusions": files}), "c0de")
    assert "left out of every measurement" not in nothing


def test_the_page_is_balanced_html_with_unique_ids_and_no_address_outside_itself(html):
    page = parsed(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert set(page.links) <= set(page.ids)
    assert all(url.startswith("data:") for url in page.urls)
    for part in (html, contents(html, "charts"), contents(html, "numbers")):
        assert not re.search(r'(?:src|href)="https?:|@import|url\(["\']?http', part)


def test_nobody_is_named_and_no_folder_of_the_machine_is_shown(html):
    for part in (html, contents(html, "charts"), contents(html, "numbers")):
        assert made_results.SECRET not in part
    assert "/data" not in parsed(html).text


def test_small_cells_are_hidden(small, html):
    cohort = html[html.index('<table id="cohort"') :]
    row = re.search(r"<tr><td></td><td>Black</td>(.*?)</tr>", cohort)[1]
    assert re.findall(r">([^<>]+)</td>", row) == ["hidden"] * 6
    assert ">7<" not in cohort[: cohort.index("</table>")]


def test_what_experts_say_is_a_section_where_they_were_asked(small, html, tmp_path):
    assert "Against experts" not in html
    folder = tmp_path / "evaluation/chexpert"
    rows = [
        ("chexpert", attribute, group, finding, metric, 0.8, 0.7, 0.9, 90, 60, 40, 0.4, False)
        for finding in ("Edema", "Pneumonia")
        for attribute, group in (("all", "all"), ("sex", "Female"))
        for metric in ("sensitivity", "specificity", "kappa")
    ]
    agreement = pd.DataFrame(rows, columns=REFERENCE_COLUMNS["reference_agreement"])
    summary = made.summary(made.metrics("chexpert", made_results.LOSSES, [41], transfer=False))
    summary = summary[summary.population == "natural"]
    both = [summary.assign(population=name) for name in ("reference", "labeller")]
    macro = ("chexpert", "Macro", "auc_roc", 0.61, 0.2, 0.9, 9, 36, 20, 3)
    tables = {
        "agreement": agreement,
        "summary": pd.concat(both),
        "ranks": pd.DataFrame([macro], columns=REFERENCE_COLUMNS["reference_ranks"]),
        "counts": pd.DataFrame(
            [("chexpert", 300, 100, 3, 90, 90, 88, 900, 7)],
            columns=REFERENCE_COLUMNS["reference_counts"],
        ),
    }
    files = {}
    for name, table in tables.items():
        files[f"reference_{name}"] = [folder / f"reference_{name}.csv"]
        write_table(files[f"reference_{name}"][0], table)
    settings = small.settings | {
        "datasets": small.settings["datasets"]
        | {
            "chexpert": small.settings["datasets"]["chexpert"]
            | {"reference": {"table": [f"/data/{made_results.SECRET}.csv"], "reader": "who"}}
        }
    }
    told = replace(small, files={**small.files, **files}, settings=settings)
    reader = parsed(page(told, "c0de"))
    text = " ".join(" ".join(reader.text).split())
    assert "Against experts" in text
    assert made_results.SECRET not in text
    assert "Experts read 90 test images of CheXpert (3 readers" in text
    assert "0.61 (0.20 to 0.90)" in text
    assert "20 have an order that is certain" in text
    assert "in 3 of these" in text
    assert "experts’ truth" in text


def test_what_probes_use_is_told_where_attributes_are_erased(small, html, tmp_path):
    assert "Where sex is erased" not in html
    folder = tmp_path / "bias/chexpert/cxr-fm-lp"
    rows = [
        ("chexpert", "cxr-fm-lp", "sex", measure, "Macro", 0.4, 0.1, d, d - 0.1, d + 0.1, 0.001, p)
        for measure, d, p in (("auc_roc", 0.02, 0.5), ("tpr", 0.0, 0.9), ("gap_tpr", -0.3, 0.01))
    ]
    erased = pd.DataFrame(rows, columns=ERASURE_COLUMNS[:12]).assign(p_adjusted=rows[2][-1])
    probes = [
        ("chexpert", "cxr-fm-lp", target, "sex", "Female", auc, auc - 0.1, auc + 0.1, 1)
        for target, auc in (("", 0.9), ("mimic", 0.61))
    ]
    files = {"erasure": [folder / "erasure.csv"], "attribute_probes": [folder / "attributes.csv"]}
    write_table(files["erasure"][0], erased.assign(n_seeds=1))
    write_table(files["attribute_probes"][0], pd.DataFrame(probes, columns=TRANSFER_COLUMNS))
    reader = parsed(page(replace(small, files={**small.files, **files}), "c0de"))
    text = " ".join(" ".join(reader.text).split())
    assert "Where sex is erased, the gap in sensitivity by sex becomes smaller for" in text
    assert "at most from 0.400 to 0.100." in text
    assert "−0.300" in text
    assert "0.610" in text


def test_the_header_counts_patients_by_dataset_since_two_may_have_the_same(small, tmp_path):
    assert facts(small)[:2] == [
        ("900", "images of 450 patients, CheXpert"),
        ("900", "images of 450 patients, MIMIC-CXR"),
    ]
    alone = made_report.study(tmp_path, few=(), transfer=False)
    assert facts(alone)[0] == ("900", "images of 450 patients")


def test_headlines_are_computed_from_the_tables(small):
    texts = {h.subject: h.text for h in headlines.headlines(small)}
    assert list(texts) == [
        "What distillation gains",
        "Distillation",
        "Performance",
        "Losses",
        "Transfer",
        "Subgroups",
        "Bias",
        "Bias after distillation",
        "Performance vs. bias",
        "Against the thesis",
    ]
    summary = made.summary(
        made.metrics("chexpert", made_results.LOSSES, made_results.SEEDS, transfer=False)
    )
    best = ranked_models(summary, "chexpert").iloc[0]
    expected = f"{best['mean']:.3f} (95 % interval {best.low:.3f} to {best.high:.3f})"
    assert expected in texts["Performance"]
    assert "is the best of 7 models on validation" in texts["Performance"]
    assert "chosen on the test set" not in texts["Performance"]
    gained = texts["What distillation gains"]
    assert "+0.012 (+0.004 to +0.020) from CXR-Model-FFT (the same network without" in gained
    assert "adjusted p = 0.01; not worse by more than 0.01, p = 0.001)" in gained
    assert "centred cosine 0.73" in texts["Distillation"]
    assert "mean vector alone reaches 0.970" in texts["Distillation"]
    assert "In 6 of 7 embeddings it is more than a random exchange" in texts["Bias"]
    assert "D between groups by race and sex is 0.100 (0.050 to 0.300)" in texts["Bias"]
    distilled = texts["Bias after distillation"]
    assert "−0.080 (−0.100 to −0.060) from CXR-FM-LP (adjusted p = 0.004; not worse" in distilled
    assert "+0.004 (−0.016 to +0.024) from CXR-Model-FFT" in distilled
    assert "equivalent within ±0.05" in distilled
    assert "lowest for CXR-Model-FFT (30 of 150, by chance 2 to 41)" in texts["Bias"]
    assert (
        "+0.31 (−0.42 to +0.78) with the thesis’s bias score: no relation can be claimed"
        in texts["Performance vs. bias"]
    )
    assert "median difference is +0.010" in texts["Against the thesis"]


def test_headlines_follow_the_numbers_when_these_change(small):
    correlation = small.table("correlation").assign(within=-0.7, low=-0.9, high=-0.2)
    assert "better models reveal less" in bias.tradeoff(correlation, "chexpert").text
    assert (
        "also reveal more"
        in bias.tradeoff(correlation.assign(within=0.7, low=0.2, high=0.9), "chexpert").text
    )
    assert bias.tradeoff(correlation.assign(within=float("nan")), "chexpert") is None
    summary, comparisons = small.table("summary"), small.table("comparisons")
    unsure = comparisons.assign(p_equivalent=0.6, p_noninferior=0.6)
    text = performance.gain(summary, unsure, "chexpert", 0.95).text
    assert text.count("equivalence within ±0.01 is not shown") == 2
    alike = performance.gain(summary, comparisons.assign(p_equivalent=0.01), "chexpert", 0.95)
    assert alike.text.count("equivalent within ±0.01, p = 0.01") == 2
    assert performance.gain(summary[summary.loss == ""], comparisons, "chexpert", 0.95) is None
    chosen = summary.assign(validation=-summary["mean"])
    text = performance.performance(chosen, "chexpert", 0.95).text
    assert "chosen on the test set, it would be too favourable" in text
    scores = small.table("scores").assign(distance_p=0.5)
    assert "In none of 7 embeddings" in bias.bias(scores, "chexpert", "fdr_by").text
    assert bias.bias(scores.assign(score=float("nan")), "chexpert", "fdr_by") is None


@pytest.mark.parametrize("order", [1, -1], ids=["as it is", "reversed"])
def test_where_no_gap_exceeds_noise_the_widest_one_is_named(small, order):
    gaps = small.table("gaps").assign(corrected=0.0, estimate=0.004)
    widest = (gaps.attribute == "age") & (gaps.kind == "range")
    gaps.loc[widest, "estimate"] = 0.081
    text = bias.subgroups(gaps[::order], small.table("summary"), "chexpert").text
    assert "differs most by age: by 0.081" in text


def test_a_generated_dataset_says_whether_its_truth_was_found(small):
    scores = small.table("scores")
    text = bias.planted(scores, "chexpert", {"race": 4.0, "sex": 0.0, "age": 0.9}).text
    assert "race leaves a trace and is found (mean D 0.100 (0.100 to 0.100), p = 0.004), as" in text
    assert "sex leaves none and is not found (mean D 0.100 (0.100 to 0.100), p = 0.60), as" in text
    assert "age leaves a trace" not in text  # its D has no interval here
    aged = scores.assign(d_age=0.2, d_age_low=0.1, d_age_high=0.3)
    text = bias.planted(aged, "chexpert", {"age": 0.9}).text
    assert "age leaves a trace and is found (mean D 0.200 (0.100 to 0.300)), as planted" in text
    text = bias.planted(scores, "chexpert", {"race": 0.0, "sex": 1.0}).text
    assert text.count("which is not what was planted") == 2
    assert bias.planted(scores, "mimic", {"race": 4.0}) is None
    assert bias.planted(scores, "chexpert", {}) is None


def test_a_study_without_race_or_transfer_says_so_and_shows_the_rest(tmp_path):
    html = page(made_report.study(tmp_path, race=False, transfer=False), "")
    assert re.findall(r'<h2 id="[^"]+">([^<]+)</h2>', html) == TITLES
    text = " ".join(parsed(html).text)
    assert "No transfer was asked for" in text
    assert "Race is not analysed in this study" in text
    assert "The test sets were not balanced" in text
    assert "natural test set" in text
    assert "Asian" not in text.replace("White, Asian and Black", "")
    assert parsed(html).open == []


def test_a_dataset_without_race_beside_one_with_it_is_named(small):
    without = {stage: ["sex", "age"] for stage in ("evaluation", "bias")}
    changed = replace(
        small,
        balanced=["chexpert"],
        attributes=small.attributes | {"mimic": without},
        trained=["chexpert", "mimic"],
    )
    text = " ".join(parsed(page(changed, "")).text)
    assert "The test sets of MIMIC-CXR were not balanced" in text
    assert "Race is not among the attributes of MIMIC-CXR" in text
    assert "Race is not analysed in MIMIC-CXR" in text


def test_synthetic_data_are_announced_and_real_data_are_not(small, html):
    announced = page(replace(small, settings=made_results.settings(synthetic=True)), "")
    assert 'class="banner"' in announced
    assert "Synthetic data." in announced
    assert 'class="banner"' not in html


def test_the_same_study_gives_the_same_page(small, html):
    assert page(small, "c0de") == html


def test_figures_are_inlined_with_their_own_ids_and_the_colours_of_the_page(small):
    path = next(path for path in small.figures if path.stem == "performance")
    svg = str(markup.inline_svg(path, "figure-7", "A < label"))
    assert svg.startswith("<svg viewBox=")
    assert "A &lt; label" in svg
    assert 'id="figure_1"' not in svg
    assert "var(--ink)" in svg
    assert "#1f2328" not in svg
    for target in re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", svg):
        assert f'id="{target[0] or target[1]}"' in svg


@pytest.mark.parametrize(
    "content",
    [
        "<script>alert(1)</script>",
        '<rect onload="alert(1)"/>',
        "<foreignObject><body/></foreignObject>",
        '<image href="https://example.org/a.png"/>',
        '<a href="javascript:alert(1)"><rect/></a>',
        "<style>@import url(https://example.org/a.css);</style>",
        '<rect style="fill: url(https://example.org/#a)"/>',
        "<rect",
    ],
)
def test_an_svg_that_is_more_than_a_picture_is_refused(tmp_path, content):
    path = tmp_path / "figure.svg"
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="10pt" viewBox="0 0 10 10">'
    path.write_text(f"{head}{content}</svg>")
    with pytest.raises(InputError, match="Delete it and draw it again"):
        markup.inline_svg(path, "figure-1", "label")
    path.write_text(f'{head}<rect style="fill: url(#a)"/><use href="#a"/></svg>')
    assert "<rect" in markup.inline_svg(path, "figure-1", "label")


def test_key_results_are_gains_over_no_distillation_and_losses_against_the_teacher(small, html):
    table = html[html.index('<table id="key-results"') :]
    table = table[: table.index("</table>")]
    rows = re.findall(r"<tr><td>(.*?)</tr>", table)
    comparisons = small.table("comparisons")
    expected = comparisons[
        (comparisons.dataset == "chexpert")
        & (comparisons.finding == "Macro")
        & (comparisons.metric == "auc_roc")
        & (comparisons.population == "resampled")
    ]
    assert rows
    for row in rows:
        assert "CXR-FMKD" in row
    for kind in ("baseline", "teacher"):
        of_kind = expected[expected.family.str.startswith(kind)]
        numbers = {prose.number(value, 3, sign=True) for value in of_kind.difference}
        assert any(number in table for number in numbers), kind
    assert html.index('id="key-results"') < html.index('class="headlines"')


def test_a_reference_that_the_study_lacks_has_no_column(small, monkeypatch):
    whole = ReportData.table

    def without_baseline(self, name):
        table = whole(self, name)
        return table[~table.family.str.startswith("baseline")] if name == "comparisons" else table

    monkeypatch.setattr(ReportData, "table", without_baseline)
    found = overview.key_results(small)
    assert "minus the teacher’s probe" in found
    assert "minus the undistilled network" not in found


def test_charts_hold_what_their_figures_hold_and_numbers_are_in_the_page(small, html):
    drawn, numbers = (json.loads(contents(html, name)) for name in ("charts", "numbers"))
    figures = {f.number: f for part in numbered_figures(small).values() for f in part}
    kinds = {figures[int(number)].kind for number in drawn}
    assert {"performance", "transfer", "performance-vs-bias"} <= kinds
    for number, figure in figures.items():
        assert set(numbers[str(number)]) == set(figure.numbers.columns)
        assert f'href="#numbers-{number}"' in html
    number = next(n for n, f in figures.items() if f.kind == "performance")
    rows = drawn[str(number)]["rows"]
    source = figures[number].numbers
    for value in rows["value"]:
        assert np.isclose(source["mean"], value, rtol=1e-5).any()
    alt = figures[number].alt
    assert re.search(r"highest \S+.*, 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", alt)


def test_curves_answer_a_pointer_along_the_line_and_at_the_operating_point():
    keys = {"dataset": "a", "model": "cxr-fm-lp", "loss": "", "population": "natural"}
    keys |= {"finding": "Edema"}
    grid = np.linspace(0, 1, 51)
    line = [keys | {"curve": "roc", "x": x, "y": x**0.5} for x in grid]
    point = keys | {"curve": "roc point", "x": 0.25, "y": 0.5}
    _, rows = charts.chart("curves", pd.DataFrame([*line, point]))
    assert list(rows.role.value_counts().reindex(["line", "hovered", "operating point"])) == [
        40,
        11,
        1,
    ]
    assert rows.text.iloc[-1] == "sensitivity 0.500 at false-positive rate 0.250"
    assert set(rows.text[rows.role == "line"]) == {""}
    assert set(rows.panel) == {"Edema: ROC"}


def test_each_finding_of_the_focused_comparison_has_a_scale_of_its_own():
    keys = {"dataset": "a", "source": "a", "strategy": "own", "loss": "", "population": "natural"}
    keys |= {"metric": "auc_roc", "sd": 0.0, "n_seeds": 1, "low": np.nan, "high": np.nan}
    means = {("cxr-fm-lp", "Edema"): 0.9, ("resnet50-fft", "Edema"): 0.5}
    means |= {("cxr-fm-lp", "No Finding"): 0.61, ("resnet50-fft", "No Finding"): 0.6}
    table = pd.DataFrame(
        [keys | {"model": m, "finding": f, "mean": mean} for (m, f), mean in means.items()]
    )
    _, rows = charts.chart("focused", table)
    height = rows.set_index(["family", "group_name"]).y.unstack()
    ends = 0.05 / 1.1, 1.05 / 1.1  # an axis is 5 % longer than its values at both ends
    np.testing.assert_allclose(height.loc["ResNet50-FFT"], ends[0])
    np.testing.assert_allclose(height.loc["CXR-FM-LP"], ends[1])


def test_what_students_kept_is_drawn_without_models_and_within_the_panel():
    rows = [("student", "mse", 0.8), ("control", "untrained", -35.0), ("teacher", "", 0.9)]
    table = pd.DataFrame(rows, columns=["kind", "name", "value"])
    table = table.assign(dataset="a", teacher="T", measure="r2_overall")
    spec, rows = charts.chart("distillation", table)
    assert list(rows.group_name) == ["MSE", "Undistilled network, random map"]
    assert list(rows.x) == [0.8, -0.3]
    assert list(rows.text) == ["0.800", "−35.000"]
    assert list(rows.note) == ["", "← −35"]
    (note,) = [layer for layer in spec["layer"] if layer["mark"]["type"] == "text"]
    assert note["encoding"]["text"]["field"] == "note"
    assert set(rows.expected) == {0.9}
    assert "picked == ''" not in json.dumps(spec)
    assert charts.result("distillation", rows).endswith("random map, −35.000.")


def test_losses_by_epoch_have_a_line_for_each_seed_and_split():
    table = pd.DataFrame({"epoch": [0, 1], "train_loss": [2.0, 1.0], "val_loss": [3.0, 2.5]})
    table = pd.concat([table.assign(dataset="a", loss="mse", seed=seed) for seed in (41, 42)])
    spec, rows = charts.chart("training", table)
    assert sorted(set(rows.group_name)) == [
        f"{split}, seed {seed}" for split in ("training", "validation") for seed in (41, 42)
    ]
    assert rows.x.min() == 1
    assert '"type": "log"' in json.dumps(spec)
    zero, _ = charts.chart("training", table.assign(train_loss=0.0))
    assert '"type": "log"' not in json.dumps(zero)


def test_the_chart_of_differences_has_a_panel_for_each_control():
    row = {"dataset": "chexpert", "population": "natural", "finding": "Macro", "loss": "mse"}
    row |= {"metric": "auc_roc", "strategy": "own", "model": "cxr-fmkd-lp", "source": "chexpert"}
    row |= {"difference": 0.1, "low": 0.0, "high": 0.2, "p_adjusted": 0.01, "margin": 0.02}
    table = pd.DataFrame([row | {"kind": kind} for kind in ("teacher", "shuffled")])
    _, rows = charts.chart("differences", table)
    assert sorted(set(rows.panel)) == [
        "AUC-ROC, from its control, embeddings of other patients",
        "AUC-ROC, from the teacher’s probe",
    ]


def test_the_warnings_name_what_a_reader_should_know(small):
    texts = " ".join(overview.warnings(small))
    assert "no test image of Black x Other" in texts
    assert "measured nowhere" in texts
    assert "trained with 3 seeds" in texts
    assert "of the cohort" in texts
    runs = [{"epochs": 5, "best": {"epoch": 4}}, {"epochs": 5, "best": {"epoch": 2}}]
    runs.append({"l2_at_end_of_grid": ["Edema"]})
    found = overview._of_trainings(runs)
    assert found[0].startswith("1 training of 3 had")
    assert found[1].startswith("1 probe chose")


def test_the_methods_paragraph_and_its_citations_follow_the_settings(small):
    text = methods.paragraph(small)
    assert "CheXpert [@irvin2019] (900 images of 450 patients)" in text
    assert "2,000 bootstrap replicates over patients and on the variance over seeds;" in text
    other = with_settings(
        small, evaluation={"unit": "row", "replicates": 500}, classification={"seeds": [41]}
    )
    assert "500 bootstrap replicates over rows;" in methods.paragraph(other)
    cited = set(re.findall(r"\[@(\w+)\]", text))
    assert cited == set(methods.cited(small)) & cited
    assert set(re.findall(r"@\w+\{(\w+),", methods.bibtex(small))) == set(methods.cited(small))


@pytest.mark.parametrize(
    ("classification", "distillation", "sentence"),
    [
        ("same-seed", {}, "; the epoch was selected on validation images."),
        ("selected", {}, "; the epoch and the seed were selected on validation images."),
        (
            "selected",
            {"select_on": "test"},
            "; the epoch was selected on validation images, the seed on the distillation’s test "
            "part.",
        ),
        (
            "selected",
            {"select_on": "test", "seeds": [41]},
            "; the epoch was selected on validation images.",
        ),
    ],
    ids=["every seed", "best on validation", "best on test", "one seed"],
)
def test_the_paragraph_says_on_which_images_students_were_selected(
    small, classification, distillation, sentence
):
    other = with_settings(
        small, classification={"student": classification}, distillation=distillation
    )
    assert sentence in methods.paragraph(other)


def test_the_paragraph_says_what_labels_count_as_and_how_test_sets_were_balanced(small):
    text = methods.paragraph(small)
    assert "uncertain and blank labels counted as zeros." in text
    assert "The test sets of CheXpert and MIMIC-CXR were also weighted to equal" in text
    own = {"mimic": small.settings["datasets"]["mimic"] | {"resampling": "weights"}}
    other = with_settings(
        small,
        labels={"uncertain": "ones", "blank": "ignore"},
        resampling={"method": "draws"},
        datasets=own,
    )
    text = methods.paragraph(other)
    assert "uncertain labels counted as ones and blank labels were left out." in text
    assert "The test sets of CheXpert were also resampled to equal shares of races" in text
    assert "The test sets of MIMIC-CXR were also weighted to equal shares of races" in text


def test_the_page_says_whose_labels_a_program_mined_and_whose_race_is_recorded(small, html):
    def told(data: ReportData) -> str:
        return " ".join("".join(parsed(page(data, "")).text).split())

    text = " ".join("".join(parsed(html).text).split())
    assert "Labels were mined from reports by a program; they are not diagnoses." in text
    assert "Race is as recorded by hospitals" in text
    datasets = small.settings["datasets"]
    table = {"mimic": datasets["mimic"] | {"adapter": "table"}}
    text = told(with_settings(small, datasets=table))
    assert "Labels of CheXpert were mined from reports by a program" in text
    text = told(with_settings(small, datasets=table, synthetic={"chexpert": {"patients": 100}}))
    assert "mined from reports" not in text
    assert "Labels are those of the datasets." in text
    assert "Race is as recorded by hospitals" in text  # of MIMIC-CXR, whose patients are real
    both = {name: {"patients": 100} for name in ("chexpert", "mimic")}
    assert "Race is as recorded" not in told(with_settings(small, synthetic=both))


def test_labels_of_a_pool_are_mined_where_those_of_a_member_are(small):
    member = small.settings["datasets"]["chexpert"]
    pool = member | {"adapter": "pool", "pool": ["one", "two"]}
    members = {"one": member | {"adapter": "table"}, "two": member}
    data = with_settings(
        replace(small, datasets=["chexpert"]), datasets={"chexpert": pool} | members
    )
    assert data.mined == ["chexpert"]
    assert with_settings(data, synthetic={"two": {}}).mined == []


def test_race_is_not_spoken_of_where_nothing_is_analysed_or_balanced_by_it(small):
    without = {stage: ["sex", "age"] for stage in ("evaluation", "bias")}
    of_none = replace(small, attributes=dict.fromkeys(small.datasets, without))
    assert of_none.uses_race  # the test sets are balanced by it
    assert not replace(of_none, balanced=[]).uses_race
    assert not with_settings(of_none, resampling={"by": "sex"}).uses_race


def test_captions_say_how_to_read_the_chart_or_the_picture_that_the_page_shows(small, html):
    figures = {f.kind: f for part in numbered_figures(small).values() for f in part}
    assert figures["performance"].reading == "Hollow dots: linear probes."
    assert figures["flow"].reading.startswith("Boxes on the left count what was kept")
    assert "and the same models trained on the target" not in html
    for figure in figures.values():
        assert f"{figure.about} {figure.reading}".rstrip() in html
    assert KINDS["gaps"].chart.startswith("Grey ticks: the gap to be expected if all groups were")
    assert KINDS["focused"].chart.startswith("Every axis has its own scale")


def test_every_model_and_every_column_of_the_numbers_has_a_meaning(small):
    assert set(overview.GLOSSARY["models"]) == set(MODELS)
    columns = {
        column
        for part in numbered_figures(small).values()
        for figure in part
        for column in figure.numbers
    }
    assert columns <= set(overview.GLOSSARY["columns"])


def test_tables_escape_what_they_are_given_and_mark_what_is_missing():
    html = str(
        markup.table(
            {"<b>": ["<i>", None], "n": [1.5, float("nan")]},
            "A & b",
            {"n": markup.decimals(2)},
            name="t",
        )
    )
    assert "&lt;b&gt;" in html
    assert "&lt;i&gt;" in html
    assert "A &amp; b" in html
    assert '<td class="n" data-v="1.5">1.50</td>' in html
    assert '<td class="n">–</td>' in html


def test_numbers_read_as_people_write_them():
    assert prose.number(-0.0123, 3) == "−0.012"
    assert prose.number(float("nan")) == "–"
    assert prose.estimate(0.5, float("nan"), float("nan")) == "0.500"
    assert (prose.p_value(0.0004), prose.p_value(0.0123), prose.p_value(0.5)) == (
        "p < 0.001",
        "p = 0.012",
        "p = 0.50",
    )
    assert prose.listing(["a", "b", "c"]) == "a, b and c"
    assert prose.count(1, "seed") == "1 seed"
    assert prose.count(12000, "image") == "12,000 images"


def test_switches_say_whose_practice_a_study_follows():
    settings = made_results.settings()
    table = compare(settings, made_report.THESIS).set_index("setting")
    assert table.follows["network.input"] == "sound practice"
    assert table.thesis["network.input"] == "raw"
    assert table.follows["probe.protocol"] == "sound practice"
    settings["network"]["input"] = "raw"
    settings["finetuning"]["patience"] = 7
    table = compare(settings, made_report.THESIS).set_index("setting")
    assert table.follows["network.input"] == "thesis"
    assert table.follows["finetuning.patience"] == "its own"
    assert not {"distillation.losses", "distillation.seeds", "transfer.pairs"} & set(table.index)
    for setting in ("evaluation.seeds", "bias.seeds"):
        assert table.thesis[setting] == "selected"
        assert table.follows[setting] == "sound practice"
    assert {name.partition(".")[0] for name in table.index} <= {*sections(), "datasets"}
    assert table.follows["datasets.mimic.inconsistent_race"] == "sound practice"


def test_the_script_writes_one_page(small, tmp_path):
    out = tmp_path / "report/index.html"
    names = ("settings", "datasets", "trained", "balanced", "attributes")
    spec = {name: getattr(small, name) for name in names} | {"code": "c0de", "assets": "ha5h"}
    command = [sys.executable, SCRIPT, "--spec", json.dumps(spec), "--out", out]
    items = out.with_name("checklist.csv")
    command += ["--thesis", ROOT / "config/thesis.yaml", "--figures", *small.figures]
    command += ["--checklist", items]
    command += made_results.as_arguments(small.files)
    subprocess.run(command, check=True)
    assert out.read_text().rstrip().endswith("</html>")
    assert set(out.parent.glob("[!.]*")) == {out, items}
    assert made_results.SECRET not in items.read_text()


def test_the_checklists_are_whole_and_filled_from_the_study(small):
    """44 items of CLAIM and the 27 of TRIPOD+AI, of which 12 and 23 have parts."""
    table = checklist(small)
    numbers = {name: rows.item.tolist() for name, rows in table.groupby("guideline")}
    assert numbers["CLAIM 2024"] == [str(i) for i in range(1, 45)]
    tripod = dict.fromkeys(item.rstrip("abcdefg") for item in numbers["TRIPOD+AI 2024"])
    assert list(tripod) == [str(i) for i in range(1, 28)]
    items = table[table.guideline == "CLAIM 2024"].set_index("item")
    assert items.status["44"] == items.status["15"] == "open"
    assert items.answer["44"] == ""
    assert items.answer["33"] == "CheXpert to MIMIC-CXR"
    assert items["where"]["33"] == "report, Transfer"
    assert "900 images of 450 patients" in items.answer["35"]
    assert "torch 2.11.0" in items.answer["23"]
    assert "2,000 replicates" in items.answer["29"]
    answered = table[table.status == "answered"]
    assert answered.answer.str.len().min() > 3
    sections = {where.removeprefix("report, ") for where in answered["where"] if where}
    assert sections <= set(SECTIONS.values())


@pytest.mark.parametrize(("student", "told"), [("same-seed", False), ("selected", True)])
def test_the_checklist_names_the_selection_of_students_where_there_is_one(small, student, told):
    table = checklist(with_settings(small, classification={"student": student}))
    assert table.answer.str.contains("best models on validation images").any()
    assert table.answer.str.contains("students on val").any() == told


@pytest.mark.parametrize(("method", "word"), [("draws", "drawn"), ("weights", "weighted")])
def test_the_page_says_how_test_sets_were_balanced(small, method, word):
    assert f"Resampled: images {word} so that" in page(
        with_settings(small, resampling={"method": method}), ""
    )


def test_a_study_without_transfer_leaves_external_testing_open(tmp_path):
    alone = checklist(made_report.study(tmp_path, few=(), transfer=False)).set_index(
        ["guideline", "item"]
    )
    assert alone.status["CLAIM 2024", "33"] == "open"
    assert alone["where"]["CLAIM 2024", "33"] == ""


def test_a_row_bootstrap_is_called_what_it_is(small):
    rows = page(with_settings(small, evaluation={"unit": "row"}), "")
    assert "Intervals resample rows within label strata" in rows
    assert "each of which draws rows within the strata of a finding’s label;" in rows


def test_intervals_are_told_as_they_are_made(html):
    lead = "Intervals are over patients, by bootstrap, and over seeds where there are several;"
    assert lead in html
    assert "Of performance: from the standard error over bootstrap replicates, each of" in html
    assert "each of which draws patients with all their images; areas on the logit scale;" in html
    assert "Percentiles over bootstrap replicates" not in html


def test_the_text_s_best_models_are_told_from_those_that_a_reader_picks(html):
    assert "Where the text names a best model, validation images chose it." in html


def test_a_study_with_nothing_but_numbers_that_are_missing_has_no_headlines(small):
    summary = small.table("summary").assign(mean=float("nan"))
    assert performance.performance(summary, "chexpert", 0.95) is None


@pytest.mark.parametrize(
    ("name", "title", "words"),
    [
        ("sex", "Sex", "sex"),
        ("age", "Age", "age"),
        ("bmi", "BMI", "BMI"),
        ("body_weight", "Body weight", "body weight"),
    ],
)
def test_an_attribute_is_written_as_people_do(name, title, words):
    assert titles.attribute_title(name) == title
    assert titles.attribute_words(name) == words
