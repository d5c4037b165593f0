"""Networks of clips from records to exports: what they are given, and what becomes of a video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import chex
import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from families import TINY, config_of, made, one_step
from stub_network import SETTINGS, Squares
from videos import write_clip

from data_pipeline.extract.crops import Settings
from data_pipeline.training.clips import ClipSource
from data_pipeline.training.sources import DataError
from matnet_jax.checkpoints.export import export_stablehlo
from matnet_jax.config import default_config
from matnet_jax.config.build import build_model
from matnet_jax.config.data import open_source
from matnet_jax.detectors.registry import FAMILIES
from matnet_jax.evaluation.costs import measure_costs
from matnet_jax.evaluation.run import evaluate
from matnet_jax.metrics.scores import read_scores
from matnet_jax.predict import Predictor
from matnet_jax.predict import predictor as predictor_module
from matnet_jax.predict.files import predict_files
from matnet_jax.predict.network import Network, exported_network, trained_network
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.train.run import train

LENGTH = 3
OF_CLIPS = {"model.clip_length": LENGTH}
SEQUENCE = {"ntechlab": {"model.temporal": True}}
CLIPS = ("medics", "two_branch", "ntechlab")  # eighteen_years_old is the first's class

pytestmark = pytest.mark.usefixtures("two_devices", "no_charts")


def clip_config(name: str, **values: Any) -> Any:
    return config_of(name, **OF_CLIPS, **SEQUENCE.get(name, {}), **values)


def clip_batch(size: int = 8) -> dict[str, np.ndarray]:
    """Clips of noise; two of eight do not count."""
    batch = tiny.batch(size, weight=np.array([1, 1, 1, 0, 1, 1, 0, 1], np.float32))
    images = tiny.pixels(size * LENGTH)
    return batch | {"image": images.reshape(size, LENGTH, *images.shape[1:])}


@pytest.mark.parametrize("name", CLIPS)
def test_a_step_on_clips_is_the_same_on_one_and_eight_devices(name: str) -> None:
    batch, values = clip_batch(), OF_CLIPS | SEQUENCE.get(name, {})
    (state, metrics), (other, others) = (
        one_step(name, batch, devices, **values) for devices in (jax.devices()[:1], jax.devices())
    )
    chex.assert_tree_all_finite((state, metrics))
    chex.assert_trees_all_close(metrics, others, rtol=1e-3, atol=1e-5)
    chex.assert_trees_all_close(state.params, other.params, rtol=1e-3, atol=1e-4)


def test_all_that_take_clips_are_here() -> None:
    of_clips = {f.model for f in FAMILIES.values() if "clip_length" in f.model.__annotations__}
    assert of_clips == {FAMILIES[name].model for name in CLIPS}
    assert create("mat").input_shape == (64, 64, 3) and create("mat").clip_length == 1
    assert create("two_branch", clip_length=5).input_shape == (5, 64, 64, 3)
    with pytest.raises(ValueError, match="clip_length 7 needs temporal=True"):
        build_model(config_of("ntechlab", **{"model.clip_length": 7}))


def create(name: str, **fields: Any) -> Any:
    return FAMILIES[name].make(**TINY[name], image_size=64, **fields)


def test_a_frame_of_ntechlab_s_counts_as_one() -> None:
    """Mixed clips: the target of each frame is the clip's, and the loss is the mean of all."""
    _, objective = made("ntechlab", **OF_CLIPS, **SEQUENCE["ntechlab"])
    seen = []

    def forward(images: Any, *, key: Any) -> Any:
        seen.append(images)
        level = images.mean((2, 3, 4))
        return {"logits": jnp.stack([jnp.zeros_like(level), level], axis=-1)}

    batch = {name: jnp.asarray(value, jnp.float32) for name, value in clip_batch(8).items()}
    batch |= {"label": batch["label"].astype(jnp.int32), "weight": jnp.ones(8)}
    # Fakes are 1 and reals 0 throughout, so that a pixel is the share that is fake.
    batch["image"] = jnp.broadcast_to(batch["label"].reshape(-1, 1, 1, 1, 1), (8, 3, 4, 4, 3)) * 1.0
    loss, _ = objective(forward, batch, jax.random.key(0), jnp.int32(0))
    share = np.asarray(seen[0]).mean((2, 3, 4))
    assert (share == share[:, :1]).all() and len(np.unique(share)) == 8
    assert float(loss) == pytest.approx((np.log1p(np.exp(share)) - share * share).mean(), rel=1e-4)


@pytest.mark.parametrize("name", ["eighteen_years_old", "ntechlab"])
def test_from_training_to_prediction(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = clip_config(name)
    assert train(config, tmp_path)["step"] == 2
    metrics = evaluate(config, tmp_path)
    assert metrics["network"]["clip_length"] == LENGTH and np.isfinite(metrics["loss"])
    scores = read_scores(tmp_path / "eval" / "test" / "scores.csv")
    # Of 2 people, real and fake, 4 frames: NTechLab's have a score each, the others' clips two.
    frames = [0, 1, 2, 3] if name == "ntechlab" else [0, 1]
    assert scores["frame"].tolist() == 4 * frames

    loaded = load_trained(tmp_path)
    assert loaded.model == build_model(config)
    crops = tiny.pixels(5 * LENGTH).reshape(5, LENGTH, tiny.SIZE, tiny.SIZE, 3)
    own, maps = trained_network(tmp_path, batch_size=8)(crops)
    assert own.shape == ((5, LENGTH) if name == "ntechlab" else (5,))
    export_stablehlo(loaded.model, loaded.variables, tmp_path / "out", platforms=("cpu",))
    network = exported_network(tmp_path / "out", batch_size=8)
    exported, exported_maps = network(crops)
    np.testing.assert_allclose(exported, own, atol=1e-5)
    assert network.clip_length == LENGTH and (maps is None) == (exported_maps is None)
    if maps is not None:
        np.testing.assert_allclose(exported_maps, maps, atol=1e-4)
    described = json.loads((tmp_path / "out" / "preprocess.json").read_text())
    assert described["clip_length"] == LENGTH and "[b, 3, 64, 64, 3]" in described["input"]

    video = write_clip(tmp_path / "video.mp4", 10)
    monkeypatch.setattr(predictor_module, "create_detector", lambda *_: Squares())
    predictor = Predictor(network, settings=SETTINGS)
    [found] = predict_files(predictor, [str(video)], tmp_path / "scored", overlay=True)
    assert not found.error and 0 <= found.score <= 1 and found.frames == 8
    [track] = found.tracks
    assert len(track.faces) == 8
    apart = len({face.score for face in track.faces})
    assert apart == (8 if name == "ntechlab" else 3)
    assert (tmp_path / "scored" / "overlays").is_dir()
    costs = measure_costs(loaded.model, loaded.variables, batch_size=2)
    single = build_model(config_of(name, **SEQUENCE.get(name, {})))
    one = measure_costs(single, loaded.variables, batch_size=2)
    assert costs.parameters == one.parameters and costs.gflop > one.gflop


class LastOfThree:
    """A network of clips whose score is the brightness of a clip's last frame."""

    def __init__(self, *, of_frames: bool = False) -> None:
        self.clips: list[np.ndarray] = []
        self.of_frames = of_frames
        about = {"workdir": "last", "step": 1}
        self.network = Network(48, 2, about, self.run, clip_length=LENGTH)

    def run(self, images: Any) -> Any:
        self.clips += list(images)
        level = images.mean((2, 3, 4)) / 255
        return (level if self.of_frames else level[:, -1]), {}


def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    monkeypatch.setattr(predictor_module, "create_detector", lambda *_: Squares())
    stub = LastOfThree(**options)
    video = write_clip(tmp_path / "video.mp4", 70)
    return Predictor(stub.network, settings=SETTINGS)(video), stub


def test_a_person_s_faces_are_scored_in_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, stub = scored(tmp_path, monkeypatch)
    assert {len(track.faces) for track in found.tracks} == {8, 3}
    long = next(track for track in found.tracks if len(track.faces) == 8)
    assert [face.frame for face in long.faces] == [4, 13, 21, 30, 39, 48, 56, 65]
    # Frames 1 to 3, 4 to 6, and 6 to 8, whose first was seen before.
    assert [face.repeats for face in long.faces] == [*[False, True, True] * 2, False, True]
    values = [face.score for face in long.faces]
    assert values[0] == values[2] < values[3] == values[5] < values[6] == values[7]
    # The person's score is the mean of three clips.
    assert long.score == pytest.approx(np.mean([values[0], values[3], values[6]]))
    assert all(clip.shape == (LENGTH, 48, 48, 3) for clip in stub.clips)


def test_each_frame_s_own_score_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = scored(tmp_path, monkeypatch, of_frames=True)
    long = next(track for track in found.tracks if len(track.faces) == 8)
    values = [face.score for face in long.faces]
    assert values == sorted(values) and len(set(values)) == 8
    assert long.score == pytest.approx(np.mean(values))
    assert not any(face.repeats for face in long.faces)


def test_a_photo_is_a_clip_that_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2.imwrite(str(tmp_path / "face.png"), np.full((64, 64, 3), 51, np.uint8))
    stub = LastOfThree()
    settings = Settings(detector="none", faces="all", crop_size=48)
    found = Predictor(stub.network, settings=settings)(tmp_path / "face.png")
    assert found.score == pytest.approx(0.2) and found.faces == 1
    assert (stub.clips[0] == 51).all()


def test_clips_are_not_made_of_pairs() -> None:
    config = clip_config("two_branch", **{"data.mixture": ("self_blended=1",)})
    with pytest.raises(DataError, match=r"config.data.mixture makes pairs of single faces.*=\(\)"):
        open_source(config, "train", 64, LENGTH)
    config = clip_config("two_branch", **{"validation.fakes": "self_blended"})
    with pytest.raises(DataError, match=r"set config\.validation\.fakes='records'"):
        open_source(config, "val", 64, LENGTH)
    source = open_source(clip_config("two_branch"), "train", 64, LENGTH)
    assert isinstance(source, ClipSource) and len(source) == 8
    assert len(open_source(clip_config("two_branch"), "train", 64)) == 16


def test_older_configs_have_no_clips() -> None:
    """A recipe does not set the length: a workdir without the field goes on as it was."""
    for name in CLIPS:
        for recipe in FAMILIES[name].recipes:
            assert build_model(default_config(recipe, name)).clip_length == 1
