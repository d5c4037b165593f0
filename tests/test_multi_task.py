"""Multi-task against tensors of the authors' code, with made weights and with the authors'."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pattern_fill as pattern
import pytest
import tiny
from flax import traverse_util

from matnet_jax.config import default_config
from matnet_jax.config.build import build_model
from matnet_jax.config.schema import ConfigError
from matnet_jax.detectors.assembly import WeightsMismatchError, assemble, variable_shapes
from matnet_jax.detectors.base import Forward
from matnet_jax.detectors.inference import infer
from matnet_jax.detectors.multi_task import Losses
from matnet_jax.detectors.variables import init_variables
from matnet_jax.model import create_detector
from matnet_jax.pretrained import CheckpointFileError, initialize, read_weights
from matnet_jax.pretrained.__main__ import main
from matnet_jax.pretrained.multi_task_names import convert
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.pretrained.weights import join
from matnet_jax.train.optim import create_optimizer

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "multi_task.npz"))
FILES = {"full": 46, "finetune": 26}
SIZE = 64

ENCODER = (8, 8, 16, 16, 32, 32, 64, 64, 128)
SHARED, BRANCH = (64, 64, 32, 32), (16, 16, 8, 8)


def layer_shapes(part: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Of one of the authors' two files, in its order."""
    if part == "encoder":
        for i, (inputs, outputs) in enumerate(zip((3, *ENCODER), ENCODER, strict=False)):
            yield from pattern.biased(f"encoder.{3 * i}", outputs, inputs, 3, 3)
            yield from pattern.norm(f"encoder.{3 * i + 1}", outputs)
        return
    for name, first, widths, last in (
        ("shared", 128, SHARED, None),
        ("segmenter", 32, BRANCH, 2),
        ("decoder", 32, BRANCH, 3),
    ):
        for i, (inputs, outputs) in enumerate(zip((first, *widths), widths, strict=False)):
            yield from pattern.biased(f"{name}.{3 * i}", inputs, outputs, 3, 3, bias=outputs)
            yield from pattern.norm(f"{name}.{3 * i + 1}", outputs)
        if last is not None:
            yield from pattern.biased(f"{name}.12", widths[-1], last, 3, 3, bias=last)


def made_state() -> dict[str, np.ndarray]:
    return pattern.fill(layer_shapes("encoder")) | pattern.fill(layer_shapes("decoder"))


def ours(torch_like: Any) -> dict[str, np.ndarray]:
    """Arrays by PyTorch name -> by our path."""
    arrays, unexpected = convert(torch_like)
    assert not unexpected
    return arrays


@functools.cache
def made_variables() -> Any:
    return assemble(create_detector("multi_task", image_size=SIZE), ours(made_state()))


inference = jax.jit(infer, static_argnums=0)


def agrees(found: Any, tag: str, step: int) -> None:
    """With what the authors' code gave; it has classes and channels the other way round."""
    want = {name: GOLDEN[f"{tag}/{name}"] for name in ("activity", "segmentation")}
    np.testing.assert_allclose(found.outputs["logits"][:, ::-1], want["activity"], rtol=1e-4)
    region = found.heatmaps["forged_region"][:, 2::5, 1::5, 0][:, ::step, ::step]
    np.testing.assert_allclose(region, want["segmentation"], rtol=1e-4, atol=1e-5)
    colours = found.outputs["reconstruction"][:, 2::5, 1::5][:, ::step, ::step]
    want_colours = GOLDEN[f"{tag}/reconstruction"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(colours, want_colours, rtol=1e-4, atol=1e-5)
    odds = np.exp(want["activity"])
    np.testing.assert_allclose(found.score, odds[:, 0] / odds.sum(1), rtol=1e-5)


def test_made_weights() -> None:
    model = create_detector("multi_task", image_size=SIZE)
    agrees(inference(model, made_variables(), pattern.images(4, SIZE)), "pattern", 1)


@pytest.mark.parametrize("name", FILES)
def test_the_authors_weights(name: str, shared_weights: Path) -> None:
    model = create_detector("multi_task")
    agrees(
        inference(model, authors(name, shared_weights), pattern.images(2, 256)),
        f"authors/{name}",
        4,
    )


def authors(name: str, folder: Path) -> Any:
    pytest.importorskip("torch", reason="needs PyTorch to read the authors' files")
    parts = [
        read_weights(folder / "multitask" / f"{name}_{part}_{FILES[name]}.pt")
        for part in ("encoder", "decoder")
    ]
    return initialize(create_detector("multi_task"), join(parts))


def test_the_authors_pictures(shared_weights: Path) -> None:
    """P(real) of the altered and of the original picture of the authors' folder test_img."""
    folder = Path(os.environ.get("MATNET_TEST_CLASSNSEG", shared_weights / "multitask/test_img"))
    if not folder.is_dir():
        pytest.skip(f"no {folder}: set MATNET_TEST_CLASSNSEG to the authors' folder test_img")
    files = [str(folder / f"{name}.jpg") for name in ("fake", "real")]
    pictures = np.stack([cv2.imread(file)[..., ::-1] for file in files])
    model = create_detector("multi_task")
    pixels = model.preprocess.normalize(jnp.asarray(pictures[:, :, :256]))
    for name, real, right in (("full", (0.27085, 0.76797), (0.9043, 1)), ("finetune", None, None)):
        found = inference(model, authors(name, shared_weights), pixels)
        assert (found.score > 0.5).tolist() == [True, False]
        if real is not None:
            np.testing.assert_allclose(1 - found.score, real, atol=1e-5)
            forged = found.heatmaps["forged_region"][..., 0] > 0.5
            same = forged == (pictures[:, :, 256:, 0] >= 128)
            np.testing.assert_allclose(same.mean((1, 2)), right, atol=1e-4)


def test_one_training_step() -> None:
    """Losses, gradients, running statistics and Adam's step are the authors'."""
    model, variables = create_detector("multi_task", image_size=SIZE), made_variables()
    mask = np.zeros((4, SIZE, SIZE), np.uint8)
    mask[0, 10:40, 20:50], mask[3, 5:20], mask[1, 0, 0] = 255, 128, 127
    labels = np.array([1, 0, 0, 1])
    batch = {"image": pattern.images(4, SIZE), "label": labels, "mask": mask}
    batch["weight"] = np.ones(4, np.float32)

    def loss(params: Any, batch: Any) -> Any:
        forward = Forward(model, params, {"batch_stats": variables["batch_stats"]})
        total, metrics = Losses()(forward, batch, jax.random.key(0), jnp.int32(0))
        return total, (metrics, forward.collections)

    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=tiny.QUICK_COMPILE)
    (total, (metrics, moved)), grads = gradient(variables["params"], batch)
    want = GOLDEN["train/losses"]
    names = ("activation", "segmentation", "reconstruction")
    np.testing.assert_allclose([metrics[name] for name in names], want, rtol=1e-5)
    np.testing.assert_allclose(total, want.sum(), rtol=1e-5)

    ours_by_torch = {name: next(iter(ours({name: array}))) for name, array in made_state().items()}
    flat = {f"params/{k}": v for k, v in flatten(grads).items()}
    for name, norm in zip(GOLDEN["train/names"], GOLDEN["train/gradient_norms"], strict=True):
        # A bias before a batch norm has none but rounding's.
        found = np.linalg.norm(flat[ours_by_torch[str(name)]])
        np.testing.assert_allclose(found, norm, rtol=1e-3, atol=1e-5, err_msg=name)
    for name, array in golden("train/gradient/"):
        ((path, want_gradient),) = ours({name: array}).items()
        # Of large kernels a corner is kept, whose place moves as the axes do.
        corner = (..., *[slice(array.shape[0])] * min(array.ndim, 2))
        found = flat[path][corner]
        np.testing.assert_allclose(found, want_gradient, rtol=1e-3, atol=2e-6, err_msg=name)

    adam = create_optimizer("adam", 1e-3, weight_decay=5e-4, eps=1e-7)
    updates, _ = adam.update(grads, adam.init(variables["params"]), variables["params"])
    after = {"params": optax.apply_updates(variables["params"], updates), **moved}
    for name, array in golden("train/moved/"):
        ((path, value),) = ours({name: array}).items()
        np.testing.assert_allclose(flatten(after)[path], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_weights_of_the_losses() -> None:
    mask = np.kron([[255, 0], [127, 128]], np.ones((32, 32), np.uint8))[None]
    out = {"logits": jnp.array([[0.25, 1.5]]), "reconstruction": jnp.full((1, SIZE, SIZE, 3), 0.5)}
    out["segmentation"] = jnp.broadcast_to(jnp.array([0.4, 0.6]), (1, SIZE, SIZE, 2))
    batch = {"image": jnp.zeros((1, SIZE, SIZE, 3)), "mask": mask}
    batch |= {"label": np.array([1]), "weight": np.ones(1)}

    def total(**fields: Any) -> Any:
        losses = Losses(**({"activation": 0, "segmentation": 0, "reconstruction": 0} | fields))
        return losses(lambda *_, **__: out, batch, jax.random.key(0), jnp.int32(0))[0]

    np.testing.assert_allclose(total(activation=2), 2 * (0.25 + 0.5), rtol=1e-6)
    np.testing.assert_allclose(total(reconstruction=3), 3 * 0.25, rtol=1e-6)
    doubled = np.log(np.exp(0.4) + np.exp(0.6)) - 0.5  # half the mask is forged
    np.testing.assert_allclose(total(segmentation=1), doubled, rtol=1e-5)
    entropy = -(np.log(0.4) + np.log(0.6)) / 2
    np.testing.assert_allclose(total(segmentation=1, double_softmax=False), entropy, rtol=1e-5)


def flatten(tree: Any) -> dict[str, np.ndarray]:
    return {k: np.asarray(v) for k, v in traverse_util.flatten_dict(tree, sep="/").items()}


def golden(tag: str) -> Iterator[tuple[str, np.ndarray]]:
    return ((k.removeprefix(tag), v) for k, v in GOLDEN.items() if k.startswith(tag))


def test_sizes_and_initial_values() -> None:
    model = create_detector("multi_task")
    counts = {True: 0, False: 0}
    for path, shape in variable_shapes(model).items():
        if path.startswith("params/"):
            counts["/encoder/" in path] += int(np.prod(shape))
    assert counts == {True: 148_200, False: 156_749}
    params = init_variables(model, 0)["params"]
    assert 0.019 < params["encoder"]["conv_8"]["kernel"].std() < 0.021
    assert 0.49 < params["encoder"]["bn_8"]["scale"].mean() < 0.51
    limit = 1 / np.sqrt(64 * 9)
    for leaf in ("kernel", "bias"):
        assert 0.9 * limit < np.abs(params["shared"]["conv_0"][leaf]).max() <= limit
    np.testing.assert_array_equal(params["shared"]["bn_0"]["scale"], 1)

    with pytest.raises(ValueError, match=r"a multiple of 16 pixels.*got 72 × 72"):
        create_detector("multi_task", image_size=72).init(
            jax.random.key(0), jnp.zeros((1, 72, 72, 3))
        )
    config = default_config(name="multi_task")
    config.model.image_size = 250
    with pytest.raises(ConfigError, match="a multiple of 16 pixels"):
        build_model(config)


def test_convert_takes_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder, decoder = (
        str(pattern.save(tmp_path / f"{part}.safetensors", pattern.fill(layer_shapes(part))))
        for part in ("encoder", "decoder")
    )
    out = str(tmp_path / "out")
    assert main(["convert", encoder, decoder, out, "--family=multi_task"]) == 0
    assert "Multi-task encoder and the authors' Multi-task decoder as" in capsys.readouterr().out
    loaded = load_trained(Path(out), "latest")
    assert loaded.model == create_detector("multi_task")
    np.testing.assert_array_equal(
        loaded.variables["params"]["segmenter"]["conv_4"]["kernel"],
        made_variables()["params"]["segmenter"]["conv_4"]["kernel"],
    )
    hashes = f"--sha256={'0' * 64},{'0' * 64}"
    other = str(tmp_path / "b")
    for arguments, said in (
        ([encoder], "batch_stats/reconstructor/bn_0/mean [16]: missing"),
        ([encoder, encoder], "not parts of one network"),
        ([encoder, decoder, hashes], f"wanted {'0' * 64}"),
        ([encoder, decoder, f"--sha256={'0' * 64}"], "1 sha256 for 2 files"),
    ):
        assert main(["convert", *arguments, other, "--family=multi_task"]) == 1
        assert said in capsys.readouterr().err


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    tail = {"encoder.40.tail": np.zeros(3, np.float32)}
    path = pattern.save(tmp_path / "a.safetensors", made_state() | tail)
    with pytest.raises(WeightsMismatchError, match=r"\+ encoder\.40\.tail: not in the model"):
        initialize(create_detector("multi_task"), path)
    with pytest.raises(WeightsMismatchError, match="missing"):
        initialize(create_detector("meso4"), path)
    state = pattern.fill(layer_shapes("encoder"))
    del state["encoder.24.weight"]
    with pytest.raises(
        CheckpointFileError, match=r"the authors' Multi-task,.* the authors' MesoNet$"
    ):
        read_weights(pattern.save(tmp_path / "less.safetensors", state))
