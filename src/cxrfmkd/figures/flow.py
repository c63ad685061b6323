"""From the raw files to the study: what was used, what was left out and why, and the splits."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from cxrfmkd.figures import style
from cxrfmkd.vocabulary.titles import dataset_title

WIDTH, BOX, SIDE = 7.4, 2.6, 4.2  # inches: figure, box of what is used, box of what is left out
EDGE, LINE, PAD = 0.1, 0.135, 0.13  # inches: margin, a line of text, air around all lines of a box
GAP = 0.14  # between one box and the next
COLUMNS = ["kind", "step", "kept", "excluded", "patients", "reason", "suppressed"]
SPLITS = {"train": "Training", "val": "Validation", "test": "Test"}


def select_flow(
    summary: dict,
    unreadable: pd.DataFrame | None = None,
    without_embedding: pd.DataFrame | None = None,
    minimum_cell: int = 10,
) -> pd.DataFrame:
    """The steps and splits of a dataset's `summary.json`: counts alone.

    unreadable, without_embedding: `image_id` and `reason` of the images that could not be packed,
    and of those that a teacher has no embedding of; one that is both is counted as unreadable.
    The splits are those of the records. A step that leaves out a few records, fewer than
    `minimum_cell`, has no numbers of its own: it counts with the next one that leaves any out, or
    with the one before, and the column `suppressed` says so. What cannot be read or has no
    embedding is a matter of files, not of patients, and counted in any case.
    """
    table = _without_few(pd.DataFrame(summary["flow"]), minimum_cell).assign(kind="step")
    if unreadable is not None and len(unreadable):
        # A reason may name a file, and a file a patient: only the kind of error leaves the
        # dataset's folder.
        counts = unreadable.reason.str.split(":").str[0].value_counts()
        steps = pd.DataFrame(
            {
                "kind": "step",
                "step": "packed",
                "kept": table.kept.iloc[-1] - counts.cumsum(),
                "excluded": counts,
                "reason": [f"the image cannot be read ({error})" for error in counts.index],
            }
        )
        table = pd.concat([table, steps])
    if without_embedding is not None:
        counted = [] if unreadable is None else unreadable.image_id
        absent = without_embedding.image_id.drop_duplicates()  # an image may lack several
        count = int((~absent.isin(counted)).sum())
        if count:
            step = {"kind": "step", "step": "embedded", "excluded": count}
            step |= {"kept": table.kept.iloc[-1] - count}
            several = "teacher" in without_embedding and without_embedding.teacher.notna().any()
            who = "a teacher has" if several else "the teacher has"
            step |= {"reason": f"{who} no embedding of the image"}
            table = pd.concat([table, pd.DataFrame([step])])
    splits = pd.DataFrame(
        [
            ("split", name, counts["images"], 0, counts["patients"], "", False)
            for name, counts in summary["counts"].items()
        ],
        columns=COLUMNS,
    )
    return pd.concat([table, splits] if len(splits) else [table], ignore_index=True)[COLUMNS]


def _without_few(steps: pd.DataFrame, minimum: int) -> pd.DataFrame:
    """Join steps until each leaves out none or `minimum` images; if all do not, show none of it.

    The images that a step leaves out are the difference of two numbers that are kept, so what is
    few is added to what the following step leaves out, and what is few at the end to the former.
    """
    rows: list[dict] = []
    for row in steps.assign(suppressed=False).to_dict("records"):
        former = _last_that_excludes(rows)
        if row["excluded"] and former is not None and rows[former]["excluded"] < minimum:
            row = _joined(rows[former], row)
            del rows[former:]  # what stands between leaves out none, but what it keeps would tell
        rows.append(row)
    few = _last_that_excludes(rows)
    if few is None or rows[few]["excluded"] >= minimum:
        return pd.DataFrame(rows)
    former = _last_that_excludes(rows[:few])
    if former is not None:
        rows[former : few + 1] = [_joined(rows[former], rows[few])]
    else:
        hidden = dict.fromkeys(("kept", "patients"), float("nan"))
        rows[:few] = [row | hidden for row in rows[:few]]
        rows[few] |= {"excluded": float("nan"), "suppressed": True}
    return pd.DataFrame(rows)


def _last_that_excludes(rows: list[dict]) -> int | None:
    return next((i for i in reversed(range(len(rows))) if rows[i]["excluded"]), None)


def _joined(former: dict, row: dict) -> dict:
    """Two steps as one that leaves out what both do."""
    joined = {"excluded": former["excluded"] + row["excluded"], "suppressed": True}
    return row | joined | {"reason": f"{former['reason']}; {row['reason']}"}


def _tall(lines: list[str]) -> float:
    return LINE * len(lines) + PAD


def _box(panel: Axes, x: float, y: float, width: float, lines: list[str], grey: bool = False):
    """A box of centred lines, the first one bold; `x`, `y`: its upper left corner in inches."""
    height = _tall(lines)
    corner = (x, y - height)
    look: style.Look = {"facecolor": style.BAND if grey else style.PAPER, "linewidth": 0.8}
    look |= {"edgecolor": style.BAND if grey else style.AXIS}
    panel.add_patch(FancyBboxPatch(corner, width, height, "round,pad=0,rounding_size=0.05", **look))
    for i, line in enumerate(lines):
        look = {"color": style.MUTED if grey and i else style.INK, "size": 7 if i else 7.5}
        look |= {"weight": "normal" if i else "bold", "ha": "center", "va": "center_baseline"}
        panel.text(x + width / 2, y - (PAD + LINE) / 2 - LINE * i, line, **look)


def _arrow(panel: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    look = {"arrowstyle": "-|>", "mutation_scale": 7, "color": style.AXIS, "linewidth": 0.9}
    panel.annotate("", end, start, arrowprops=look | {"shrinkA": 0, "shrinkB": 0})


def _size(images: float, patients: float) -> str:
    if pd.isna(images):
        return "number not shown"
    text = f"{images:,.0f} images"
    return text if pd.isna(patients) else f"{text} of {patients:,.0f} patients"


def _steps(table: pd.DataFrame) -> list[tuple[list[str], list[str]]]:
    """Lines of (what is left out, what remains) of every step that leaves something out."""
    steps: list[tuple[list[str], list[str]]] = []
    for i, row in enumerate(table.itertuples()):
        reason = textwrap.wrap(row.reason[:1].upper() + row.reason[1:], 72)
        remaining = _size(row.kept, row.patients)
        if not i:
            steps.append(([], [str(row.step), remaining]))
        elif pd.isna(row.excluded) or row.excluded:
            left_out = "A few" if pd.isna(row.excluded) else f"{row.excluded:,.0f}"
            steps.append(([f"{left_out} left out", *reason], [remaining]))
    return steps


def draw_flow(table: pd.DataFrame, dataset: str) -> Figure:
    """Boxes from top to bottom; what is left out stands at the right, the splits at the bottom."""
    steps = _steps(table[table.kind == "step"])
    splits = table[table.kind == "split"]
    tall = sum(_tall(remaining) for _, remaining in steps)
    tall += sum(_tall(out) + 2 * GAP for out, _ in steps[1:])
    height = 0.55 + tall + (1.0 if len(splits) else 0.1)
    figure = Figure(figsize=(WIDTH, height))
    panel = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height))
    panel.axis("off")
    x, y = EDGE + BOX / 2, height - 0.5
    for out, remaining in steps:
        if out:
            middle, bottom = y - GAP - _tall(out) / 2, y - 2 * GAP - _tall(out)
            side = WIDTH - EDGE - SIDE
            _arrow(panel, (x, y), (x, bottom))
            _arrow(panel, (x, middle), (side, middle))
            _box(panel, side, y - GAP, SIDE, out, grey=True)
            y = bottom
        _box(panel, EDGE, y, BOX, remaining)
        y -= _tall(remaining)
    if len(splits):
        width = (WIDTH - 2 * EDGE - 0.2 * (len(splits) - 1)) / len(splits)
        left = [EDGE + i * (width + 0.2) for i in range(len(splits))]
        ends = [left[0] + width / 2, left[-1] + width / 2]
        panel.plot([x, x], [y, y - GAP], color=style.AXIS, linewidth=0.9)
        panel.plot(ends, [y - GAP] * 2, color=style.AXIS, linewidth=0.9)
        for start, row in zip(left, splits.itertuples(), strict=True):
            lines = [SPLITS.get(row.step, row.step), _size(row.kept, row.patients)]
            _arrow(panel, (start + width / 2, y - GAP), (start + width / 2, y - 2 * GAP))
            _box(panel, start, y - 2 * GAP, width, lines)
    title = f"From the raw files of {dataset_title(dataset)} to the study"
    panel.text(EDGE, height - EDGE, title, size=10, weight="bold", va="top")
    return figure
