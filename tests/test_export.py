"""Exported models run elsewhere: in a fresh process, without our package, on any batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from disk import file_size_limit

from matnet_jax.checkpoints.export import (
    PLATFORMS,
    export_onnx,
    export_savedmodel,
    export_stablehlo,
)
from matnet_jax.config import default_config
from matnet_jax.detectors.assembly import flatten
from matnet_jax.detectors.inference import infer
from matnet_jax.model import create_classifier, create_model, init_variables
from matnet_jax.pretrained.convert import convert
from matnet_jax.pretrained.export import COMMAND as main
from matnet_jax.pretrained.trained import load_trained

TINY = {
    "backbone": "efficientnet-b0",
    "width_coefficient": 0.25,
    "depth_coefficient": 0.3,
    "image_size": 64,
}
BATCH = 3

# What a user runs: no module of ours (nor Flax) can be imported there.
_FRESH = """
import sys

class Forbid:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("matnet_jax", "data_pipeline", "flax", FORBIDDEN):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Forbid())
import json
import numpy as np
folder, images = sys.argv[1], np.load(sys.argv[2])
details = json.load(open(folder + "/preprocess.json"))
images = (images / 255.0 - details["mean"]) / details["std"]
images = images.astype(np.float32)
"""
_RUN_STABLEHLO = (
    _FRESH.replace("FORBIDDEN", "'tensorflow'")
    + """
import jax.export
exported = jax.export.deserialize(open(folder + "/model.stablehlo", "rb").read())
assert set(exported.platforms) == set(details["platforms"]), exported.platforms
out = exported.call(images)
assert type(out) is dict
np.savez(sys.argv[3], **out)
"""
)
_RUN_SAVEDMODEL = (
    _FRESH.replace("FORBIDDEN", "'jax'")
    + """
import tensorflow as tf
loaded = tf.saved_model.load(folder)
out = loaded.signatures["serving_default"](images=tf.constant(images))
np.savez(sys.argv[3], **{name: tensor.numpy() for name, tensor in out.items()})
"""
)
_RUN_ONNX = (
    _FRESH.replace("FORBIDDEN", "'jax'")
    + """
import onnxruntime
session = onnxruntime.InferenceSession(folder + "/model.onnx", providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
np.savez(sys.argv[3], **dict(zip(names, session.run(None, {"images": images}))))
"""
)


FIELDS = TINY | {"mid_dims": 8, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}

_predict = jax.jit(lambda *given: infer(*given).arrays(), static_argnums=0)


def varied(variables: Any) -> Any:
    """Statistics and biases that matter."""
    draw = np.random.default_rng(3)
    return jax.tree.map(
        lambda x: (x + draw.uniform(0.0, 0.3, x.shape)).astype(np.float32), variables
    )


def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (BATCH, 64, 64, 3)).astype(np.uint8)


def run_elsewhere(program: str, folder: Any, tmp_path: Path) -> dict[str, np.ndarray]:
    np.save(tmp_path / "images.npy", pixels())
    environment = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "PYTHONPATH")}
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), "images.npy", "out.npz"],
        cwd=tmp_path,
        env=environment | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(np.load(tmp_path / "out.npz"))


def expected(model: Any, variables: Any) -> dict[str, np.ndarray]:
    images = model.preprocess.normalize(pixels())
    return jax.device_get(_predict(model, variables, images))


def compare(got: Any, want: Any) -> None:
    assert got.keys() == want.keys()
    for name in want:
        assert got[name].dtype == np.float32
        np.testing.assert_allclose(got[name], want[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def mat() -> Any:
    model = create_model(**FIELDS)
    variables = varied(init_variables(model, 0))
    return model, variables, expected(model, variables)


def test_expected_outputs_depend_on_the_images(mat: Any) -> None:
    _, _, want = mat
    assert want["score"].shape == (BATCH,) and np.ptp(want["score"]) > 1e-6
    assert want["attention_maps"].shape == (BATCH, 4, 4, 4)
    np.testing.assert_allclose(
        want["score"], jax.nn.softmax(want["logits"])[:, 1], rtol=1e-6, atol=1e-7
    )


def test_stablehlo_in_a_fresh_process(mat: Any, tmp_path: Path) -> None:
    model, variables, want = mat
    folder = export_stablehlo(model, variables, tmp_path / "out", about={"checkpoint": 5})
    details = json.loads((folder / "preprocess.json").read_text())
    assert details["platforms"] == list(PLATFORMS) and details["checkpoint"] == 5
    assert details["outputs"]["attention_maps"] == ["b", 4, 4, 4]
    assert (details["mean"], details["std"]) == ([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])
    compare(run_elsewhere(_RUN_STABLEHLO, folder, tmp_path), want)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images.npy", "out", "out.npz"]
    with pytest.raises(FileExistsError, match="is there already"):
        export_stablehlo(model, variables, folder)


def test_savedmodel_in_a_fresh_process(mat: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    model, variables, want = mat
    folder = export_savedmodel(model, variables, tmp_path / "out")
    assert json.loads((folder / "preprocess.json").read_text())["image_size"] == 64
    compare(run_elsewhere(_RUN_SAVEDMODEL, folder, tmp_path), want)


def test_a_savedmodel_that_the_disk_has_no_room_for_is_not_there(mat: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    model, variables, _ = mat
    with file_size_limit(20_000), pytest.raises(OSError, match=r"cannot write .*out: .*too large"):
        export_savedmodel(model, variables, tmp_path / "out", platforms=("cpu",))
    assert not list(tmp_path.iterdir())


def test_onnx_in_a_fresh_process(mat: Any, tmp_path: Path) -> None:
    model, variables, want = mat
    folder = export_onnx(model, variables, tmp_path / "out", about={"checkpoint": 5})
    details = json.loads((folder / "preprocess.json").read_text())
    assert details["outputs"]["attention_maps"] == ["b", 4, 4, 4] and details["checkpoint"] == 5
    compare(run_elsewhere(_RUN_ONNX, folder, tmp_path), want)


def test_outputs_are_float32_whatever_the_network_computes_in() -> None:
    model = create_classifier(**TINY, dtype=jax.numpy.bfloat16)
    variables = init_variables(model, 0)
    images = jax.ShapeDtypeStruct((BATCH, 64, 64, 3), np.float32)
    out = jax.eval_shape(lambda images: infer(model, variables, images).arrays(), images)
    assert {name: array.dtype.name for name, array in out.items()} == {
        "logits": "float32",
        "score": "float32",
        "global_feature": "float32",
        "class_activation": "float32",
    }


def test_platforms_are_checked(mat: Any, tmp_path: Path) -> None:
    model, variables, _ = mat
    with pytest.raises(ValueError, match=r"unknown platforms \['gpu'\]; available: cpu, cuda, tpu"):
        export_stablehlo(model, variables, tmp_path / "other", platforms=("gpu",))
    assert not (tmp_path / "other").exists()


def test_command_exports_a_checkpoint(
    mat: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    model, variables, _ = mat
    config = default_config()
    with config.unlocked():
        config.model.update(FIELDS)
    safetensors.save_file(flatten(variables), tmp_path / "ours.safetensors")
    convert(tmp_path / "ours.safetensors", tmp_path / "run", config)

    loaded = load_trained(tmp_path / "run", "latest")
    assert loaded.model == model and loaded.step == 0
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)

    out = tmp_path / "exported"
    arguments = [f"--workdir={tmp_path / 'run'}", f"--out={out}", "--checkpoint=0"]
    assert main([*arguments, "--platforms=cpu"]) == 0
    assert "images [b, 64, 64, 3]" in capsys.readouterr().out
    # Weights and all, what the test above ran in a fresh process.
    own = export_stablehlo(model, variables, tmp_path / "own", platforms=("cpu",))
    program = (out / "model.stablehlo").read_bytes()
    assert program == (own / "model.stablehlo").read_bytes()
    assert b"matnet_jax/" not in program
    assert json.loads((out / "preprocess.json").read_text())["checkpoint"]["step"] == 0
    assert main(arguments) == 1
    assert "is there already" in capsys.readouterr().err
    assert main([f"--workdir={tmp_path / 'absent'}", "--out=x"]) == 1
    assert "does not exist" in capsys.readouterr().err
