"""MesoNet against a slow NumPy reference, with made weights and with the authors'."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_mesonet as reference

from matnet_jax.detectors.assembly import variable_shapes
from matnet_jax.detectors.base import Forward
from matnet_jax.detectors.inference import infer
from matnet_jax.detectors.mesonet import Losses
from matnet_jax.detectors.variables import init_variables
from matnet_jax.model import create_detector
from matnet_jax.pretrained import (
    CheckpointFileError,
    WeightsMismatchError,
    initialize,
    model_fields,
    read_weights,
)
from matnet_jax.pretrained.__main__ import main
from matnet_jax.pretrained.keras_files import read_keras
from matnet_jax.pretrained.trained import load_trained

h5py = pytest.importorskip("h5py", reason="needs h5py to write and read Keras's files")

NAMES = ("meso4", "mesoinception4")
FILES = {
    "Meso4_DF": "meso4",
    "Meso4_F2F": "meso4",
    "MesoInception_DF": "mesoinception4",
    "MesoInception_F2F": "mesoinception4",
}
# The authors' outputs (near 1: real) of their four test images, decoded and resized to the nearest
# pixel; from an evaluation in NumPy and PyTorch that shares no code with ours.
IMAGES = ("df00204", "df01254", "real00240", "real00772")
OUTPUTS = {
    "Meso4_DF": (0.04141177, 0.04869374, 0.98974752, 0.99770159),
    "Meso4_F2F": (0.83123744, 0.64109963, 0.88102341, 0.95243871),
    "MesoInception_DF": (0.02621822, 0.00095197, 1.0, 1.0),
    "MesoInception_F2F": (0.99874312, 0.99999738, 1.0, 0.99083018),
}


def save(path: Path, layers: Mapping[str, Sequence[np.ndarray]], first: int = 0) -> Path:
    """A file as Keras 2 writes weights; `first` is what its counters stood at."""
    with h5py.File(path, "w") as root:
        names = []
        for layer, arrays in layers.items():
            kind, _, number = layer.rpartition("_")
            names.append(f"{kind}_{int(number) + first}")
            group = root.create_group(names[-1])
            weights = [f"{names[-1]}/array_{i}:0" for i in range(len(arrays))]
            group.attrs["weight_names"] = weights
            for weight, array in zip(weights, arrays, strict=True):
                group[weight] = array
        root.attrs["layer_names"] = names
    return path


inference = jax.jit(infer, static_argnums=0)


def agrees(name: str, path: Path, layers: reference.Layers, images: np.ndarray) -> None:
    model = create_detector(name, image_size=images.shape[1])
    variables = initialize(model, path)
    found = inference(model, variables, images.astype(np.float32))
    z = reference.real_logit(name, layers, images)
    np.testing.assert_allclose(found.outputs["logits"][:, 0], z, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.outputs["logits"][:, 1], 0)
    np.testing.assert_allclose(found.score, 1 - 1 / (1 + np.exp(-z)), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [64, 256])
def test_made_weights(name: str, size: int, tmp_path: Path) -> None:
    """Numbers in the layers' names go on from whatever Keras made before."""
    layers = reference.pattern_fill(name, size)
    path = save(tmp_path / "weights.h5", layers, first=4)
    agrees(name, path, layers, reference.pattern_images(2, size))


@pytest.mark.parametrize("file", FILES)
def test_the_authors_weights(file: str, shared_weights: Path) -> None:
    path = shared_weights / "mesonet" / f"{file}.h5"
    arrays = read_keras(path).layers
    # Their convolutions and norms by rank, as the reference takes them.
    layers: dict[str, Sequence[np.ndarray]] = {}
    for kind in ("conv2d", "batch_normalization", "dense"):
        own = sorted(
            (key for key in arrays if key.startswith(kind)), key=lambda k: int(k.split("_")[-1])
        )
        layers |= {f"{kind}_{i}": arrays[key] for i, key in enumerate(own, start=1)}
    draw = np.random.default_rng(0)
    coarse = draw.random((2, 8, 8, 3), np.float32)
    images = np.kron(coarse, np.ones((1, 32, 32, 1))) * draw.uniform(0.6, 1, (2, 256, 256, 3))
    agrees(FILES[file], path, layers, images)


@pytest.mark.parametrize("file", FILES)
def test_the_authors_outputs(file: str, shared_weights: Path) -> None:
    folder = Path(os.environ.get("MATNET_TEST_MESONET", shared_weights / "mesonet/test_images"))
    if not folder.is_dir():
        pytest.skip(f"no {folder}: set MATNET_TEST_MESONET to the authors' folder test_images")
    crops = np.stack([nearest(next(folder.rglob(f"{image}.jpg")), 256) for image in IMAGES])
    model = create_detector(FILES[file])
    variables = initialize(model, shared_weights / "mesonet" / f"{file}.h5")
    score = inference(model, variables, model.preprocess.normalize(jnp.asarray(crops))).score
    np.testing.assert_allclose(1 - score, OUTPUTS[file], atol=1e-4)


def nearest(path: Path, size: int) -> np.ndarray:
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    rows, columns = (((np.arange(size) + 0.5) * n / size).astype(int) for n in image.shape[:2])
    return image[rows][:, columns]


@pytest.mark.parametrize(("name", "count"), [("meso4", 28_073), ("mesoinception4", 28_725)])
def test_how_many_numbers(name: str, count: int) -> None:
    model = create_detector(name)
    assert sum(int(np.prod(shape)) for shape in variable_shapes(model).values()) == count
    assert model.preprocess.image_size == 256
    assert (model.preprocess.mean, model.preprocess.std) == ((0.0,) * 3, (1.0,) * 3)


def test_initial_values_are_keras_own() -> None:
    params = init_variables(create_detector("meso4"), 0)["params"]
    kernel = params["dense"]["kernel"]
    limit = np.sqrt(6 / (1024 + 16))
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.02)
    np.testing.assert_array_equal(params["conv_1"]["bias"], 0)


def test_the_loss_is_the_squared_error_of_the_score() -> None:
    """And training moves running statistics by a hundredth, as Keras does."""
    model = create_detector("meso4", image_size=32, dropout_rate=0.0)
    variables = init_variables(model, 0)
    images, labels = reference.pattern_images(4, 32).astype(np.float32), np.array([0, 1, 1, 0])
    batch = {"image": images, "label": labels, "weight": np.float32([1, 1, 1, 0])}

    @functools.partial(jax.jit, static_argnums=2)
    def training(params: Any, batch: Any, losses: Losses) -> Any:
        forward = Forward(model, params, {"batch_stats": variables["batch_stats"]}, batch["weight"])
        value, metrics = losses(forward, batch, jax.random.key(0), jnp.int32(0))
        again = Forward(model, params, {"batch_stats": variables["batch_stats"]}, batch["weight"])
        score = model.score(again(batch["image"], key=jax.random.key(0)))
        return value, metrics, forward.collections["batch_stats"], score

    value, metrics, moved, score = training(variables["params"], batch, Losses())
    np.testing.assert_allclose(value, np.square(score - labels)[:3].mean(), rtol=1e-5)
    both, *_ = training(variables["params"], batch, Losses(squared_error=2.0, cross_entropy=0.5))
    np.testing.assert_allclose(both, 2 * value + 0.5 * metrics["cross_entropy"], rtol=1e-6)

    first = variables["params"]["conv_1"]
    seen = reference.conv_relu(images[:3], (first["kernel"], first["bias"]))
    np.testing.assert_allclose(
        moved["bn_1"]["mean"], 0.01 * seen.mean((0, 1, 2)), rtol=1e-4, atol=1e-7
    )


def test_convert_names_the_family(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = reference.pattern_fill("mesoinception4")
    source = str(save(tmp_path / "weights.h5", layers))
    assert main(["inspect", source]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["family"], told["values"]) == ("the authors' MesoInception4", 28_725)
    assert main(["convert", source, str(tmp_path / "out"), "--family=mesoinception4"]) == 0
    assert "the authors' MesoInception4 as MesoInception4" in capsys.readouterr().out
    loaded = load_trained(tmp_path / "out", "latest")
    assert loaded.model == create_detector("mesoinception4")
    kernel = loaded.variables["params"]["inception_2_d2"]["kernel"]
    np.testing.assert_array_equal(kernel, layers["conv2d_14"][0])
    assert main(["convert", source, str(tmp_path / "b"), "--family=meso4", "--backbone=x"]) == 1
    assert "no field config.model.backbone; available: " in capsys.readouterr().err


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    layers = reference.pattern_fill("meso4")
    path = save(tmp_path / "weights.h5", layers)
    assert model_fields(path) == {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    with pytest.raises(WeightsMismatchError, match=r"− params/inception_1_a1/bias \[1\]: missing"):
        initialize(create_detector("mesoinception4"), path)
    with pytest.raises(WeightsMismatchError, match=r"\[1024, 16\], the model \[64, 16\]"):
        initialize(create_detector("meso4", image_size=64), path)
    with pytest.warns(UserWarning, match="were made for mean="):
        initialize(create_detector("meso4", mean=(0.5,) * 3), path)
    del layers["dense_2"]
    with pytest.raises(CheckpointFileError, match="nor a MesoNet; its layers: conv2d_1"):
        read_weights(save(tmp_path / "less.h5", layers))
