"""Train a new head as the thesis did: with batch norm in training mode."""

from pathlib import Path

from cxrfmkd.datasets.records import findings_of
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.study.settings import Finetuning, Network, Probe
from cxrfmkd.training.finetuning import ARGUMENTS, as_thesis_probe, finetune_run, initial_network


def main() -> None:
    args = parse(__doc__, start=(Path, None), **ARGUMENTS)
    spec = args.spec
    network = initial_network(
        spec["model"],
        spec["seed"],
        Network.from_spec(spec["network"]),
        args.start,
        findings_of(args.train),
    )
    settings = as_thesis_probe(
        Probe.from_spec(spec["probe"]), Finetuning.from_spec(spec["finetuning"])
    )
    finetune_run(args, network.freeze("drifting"), settings)


if __name__ == "__main__":
    run(main)
