"""Arrange the study's results as the tables that people read."""

from pathlib import Path

from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_table
from cxrfmkd.tables import wide
from cxrfmkd.tables.costs import costs
from cxrfmkd.tables.gathering import documents, gather


def main() -> None:
    args = parse(__doc__, inputs={"NAME": Path}, benchmarks=[Path], out_dir=Path)
    results = gather(args.inputs)
    metrics, summary = results["metrics"], results["summary"]
    runs = documents(args.inputs.get("run", []))
    qualities = documents(args.inputs.get("quality", []))
    selections = documents(args.inputs.get("selected", []))
    tables = {
        "cohort": wide.cohort(documents(args.inputs["records"]), args.spec["minimum_cell"]),
        "performance_detailed": wide.detailed(metrics, summary),
        "performance_focused": wide.focused(metrics, summary),
        "transfer": wide.transfer(summary),
        "students": wide.students(qualities, runs, selections),
        "subgroups": wide.subgroups(results["subgroups"]),
        "bias": wide.bias(results.get("scores")),
        "costs": costs(runs, args.benchmarks),
    }
    for name, table in tables.items():
        write_table(args.out_dir / f"{name}.csv", table)


if __name__ == "__main__":
    run(main)
