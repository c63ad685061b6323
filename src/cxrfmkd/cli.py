"""The command line: what a user needs outside the workflow."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from cxrfmkd import __version__
from cxrfmkd.runtime.errors import InputError

COMMANDS = {
    "resample": "balance a test set by race, disease and age",
    "metrics": "evaluate any model's predictions by the study's definitions",
    "compare": "paired differences between two models' predictions, with intervals and p-values",
    "diff": "what differs between two finished studies, settings and results, beyond noise or not",
    "ks": "two-sample Kolmogorov-Smirnov tests with Benjamini-Yekutieli adjustment on any table",
    "embed": "embeddings of a folder of images, by the teacher or an exported student",
    "export": "a student or classifier as a folder or file for others",
    "cost": "what a study will cost before it runs",
    "summary": "the three numbers that a finished study is about",
    "gpu-check": "compare every fast path on this GPU with the plain one, and measure its speed",
    "doctor": "check the software, the GPU, all that a study needs, or a teacher's model",
}


def main(arguments: list[str] | None = None) -> None:
    """Run one command; bad input ends with its message alone and exit status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="cxrfmkd", description="Outside the workflow: " + "; ".join(COMMANDS) + "."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, summary in COMMANDS.items():
        # Only the command that runs is imported, so that help does not load TensorFlow or torch.
        if name not in arguments[:1]:
            commands.add_parser(name, help=summary, add_help=False)
            continue
        module = import_module(f"cxrfmkd.commands.{name.replace('-', '_')}")
        command = commands.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.arguments(command)
        command.set_defaults(run=module.main)
    args = parser.parse_args(arguments)
    try:
        args.run(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
