"""Several datasets as one: their images, embeddings or features under one index, without a copy.

--spec {"dataset": the pool's name, "members": their names}
"""

from __future__ import annotations

from pathlib import Path

from cxrfmkd.datasets.pooled_arrays import excluded_images, pool_array
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.files import read_table, write_table


def main() -> None:
    args = parse(__doc__, arrays=[KeyedArray.open], without=[Path], out=Path, excluded=Path)
    pool, members = args.spec["dataset"], args.spec["members"]
    lists = [read_table(path, dtype="str") for path in args.without]
    write_table(args.excluded, excluded_images(dict(zip(members, lists, strict=False))))
    pool_array(pool, dict(zip(members, args.arrays, strict=True)), args.out)


if __name__ == "__main__":
    run(main)
