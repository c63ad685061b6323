"""The teacher's embeddings of one dataset's images, as a checked keyed array.

--spec {"dataset": name, "images": root, "teacher": its section of the dataset, "common": the
config's teacher section}
"""

from __future__ import annotations

from pathlib import Path

from cxrfmkd.datasets.records import read_records
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.study.settings import Teacher
from cxrfmkd.teacher.embedding import embed


def main() -> None:
    arguments = parse(
        __doc__,
        train=Path,
        val=Path,
        test=Path,
        out=Path,
        shards=Path,
        workers=(int, Teacher().workers),
    )
    spec = arguments.spec
    teacher = Teacher.from_spec(spec["common"] | {"workers": arguments.workers})
    embed(
        read_records(arguments.train, arguments.val, arguments.test),
        Path(spec["images"]),
        spec["teacher"],
        teacher,
        arguments.out,
        arguments.shards,
        spec["dataset"],
    )


if __name__ == "__main__":
    run(main)
