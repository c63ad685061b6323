"""Compare the models' performance with their bias: points, line and rank correlation."""

from pathlib import Path

from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_table
from cxrfmkd.tradeoff import correlation as performance


def main() -> None:
    args = parse(
        __doc__, summaries=[Path], halves=[Path], scores=[Path], out=Path, correlation=Path
    )
    scores = performance.read(args.scores)
    table = performance.points(performance.read([*args.summaries, *args.halves]), scores)
    write_table(args.out, table[~table.population.map(performance.of_half)])
    write_table(args.correlation, performance.correlations(table, scores))


if __name__ == "__main__":
    run(main)
