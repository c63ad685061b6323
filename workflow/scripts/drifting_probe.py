"""Train a new head as the thesis did: through the live network, whose batch-norm statistics move meanwhile."""

from pathlib import Path

from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.study.settings import Finetuning, Network, Probe
from cxrfmkd.training.finetuning import as_thesis_probe, start, start_transfer
from cxrfmkd.training.finetuning_runs import ARGUMENTS, train_run


def main() -> None:
    args = parse(__doc__, start=(Path, None), **ARGUMENTS)
    spec = args.spec
    model, seed, network = spec["model"], spec["seed"], Network(**spec["network"])
    started = (
        start_transfer(model, seed, network, spec["transfer"], args.start)
        if "transfer" in spec
        else start(model, seed, network, args.start)
    )
    settings = as_thesis_probe(Probe(**spec["probe"]), Finetuning(**spec["finetuning"]))
    train_run(args, started.freeze("drifting"), settings)


if __name__ == "__main__":
    run(main)
