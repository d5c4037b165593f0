"""Keras Applications' networks with random weights: saved by Keras, converted, outputs compared."""

from __future__ import annotations

import functools
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from matnet_jax.model import create_classifier, create_model
from matnet_jax.pretrained import initialize, model_fields, read_weights
from matnet_jax.pretrained.families import recognize
from matnet_jax.pretrained.files import CheckpointFileError
from matnet_jax.pretrained.keras_files import read_keras

keras = pytest.importorskip("keras", reason="needs Keras (the extra 'data') to make the files")
h5py = pytest.importorskip("h5py")

CLASSES = 7


@functools.lru_cache(maxsize=2)
def keras_model(name: str) -> Any:
    """With random weights, statistics and input normalisation."""
    size = (64, 64, 3) if name == "EfficientNetB0" else (75, 75, 3)
    model = getattr(keras.applications, name)(weights=None, input_shape=size, classes=CLASSES)
    draw = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            layer.set_weights(
                [
                    1 + 0.1 * draw.standard_normal(n),
                    0.1 * draw.standard_normal(n),
                    0.1 * draw.standard_normal(n),
                    0.5 + draw.random(n),
                ]
            )
        if isinstance(layer, keras.layers.Normalization):
            layer.adapt_mean.assign([0.4, 0.5, 0.6])
            layer.adapt_variance.assign([0.04, 0.05, 0.06])
            layer.finalize_state()
    return model


def pixels(size: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, size, size, 3)).astype(np.uint8)


def keras_outputs(model: Any, images: np.ndarray, layer: str) -> list[np.ndarray]:
    """The backbone's last feature map and the probabilities."""
    both = keras.Model(model.input, [model.get_layer(layer).output, model.output])
    return [np.asarray(x) for x in both(images)]


@functools.partial(jax.jit, static_argnums=0)
def our_outputs(model: Any, variables: Any, pixels_0_255: Any) -> Any:
    images = model.preprocess.normalize(pixels_0_255)
    features = model.apply(variables, images, method="endpoints")["final"]
    head = variables["params"]["head"]
    return features, jax.nn.softmax(features.mean((1, 2)) @ head["kernel"] + head["bias"])


def save(model: Any, path: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras advises against .h5
        model.save_weights(path) if ".weights." in path.name else model.save(path)


def check(path: Any, images: Any, expected: Any, **fields: Any) -> None:
    model = create_classifier(num_classes=CLASSES, **fields, **model_fields(path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        variables = initialize(model, path)
    for got, want in zip(our_outputs(model, variables, images), expected, strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
def test_efficientnet_gives_keras_outputs(tmp_path: Path, suffix: Any) -> None:
    model, images = keras_model("EfficientNetB0"), pixels(64)
    path = tmp_path / f"b0{suffix}"
    save(model, path)
    fields = model_fields(path)
    assert fields["mean"] == (0.4, 0.5, 0.6)
    np.testing.assert_allclose(np.square(fields["std"]), [0.04, 0.05, 0.06], rtol=1e-5)
    expected = keras_outputs(model, images, "top_activation")
    check(path, images, expected, backbone="efficientnet-b0", image_size=64)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
def test_xception_gives_keras_outputs(tmp_path: Path, suffix: Any) -> None:
    """At 75 pixels SAME max-pools and epsilon 1e-3 both show."""
    model, images = keras_model("Xception"), pixels(75)
    path = tmp_path / f"xception{suffix}"
    save(model, path)
    fields = model_fields(path)
    assert fields["same_max_pool"] and fields["batch_norm_epsilon"] == 1e-3
    scaled = keras.applications.xception.preprocess_input(images.astype(np.float32))
    expected = keras_outputs(model, scaled, "block14_sepconv2_act")
    check(path, images, expected, backbone="xception", image_size=75)


def test_imagenet_models_rescale_twice(tmp_path: Path) -> None:
    """Keras's ImageNet EfficientNet holds a deviation as "variance" and divides by its root again.

    The same model, built with that second layer and without a config beside the weights.
    """
    base = keras_model("EfficientNetB0")
    std = [0.229, 0.224, 0.225]
    inputs = keras.Input((64, 64, 3))
    normalization = keras.layers.Normalization(
        mean=[0.485, 0.456, 0.406], variance=std, name="normalization"
    )
    x = normalization(keras.layers.Rescaling(1 / 255.0)(inputs))
    x = keras.layers.Rescaling([1 / np.sqrt(s) for s in std])(x)
    expected = np.asarray(keras.Model(inputs, x)(pixels(64)))

    path = tmp_path / "imagenet.weights.h5"
    save(base, path)
    with h5py.File(path, "r+") as file:
        values = file["layers/normalization/vars"]
        values["0"][...] = np.reshape([0.485, 0.456, 0.406], values["0"].shape)
        values["1"][...] = np.reshape(std, values["1"].shape)
    fields = model_fields(path)
    known = read_keras(path)
    layers = {f"{k}_1" if k == "normalization" else k: v for k, v in known.layers.items()}
    second = recognize(known._replace(layers=layers), path)  # as the session's second one has it
    assert not second.unexpected and second.fields == fields
    model = create_classifier("efficientnet-b0", image_size=64, **fields)
    got = model.preprocess.normalize(pixels(64))
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_file_that_unpacks_to_much_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(2**25))
    with pytest.raises(CheckpointFileError, match=r"it unpacks to 33,554,4\d\d bytes, from"):
        model_fields(path)


def test_config_tells_of_the_second_rescaling(tmp_path: Path) -> None:
    """With the layer in the saved config, whatever the variance is."""
    inputs = keras.Input((64, 64, 3))
    base = keras_model("EfficientNetB0")
    layers = iter(base.layers[1:3])
    x = next(layers)(inputs)
    x = next(layers)(x)
    x = keras.layers.Rescaling([2.0, 3.0, 4.0], name="again")(x)
    x = base.get_layer("stem_conv_pad")(x)
    x = base.get_layer("stem_conv")(x)
    x = base.get_layer("block1a_dwconv")(base.get_layer("stem_bn")(x))
    path = tmp_path / "part.keras"
    keras.Model(inputs, x).save(path)
    std = np.sqrt([0.04, 0.05, 0.06]) / [2.0, 3.0, 4.0]
    np.testing.assert_allclose(model_fields(path)["std"], std, rtol=1e-5)


def test_files_of_keras_without_layer_names(tmp_path: Path) -> None:
    """Earlier versions of Keras 3 name groups by class and number only; the config tells more."""
    import zipfile

    path, old = tmp_path / "xception.keras", tmp_path / "old.keras"
    save(keras_model("Xception"), path)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(old, "w") as stripped:
        archive.extract("model.weights.h5", tmp_path)
        with h5py.File(tmp_path / "model.weights.h5", "r+") as file:
            for layer in file["layers"].values():
                layer["vars"].attrs.pop("name", None)
        stripped.writestr("config.json", archive.read("config.json"))
        stripped.write(tmp_path / "model.weights.h5", "model.weights.h5")
    want, got = read_weights(path), read_weights(old)
    assert got.arrays.keys() == want.arrays.keys() and not got.unexpected
    for name in want.arrays:
        np.testing.assert_array_equal(got.arrays[name], want.arrays[name])


def test_features_go_into_mat(tmp_path: Path) -> None:
    path = tmp_path / "b0.h5"
    save(keras_model("EfficientNetB0"), path)
    model = create_model(backbone="efficientnet-b0", image_size=64)
    with pytest.warns(UserWarning, match=r"were made for mean=\(0.4"):
        variables = initialize(model, path)
    stem = keras_model("EfficientNetB0").get_layer("stem_conv").get_weights()[0]
    np.testing.assert_array_equal(variables["params"]["features"]["stem_conv"]["kernel"], stem)
    assert not variables["feature_centers"]["centers"].any()


def test_a_file_that_is_read_without_end_is_given_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless.h5")  # nobody writes to it
    with pytest.raises(OSError, match="did not end reading it in 1 s"):
        read_keras(tmp_path / "endless.h5", seconds=1)
