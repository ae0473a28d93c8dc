"""Ctrl-C leaves a line on what became of the run, at whatever point it comes."""

import logging

import pytest
from calibench import cli
from calibench.training import loop

from tests.training.conftest import make_settings, train


@pytest.mark.parametrize(
    ("at", "sentence"),
    [
        ("train_epoch", "stopped in epoch 2 of 3 after 1 of 6 steps"),
        ("close_epoch", "stopped after epoch 1 of 3"),
    ],
)
def test_a_run_that_is_stopped_tells_where_it_goes_on(store, tmp_path, monkeypatch, caplog, at, sentence):
    """A signal in the middle of an epoch, and one while the epoch is closed."""
    caplog.set_level(logging.WARNING)
    requests, begin, wanted = [], loop.StopRequest.__init__, 2 if at == "train_epoch" else 1

    def remember(self):
        begin(self)
        requests.append(self)

    plain = getattr(loop, at)

    def signalled(job, *rest):
        if job.progress["epoch"] == wanted:
            requests[-1].signal = 2
        return plain(job, *rest)

    monkeypatch.setattr(loop.StopRequest, "__init__", remember)
    monkeypatch.setattr(loop, at, signalled)
    with pytest.raises(loop.Interrupted):
        train(make_settings("hard"), store, tmp_path)
    assert f"{tmp_path}: {sentence}, with a checkpoint; the same command continues from there" in caplog.text


def test_before_there_is_anything_to_keep(capsys):
    def main(_):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stopped:
        cli.run(main)
    assert stopped.value.code == 130 and "stopped by Ctrl-C" in capsys.readouterr().err
