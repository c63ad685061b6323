"""Train every weight of one classifier, and predict the validation and test images with it."""

from pathlib import Path

from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.study.settings import Finetuning, Network
from cxrfmkd.training.finetuning import start
from cxrfmkd.training.finetuning_runs import ARGUMENTS, train_run


def main() -> None:
    args = parse(__doc__, student=(Path, None), **ARGUMENTS)
    spec = args.spec
    network = start(spec["model"], spec["seed"], Network(**spec["network"]), args.student)
    train_run(args, network, Finetuning(**spec["finetuning"]))


if __name__ == "__main__":
    run(main)
