"""Train a new head on a source's backbone, as the thesis did: batch norm in training mode."""

from pathlib import Path

from cxrfmkd.datasets.records import findings_of
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.study.settings import Finetuning, Network, Probe
from cxrfmkd.training.finetuning import (
    ARGUMENTS,
    as_thesis_probe,
    finetune_run,
    transferred_network,
)


def main() -> None:
    args = parse(__doc__, source=Path, **ARGUMENTS)
    spec = args.spec
    compute = Network.from_spec(spec["network"])
    network = transferred_network(
        spec["model"],
        spec["seed"],
        compute,
        spec["transfer"],
        args.source,
        findings=findings_of(args.train),
    )
    settings = as_thesis_probe(
        Probe.from_spec(spec["probe"]), Finetuning.from_spec(spec["finetuning"])
    )
    finetune_run(args, network.freeze("drifting"), settings)


if __name__ == "__main__":
    run(main)
