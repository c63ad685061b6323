"""Train a new head on a source's backbone, as the thesis did: batch norm in training mode."""

from pathlib import Path

from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.study.settings import Finetuning, Network, Probe
from cxrfmkd.training.finetuning import as_thesis_probe, start_transfer
from cxrfmkd.training.finetuning_runs import ARGUMENTS, train_run


def main() -> None:
    args = parse(__doc__, source=Path, **ARGUMENTS)
    spec = args.spec
    compute = Network(**spec["network"])
    network = start_transfer(spec["model"], spec["seed"], compute, spec["transfer"], args.source)
    settings = as_thesis_probe(Probe(**spec["probe"]), Finetuning(**spec["finetuning"]))
    train_run(args, network.freeze("drifting"), settings)


if __name__ == "__main__":
    run(main)
