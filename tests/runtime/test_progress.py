"""Progress in a log and on a terminal."""

import logging
import sys

from cxrfmkd.runtime import progress as progress_module


def test_a_log_gets_a_line_now_and_then_with_the_time_left(monkeypatch, caplog):
    monkeypatch.setattr(progress_module, "SECONDS_BETWEEN_LINES", -1.0)
    with caplog.at_level(logging.INFO):
        progress = progress_module.Progress("training", 10, done=5)
        progress.step("loss 0.5")
        progress.say("epoch 0: train 0.5")
    assert "training: 6 of 10, loss 0.5, 0:00:00 left" in caplog.text
    assert "training: epoch 0: train 0.5, 0:00:00 left" in caplog.text


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = progress_module.Progress("training", 2)
    progress.step("loss 0.5")
    progress.say("epoch 0")
    progress.close()
    shown = capsys.readouterr().err
    assert "training: epoch 0" in shown
    assert "1/2" in shown
