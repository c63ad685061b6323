"""Fine-tune a source's backbone with a new head on a target dataset."""

from pathlib import Path

from cxrfmkd.datasets.records import findings_of
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.study.settings import Finetuning, Network
from cxrfmkd.training.finetuning import ARGUMENTS, finetune_run, transferred_network


def main() -> None:
    args = parse(__doc__, source=Path, student=(Path, None), **ARGUMENTS)
    spec = args.spec
    network = transferred_network(
        spec["model"],
        spec["seed"],
        Network.from_spec(spec["network"]),
        spec["transfer"],
        args.source,
        args.student,
        findings_of(args.train),
    )
    finetune_run(args, network, Finetuning.from_spec(spec["finetuning"]))


if __name__ == "__main__":
    run(main)
