"""Train one student to reproduce the teacher's embeddings."""

from cxrfmkd.datasets.records import present
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.files import read_json
from cxrfmkd.study.settings import Distillation
from cxrfmkd.training.distillation import distill
from cxrfmkd.training.jobs import ARGUMENTS, open_job, origin, write_training
from cxrfmkd.vocabulary.backbones import split_student


def main() -> None:
    args = parse(
        __doc__,
        teacher=KeyedArray.open,
        teachers=[KeyedArray.open],
        scales=(read_json, None),
        **ARGUMENTS,
    )
    spec = args.spec
    loss, backbone = split_student(spec["loss"])
    arrays = [args.images, args.teacher, *args.teachers]
    records = [present(table, *arrays) for table in (args.train, args.val)]
    with open_job(args) as job:
        result = distill(
            args.images,
            args.teacher,
            *records,
            loss=loss,
            backbone=backbone,
            settings=Distillation.from_spec(spec["distillation"]),
            job=job,
            scales=args.scales,
            further=dict(zip(spec.get("teachers", []), args.teachers, strict=True)),
        )
        about = {"loss": spec["loss"], "seed": str(spec["seed"])}
        write_training(args, result, about | origin(args.images, args.teacher))


if __name__ == "__main__":
    run(main)
