"""Inception-v3 beside torchvision's, and its names both ways.

`tests/golden/inception.npz` has what torchvision 0.28.0 (BSD-3-Clause) gave on a CPU, with weights
that both sides make from its names and shapes (`pattern_fill`), and images of 107 pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import foreign
import jax
import jax.numpy as jnp
import numpy as np
import pattern_fill
import pytest
import tiny

from matnet_jax.detectors.assembly import flatten
from matnet_jax.model import create_classifier, create_detector
from matnet_jax.nn.layers import Conv
from matnet_jax.pretrained import initialize
from matnet_jax.pretrained.families import recognize

GOLDEN = np.load(Path(__file__).parent / "golden" / "inception.npz")
CENTRED = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def state_dict() -> dict[str, np.ndarray]:
    shapes = [tuple(map(int, text.split())) for text in GOLDEN["shapes"]]
    return pattern_fill.fill(zip(map(str, GOLDEN["names"]), shapes, strict=True))


def test_as_in_torchvision() -> None:
    size = int(GOLDEN["size"])
    state = state_dict() | {"AuxLogits.fc.bias": np.zeros(2, np.float32)}
    weights = recognize(state, Path("inception_v3.pth"))
    assert weights.family == "torchvision's Inception-v3" and not weights.unexpected
    assert weights.fields == CENTRED
    model = create_classifier("inception-v3", image_size=size)
    variables = initialize(model, weights)

    run = jax.jit(
        lambda v, x: model.apply(v, x, method="endpoints"), compiler_options=tiny.QUICK_COMPILE
    )
    stages = run(variables, jnp.asarray(pattern_fill.images(2, size)))
    head = variables["params"]["head"]
    logits = stages["final"].mean((1, 2)) @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(logits, GOLDEN["logits"], rtol=1e-4, atol=1e-6)
    for stage, theirs in (("L2", "Mixed_5d"), ("L3", "Mixed_6e"), ("final", "Mixed_7c")):
        want = GOLDEN[theirs]
        found = stages[stage].mean((1, 2))
        assert np.abs(found - want).max() <= 1e-4 * np.abs(want).max(), stage


def test_it_starts_two_stream() -> None:
    """Its trunk alone, at any width."""
    narrow = {"width_coefficient": 0.05, "image_size": 96, **CENTRED}
    arrays = foreign.random_variables(create_classifier("inception-v3", **narrow))
    state = {}
    for path, value in arrays.items():
        module = foreign.module_of(path).removeprefix("features/").replace("/", ".")
        module = {"head": "fc"}.get(module, module[0].upper() + module[1:])
        name, array = foreign.to_torch(path, value, module)
        state[name] = array
    model = create_detector("two_stream", patch_size=32, patch_stride=32, **narrow)
    flat = flatten(initialize(model, recognize(state, Path("inception_v3.pth"))))
    for path, value in arrays.items():
        if "/features/" in path:
            np.testing.assert_array_equal(flat[path], value, err_msg=path)


def test_sizes() -> None:
    backbone = create_classifier("inception-v3").make_backbone()
    images = jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.float32)
    endpoints, _ = jax.eval_shape(
        lambda x: backbone.init_with_output(jax.random.key(0), x, False), images
    )
    sides = [endpoints[stage].shape[1] for stage in backbone.endpoint_channels]
    assert sides == [73, 35, 35, 17, 8, 8]
    small = jax.ShapeDtypeStruct((1, 74, 299, 3), jnp.float32)
    with pytest.raises(ValueError, match="74×299 pixels are too small for Inception-v3"):
        jax.eval_shape(lambda x: backbone.init_with_output(jax.random.key(0), x, False), small)


@pytest.mark.parametrize("kernel", [(1, 7), (7, 1), (2, 3)])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_kernel_of_unequal_sides(kernel: Any, stride: Any) -> None:
    """As the square one with zeros around it."""
    rows, columns = kernel
    x = tiny.pixels(2, 16).astype(np.float32)
    weights = np.random.default_rng(0).standard_normal((rows, columns, 3, 4)).astype(np.float32)
    layer = Conv(4, kernel, stride)
    found = layer.apply({"params": {"kernel": weights}}, jnp.asarray(x))
    pads = [max((-(-16 // stride) - 1) * stride + k - 16, 0) for k in kernel]
    padded = np.pad(x, ((0, 0), *[(p // 2, p - p // 2) for p in pads], (0, 0)))
    want = np.zeros_like(found)
    for i in range(want.shape[1]):
        for j in range(want.shape[2]):
            y, z = i * stride, j * stride
            window = padded[:, y : y + rows, z : z + columns]
            want[:, i, j] = np.tensordot(window, weights, 3)
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-3)
