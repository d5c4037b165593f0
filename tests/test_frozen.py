"""Checkpoints of a frozen backbone: what trained is in them, the rest in the file it came from."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tiny
from safetensors.numpy import load_file, save_file
from test_checkpoint import abstract, make_state
from test_transformers import file_of, tiny_of

from matnet_jax.checkpoints.errors import CheckpointMismatchError, FrozenPartError
from matnet_jax.checkpoints.frozen import Frozen, fingerprint
from matnet_jax.checkpoints.operating_point import write_operating_point
from matnet_jax.checkpoints.orbax import Checkpoints
from matnet_jax.checkpoints.state import named_arrays
from matnet_jax.detectors.assembly import flatten
from matnet_jax.evaluation.run import evaluate
from matnet_jax.metrics.operating_point import OperatingPoint
from matnet_jax.predict.network import exported_network, trained_network
from matnet_jax.pretrained import read_weights
from matnet_jax.pretrained.export import COMMAND as EXPORT
from matnet_jax.pretrained.frozen import frozen_part
from matnet_jax.pretrained.pack import pack
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.train.run import still_left_in_file, train

pytestmark = pytest.mark.usefixtures("no_charts")

FILE = "clip.safetensors"


def config_of(folder: Path, **overrides: Any) -> Any:
    """Effort, with averaged parameters, from a file in `folder`."""
    own = {"init.path": str(folder / FILE), "train.ema_decay": 0.9, "train.duration": "4 steps"}
    return tiny_of("effort_clip_l", **own | overrides)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, two_devices: None) -> Path:
    """``whole``, of full checkpoints, and ``part``, which was ended and continued."""
    folder = tmp_path_factory.mktemp("runs")
    file_of(config_of(folder), folder / FILE)
    train(config_of(folder, **{"checkpoint.full": True}), folder / "whole")
    assert train(config_of(folder, **{"train.duration": "2 steps"}), folder / "part")["step"] == 2
    with pytest.warns(UserWarning, match="continuing with changed values"):
        assert train(config_of(folder), folder / "part")["step"] == 4
    return folder


def saved(workdir: Path) -> Any:
    """The latest checkpoint's metadata, and its own arrays of network and optimiser by path."""
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        step = checkpoints.resolve("latest")
        optimizer = checkpoints._manager.restore(step)["optimizer"]
        return checkpoints.metadata(step), named_arrays(checkpoints.read_model(step)), optimizer


def test_what_trained_is_saved_and_continues_bit_for_bit(runs: Path) -> None:
    metadata, part, optimizer = saved(runs / "part")
    whole_metadata, whole, whole_optimizer = saved(runs / "whole")
    frozen = Frozen.from_json(metadata["frozen"])
    assert whole_metadata["frozen"] is None and frozen is not None
    assert frozen.source == str(runs / FILE)
    # What trains, and what no file has: the triplets that the kernels came with.
    own = {path for path in whole if "/head/" in path or "residual" in path or "given" in path}
    assert part.keys() == own
    assert {f"params/{path}" for path in frozen.paths} == whole.keys() - own
    assert frozen.sha256 == fingerprint({path: whole[f"params/{path}"] for path in frozen.paths})
    jax.tree.map(np.testing.assert_array_equal, optimizer, whole_optimizer)
    loaded, wanted = (load_trained(runs / name, "latest") for name in ("part", "whole"))
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, wanted.variables)
    assert loaded.model == wanted.model


def test_evaluation_prediction_export_and_weights_have_the_whole_network(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = [
        evaluate(config_of(runs), runs / name, out=tmp_path / name) for name in ("part", "whole")
    ]
    assert metrics[0]["loss"] == metrics[1]["loss"]
    crops = np.asarray(tiny.pixels(3))
    scores, _ = trained_network(runs / "part", batch_size=8)(crops)
    wanted, _ = trained_network(runs / "whole", batch_size=8)(crops)
    np.testing.assert_array_equal(scores, wanted)

    out = tmp_path / "exported"
    assert EXPORT([f"--workdir={runs / 'part'}", f"--out={out}", "--platforms=cpu"]) == 0
    # In bfloat16, in which merged kernels are rounded otherwise.
    exported, _ = exported_network(out, batch_size=8)(crops)
    assert np.ptp(wanted) > 0.05
    np.testing.assert_allclose(exported, wanted, atol=0.01)
    step = load_trained(runs / "part").step
    write_operating_point(runs / "part", OperatingPoint(0.5, (0.4, 0.6)), step=step)
    handed_out = pack(runs / "part", "own", tmp_path).load()
    assert (
        flatten(handed_out.variables).keys()
        == flatten(load_trained(runs / "whole").variables).keys()
    )
    assert read_weights(runs / "part").arrays.keys() == read_weights(runs / "whole").arrays.keys()


def test_a_wrong_file_is_refused_and_a_moved_one_found(runs: Path, tmp_path: Path) -> None:
    part = shutil.copytree(runs / "part", tmp_path / "part")
    moved = shutil.copy(runs / FILE, tmp_path / "elsewhere.safetensors")
    arrays, wrong = load_file(moved), tmp_path / "wrong" / FILE
    name = "vision_model.encoder.layers.0.mlp.fc1.weight"
    arrays[name][0, 0] = np.nextafter(arrays[name][0, 0], np.float32(1))  # the last bit
    wrong.parent.mkdir()
    save_file(arrays, wrong)
    with pytest.raises(
        FrozenPartError, match=r"wrong/clip.* is not the file .* SHA-256 .*, wanted"
    ):
        train(config_of(wrong.parent), part)
    with pytest.raises(FrozenPartError, match="put the file into"):
        load_trained(part, expected=config_of(wrong.parent))
    del arrays[name]
    save_file(arrays, wrong)
    with pytest.raises(FrozenPartError, match=r"lacks 1 of these, such as .*expand/kernel"):
        load_trained(part, expected=config_of(wrong.parent))
    wrong.write_bytes(b"no weights")
    with pytest.raises(FrozenPartError, match=r"cannot be read .*no checkpoint that this library"):
        load_trained(part, expected=config_of(wrong.parent))

    metadata = part / "checkpoints" / "4" / "metadata" / "metadata"
    values = json.loads(metadata.read_text())
    values["frozen"]["source"] = str(tmp_path / "gone" / FILE)
    metadata.write_text(json.dumps(values))
    with pytest.raises(FrozenPartError, match=r"there is no file .*part/clip.*or .*gone/clip") as e:
        load_trained(part, "latest")
    assert "--config.init.path" not in str(e.value)  # whoever calls has none
    with pytest.raises(FrozenPartError, match=r"or say where it is by --config\.init\.path"):
        load_trained(part, "latest", expected=config_of(tmp_path / "gone"))
    # What somebody put into the workdir goes before what lies where the file was.
    gone = tmp_path / "gone" / FILE
    gone.parent.mkdir()
    gone.write_bytes(b"another file by now")
    with pytest.raises(FrozenPartError, match="put the file into"):
        load_trained(part, "latest")
    wanted = flatten(load_trained(runs / "whole", "latest").variables)
    given = load_trained(part, "latest", expected=config_of(runs, **{"init.path": str(moved)}))
    (part / FILE).symlink_to(moved)
    for found in (given, load_trained(part, "latest")):
        own = flatten(found.variables)
        assert own.keys() == wanted.keys()
        assert all(np.array_equal(own[path], wanted[path]) for path in wanted)


def test_what_a_rerun_leaves_out(runs: Path, tmp_path: Path) -> None:
    """All of it, unless it is asked for, or trains."""
    metadata, _, _ = saved(runs / "part")
    frozen = Frozen.from_json(metadata["frozen"])
    assert frozen is not None
    params = load_trained(runs / "whole").variables["params"]
    moved = shutil.copy(runs / FILE, tmp_path / "moved.safetensors")
    found = still_left_in_file(config_of(runs, **{"init.path": str(moved)}), frozen, params)
    assert found == dataclasses.replace(frozen, source=str(moved))
    gone = config_of(runs, **{"init.path": str(tmp_path / "none")})
    assert still_left_in_file(gone, frozen, params) == frozen
    for field, value in (("checkpoint.full", True), ("optimizer.unfreeze", ("features/*kernel",))):
        assert still_left_in_file(config_of(runs, **{field: value}), frozen, params) is None
    assert still_left_in_file(config_of(runs), None, params) is None


def test_what_a_file_does_not_have_as_it_is_is_saved(tmp_path: Path) -> None:
    params = {"a": np.ones(3, np.float32), "b": np.ones(3, np.float32), "c": np.zeros(2)}
    arrays = {"params/a": np.ones(3, np.float16), "params/b": np.full(3, 1.001, np.float32)}
    found = frozen_part("https://host/x.pth", arrays, params, ("a", "b", "c"))
    assert found is not None and (found.paths, found.source) == (("a",), "https://host/x.pth")
    assert found.sha256 == fingerprint({"a": params["a"]})
    assert frozen_part(str(tmp_path), arrays, params, ("a",)) is None  # a folder, such as a workdir
    assert frozen_part("x.pth", arrays, params, ("b", "c")) is None


def test_a_fingerprint_is_of_names_shapes_types_and_values() -> None:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(1, np.float32)}
    changed = [
        {**arrays, "a": arrays["a"].reshape(3, 2)},
        {**arrays, "a": arrays["a"].view(np.int32)},
        {**arrays, "a": np.nextafter(arrays["a"], np.float32(9))},
        {"c": arrays["a"], "b": arrays["b"]},
    ]
    assert len({fingerprint(some) for some in (arrays, *changed)}) == 5
    other_order = {"b": arrays["b"], "a": np.asfortranarray(arrays["a"])}
    assert fingerprint(other_order) == fingerprint(arrays)


@pytest.mark.parametrize("ema", [False, True])
def test_a_reader_of_whole_checkpoints_is_told(tmp_path: Path, ema: bool) -> None:
    state = make_state(1.0, ema=ema)
    kernel = np.asarray(state.params["backbone"]["kernel"])
    frozen = Frozen("x.pth", fingerprint({"backbone/kernel": kernel}), ("backbone/kernel",))
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(1, state, metadata={"frozen": frozen.as_json()})
        checkpoints.wait()
        assert list(checkpoints.read_model(1)["params"]) == ["head"]
        with pytest.raises(FrozenPartError, match="not the 1 arrays that stayed"):
            checkpoints.restore_latest(abstract(make_state(ema=ema)))
        assert checkpoints.steps == [1]  # whole, and so not set aside
        restored = checkpoints.restore(
            1, abstract(state), read_frozen=lambda frozen: {"backbone/kernel": kernel}
        )
        with pytest.raises(CheckpointMismatchError, match=r"kernel is \[3, 4\] in the file"):
            checkpoints.restore(
                1, abstract(state), read_frozen=lambda frozen: {"backbone/kernel": kernel[:, :4]}
            )
    jax.tree.map(np.testing.assert_array_equal, restored, state)
