"""Arrange the study's results as the tables that people read."""

from pathlib import Path

from cxrfmkd.datasets.disclosure import disclosure
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_json, write_table
from cxrfmkd.study.settings import Findings
from cxrfmkd.tables import wide
from cxrfmkd.tables.checking import check_families
from cxrfmkd.tables.cohort import cohort
from cxrfmkd.tables.costs import costs, without_settings
from cxrfmkd.tables.gathering import about, read_documents, read_result, read_results
from cxrfmkd.tables.spreadsheets import inert
from cxrfmkd.vocabulary.attributes import declared
from cxrfmkd.vocabulary.datasets import SPLITS


def main() -> None:
    args = parse(__doc__, inputs={"NAME": Path}, benchmarks=[Path], out_dir=Path)
    documents = (args.inputs.get(n, []) for n in ("records", "run", "quality", "selected"))
    results = (args.inputs.get(n, []) for n in ("metrics", "summary", "subgroups", "scores"))
    records, runs, qualities, selected = map(read_documents, documents)
    metrics, summary, groups, scores = map(read_results, results)
    if "families" in args.spec:
        check_families(summary, args.spec["families"])
    attributes, findings = declared(args.spec), Findings.of_spec(args.spec)
    policy = {"minimum": args.spec["minimum_cell"], "uncertain": args.spec["uncertain"]}
    policy["attributes"] = attributes
    disclosed = {
        (str(about(path)["dataset"]), split): disclosure(read_result(path), **policy)
        for split in SPLITS
        for path in args.inputs.get(split, [])
    }
    tables = {
        "cohort": cohort(records, disclosed, attributes),
        "performance_detailed": wide.performance_detailed(metrics, summary, findings),
        "performance_focused": wide.performance_focused(metrics, summary, findings),
        "transfer": wide.transfer(summary, findings),
        "students": wide.students(runs, qualities, selected),
        "subgroups": wide.subgroups(groups, findings),
        "bias": wide.bias(scores),
        "costs": costs(runs, args.benchmarks),
    }
    for name, table in tables.items():
        write_table(args.out_dir / f"{name}.csv", inert(table))
    write_json(args.out_dir / "runs.json", without_settings(runs))


if __name__ == "__main__":
    run(main)
