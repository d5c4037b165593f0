"""Networks of clips beside PyTorch's, and what only they do: time, cut boxes, classes.

`tests/golden/clips.npz` has the logits that these gave on a CPU in PyTorch 2.13.0, for clips of a
wave and with weights that both sides make (`pattern_fill`): SlowFast of Siyu-C/RobustForensics
@344a3551 (MIT) with a block a stage, I3D of jphdotam/DFDC @b08c3178 (MIT) with its last pool at 2×2
for 64 pixels, ResNet3D of the same with a block a stage, and torchvision 0.28.0's (BSD-3-Clause)
MC3 and R(2+1)D likewise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pattern_fill
import pytest
import tiny
from families import RESNET

from matnet_jax.backbones.clips.i3d import I3D
from matnet_jax.config.build import build_model
from matnet_jax.detectors.clip_classifier import Cutmix, box, shuffled
from matnet_jax.detectors.variables import init_variables
from matnet_jax.model import create_detector
from matnet_jax.pretrained import clip_names, initialize
from matnet_jax.pretrained.families import recognize
from matnet_jax.runtime.config_files import load_config

GOLDEN = np.load(Path(__file__).parent / "golden" / "clips.npz")
SHALLOW = {"depth_coefficient": 0.1}
CASES = {
    "slowfast-50": ((16, 32), "eighteen_years_old", SHALLOW),
    "i3d": ((16, 64), "medics", {}),
    "resnet3d-34": ((8, 32), "medics", SHALLOW),
    "mc3-18": ((8, 32), "medics", SHALLOW),
    "r2plus1d-18": ((8, 32), "medics", SHALLOW),
}


def state_of(name: str) -> dict[str, np.ndarray]:
    shapes = [tuple(map(int, text.split())) for text in GOLDEN[f"{name}/shapes"]]
    return pattern_fill.fill(zip(map(str, GOLDEN[f"{name}/names"]), shapes, strict=True))


def wave(frames: int, size: int) -> np.ndarray:
    """[1, T, S, S, 3], a wave over the index of [1, 3, T, S, S]."""
    values = np.sin((0.37 * np.arange(3 * frames * size * size)) % 7)
    return values.reshape(1, 3, frames, size, size).transpose(0, 2, 3, 4, 1).astype(np.float32)


@pytest.mark.parametrize("name", CASES)
def test_networks_as_in_pytorch(name: str) -> None:
    (frames, size), family, fields = CASES[name]
    state = state_of(name)
    weights = recognize(state, Path("f.pth"))
    assert not weights.unexpected and not weights.is_backbone
    model = create_detector(family, backbone=name, image_size=size, **fields, **weights.fields)
    variables = initialize(model, weights)
    run = jax.jit(model.apply, compiler_options=tiny.QUICK_COMPILE)
    logits = np.asarray(run(variables, wave(frames, size))["logits"])
    want = GOLDEN[f"{name}/logits"]
    # The Medics' first class is fake.
    want = want if family == "eighteen_years_old" else want[:, ::-1]
    np.testing.assert_allclose(logits, want, rtol=1e-4, atol=1e-5)


def test_the_sizes_of_the_networks() -> None:
    counts = {
        ("eighteen_years_old", "slowfast-50"): 33_561_898,
        ("medics", "i3d"): 12_289_314,
        ("medics", "resnet3d-34"): 63_340_738,
    }
    for (family, backbone), want in counts.items():
        model = create_detector(family, backbone=backbone, image_size=64)
        images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
        params = jax.eval_shape(lambda x, m=model: m.init(jax.random.key(0), x), images)["params"]
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == want


def test_a_file_of_other_classes_is_a_start() -> None:
    state = state_of("mc3-18")
    state["fc.weight"], state["fc.bias"] = np.ones((400, 512), np.float32), np.ones(400, np.float32)
    weights = recognize(state | {"new.weight": np.ones(2)}, Path("mc3_18.pth"))
    assert weights.family == "torchvision's video ResNet" and weights.is_backbone
    assert weights.unexpected == ("new.weight",)
    assert clip_names.find_scheme({"layer1.0.conv1.weight": np.ones((4, 4, 3, 3))}) is None


def made(**fields: Any) -> Any:
    return create_detector("eighteen_years_old", **RESNET, image_size=tiny.SIZE, **fields)


def test_an_image_is_a_clip_of_one_frame_and_order_counts() -> None:
    model = made()
    variables = init_variables(model, 0)
    frames = tiny.images(model, 8)
    run = jax.jit(model.apply, compiler_options=tiny.QUICK_COMPILE)
    single = run(variables, frames)["logits"]
    np.testing.assert_allclose(single, run(variables, frames[:, None])["logits"], atol=1e-5)
    clip = frames.reshape(1, 8, *frames.shape[1:])
    forwards, backwards = (run(variables, x)["logits"] for x in (clip, clip[:, ::-1]))
    assert forwards.shape == (1, 2) and np.abs(forwards - backwards).max() > 1e-4
    with pytest.raises(ValueError, match="images must be"):
        model.apply(variables, clip[..., :1])
    with pytest.raises(ValueError, match="unknown backbone of clips 'i3'; available: slowfast-50"):
        made(backbone="i3").make_backbone()


def test_i3d_s_time_is_averaged_in_twos() -> None:
    net = I3D(width=0.05, blocks=("3c", "4f", "5c"))
    for frames, times in ((32, 3), (16, 1), (1, 1)):  # 4, 2 and 1 steps of time
        clips = jax.ShapeDtypeStruct((2, frames, 32, 32, 3), jnp.float32)
        shapes = jax.eval_shape(lambda x: net.init_with_output(jax.random.key(0), x, False), clips)
        assert shapes[0].shape[:2] == (2, times)


def test_boxes_are_of_their_volume_and_lie_anywhere() -> None:
    draw = jax.vmap(lambda key: box(key, (8, 40, 40), jnp.float32(0.125)))
    inside = np.asarray(draw(jax.random.split(jax.random.key(0), 300)))
    volumes = inside.mean((1, 2, 3))
    assert volumes.max() == pytest.approx(0.125) and volumes.min() < 0.05  # cut off at a border
    assert inside.any(axis=0).all() and not inside.all(axis=(1, 2, 3)).any()


def test_only_those_that_count_are_shuffled() -> None:
    weight = jnp.array([1, 0, 1, 1, 0, 1.0, 1])
    for seed in range(5):
        found = np.asarray(shuffled(jax.random.key(seed), weight))
        assert sorted(found) == list(range(7)) and found[1] == 1 and found[4] == 4


def test_the_loss_of_a_cut_clip_is_shared_by_volume() -> None:
    labels = jnp.array([0, 1, 1, 0])
    clips = jnp.broadcast_to(labels[:, None, None, None, None] * 1.0, (4, 4, 8, 8, 3))
    seen: list[Any] = []

    def forward(shown: Any, *, key: Any) -> Any:
        del key
        seen.append(np.asarray(shown))
        z = shown.mean((1, 2, 3, 4))
        return {"logits": jnp.stack([jnp.zeros_like(z), z], axis=1)}

    batch = {"image": clips, "label": labels, "weight": jnp.ones(4)}
    for seed in range(4):
        loss, _ = Cutmix(1.0)(forward, batch, jax.random.key(seed), jnp.int32(0))
        z = seen.pop().mean((1, 2, 3, 4))
        # Pixels are their label: the mean of a mixture is its share of fakes, the target.
        assert float(loss) == pytest.approx(np.mean(np.log1p(np.exp(z)) - z * z), rel=1e-4)
    loss, _ = Cutmix()(forward, batch, jax.random.key(0), jnp.int32(0))
    np.testing.assert_array_equal(seen[0], clips)


@pytest.mark.parametrize(
    ("config", "backbone"),
    [
        ("medics", "i3d"),
        ("medics:resnet3d", "resnet3d-34"),
        ("medics:mc3_112", "mc3-18"),
        ("medics:r2plus1d_cutmix", "r2plus1d-18"),
        ("eighteen_years_old", "slowfast-50"),
    ],
)
def test_a_config_has_its_recipe_s_backbone(config: str, backbone: str) -> None:
    assert build_model(load_config(config)).backbone == backbone
