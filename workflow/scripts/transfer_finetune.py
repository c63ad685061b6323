"""Fine-tune a source's backbone with a new head on a target dataset."""

from pathlib import Path

from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.study.settings import Finetuning, Network
from cxrfmkd.training.finetuning import start_transfer
from cxrfmkd.training.finetuning_runs import ARGUMENTS, train_run


def main() -> None:
    args = parse(__doc__, source=Path, student=(Path, None), **ARGUMENTS)
    spec = args.spec
    network = start_transfer(
        spec["model"],
        spec["seed"],
        Network(**spec["network"]),
        spec["transfer"],
        args.source,
        args.student,
    )
    train_run(args, network, Finetuning(**spec["finetuning"]))


if __name__ == "__main__":
    run(main)
