"""Erase attributes from the input of a model's probes, and see what their predictions lose."""

from pathlib import Path

from cxrfmkd.bias.erasure import Splits, erasure_tables
from cxrfmkd.bias.grouping import attributes_of_spec
from cxrfmkd.bias.head_inputs import read_heads, read_inputs
from cxrfmkd.datasets.records import present, read_records
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.files import write_table
from cxrfmkd.study.settings import Erasure, Labels


def main() -> None:
    args = parse(
        __doc__,
        features=[KeyedArray.open],
        target_features=[KeyedArray.open],
        images=KeyedArray.open,
        teacher=[KeyedArray.open],
        projection=[Path],
        heads=[Path],
        **dict.fromkeys(("train", "val", "test"), read_records),
        target_test=[read_records],
        **dict.fromkeys(("erasure", "attributes"), Path),
    )
    spec, each = args.spec, len(args.features)
    arrays = {
        name: args.target_features[i * each : (i + 1) * each]
        for i, name in enumerate(spec["targets"])
    }
    elsewhere = {
        name: present(table, *arrays[name])
        for name, table in zip(spec["targets"], args.target_test, strict=True)
    }
    shared = [*args.features, args.images, *args.teacher]
    train, val, test = (present(table, *shared) for table in (args.train, args.val, args.test))
    splits = Splits(train, val, test, elsewhere)
    heads = read_heads(args.heads, spec["seeds"], spec["dataset"])
    inputs = read_inputs(heads, args.features, args.projection, splits, arrays)
    attributes = attributes_of_spec(spec)
    settings, labels = Erasure.from_spec(spec["erasure"]), Labels.from_spec(spec["labels"])
    for name, table in erasure_tables(inputs, splits, settings, labels, attributes).items():
        about = {"dataset": spec["dataset"], "model": spec["model"]}
        write_table(getattr(args, name), table.assign(**about))


if __name__ == "__main__":
    run(main)
