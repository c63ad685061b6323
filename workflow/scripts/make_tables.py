"""Arrange the study's results as the tables that people read."""

from pathlib import Path

from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_table
from cxrfmkd.tables import wide as tables
from cxrfmkd.tables.costs import costs
from cxrfmkd.tables.gathering import documents, gather


def main() -> None:
    args = parse(__doc__, inputs=[Path], benchmarks=[Path], out_dir=Path)
    found = gather(args.inputs)
    runs, records = documents(args.inputs, "run.json"), documents(args.inputs, "summary.json")
    qualities = documents(args.inputs, "quality.json")
    chosen = documents(args.inputs, "selected.json")
    made = {
        "cohort.csv": tables.cohort(records, args.spec["minimum_cell"]),
        "performance_detailed.csv": tables.detailed(found["metrics.csv"], found["summary.csv"]),
        "performance_focused.csv": tables.focused(found["metrics.csv"], found["summary.csv"]),
        "transfer.csv": tables.transfer(found["summary.csv"]),
        "students.csv": tables.students(qualities, runs, chosen),
        "subgroups.csv": tables.subgroups(found["subgroups.csv"]),
        "bias.csv": tables.bias(found.get("scores.csv")),
        "costs.csv": costs(runs, args.benchmarks),
    }
    for name, table in made.items():
        write_table(args.out_dir / name, table)


if __name__ == "__main__":
    run(main)
