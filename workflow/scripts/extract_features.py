"""Pass every image of a dataset through a frozen backbone once and keep its features."""

from pathlib import Path

import pandas as pd

from cxrfmkd.datasets.records import present, read_records
from cxrfmkd.networks.features import extract_features
from cxrfmkd.networks.network import frozen_backbone, load
from cxrfmkd.networks.weights import selected_weights
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.seals import sha256
from cxrfmkd.study.settings import Network


def main() -> None:
    args = parse(
        __doc__,
        images=KeyedArray.open,
        weights=(Path, None),
        train=read_records,
        val=read_records,
        test=read_records,
        out=Path,
    )
    backbone, settings = args.spec["backbone"], Network.from_spec(args.spec["network"])
    network = (
        load(args.weights, {"input": settings.input})
        if args.weights
        else frozen_backbone(backbone, settings.weights, settings.input)
    )
    tables = [present(table, args.images) for table in (args.train, args.val, args.test)]
    meta = {"backbone": backbone, "spec": args.spec, "dataset": args.images.meta.get("dataset")}
    meta |= {"excluded": args.images.meta.get("excluded", [])}
    meta |= {"weights": sha256(selected_weights(args.weights))} if args.weights else {}
    ids = pd.concat(tables).image_id
    extract_features(network, args.images, ids, settings, meta).save(args.out)


if __name__ == "__main__":
    run(main)
