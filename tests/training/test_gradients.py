"""The size of a regime's gradient beside that of hard labels: right, at four points, and without a trace."""

import pytest
import torch
from calibench.finished.read import read_history
from calibench.training import gradients, loop
from calibench.training.job import make_job
from calibench.training.writing import Writer

from tests.training.conftest import contents, make_settings, train

CPU = torch.device("cpu")


def job_of(store, folder, run="ols", **parts):
    settings = make_settings(run, **parts)
    return make_job(settings, store, folder, [], CPU)[0]


@pytest.mark.parametrize(
    ("epochs", "points"), [(1, {1}), (2, {1, 2}), (4, {1, 2, 3, 4}), (300, {1, 101, 201, 300})]
)
def test_points_are_the_ends_and_the_thirds(epochs, points):
    assert {epoch for epoch in range(1, epochs + 1) if gradients.due(epoch, epochs)} == points


def test_ratio_of_a_scaled_loss_is_its_scale():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 3))
    logits, targets = model(torch.randn(8, 5)), torch.arange(8) % 3
    hard = gradients.cross_entropy(logits, targets, None, 1.0)
    for value in gradients.ratios(0.25 * hard, hard, logits, model).values():
        assert value == pytest.approx(0.25, rel=1e-6)


def test_ratio_at_the_logits_by_hand():
    torch.manual_seed(0)
    logits = torch.randn(6, 4, requires_grad=True)
    model, targets = torch.nn.Linear(4, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    out = model(logits)
    smooth = torch.nn.functional.cross_entropy(out, targets, label_smoothing=0.2)
    ratio = gradients.ratios(smooth, gradients.cross_entropy(out, targets, None, 1.0), out, model)
    p, hot = out.softmax(1), torch.nn.functional.one_hot(targets, 4)
    by_hand = (p - 0.8 * hot - 0.05).norm() / (p - hot).norm()
    assert ratio["gradient_ratio_logits"] == pytest.approx(by_hand.item(), rel=1e-5)


def test_looking_leaves_no_trace(store, tmp_path, monkeypatch):
    runs = {}
    for name in ("looked", "blind"):
        if name == "blind":
            monkeypatch.setattr(gradients, "due", lambda *_: False)
        job = job_of(store, tmp_path / name, "ols", train={"epochs": 2}, augment={"mixup": 0.4})
        loop.fit(job)
        runs[name] = job
    looked, blind = runs["looked"], runs["blind"]
    assert "gradient_ratio" in looked.history[0] and "gradient_ratio" not in blind.history[0]
    for one, other in ((looked.model, blind.model), (looked.regime, blind.regime)):
        assert all(
            torch.equal(a, b)
            for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
        )


def test_stopped_epoch_still_reports(store, tmp_path):
    job = job_of(store, tmp_path, "ls", train={"epochs": 1})
    stop = loop.StopRequest()
    stop.signal = 15
    optimizer = loop.optim.make_optimizer(job.model, job.regime, job.settings["train"])
    with pytest.raises(loop.Interrupted), Writer() as writer:
        list(loop.train_epoch(job, optimizer, stop, writer))
    seen = job.progress["gradients"]
    again = job_of(store, tmp_path, "ls", train={"epochs": 1})
    loop.fit(again)
    assert again.progress["epoch"] == 2 and again.history[0].items() >= seen.items()


def test_stage_records_it(store, tmp_path):
    train(make_settings("hard", train={"epochs": 4}), store, tmp_path / "hard")
    ratio = read_history(tmp_path / "hard")["gradient_ratio"]
    assert ratio.tolist() == pytest.approx([1] * 4, rel=1e-6)
    train(
        make_settings("lspp", train={"epochs": 5}, regimes={"lspp": {"half": True}}), store, tmp_path / "half"
    )
    train(make_settings("lspp", train={"epochs": 5}), store, tmp_path / "whole")
    half, whole = (read_history(tmp_path / name)["gradient_ratio"] for name in ("half", "whole"))
    assert half.notna().tolist() == [True, True, False, True, True]
    assert half[0] == pytest.approx(whole[0] / 2, rel=1e-5)
    assert contents(tmp_path / "half") != contents(tmp_path / "whole")
