"""Fetch the initial weights of the study's networks ahead, for nodes without internet."""

import logging

from cxrfmkd.networks.architectures import initial_weights
from cxrfmkd.runtime.arguments import parse, run


def main() -> None:
    spec = parse(__doc__).spec
    for architecture in spec["architectures"]:
        tensors = initial_weights(architecture, spec["weights"])
        logging.info("%s: %d tensors are there", architecture, len(tensors))


if __name__ == "__main__":
    run(main)
