"""Compare the models' performance with their bias: points, line and rank correlation."""

from pathlib import Path

from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_table
from cxrfmkd.tradeoff.correlation import correlations, is_half, model_points, read_tables


def main() -> None:
    args = parse(
        __doc__, summaries=[Path], halves=[Path], scores=[Path], out=Path, correlation=Path
    )
    scores = read_tables(args.scores)
    points = model_points(read_tables([*args.summaries, *args.halves]), scores)
    write_table(args.out, points[~points.population.map(is_half).astype(bool)])
    write_table(args.correlation, correlations(points, scores))


if __name__ == "__main__":
    run(main)
