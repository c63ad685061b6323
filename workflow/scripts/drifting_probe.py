"""Train a new head as the thesis did: with batch norm in training mode."""

from pathlib import Path

from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.study.settings import Finetuning, Network, Probe
from cxrfmkd.training.finetuning import as_thesis_probe, start
from cxrfmkd.training.finetuning_runs import ARGUMENTS, train_run


def main() -> None:
    args = parse(__doc__, start=(Path, None), **ARGUMENTS)
    spec = args.spec
    network = start(spec["model"], spec["seed"], Network(**spec["network"]), args.start)
    settings = as_thesis_probe(Probe(**spec["probe"]), Finetuning(**spec["finetuning"]))
    train_run(args, network.freeze("drifting"), settings)


if __name__ == "__main__":
    run(main)
