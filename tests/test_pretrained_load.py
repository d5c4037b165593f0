"""Weights into models: by prefix, by equal shape, from our own checkpoints, and by command."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from foreign import timm_state_dict

from matnet_jax.checkpoints.orbax import Checkpoints
from matnet_jax.config import default_config
from matnet_jax.config.build import build_model
from matnet_jax.config.legacy import upgraded
from matnet_jax.detectors.assembly import assemble, flatten
from matnet_jax.model import abstract_variables, create_classifier, create_model, init_variables
from matnet_jax.pretrained import (
    WeightsMismatchError,
    from_pretrained,
    initialize,
    model_fields,
    read_weights,
)
from matnet_jax.pretrained.__main__ import main
from matnet_jax.pretrained.convert import convert
from matnet_jax.train.state import TrainState

TINY = {
    "backbone": "efficientnet-b0",
    "width_coefficient": 0.25,
    "depth_coefficient": 0.3,
    "image_size": 64,
}


def mat(**fields: Any) -> Any:
    return create_model(**(TINY | {"mid_dims": 8} | fields))


def classifier(**fields: Any) -> Any:
    return create_classifier(**(TINY | fields))


def arrays_of(model: Any, seed: int = 1) -> dict[str, np.ndarray]:
    """Values unlike any initial ones."""
    draw = np.random.default_rng(seed)
    flat = flatten(abstract_to_zeros(model))
    return {k: draw.uniform(1, 2, v.shape).astype(np.float32) for k, v in flat.items()}


def abstract_to_zeros(model: Any) -> Any:
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), abstract_variables(model))


def test_prefixes_are_filled_strictly_and_the_rest_stays() -> None:
    model = mat()
    arrays, initial = arrays_of(model), flatten(init_variables(model, 5))
    filled = flatten(assemble(model, arrays, prefixes=["features", "params/head"], seed=5))
    for path, value in filled.items():
        taken = path.split("/")[1] == "features" or path.startswith("params/head/")
        np.testing.assert_array_equal(value, (arrays if taken else initial)[path], err_msg=path)
    assert {path.split("/")[0] for path in filled} == {"params", "batch_stats", "feature_centers"}

    del arrays["batch_stats/features/stem_bn/mean"], arrays["params/texture/dense/conv1/kernel"]
    with pytest.raises(WeightsMismatchError, match="1 missing") as error:
        assemble(model, arrays, prefixes=["features"])
    assert "− batch_stats/features/stem_bn/mean [8]: missing" in str(error.value)
    with pytest.raises(ValueError, match="nothing under 'backbone'; its parts: attention, centers"):
        assemble(model, arrays, prefixes=["backbone"])
    with pytest.raises(ValueError, match="a list of paths"):
        assemble(model, arrays, prefixes="features")


def test_every_array_of_equal_shape() -> None:
    """The released script's way; the warning lists what it leaves."""
    model, other = mat(), mat(num_attentions=2)
    arrays = arrays_of(other)
    with pytest.warns(UserWarning, match="keep their initial values") as caught:
        filled = flatten(assemble(model, arrays, strict=False, seed=5))
    assert "± feature_centers/centers: the checkpoint has [2, 8]" in str(caught[0].message)
    initial = flatten(init_variables(model, 5))
    for path, value in filled.items():
        fits = arrays[path].shape == value.shape
        np.testing.assert_array_equal(value, (arrays if fits else initial)[path], err_msg=path)
    with pytest.raises(WeightsMismatchError, match="Nothing was loaded"):
        assemble(model, {"params/other": np.zeros(3)}, strict=False)


@pytest.fixture
def workdir(tmp_path: Path) -> Any:
    """A run's checkpoints: of two, the earlier is better; the better has averaged parameters."""
    model = mat()
    config = default_config()
    config.model.update(TINY | {"mid_dims": 8})
    metadata = {
        "config": json.loads(config.to_json_best_effort()),
        "preprocess": {"image_size": 64, "mean": [0.4, 0.5, 0.6], "std": [0.5, 0.5, 0.5]},
    }
    with Checkpoints(tmp_path / "run" / "checkpoints") as checkpoints:
        for step, auc in ((3, 0.9), (6, 0.8)):
            variables = assemble(model, arrays_of(model, seed=step))
            state = TrainState(
                step=np.int32(step),
                params=variables.pop("params"),
                opt_state={"count": np.int32(step)},
                ema_params=assemble(model, arrays_of(model, seed=50))["params"],
                collections=variables,
            )
            checkpoints.save(step, state, metadata=metadata, metrics={"video_auc": auc})
    return tmp_path / "run"


def test_our_own_checkpoints(workdir: Any) -> None:
    """Best by default, a step by its folder; averaged parameters where there are any."""
    model = mat(mean=(0.4, 0.5, 0.6))
    average = arrays_of(model, seed=50)
    best = read_weights(workdir)
    assert model_fields(best) == {"mean": (0.4, 0.5, 0.6), "std": (0.5, 0.5, 0.5)}
    for source, step in ((best, 3), (workdir / "checkpoints" / "6", 6)):
        want = arrays_of(model, seed=step)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            got = flatten(initialize(model, source))
        for path, value in got.items():
            expected = average if path.startswith("params/") else want
            np.testing.assert_array_equal(value, expected[path], err_msg=path)
    with pytest.warns(UserWarning, match=r"made for mean=\(0.4, 0.5, 0.6\); the model has"):
        initialize(mat(), best, prefixes=["features"])


def save_ours(path: Any, model: Any, seed: int = 1) -> dict[str, np.ndarray]:
    safetensors = pytest.importorskip("safetensors.numpy")
    arrays = arrays_of(model, seed)
    safetensors.save_file(arrays, path)
    return arrays


def test_variables_as_safetensors(tmp_path: Path) -> None:
    model = mat()
    arrays = save_ours(tmp_path / "ours.safetensors", model)
    got = flatten(from_pretrained((tmp_path / "ours.safetensors").as_uri(), model))
    for path, value in got.items():
        np.testing.assert_array_equal(value, arrays[path])


def test_converted_checkpoint_is_read_and_restored(tmp_path: Path) -> None:
    """By `initialize`, and as evaluation restores it."""
    arrays = save_ours(tmp_path / "ours.safetensors", mat())
    config = default_config()
    config.model.update(TINY | {"mid_dims": 8})
    made = convert(tmp_path / "ours.safetensors", tmp_path / "out", config)
    assert made.left_at_random == () and made.checkpoint == tmp_path / "out/checkpoints/0"
    read = read_weights(tmp_path / "out").arrays
    assert read.keys() == arrays.keys()
    for path, value in read.items():
        np.testing.assert_array_equal(value, arrays[path])
    with Checkpoints(tmp_path / "out/checkpoints", read_only=True) as checkpoints:
        metadata = checkpoints.metadata("latest")
        restored = checkpoints.restore_model(
            "latest", abstract_variables(made.model) | {"ema_params": None}
        )
    assert metadata["config"] == json.loads(upgraded(config).to_json_best_effort())
    assert metadata["preprocess"] == json.loads(
        json.dumps(dataclasses.asdict(made.model.preprocess))
    )
    np.testing.assert_array_equal(
        restored["feature_centers"]["centers"], arrays["feature_centers/centers"]
    )
    with pytest.raises(FileExistsError, match="has checkpoints already"):
        convert(tmp_path / "ours.safetensors", tmp_path / "out", config)
    # What a conversion that was cut off leaves is in nobody's way.
    (tmp_path / "again" / "checkpoints" / "0.orbax-checkpoint-tmp").mkdir(parents=True)
    convert(tmp_path / "ours.safetensors", tmp_path / "again", config)
    assert [path.name for path in (tmp_path / "again/checkpoints").glob("0*")] == ["0"]


def timm_b0(path: Any, classes: int = 1000) -> Any:
    """A file of timm's names, with the normalisation of ImageNet."""
    safetensors = pytest.importorskip("safetensors.numpy")
    model = create_classifier(
        "efficientnet-b0", width_coefficient=0.25, num_classes=classes, image_size=64
    )
    arrays = arrays_of(model)
    safetensors.save_file(timm_state_dict(arrays, "efficientnet-b0"), path)
    return arrays


def test_command_converts_imagenet_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = timm_b0(tmp_path / "tf_efficientnet_b0.safetensors")
    source, out = str(tmp_path / "tf_efficientnet_b0.safetensors"), str(tmp_path / "out")
    assert main(["inspect", source]) == 0
    assert json.loads(capsys.readouterr().out)["fields"]["mean"] == [0.485, 0.456, 0.406]
    arguments = ["--model=paper", "--backbone=efficientnet-b0", "--image_size=64"]
    arguments += ["--set", "mid_dims=16", "--set", "width_coefficient=0.25"]
    assert main(["convert", source, out, *arguments]) == 0
    printed = capsys.readouterr().out
    assert "mean (0.485, 0.456, 0.406)" in printed
    assert "at initial values, to be trained: attention, centers, head, texture" in printed
    weights = read_weights(out)
    assert weights.fields["mean"] == (0.485, 0.456, 0.406)
    assert weights.arrays["params/head/local_2/kernel"].shape == (16, 16)
    stem = "params/features/stem_conv/kernel"
    np.testing.assert_array_equal(weights.arrays[stem], arrays[stem])

    config = default_config()
    with config.unlocked():
        config.update(json.loads((tmp_path / "out" / "config.json").read_text()))
    assert build_model(config).preprocess.mean == (0.485, 0.456, 0.406)


def test_command_takes_a_config_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The converted checkpoint then has that config, as evaluation compares it."""
    timm_b0(tmp_path / "tf_efficientnet_b0_ap.safetensors")
    file = tmp_path / "config.py"
    file.write_text(
        "from matnet_jax.config import default_config\n"
        "def get_config():\n"
        "    config = default_config()\n"
        "    config.model.kind = 'classifier'\n"
        "    config.model.backbone = 'efficientnet-b0'\n"
        "    config.model.width_coefficient = 0.25\n"
        "    return config\n"
    )
    source, out = str(tmp_path / "tf_efficientnet_b0_ap.safetensors"), str(tmp_path / "out")
    assert main(["convert", source, out, f"--config={file}", "--image_size=64"]) == 0
    assert "mean (0.5, 0.5, 0.5)" in capsys.readouterr().out
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    model = config["model"]
    assert (model["name"], model["image_size"], model["mean"]) == ("classifier", 64, None)


def test_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "tf_efficientnet_b0.safetensors"
    timm_b0(source)
    out = str(tmp_path / "out")
    assert main(["convert", str(source), out, "--model=paper", "--backbone=efficientnet-b1"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: checkpoint and model differ")
    assert "MAT on efficientnet-b1" in message and not (tmp_path / "out").exists()
    assert main(["convert", str(source), out, "--model=paper", "--set", "mid=8"]) == 1
    assert "no field config.model.mid; available: " in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "absent.pth")]) == 1
    assert "neither a file nor a folder" in capsys.readouterr().err
