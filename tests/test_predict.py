"""Scores of files: the same crops as in training, all that is done kept, errors in their rows."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import jax
import numpy as np
import pytest
from disk import file_size_limit
from PIL import Image
from random_weights import telling_variables
from videos import jpeg, moving_square, write_clip
from workdirs import tiny_config, workdir

from data_pipeline.detectors import DetectorError, Face
from data_pipeline.extract.crop import template
from data_pipeline.extract.crops import Settings, extract_video, extraction_path
from data_pipeline.extract.frames import VideoError
from data_pipeline.extract.limits import Limits
from data_pipeline.files import InUseError, locked
from data_pipeline.pack import pack
from data_pipeline.training.sources import RecordSource
from matnet_jax.checkpoints.export import export_stablehlo
from matnet_jax.checkpoints.network import save_network
from matnet_jax.config.build import build_model
from matnet_jax.evaluation.scorer import Scorer
from matnet_jax.predict import Predictor
from matnet_jax.predict import predictor as predictor_module
from matnet_jax.predict.files import overlay_name, predict_files
from matnet_jax.predict.network import Network, exported_network, trained_network
from matnet_jax.predict.overlay import write_overlay
from matnet_jax.predict.results import LABELS, Prediction
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.runtime.sharding import data_mesh

ROOT = Path(__file__).parents[1]
SETTINGS = Settings(num_frames=8, crop_size=64, faces="all", alignment="box", min_face=1)


class Squares:
    """Finds the two bright squares of `moving_square`, the red one on the later half only."""

    def detect(self, image: Any) -> Any:
        faces = [face(8, 8, 40, 40)]
        if image[10, 10, 0] > 150:
            faces.append(face(60, 50, 110, 80))
        return faces


def face(x0: Any, y0: Any, x1: Any, y1: Any) -> Face:
    landmarks = template(32) + np.array([x0, y0])
    return Face(np.array([x0, y0, x1, y1], np.float32), landmarks.astype(np.float32), 0.9)


class Brightness:
    """A network whose score is the crop's mean brightness; keeps what it was given."""

    def __init__(self, batch_size: int = 4) -> None:
        self.sizes, self.crops = [], []
        self.network = Network(48, batch_size, {"workdir": "brightness", "step": 1}, self.run)

    def run(self, images: Any) -> Any:
        real = images.reshape(len(images), -1).any(axis=1).sum()
        self.sizes.append(int(real))
        self.crops += list(images[:real])
        maps = np.ones((len(images), 4, 4, 2), np.float32)
        return images.mean((1, 2, 3)) / 255, {"attention_maps": maps}


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor_module, "create_detector", lambda name, weights: Squares())


@pytest.fixture
def stub(squares: Any) -> Any:
    stub = Brightness()
    stub.predictor = Predictor(stub.network, settings=SETTINGS)
    return stub


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


def test_predictions_on_disk_and_a_rerun(stub: Any, tmp_path: Path) -> None:
    paths = [str(write_clip(tmp_path / f"{i},<i>.mp4", 8 + i)) for i in range(3)]
    paths.append(str(tmp_path / "gone.mp4"))
    out = tmp_path / "out"
    done = predict_files(stub.predictor, paths, out)
    rows = list(csv.DictReader((out / "predictions.csv").open()))
    columns = ["input", "score", "label", "threshold", "frames", "faces", "error"]
    assert list(rows[0]) == [*columns, "skipped", "tracks", "abstained"]
    assert [row["input"] for row in rows] == paths and rows[3]["error"] and not rows[3]["score"]
    assert [float(row["score"]) for row in rows[:3]] == [p.score for p in done[:3]]
    details = json.loads((out / "predictions.json").read_text())
    assert details[0]["tracks"][0]["faces"][0].keys() == {"frame", "timestamp", "box", "score"}

    stub.sizes.clear()
    again = predict_files(stub.predictor, [*paths, paths[0]], out, resume=True)
    assert stub.sizes == [] and [p.score for p in again[:4]] == [p.score for p in done]
    other = dataclasses.replace(stub.predictor, threshold=0.9)
    with pytest.raises(ValueError, match=r"threshold: 0.5 before, 0.9 now"):
        predict_files(other, paths, out, resume=True)


def test_a_rerun_scores_what_had_an_error_and_what_changed(stub: Any, tmp_path: Path) -> None:
    names = ("same", "replaced", "truncated", "missing", "scored and gone")
    same, replaced, truncated, missing, gone = (str(tmp_path / f"{name}.jpg") for name in names)
    dark, bright = jpeg(moving_square(5)), jpeg(moving_square(60))
    for path in (same, replaced, gone):
        Path(path).write_bytes(dark)
    Path(truncated).write_bytes(bright[:40])
    paths, out = [same, replaced, truncated, missing, gone], tmp_path / "out"
    before = {p.input: p for p in predict_files(stub.predictor, paths, out)}
    assert before[truncated].error and before[missing].error
    for path in (replaced, truncated, missing):
        Path(path).write_bytes(bright)
    Path(gone).unlink()
    stub.sizes.clear()
    after = {p.input: p for p in predict_files(stub.predictor, paths, out, resume=True)}
    assert sum(stub.sizes) == sum(after[path].faces for path in (replaced, truncated, missing)) > 0
    assert after[same] == before[same] and after[gone] == before[gone]
    assert not any(p.error for p in after.values())
    assert after[replaced].score == after[truncated].score == after[missing].score
    assert after[replaced].score != before[replaced].score


def test_a_raised_limit_is_tried_again(stub: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "a.jpg", tmp_path / "out"
    path.write_bytes(jpeg(moving_square(5)))
    low = dataclasses.replace(stub.predictor, limits=Limits(max_pixels=100))
    [refused] = predict_files(low, [str(path)], out)
    assert "--max_pixels" in refused.error
    [scored] = predict_files(stub.predictor, [str(path)], out, resume=True)
    assert scored.score is not None and not scored.error


def test_a_log_without_sizes_is_resumed(stub: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "a.jpg", tmp_path / "out"
    path.write_bytes(jpeg(moving_square(5)))
    done = predict_files(stub.predictor, [str(path)], out)
    log = out / "predictions.jsonl"
    about, line = map(json.loads, log.read_text().splitlines())
    del line["size"], line["mtime_ns"]
    log.write_text(f"{json.dumps(about)}\n{json.dumps(line)}\n")
    stub.sizes.clear()
    assert predict_files(stub.predictor, [str(path)], out, resume=True) == done
    assert stub.sizes == []


def test_one_run_at_a_time_writes_to_a_folder(stub: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "a.jpg", tmp_path / "out"
    path.write_bytes(jpeg(moving_square(5)))
    predict_files(stub.predictor, [str(path)], out)
    before = {file: file.read_bytes() for file in out.glob("predictions.*")}
    other = dataclasses.replace(stub.predictor, threshold=0.9)
    with locked(out), pytest.raises(InUseError, match=f"is in use by process {os.getpid()} on "):
        predict_files(other, [str(path)], out)
    assert {file: file.read_bytes() for file in out.glob("predictions.*")} == before


def test_an_interrupted_run_keeps_what_is_done(
    stub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [str(write_clip(tmp_path / f"{i}.mp4", 8)) for i in range(4)]
    out = tmp_path / "out"
    from matnet_jax.predict.results import Log

    add = Log.add

    def interrupt(self: Any, prediction: Any) -> None:
        add(self, prediction)
        if len(self.done) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Log, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        predict_files(stub.predictor, paths, out)
    assert len(list(csv.DictReader((out / "predictions.csv").open()))) == 2
    with (out / "predictions.jsonl").open("a") as file:
        file.write('{"input": "cut o')  # killed in the middle of a line
    monkeypatch.setattr(Log, "add", add)
    before = len(stub.crops)
    assert len(predict_files(stub.predictor, paths, out, resume=True)) == 4
    assert 0 < len(stub.crops) - before < before + 8


def test_annotated_copies(stub: Any, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "<script>.mp4", 40)
    image = tmp_path / "still.jpg"
    image.write_bytes(jpeg(moving_square(60)))
    out = tmp_path / "out"
    done = predict_files(stub.predictor, [str(clip), str(image)], out, overlay=True)
    assert not any(p.error for p in done)
    movie = out / "overlays" / f"{overlay_name(str(clip))}.mp4"
    with av.open(str(movie)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert stream.codec_context.name == "h264" and len(frames) == 40
        assert (frames[0].width, frames[0].height) == (640, 96 + 128)
        assert frames[-1].time == pytest.approx(39 / 25, abs=0.01)
    plain = frames[20].to_ndarray(format="rgb24")
    left = (640 - 128) // 2
    edge = plain[20, left + 8].astype(int)  # the box's left side
    assert abs(edge - moving_square(20)[20, 8].astype(int)).max() > 40
    assert plain[96:, :256].any() and plain[96:, 256:].any()  # maps, plot
    assert {p.suffix for p in (out / "overlays").iterdir()} == {".mp4", ".png", ".jpg"}
    page = (out / "predictions.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 2 and "://" not in page
    assert "<script" not in page and "&lt;script&gt;.mp4" in page
    assert f"{done[1].score:.4f}" in page and done[1].finding in page


@pytest.mark.parametrize("size", [(96, 641), (95, 640), (97, 1001), (96, 399)])
def test_copies_of_any_size(stub: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    (height, width), path = size, tmp_path / "a.jpg"
    path.write_bytes(jpeg(np.full((height, width, 3), 90, np.uint8)))
    target = write_overlay(stub.predictor(path), tmp_path / "out")
    copy = Image.open(target)
    assert copy.size == (max(width, 640) // 2 * 2, height // 2 * 2 + 128)
    assert np.asarray(copy)[height // 2, copy.width // 2].mean() == pytest.approx(90, abs=3)


def test_a_rerun_makes_the_copies_that_are_missing(stub: Any, tmp_path: Path) -> None:
    paths = [str(write_clip(tmp_path / f"{i}.mp4", 8)) for i in range(2)]
    out = tmp_path / "out"
    done = predict_files(stub.predictor, paths, out)
    again = predict_files(stub.predictor, paths, out, overlay=True, resume=True)
    copies = out / "overlays"
    assert len(list(copies.glob("*.mp4"))) == 2
    assert [p.score for p in again] == [p.score for p in done]
    assert len(list(csv.DictReader((out / "predictions.csv").open()))) == 2
    stub.sizes.clear()
    (copies / f"{overlay_name(paths[0])}.png").unlink()
    predict_files(stub.predictor, paths, out, overlay=True, resume=True)
    assert sum(stub.sizes) == again[0].faces and len(list(copies.glob("*.png"))) == 2


def test_copies_are_made_within_the_limits_of_scoring(stub: Any, tmp_path: Path) -> None:
    clip, image = write_clip(tmp_path / "a.mp4", 40), tmp_path / "a.jpg"
    image.write_bytes(jpeg(moving_square(60)))
    predictions = [stub.predictor(path) for path in (clip, image)]
    for prediction in predictions:
        with pytest.raises(VideoError, match="more than the 100 allowed"):
            write_overlay(prediction, tmp_path / "out", limits=Limits(max_pixels=100))
    with pytest.raises(ValueError, match="no frame decodes"):
        write_overlay(predictions[0], tmp_path / "out", limits=Limits(max_seconds=0.0))
    assert list(tmp_path.glob("out*")) == []


def test_a_copy_that_the_disk_has_no_room_for_is_not_there(stub: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "a.jpg", tmp_path / "out"
    path.write_bytes(jpeg(moving_square(60)))
    prediction = Predictor(stub.network, settings=SETTINGS, keep_attention=True)(path)
    with file_size_limit(4096), pytest.raises(OSError, match="too large"):
        write_overlay(prediction, out)
    assert not list(tmp_path.glob("*out*"))
    assert write_overlay(prediction, out).stat().st_size > 4096


def test_a_copy_that_is_cut_off_is_not_on_the_page(stub: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "a.jpg", tmp_path / "out"
    path.write_bytes(jpeg(moving_square(60)))
    predict_files(stub.predictor, [str(path)], out, overlay=True)
    [copy] = (out / "overlays").iterdir()
    copy.write_bytes(copy.read_bytes()[:4096])
    [done] = predict_files(stub.predictor, [str(path)], out, overlay=True, resume=True)
    page = (out / "predictions.html").read_text(encoding="utf-8")
    assert f"{done.score:.4f}" in page and "data:image" not in page


def test_predictions_by_other_boxes_are_not_mixed(stub: Any, tmp_path: Path) -> None:
    paths = [str(write_clip(tmp_path / "a.mp4", 8))]
    one, other = (
        dataclasses.replace(stub.predictor, detector_weights=tmp_path / name)
        for name in ("one.onnx", "other.onnx")
    )
    predict_files(one, paths, tmp_path / "out")
    with pytest.raises(ValueError, match=r"detector_weights: .*one.onnx' before, .*other.onnx'"):
        predict_files(other, paths, tmp_path / "out", resume=True)


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
    from test_prepare import video

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
