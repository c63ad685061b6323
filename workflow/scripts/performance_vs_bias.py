"""Compare the models' performance with their bias: points, line and rank correlation."""

from pathlib import Path

import pandas as pd

from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_table
from cxrfmkd.study.settings import Findings
from cxrfmkd.tradeoff.correlation import (
    correlations,
    is_half,
    model_points,
    of_selected,
    read_tables,
)


def main() -> None:
    args = parse(
        __doc__,
        **{name: [Path] for name in ("summaries", "selected", "halves", "scores")},
        out=Path,
        correlation=Path,
    )
    scores, summaries = read_tables(args.scores), read_tables(args.summaries)
    if args.selected:
        summaries = of_selected(summaries, args.selected)
    findings = Findings.of_spec(args.spec)
    points = model_points(pd.concat([summaries, read_tables(args.halves)]), scores, findings)
    write_table(args.out, points[~points.population.map(is_half).astype(bool)])
    write_table(args.correlation, correlations(points, scores))


if __name__ == "__main__":
    run(main)
