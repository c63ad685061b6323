"""Train one student to reproduce the teacher's embeddings."""

from pathlib import Path

from cxrfmkd.datasets.records import present, read_records
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.files import read_json, write_json, write_table
from cxrfmkd.study.settings import Distillation, Network
from cxrfmkd.training.checkpoints import Checkpoints
from cxrfmkd.training.distillation import distill
from cxrfmkd.training.events import events_folder


def main() -> None:
    args = parse(
        __doc__,
        images=KeyedArray.open,
        teacher=KeyedArray.open,
        train=read_records,
        val=read_records,
        scales=(read_json, None),
        checkpoints=Path,
        time_budget=(float, None),
        weights=Path,
        history=Path,
        run=Path,
    )
    spec = args.spec
    records = [present(table, args.images, args.teacher) for table in (args.train, args.val)]
    with Checkpoints(args.checkpoints, args.time_budget) as kept:
        done = distill(
            args.images,
            args.teacher,
            *records,
            loss=spec["loss"],
            seed=spec["seed"],
            settings=Distillation(**spec["distillation"]),
            network=Network(**spec["network"]),
            scales=args.scales,
            checkpoints=kept,
            code=args.code,
            events=events_folder(args.run.parent),
        )
        done.network.save(args.weights, {"loss": spec["loss"], "seed": str(spec["seed"])})
        write_table(args.history, done.history)
        write_json(args.run, {"spec": spec, "code": args.code} | done.run)


if __name__ == "__main__":
    run(main)
