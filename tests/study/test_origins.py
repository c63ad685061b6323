"""File and line in messages about settings."""

from __future__ import annotations

import pytest

from cxrfmkd.commands.configuration import read_study
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.origins import with_lines

BASE = """title: Base
distillation:
  losses: [mse]
  epochs: 4
transfer:
  pairs:
    - [a, b]
    - [b, c]
"""
OVER = """# laid over
distillation:
  epochs: many
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "over.yaml").write_text(OVER)
    return [tmp_path / "base.yaml", tmp_path / "over.yaml"]


@pytest.mark.parametrize(
    ("message", "file", "line"),
    [
        ("config, distillation.epochs: 'many' should be a number.", "over", 3),
        ("config, distillation.losses: there is no loss.", "base", 3),
        ("config, transfer.pairs.1: wrong.", "base", 8),
        ("config, distillation.seeds is missing.", "over", 2),
        ("config, distillation: there is no setting `epochs`. Did you mean", "over", 3),
        ("config: there is no setting `title`.", "base", 1),
    ],
)
def test_a_message_says_where_the_setting_stands_last(files, message, file, line):
    place = next(path for path in files if path.stem == file)
    assert with_lines(message, files) == f"{message} ({place}, line {line})"


@pytest.mark.parametrize("message", ["config, bias.unit: wrong.", "something else", "config: no."])
def test_what_no_file_has_stays_as_it_was(files, message):
    assert with_lines(message, [*files, "absent.yaml"]) == message


def test_every_line_gets_its_own_place(files):
    both = "config, distillation.epochs: wrong.\nconfig, title: wrong."
    first, second = with_lines(both, files).splitlines()
    assert first.endswith("over.yaml, line 3)")
    assert second.endswith("base.yaml, line 1)")


@pytest.mark.parametrize(
    ("setting", "close"),
    [
        ("distillation: {losses: [cosin]}", "cosine"),
        ("classification: {models: [cxr-fmdk-lp]}", "cxr-fmkd-lp"),
        ("distillation: {datasets: [chexprt]}", "chexpert"),
    ],
)
def test_a_misspelt_name_gets_its_line_and_the_nearest_that_there_is(tmp_path, setting, close):
    from locations import ROOT

    (tmp_path / "mine.yaml").write_text(f"title: Mine\n{setting}\n")
    with pytest.raises(InputError) as caught:
        read_study([ROOT / "config/config.yaml", tmp_path / "mine.yaml"])
    assert f"Did you mean `{close}`?" in str(caught.value)
    assert "mine.yaml, line 2)" in str(caught.value)
