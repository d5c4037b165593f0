"""What commands hand on: every flag reaches what it is for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from absl import flags
from videos import jpeg, moving_square

import matnet_jax.evaluation.run
import matnet_jax.predict.files
import matnet_jax.predict.network
import matnet_jax.predict.predictor
import matnet_jax.train.run
from data_pipeline.extract.limits import Limits
from matnet_jax.evaluation.command import COMMAND as EVALUATE
from matnet_jax.predict.command import COMMAND as PREDICT
from matnet_jax.predict.serve import command as serving
from matnet_jax.predict.serve.guard import LOOPBACK
from matnet_jax.predict.serve.jobs import Kept
from matnet_jax.predict.serve.service import Allowed
from matnet_jax.runtime.preemption import STATUS, Preempted
from matnet_jax.train.command import COMMAND as TRAIN

CONFIG = "--config=demo"
OF_NETWORK = ["--workdir=run", "--checkpoint=7", "--batch_size=3", "--engine=jax"]
NETWORK = {"checkpoint": "7", "batch_size": 3, "engine": "jax"}
OF_PREDICTOR = ["--detector=mtcnn", "--detector_weights=d.onnx", "--num_frames=5"]
OF_PREDICTOR += ["--max_pixels=1000", "--max_seconds=2.5", "--threshold=0.3"]
PREDICTOR = {
    "detector_weights": Path("d.onnx"),
    "threshold": 0.3,
    "limits": Limits(1000, 2.5),
}


class Recorder:
    """Stands for a function: keeps what it is called with."""

    def __init__(self, result: Any = None) -> None:
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self._result = result

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((args, kwargs))
        return self._result


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """What loads the network of a workdir."""
    recorder = Recorder(SimpleNamespace(engine="none", crops=None))
    monkeypatch.setattr(matnet_jax.predict.network, "trained_network", recorder)
    return recorder


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """What scores."""
    recorder = Recorder("the predictor")
    monkeypatch.setattr(matnet_jax.predict.predictor, "Predictor", recorder)
    return recorder


def parsed(command: Any, *arguments: str) -> Any:
    values = flags.FlagValues()
    command.define(values)
    values(["command", *arguments])
    return values


def test_flags_of_predict_reach_the_network_the_predictor_and_the_files(
    network: Recorder, predictor: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = Recorder("done")
    summary = Recorder(3)
    monkeypatch.setattr(matnet_jax.predict.files, "predict_files", files)
    monkeypatch.setattr(matnet_jax.predict.files, "print_summary", summary)
    media, out = tmp_path / "media", tmp_path / "out"
    media.mkdir()
    (media / "notes.txt").touch()
    (media / "a.jpg").write_bytes(jpeg(moving_square(5)))
    own = ["--detect_every=2", "--alignment=box", "--aggregation=max", "--any_crops"]
    done = [f"--out={out}", "--overlay", "--resume", "--only_media"]
    assert PREDICT([*OF_NETWORK, *OF_PREDICTOR, *own, *done, str(media)]) == 3
    assert network.calls == [(("run",), NETWORK)]
    [(made_of, fields)] = predictor.calls
    settings = fields.pop("settings")
    assert (settings.detector, settings.num_frames) == ("mtcnn", 5)
    assert (settings.detect_every, settings.alignment) == (2, "box")
    assert made_of == (network(),)
    assert fields == PREDICTOR | {"aggregation": "max", "any_crops": True}
    inputs, asked = {str(media / "a.jpg"): ""}, {"overlay": True, "resume": True}
    assert files.calls == [(("the predictor", inputs, out), asked)]
    assert summary.calls == [(("done", out), {})]


def test_flags_of_serve_reach_the_network_and_the_predictor(
    network: Recorder, predictor: Recorder
) -> None:
    values = parsed(serving.COMMAND, *OF_NETWORK, *OF_PREDICTOR)
    assert serving._predictor(values) == "the predictor"
    assert network.calls == [(("run",), NETWORK)]
    [(_, fields)] = predictor.calls
    settings = fields.pop("settings")
    assert (settings.detector, settings.num_frames) == ("mtcnn", 5)
    assert fields == PREDICTOR


def test_flags_of_serve_are_what_it_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MATNET_TOKEN", raising=False)

    def allowed(*arguments: str) -> Allowed:
        return serving._allowed(parsed(serving.COMMAND, *arguments))

    assert allowed() == Allowed(hosts=(*LOOPBACK, "127.0.0.1"))
    limits = ["--max_upload_mb=3", "--queue=5", "--upload_seconds=7", "--keep_minutes=2"]
    assert allowed(*limits, "--token=t", "--hosts=A.example,b.example") == Allowed(
        upload_bytes=3 * 2**20,
        queue=5,
        upload_seconds=7.0,
        kept=Kept(120.0),
        token="t",
        hosts=("a.example", "b.example"),
    )
    assert allowed("--host=0.0.0.0").hosts == ()
    monkeypatch.setenv("MATNET_TOKEN", "of the environment")
    assert allowed().token == "of the environment"
    assert allowed("--token=t").token == "t" and allowed("--token=").token == ""
    for token in ("ü", " t"):
        with pytest.raises(ValueError, match="ASCII, without spaces around it"):
            allowed(f"--token={token}")


def test_flags_of_eval_reach_the_evaluation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    level = {"n_real": 2, "n_fake": 1, "acc": 0.5, "auc": 0.25, "eer": None}
    evaluate = Recorder({"frame": level, "video": level, "checkpoint": {"step": 7}})
    monkeypatch.setattr(matnet_jax.evaluation.run, "evaluate", evaluate)
    own = ["--checkpoint=7", "--split=val", "--out=out", "--engine=onnx"]
    assert EVALUATE([CONFIG, "--config.seed=5", "--workdir=run", *own]) == 0
    [((config, workdir), fields)] = evaluate.calls
    assert config.seed == 5 and workdir == "run"
    assert fields == {"checkpoint": "7", "split": "val", "out": "out", "engine": "onnx"}
    shown = capsys.readouterr().out
    assert "frames (2 real, 1 fake): ACC 0.5000, AUC 0.2500, EER undefined" in shown
    assert "checkpoint: step 7\nreport: out/report.html" in shown


def test_flags_of_train_reach_the_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = Recorder({"step": 6, "best_step": 3})
    monkeypatch.setattr(matnet_jax.train.run, "train", train)
    own = [CONFIG, "--config.seed=5", "--workdir=run", "--profile_steps=10:15"]
    assert TRAIN(own) == 0
    [((config, workdir), fields)] = train.calls
    assert config.seed == 5 and workdir == "run" and fields == {"profile_steps": "10:15"}
    assert "trained to step 6; best by validation: step 3" in capsys.readouterr().out

    def preempted(*_: Any, **__: Any) -> None:
        raise Preempted("step 5 is saved")

    monkeypatch.setattr(matnet_jax.train.run, "train", preempted)
    assert TRAIN(own) == STATUS
    assert "step 5 is saved; the same command continues" in capsys.readouterr().err
