"""Arguments of scripts become typed values; bad input ends with its own message."""

from pathlib import Path

import pytest

from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError


def parsed(monkeypatch, words, **types):
    monkeypatch.setattr("sys.argv", ["script", *words.split()])
    return parse("Doc.", **types)


def test_every_kind_of_argument_has_its_type(monkeypatch):
    args = parsed(
        monkeypatch,
        '--spec {"code":"c0de","seed":4} --out a/b --runs 1 2 --inputs summary a.csv b.csv'
        " --inputs gaps c.csv --time-budget 1.5",
        out=Path,
        runs=[int],
        inputs={"NAME": Path},
        time_budget=(float, None),
        workers=(int, 4),
        none=[Path],
    )
    assert (args.spec, args.code) == ({"seed": 4}, "c0de")
    assert (args.out, args.runs, args.none) == (Path("a/b"), [1, 2], [])
    assert args.inputs == {"summary": [Path("a.csv"), Path("b.csv")], "gaps": [Path("c.csv")]}
    assert (args.time_budget, args.workers) == (1.5, 4)


@pytest.mark.parametrize(
    ("words", "message"),
    [("--workers x --out a", "argument --workers: invalid"), ("", "required: --out")],
)
def test_a_wrong_value_ends_with_the_usage(monkeypatch, capsys, words, message):
    with pytest.raises(SystemExit, match="2"):
        parsed(monkeypatch, words, out=Path, workers=(int, 4))
    assert message in capsys.readouterr().err


def test_bad_input_in_an_argument_is_its_own_message(monkeypatch, capsys, tmp_path):
    """`InputError` is a `ValueError`, of which argparse would show the usage alone."""

    def main():
        parsed(monkeypatch, f"--images {tmp_path}", images=KeyedArray.open)

    with pytest.raises(SystemExit, match="2"):
        run(main)
    message = capsys.readouterr().err
    assert message.startswith(f"error: {tmp_path}: index.parquet is missing")
    assert "usage" not in message
    with pytest.raises(InputError):
        main()
