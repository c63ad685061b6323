"""The teacher's embeddings of one dataset's images, as a checked keyed array.

--spec {"dataset": name, "images": root, "teacher": its section of the dataset, "common": the
config's teacher section}
"""

from __future__ import annotations

from pathlib import Path

from cxrfmkd.datasets.records import read_records
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import remove_files
from cxrfmkd.runtime.locks import locked
from cxrfmkd.study.settings import Teacher
from cxrfmkd.teacher.embedding import embed


def main() -> None:
    paths = dict.fromkeys(("train", "val", "test", "out", "shards"), Path)
    args = parse(__doc__, **paths, workers=(int, Teacher().workers))
    spec = args.spec
    records = read_records(args.train, args.val, args.test)
    teacher = Teacher.from_spec(spec["common"] | {"workers": args.workers})
    folders = args.out, args.shards
    with locked(args.shards):
        embed(records, Path(spec["images"]), spec["teacher"], teacher, *folders, spec["dataset"])
        remove_files(args.shards, "*part-*.parquet")  # they name images outside of the results


if __name__ == "__main__":
    run(main)
