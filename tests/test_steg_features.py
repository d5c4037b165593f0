"""Steg.Features and LD-CNN: the same 162 shares, one fitted at once, the other as a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from families import config_of
from test_cooccurrence import features_in_numpy, smooth_pixels

import matnet_jax.evaluation.probe.run as run
from matnet_jax.detectors.assembly import flatten
from matnet_jax.detectors.ld_cnn import codewords
from matnet_jax.detectors.registry import FAMILIES
from matnet_jax.detectors.variables import init_variables
from matnet_jax.evaluation.probe.linear import Line, fit_probe
from matnet_jax.evaluation.probe.run import probe
from matnet_jax.evaluation.probe.save import LineMismatchError, with_line
from matnet_jax.evaluation.run import evaluate
from matnet_jax.metrics.scores import read_scores
from matnet_jax.model import create_detector
from matnet_jax.predict.network import trained_network
from matnet_jax.pretrained import initialize
from matnet_jax.pretrained.trained import load_trained

pytestmark = pytest.mark.usefixtures("no_charts")


def in_unit_range(pixels: np.ndarray) -> Any:
    """As the default mean and deviation normalise."""
    return jnp.asarray((pixels / 255 - 0.5) / 0.5, jnp.float32)


def test_the_middle_is_looked_at_and_its_pixels_are_exact() -> None:
    pixels = np.stack([smooth_pixels((40, 33), seed) for seed in range(2)])
    model = create_detector("steg_features", image_size=40, region=16, quantum=2.0)
    found = model.apply({}, in_unit_range(pixels), method="brightness")
    want = pixels.astype(int) @ np.array([299, 587, 114])
    np.testing.assert_array_equal(found, want[:, 12:28, 8:24])
    whole = create_detector("steg_features", image_size=40)  # 128 pixels, of which there are fewer
    found = whole.apply({}, in_unit_range(pixels), method="brightness")
    np.testing.assert_array_equal(found, want)
    with pytest.raises(ValueError, match="region is 6; 7 pixels hold the first run"):
        FAMILIES["ld_cnn"].check(create_detector("ld_cnn", region=6))


def test_logits_are_a_line_through_the_loops_features() -> None:
    pixels = np.stack([smooth_pixels((16, 16), seed) for seed in range(2)])
    model = create_detector("steg_features", image_size=32, region=16)
    variables = init_variables(model, 0)
    luma = pixels.astype(int) @ np.array([299, 587, 114])
    features = np.stack([features_in_numpy(image, 1000) for image in luma])
    head = variables["params"]["head"]
    want = features @ head["kernel"] + head["bias"]
    found = model.apply(variables, in_unit_range(pixels))["logits"]
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-6)


def test_codewords_are_in_the_order_of_the_histogram() -> None:
    words = codewords()
    assert len(np.unique(words, axis=1).T) == 81
    np.testing.assert_array_equal((words.T + 1) @ 3 ** np.arange(4), np.arange(81))


def test_the_constrained_network_is_the_descriptor() -> None:
    pixels = np.stack([smooth_pixels((24, 17), seed) for seed in range(3)])
    images = in_unit_range(pixels)
    fields = {"image_size": 32, "quantum": 2.0}
    hard = create_detector("ld_cnn", relaxed=False, **fields)
    variables = init_variables(hard, 0)
    assert set(variables["params"]) == {"head"}
    shares = jax.jit(lambda m, x: m.apply(variables, x, method="shares"), static_argnums=0)
    found = shares(hard, images)
    luma = pixels.astype(int) @ np.array([299, 587, 114])
    want = np.stack([features_in_numpy(image, 2000) for image in luma])
    np.testing.assert_allclose(found, want, rtol=3e-7)
    # The same line through both is the same score.
    steg = create_detector("steg_features", **fields)
    np.testing.assert_allclose(
        hard.apply(variables, images)["logits"], steg.apply(variables, images)["logits"], rtol=1e-5
    )


def test_the_relaxed_network_tends_to_the_constrained_one() -> None:
    """On grey pixels at a step of three no residual is halfway, where the soft one stays so."""
    pixels = np.stack([smooth_pixels((16, 16), seed) for seed in range(2)])
    images = in_unit_range(np.repeat(pixels[..., :1], 3, axis=-1))
    fields = {"image_size": 32, "quantum": 3.0}
    hard = create_detector("ld_cnn", relaxed=False, **fields)
    want = hard.apply(init_variables(hard, 0), images, method="shares")
    variables = init_variables(create_detector("ld_cnn", **fields), 0)
    errors = []
    for sharpness, temperature in ((2, 4), (5, 10), (20, 20), (50, 100)):
        soft = create_detector("ld_cnn", sharpness=sharpness, temperature=temperature, **fields)
        found = soft.apply(variables, images, method="shares")
        np.testing.assert_allclose(found.reshape(2, 2, 81).sum(-1), 1, rtol=1e-5)
        errors.append(float(jnp.abs(found - want).max()))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-3


def test_all_of_the_relaxed_network_learns() -> None:
    model = create_detector("ld_cnn", image_size=32)
    variables = init_variables(model, 0)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 1144
    images = in_unit_range(np.stack([smooth_pixels((16, 16), seed) for seed in range(2)]))
    gradient = jax.grad(lambda v: model.apply(v, images)["logits"][:, 1].sum())(variables)
    for path, leaf in flatten(gradient).items():
        assert np.all(np.isfinite(leaf)) and np.any(leaf), path


@pytest.fixture
def small_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few faces a split: fitting is what is tested."""
    some = run.some_frames
    monkeypatch.setattr(run, "some_frames", lambda source, count: some(source, 2))


def test_a_fitted_line_goes_the_way_of_every_network(small_sources: Any, tmp_path: Path) -> None:
    """Fitted and saved; evaluated, restored, predicted and taken up by LD-CNN."""
    config = config_of("steg_features")
    workdir = tmp_path / "run"
    metrics = probe(config, tmp_path / "probe", classifier="svm", save=workdir)
    assert metrics["probe"]["classifier"] == "svm" and metrics["probe"]["dimensions"] == 162
    scores = read_scores(tmp_path / "probe" / "scores.csv")
    again = evaluate(config, workdir)
    assert again["frame"]["auc"] == pytest.approx(metrics["frame"]["auc"], abs=1e-6)
    own = read_scores(workdir / "eval" / "test" / "scores.csv")
    np.testing.assert_allclose(own["score"], scores["score"], atol=1e-5)
    trained = load_trained(workdir)
    assert trained.step == 0 and trained.metadata["probe"]["of"].startswith("a line through")
    crops = tiny.pixels(3)
    found, maps = trained_network(workdir, batch_size=8)(crops)
    assert maps is None and found.shape == (3,)
    model = create_detector("ld_cnn", image_size=tiny.SIZE)
    variables = initialize(model, workdir, prefixes=["head"])
    np.testing.assert_array_equal(
        variables["params"]["head"]["kernel"], trained.variables["params"]["head"]["kernel"]
    )
    with pytest.raises(FileExistsError, match="has checkpoints already"):
        probe(config, tmp_path / "probe", save=workdir)
    assert json.loads((workdir / "config.json").read_text())["model"]["name"] == "steg_features"


def test_what_cannot_be_saved_is_said(tmp_path: Path) -> None:
    config = config_of("steg_features")
    with pytest.raises(ValueError, match="saved with a network of the config"):
        probe(config, tmp_path, features="statistics", save=tmp_path / "run")
    with pytest.raises(ValueError, match="the classifier is 'forest', wanted one of logistic, svm"):
        probe(config, tmp_path, classifier="forest")
    meso = create_detector("meso4", image_size=tiny.SIZE)
    line = Line(np.ones(16), 0.0)
    with pytest.raises(LineMismatchError, match=r"kernel \[16, 2\] \(its last one has \[16, 1\]"):
        with_line(meso, init_variables(meso, 0), line)


def test_a_machines_sums_become_probabilities() -> None:
    """Of Gaussians whose log odds are known, the line finds them."""
    draw = np.random.default_rng(0)
    labels = np.arange(4000) % 2
    features = draw.standard_normal((4000, 3)) * [1, 10, 0.1] + labels[:, None] * [1.5, 0, 0]
    text = {name: np.full(2000, "") for name in ("dataset", "subset", "compression")}
    columns = {**text, "video_id": np.arange(2000).astype(str), "label": labels[2000:]}
    found = fit_probe(features[:2000], labels[:2000], features[2000:], columns, classifier="svm")
    np.testing.assert_allclose(found.line.weights * [1, 10, 0.1], [1.5, 0, 0], atol=0.2)
    assert found.line.bias == pytest.approx(-(1.5**2) / 2, abs=0.2)
