"""Scores of files: the same crops as in training, and errors in their rows."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from random_weights import telling_variables
from stub_network import SETTINGS, Brightness, Squares, face, squares, stub
from videos import jpeg, moving_square, write_clip
from workdirs import tiny_config, workdir

from data_pipeline.detectors import DetectorError
from data_pipeline.extract.crops import extract_video, extraction_path
from data_pipeline.pack import pack
from data_pipeline.training.sources import RecordSource
from matnet_jax.checkpoints.export import export_stablehlo
from matnet_jax.checkpoints.network import save_network
from matnet_jax.config.build import build_model
from matnet_jax.evaluation.scorer import Scorer
from matnet_jax.predict import Predictor
from matnet_jax.predict import predictor as predictor_module
from matnet_jax.predict.network import exported_network, trained_network
from matnet_jax.predict.results import LABELS, Prediction
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.runtime.sharding import data_mesh

__all__ = ["squares", "stub"]  # fixtures
ROOT = Path(__file__).parents[1]


def test_a_video_its_people_and_the_highest_score(stub: Any, tmp_path: Path) -> None:
    prediction = stub.predictor(write_clip(tmp_path / "a.mp4", 64))
    assert prediction.frames == 8 and not prediction.error
    assert sorted(len(track.faces) for track in prediction.tracks) == [3, 8]
    assert prediction.score == prediction.tracks[0].score > prediction.tracks[1].score
    assert prediction.label == LABELS[prediction.score > 0.5] and prediction.faces == 11
    [bright] = [track for track in prediction.tracks if len(track.faces) == 8]
    assert [f.frame for f in bright.faces] == [4, 12, 20, 28, 36, 44, 52, 60]
    assert np.all(np.diff([f.score for f in bright.faces]) > 0)  # the square brightens
    assert bright.faces[0].timestamp == pytest.approx(4 / 25)


def test_a_face_of_a_moment_does_not_decide(
    stub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Glimpse:
        def detect(self, image: Any) -> Any:
            once = 60 < image[10, 10, 0] < 68
            return [face(8, 8, 40, 40)] + ([face(60, 50, 110, 80)] if once else [])

    monkeypatch.setattr(predictor_module, "create_detector", lambda *_: Glimpse())
    settings = dataclasses.replace(SETTINGS, num_frames=30)
    predictor = dataclasses.replace(stub.predictor, settings=settings)
    prediction = predictor(write_clip(tmp_path / "a.mp4", 30))
    assert min(len(track.faces) for track in prediction.tracks) < 3
    longest = max(prediction.tracks, key=lambda track: len(track.faces))
    assert prediction.score == longest.score


def test_images_as_files_and_as_arrays(stub: Any, tmp_path: Path) -> None:
    path = tmp_path / "i.png"
    path.write_bytes(jpeg(moving_square(5)))
    from_file, from_array = stub.predictor(path), stub.predictor(moving_square(5))
    assert from_file.frames == from_array.frames == 1 and from_array.input == "image 0"
    assert from_file.score == pytest.approx(from_array.score, abs=0.02)
    wrong = stub.predictor(np.zeros((8, 8), np.float32))
    assert wrong.score is None and "uint8 RGB [H, W, 3]; got float32 [8, 8]" in wrong.error


def test_which_array_is_told(stub: Any) -> None:
    images = [moving_square(5), np.zeros((64, 64), np.uint8), moving_square(40)]
    found = {prediction.input: prediction for prediction in stub.predictor.predict(images)}
    assert sorted(found) == ["image 0", "image 1", "image 2"]
    assert found["image 0"].score < found["image 2"].score and found["image 1"].score is None


def test_a_score_that_is_no_number_is_no_finding(stub: Any) -> None:
    network = dataclasses.replace(
        stub.network, run=lambda images: (np.full(len(images), np.nan), stub.run(images)[1])
    )
    prediction = Predictor(network, settings=SETTINGS)(moving_square(5))
    assert prediction.score is None and prediction.label == "" and not prediction.tracks
    assert prediction.error == "the network gave a score that is no number"


@pytest.mark.parametrize("threshold", [2.0, -0.1, float("nan")])
def test_a_threshold_is_a_probability(stub: Any, threshold: float) -> None:
    with pytest.raises(ValueError, match=r"wanted a probability in \[0, 1\]"):
        Predictor(stub.network, settings=SETTINGS, threshold=threshold)


def test_batches_go_across_files(stub: Any, tmp_path: Path) -> None:
    paths = []
    for i in range(6):
        paths.append(tmp_path / f"{i}.jpg")
        paths[-1].write_bytes(jpeg(moving_square(i)))
    predictions = list(stub.predictor.predict(paths))
    assert stub.sizes == [4, 2] and {p.input for p in predictions} == set(map(str, paths))
    by_name = {p.input: p.score for p in predictions}
    assert by_name[str(paths[5])] > by_name[str(paths[0])]


def test_files_that_cannot_be_scored_have_a_reason(
    stub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    good = write_clip(tmp_path / "good.mp4", 8)
    results = {p.input: p for p in stub.predictor.predict([empty, tmp_path / "no.mp4", good])}
    assert "0 bytes" in results[str(empty)].error and results[str(empty)].label == ""
    assert "no such file" in results[str(tmp_path / "no.mp4")].error
    assert results[str(good)].score is not None

    class Nobody:
        def detect(self, image: Any) -> Any:
            return []

    monkeypatch.setattr(predictor_module, "create_detector", lambda *_: Nobody())
    assert stub.predictor(good).error == "no face in 8 frames"


def test_whatever_a_file_does_is_its_row(
    stub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def detect(self, image: Any) -> None:
            raise MemoryError("too large")

    monkeypatch.setattr(predictor_module, "create_detector", lambda *_: Broken())
    found = stub.predictor(write_clip(tmp_path / "a.mp4", 8))
    assert found.score is None and found.error == "MemoryError: too large"


def test_a_detector_that_cannot_be_set_up_is_raised(
    stub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any) -> None:
        raise DetectorError("no weights")

    monkeypatch.setattr(predictor_module, "create_detector", missing)
    with pytest.raises(DetectorError, match="no weights"):
        stub.predictor(write_clip(tmp_path / "a.mp4", 8))


def test_unknown_aggregation(stub: Any) -> None:
    with pytest.raises(ValueError, match="mean, max, median"):
        dataclasses.replace(stub.predictor, aggregation="mode")


def test_a_person_s_box_says_what_a_file_of_that_score_would() -> None:
    found = Prediction("a.jpg", 0.5, 0.8, 1, uncertain=(0.1, 0.8), limits="generated faces")
    said = [found.finding_of(score) for score in (0.05, 0.1, 0.8, 0.9)]
    assert said == ["no seam found", "uncertain", "uncertain", "fake"]
    plain = Prediction("a.jpg", 0.5, 0.5, 1)
    assert [plain.finding_of(score) for score in (0.0, 0.5, 0.6)] == ["real", "real", "fake"]
    assert found.finding == "uncertain" and found.abstained and not plain.abstained
    assert Prediction("a.jpg", None, 0.5, 0).finding == ""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return workdir(tmp_path_factory.mktemp("run"), tiny_config())


@pytest.mark.parametrize(
    ("image_format", "mean", "largest", "tolerance"), [("png", 0, 0, 1e-3), ("jpeg", 1.5, 40, 0.1)]
)
def test_training_and_serving_see_the_same(
    image_format: str, mean: float, largest: float, tolerance: float, tmp_path: Path, squares: Any
) -> None:
    """Through prepare and evaluation, and through prediction: the same crops and scores."""
    from preparing import video

    clip = video(write_clip(tmp_path / "a.mp4", 32))
    settings = dataclasses.replace(SETTINGS, faces="largest", image_format=image_format)
    path = extraction_path(tmp_path, clip, settings)
    extract_video(clip, settings, Squares()).save(path)
    pack([path], tmp_path, name="t", crop_size=64, file_format="array_record")
    source = RecordSource(tmp_path, "train")

    stub = Brightness(batch_size=8)
    Predictor(stub.network, settings=settings)(clip.path)
    from data_pipeline.training.pipeline import eval_batches

    [batch] = eval_batches(source, batch_size=8, image_size=48)
    stored = batch["image"].astype(float)
    seen = np.stack(stub.crops).astype(float)
    assert stored.shape == seen.shape
    assert np.abs(stored - seen).mean() <= mean and np.abs(stored - seen).max() <= largest

    config = tiny_config()
    model = build_model(config)
    [batch] = eval_batches(source, batch_size=8, image_size=model.image_size)
    variables = telling_variables(model, model.preprocess.normalize(batch["image"]))
    save_network(tmp_path / "run", config, model, variables, metadata={})
    mesh = data_mesh(jax.devices()[:1])
    scores, _ = Scorer(model, mesh, batch_size=8).score(variables, source)
    assert np.ptp(scores["score"]) > 0.5
    predictor = Predictor.from_workdir(tmp_path / "run", batch_size=8, settings=settings)
    [track] = predictor(clip.path).tracks
    assert [f.frame for f in track.faces] == scores["frame"].tolist()
    np.testing.assert_allclose([f.score for f in track.faces], scores["score"], atol=tolerance)


def test_a_workdir_and_its_export_agree(trained: Any, tmp_path: Path) -> None:
    loaded = load_trained(trained)
    export_stablehlo(loaded.model, loaded.variables, tmp_path / "exported", platforms=("cpu",))
    crops = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    own, maps = trained_network(trained, batch_size=5)(crops)
    exported, exported_maps = exported_network(tmp_path / "exported", batch_size=5)(crops)
    np.testing.assert_allclose(own, exported, atol=1e-5)
    np.testing.assert_allclose(maps, exported_maps, atol=1e-5)
    assert Predictor.from_export(tmp_path / "exported").network.image_size == 32
    with pytest.raises(FileNotFoundError, match=r"no model.stablehlo"):
        exported_network(tmp_path)
    (tmp_path / "exported" / "model.stablehlo").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged"):
        exported_network(tmp_path / "exported")


def test_the_command(trained: Any, tmp_path: Path) -> None:
    good = write_clip(tmp_path / "good clip.mp4", 8)
    command = [sys.executable, str(ROOT / "run_eval.py"), f"--workdir={trained}"]
    options = ["--detector=none", f"--out={tmp_path / 'out'}", "--batch_size=8", "--overlay"]
    done = subprocess.run(
        [*command, *options, "--inputs", str(good), str(tmp_path / "gone.mp4")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "1 of 2 files scored" in done.stdout and "no such file" in done.stderr
    assert len(list((tmp_path / "out" / "overlays").glob("good clip-*.mp4"))) == 1
    again = subprocess.run(
        [*command, *options, "--resume", "--inputs", str(good)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    refused = subprocess.run([*command, "x.mp4"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and "come after --inputs" in refused.stderr
