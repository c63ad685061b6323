"""Build the demo's stand-in teacher, a SavedModel with CXR Foundation's signature.

--spec {"seed": 0, "dimension": 1376} --out FOLDER
"""

from __future__ import annotations

from pathlib import Path

from cxrfmkd.runtime.arguments import parse, run


def main() -> None:
    arguments = parse(__doc__, out=Path)
    from cxrfmkd.teacher.demo import build

    build(arguments.out, **arguments.spec)


if __name__ == "__main__":
    run(main)
