"""Histories as TensorBoard and MLflow read them: of finished runs and of those that still train."""

import json

import pytest
from calibench.errors import UserError
from calibench.stages import export


def lines(epochs):
    rows = [{"epoch": k, "loss": 1.0 / k, "val_top1": 0.5, "note": "x"} for k in range(1, epochs + 1)]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def results(tmp_path):
    """An experiment with a finished run and one that has trained two epochs."""
    done, training = (tmp_path / "demo/digits/resnet20" / run / "seed0" for run in ("hard", "ols"))
    for folder in (done / "checkpoint/finished", training / "checkpoint"):
        folder.mkdir(parents=True)
    (done / "history.jsonl").write_text(lines(3))
    (done / "checkpoint/finished/history.jsonl").write_text(lines(3))
    (done / "run.json").write_text(json.dumps({"settings": {"train": {"lr": 0.1}, "regime": {}}}))
    (training / "checkpoint/history.jsonl").write_text(lines(2))
    return tmp_path / "demo"


def test_tensorboard(results, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    out = tmp_path / "logs"

    def read(run):
        found = events.EventAccumulator(str(out / f"digits/resnet20/{run}/seed0")).Reload()
        assert set(found.Tags()["scalars"]) == {"loss", "val_top1"}
        return [(event.step, round(event.value, 4)) for event in found.Scalars("loss")]

    export.main([str(results), "--to", "tensorboard", "--out", str(out)])
    assert read("hard") == [(1, 1.0), (2, 0.5), (3, 0.3333)] and len(read("ols")) == 2
    (results / "digits/resnet20/ols/seed0/checkpoint/history.jsonl").write_text(lines(4))
    export.main([str(results), "--to", "tensorboard", "--out", str(out)])
    assert [step for step, _ in read("ols")] == [1, 2, 3, 4] and len(read("hard")) == 3


def test_mlflow(results, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install mlflow")
    pytest.importorskip("sqlalchemy", reason="mlflow-skinny has no database")
    out = tmp_path / "tracked"
    for epochs in (2, 4):
        (results / "digits/resnet20/ols/seed0/checkpoint/history.jsonl").write_text(lines(epochs))
        export.main([str(results), "--to", "mlflow", "--out", str(out)])
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{out}/mlflow.db")
    number = client.get_experiment_by_name("demo").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([number])}
    assert set(runs) == {"digits/resnet20/hard/seed0", "digits/resnet20/ols/seed0"}
    finished, training = runs["digits/resnet20/hard/seed0"], runs["digits/resnet20/ols/seed0"]
    assert finished.data.params["train.lr"] == "0.1" and finished.info.status == "FINISHED"
    assert training.info.status == "RUNNING"
    history = client.get_metric_history(training.info.run_id, "loss")
    assert sorted(point.step for point in history) == [1, 2, 3, 4]


def test_a_folder_without_runs_is_told(tmp_path):
    with pytest.raises(UserError, match="no history.jsonl in it"):
        export.main([str(tmp_path), "--to", "tensorboard", "--out", str(tmp_path / "x")])
    with pytest.raises(UserError, match="is not a folder"):
        export.main([str(tmp_path / "gone"), "--to", "tensorboard", "--out", str(tmp_path / "x")])


@pytest.mark.parametrize(("to", "module"), [("mlflow", "mlflow"), ("tensorboard", "torch.utils.tensorboard")])
def test_a_tracker_that_is_not_installed_is_told(results, tmp_path, monkeypatch, to, module):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(UserError, match=f"--to {to} needs its package; pip install"):
        export.main([str(results), "--to", to, "--out", str(tmp_path / "x")])
