"""F3-Net: parts against public code, run once beside ours, and the whole against slow NumPy.

`tests/golden/f3net.npz` has what yyk-wew/F3Net @01942ca3 gave in PyTorch on a CPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference
import tiny
from random_weights import random_variables

from matnet_jax.detectors.base import Forward
from matnet_jax.detectors.classifier import CrossEntropy
from matnet_jax.detectors.f3net import (
    BandFilters,
    Decomposition,
    F3Net,
    LocalStatistics,
    MixBlock,
    image_bands,
    window_bands,
)
from matnet_jax.detectors.variables import abstract_variables
from matnet_jax.model import create_classifier, create_detector, init_variables
from matnet_jax.nn.frequency import dct_matrix
from matnet_jax.pretrained import initialize
from matnet_jax.pretrained.weights import Weights

GOLDEN = np.load(Path(__file__).parent / "golden" / "f3net.npz")
SMALL: dict[str, Any] = {"image_size": 64, "width_coefficient": 0.02, "middle_blocks": 0}


def noise() -> np.ndarray:
    """The golden's images, [1, 299, 299, 3]."""
    x = np.random.RandomState(0).uniform(-1, 1, (1, 3, 299, 299)).astype(np.float32)
    return x.transpose(0, 2, 3, 1)


def filters(drawn: bool) -> Any:
    """Variables of both heads: zeros, or what the golden's were filled with."""
    draw = np.random.RandomState(7)
    whole, local = (0.1 * draw.standard_normal(s) for s in ((4, 299, 299), (6, 10, 10)))
    factor = np.float32(drawn)
    return tuple(
        {"params": {"filters": {"learned": factor * w.astype(np.float32)}}} for w in (whole, local)
    )


decompose = jax.jit(Decomposition(4).apply)
statistics = jax.jit(LocalStatistics("mean_log", 1e-15).apply)


def test_heads_without_learned_filters() -> None:
    """The figures of the bands' means, deviations and single places."""
    whole, local = filters(drawn=False)
    fad, lfs = decompose(whole, noise())[0], statistics(local, noise())[0]
    deviations = [0.1463596, 0.1464402, 0.5402613, 0.5776741]
    means = [2.0111e-4, 0, 0, 2.0111e-4]
    for i, (mean, deviation) in enumerate(zip(means, deviations, strict=True)):
        image = np.asarray(fad[..., 3 * i : 3 * i + 3], np.float64)
        np.testing.assert_allclose(image.std(), deviation, rtol=1e-5)
        np.testing.assert_allclose(image.mean(), mean, atol=1e-7)
    np.testing.assert_allclose(fad[0, :3, 0], [0.7496344, 0.4962291, 0.1459996], rtol=1e-5)
    np.testing.assert_allclose(fad[150, 150, 6], 0.1731339, rtol=1e-4)
    of_bands = [1.5820777, 1.3994590, 1.3970128, 1.3966849, 1.3930130, 1.3914191]
    np.testing.assert_allclose(np.asarray(lfs, np.float64).mean((0, 1)), of_bands, rtol=1e-5)
    place = [1.4835835, 1.1355398, 1.4401888, 1.4644253, 1.2904426, 0.9267427]
    np.testing.assert_allclose(lfs[74, 74], place, rtol=1e-4)


def test_heads_with_learned_filters() -> None:
    whole, local = filters(drawn=True)
    fad, lfs = decompose(whole, noise())[0], statistics(local, noise())[0]
    np.testing.assert_allclose(fad[::50, ::50].transpose(2, 0, 1), GOLDEN["fad/out"], atol=1e-5)
    np.testing.assert_allclose(lfs[::25, ::25].transpose(2, 0, 1), GOLDEN["lfs/out"], rtol=1e-4)


def mix_variables() -> Any:
    """The golden's, in our names and layouts."""
    state = {k.split("/")[-1]: GOLDEN[k] for k in GOLDEN.files if k.startswith("mix/state/")}
    params: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    for own, theirs in (("fad", "FAD"), ("lfs", "LFS")):
        for part in ("query", "key"):
            name = f"{theirs}_{part}"
            kernel = state[f"{name}.weight"].transpose(2, 3, 1, 0)
            params[f"{own}_{part}"] = {"kernel": kernel, "bias": state[f"{name}.bias"]}
        kernel = state[f"{theirs}_conv.weight"][:, 0].transpose(1, 2, 0)
        params[f"{own}_depthwise"] = {"kernel": kernel, "bias": state[f"{theirs}_conv.bias"]}
        norm = f"{theirs}_bn"
        params[f"{own}_bn"] = {"scale": state[f"{norm}.weight"], "bias": state[f"{norm}.bias"]}
        stats[f"{own}_bn"] = {
            "mean": state[f"{norm}.running_mean"],
            "var": state[f"{norm}.running_var"],
        }
        params[f"{own}_gamma"] = state[f"{theirs}_gamma"]
    return {"params": params, "batch_stats": stats}


def test_mix_block() -> None:
    inputs = [GOLDEN[f"mix/in_{name}"].transpose(0, 2, 3, 1) for name in ("fad", "lfs")]
    found = jax.jit(lambda v, a, b: MixBlock().apply(v, a, b, False))(mix_variables(), *inputs)
    for got, name in zip(found, ("fad", "lfs"), strict=True):
        want = GOLDEN[f"mix/out_{name}"].transpose(0, 2, 3, 1)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("channels", "count"), [(728, 2_128_674), (1024, 4_206_594)])
def test_size_of_a_mix_block(channels: Any, count: Any) -> None:
    x = jnp.zeros((1, 2, 2, channels))
    shapes = jax.eval_shape(lambda: MixBlock().init(jax.random.key(0), x, x, False))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == count


def test_parameters() -> None:
    """Of public code 42,520,971, its transforms, bases and two unused heads among them."""
    shapes = abstract_variables(create_detector("f3net", recipe="public"))["params"]
    unlearned = 2 * 299**2 + 2 * 10**2 + 4 * 299**2 + 6 * 10**2 + 6 + 2 * (2048 + 1)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) + unlearned == 42_520_971
    paper = abstract_variables(create_detector("f3net"))["params"]
    assert paper["fad_trunk"]["conv1"]["kernel"].shape == (3, 3, 9, 32)
    assert {"mix_1", "mix_2"} <= set(paper)


def in_numpy(images: Any, variables: Any, model: F3Net) -> Any:
    """P's logit by the definitions, slowly."""
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), variables["params"])
    scope = reference.Scope(params, variables["batch_stats"])
    size = images.shape[1]

    def learned(name: Any) -> Any:
        return 2 * reference.sigmoid(params[name]["filters"]["learned"]) - 1

    matrix, parts = dct_matrix(size), []
    for base in image_bands(size, model.fad_bands) + learned("fad"):
        for c in range(3):
            parts.append(matrix.T @ (matrix @ images[..., c] @ matrix.T * base[None]) @ matrix)
    order = np.stack(parts, axis=-1)
    window, sides = dct_matrix(10), (size - 2) // 2 + 1
    grey = (images @ [0.299, 0.587, 0.114] + 1) * 122.5
    padded = np.pad(grey, ((0, 0), (4, 4), (4, 4)))
    local = np.zeros((len(images), sides, sides, 6))
    for i in range(sides):
        for j in range(sides):
            found = window @ padded[:, 2 * i : 2 * i + 10, 2 * j : 2 * j + 10] @ window.T
            for m, f in enumerate(window_bands() + learned("lfs")):
                local[:, i, j, m] = np.log10(np.abs(found * f).sum((1, 2)) + model.lfs_epsilon)

    def start(x: Any, trunk: Any, stride: Any) -> Any:
        none = ((0, 0), (0, 0))
        x = reference.relu(trunk.norm(trunk.conv(x, "conv1", stride=stride, pad=none), "bn1"))
        x = reference.relu(trunk.norm(trunk.conv(x, "conv2", pad=none), "bn2"))
        for i in (1, 2, 3):
            block = trunk.child(f"block{i}")
            x = reference.xception_block(x, block, convs=2, stride=2, starts_with_relu=i > 1)
        return x

    def finish(x: Any, trunk: Any) -> Any:
        block = trunk.child("block4")
        return reference.xception_block(x, block, convs=2, stride=2, starts_with_relu=True)

    def tail(x: Any, trunk: Any) -> Any:
        for i in (3, 4):
            conv = trunk.child(f"conv{i}")
            x = conv.conv(conv.depthwise(x, "depthwise"), "pointwise")
            x = reference.relu(trunk.norm(x, f"bn{i}"))
        return x.mean((1, 2))

    trunks = scope.child("fad_trunk"), scope.child("lfs_trunk")
    fad, lfs = start(order, trunks[0], 2), start(local, trunks[1], 1)
    fad, lfs = mixed(fad, lfs, scope.child("mix_1"))
    streams = mixed(finish(fad, trunks[0]), finish(lfs, trunks[1]), scope.child("mix_2"))
    return scope.dense(np.concatenate(list(map(tail, streams, trunks)), axis=-1), "head")[:, 0]


def mixed(fad: Any, lfs: Any, scope: Any) -> Any:
    """Attention between rows, sample by sample and channel by channel."""
    names = {"fad": fad, "lfs": lfs}
    projected = {
        f"{name}_{part}": scope.conv(x, f"{name}_{part}")
        for name, x in names.items()
        for part in ("query", "key")
    }
    attention = np.zeros(fad.shape)
    for b in range(len(fad)):
        for c in range(fad.shape[-1]):
            q, k = (
                np.concatenate([projected[f"{n}_{part}"][b, ..., c] for n in names], axis=1)
                for part in ("query", "key")
            )
            weights = np.exp(q @ k.T)
            attention[b, ..., c] = weights / weights.sum(1, keepdims=True)
    results = []
    for target, source in (("fad", "lfs"), ("lfs", "fad")):
        gate = 2 * reference.sigmoid(scope.params[f"{source}_gamma"]) - 1
        scaled = scope.depthwise(names[source] * attention * gate, f"{target}_depthwise")
        scaled = scaled + scope.params[f"{target}_depthwise"]["bias"]
        results.append(names[target] + scope.norm(scaled, f"{target}_bn"))
    return results


def test_a_small_network() -> None:
    model = create_detector("f3net", **SMALL)
    assert isinstance(model, F3Net)
    images = tiny.images(model, 2)
    variables = random_variables(model, images)
    got = jax.jit(model.apply, compiler_options=tiny.QUICK_COMPILE)(variables, images)
    want = in_numpy(np.asarray(images, np.float64), variables, model)
    np.testing.assert_allclose(got["logits"][:, 1], want, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(got["logits"][:, 0], 0)
    np.testing.assert_allclose(got["class_activation"].mean((1, 2, 3)), want, rtol=1e-3, atol=1e-4)


def test_filters_start_small_and_learn() -> None:
    model = create_detector("f3net", **SMALL)
    learned = init_variables(model, 0)["params"]["fad"]["filters"]["learned"]
    assert learned.shape == (3, 64, 64) and learned.std() == pytest.approx(0.1, rel=0.05)
    base, w = window_bands(), np.full((6, 10, 10), 50.0, np.float32)
    found = BandFilters().apply({"params": {"learned": w}}, base)
    np.testing.assert_allclose(found, base + 1, atol=1e-6)


def test_a_flat_image_has_finite_gradients() -> None:
    """Black images have no spectrum but a mean; logarithms and their gradients stay finite."""
    head = LocalStatistics()
    images = -jnp.ones((1, 16, 16, 3))
    variables = head.init(jax.random.key(0), images)
    gradient = jax.grad(lambda v: head.apply(v, images).sum())(variables)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"image_size 72 .* \[5, 5\] and \[4, 4\] places"):
        abstract_variables(create_detector("f3net", **SMALL | {"image_size": 72}))
    model = create_detector("f3net", **SMALL)
    with pytest.raises(ValueError, match=r"must be 64 pixels high and wide.*image_size=96"):
        jax.eval_shape(model.apply, abstract_variables(model), jnp.zeros((1, 96, 96, 3)))


def test_it_starts_from_a_classifiers_xception() -> None:
    """The first kernel goes to every band, divided so that equal bands give what one gave."""
    variables = init_variables(create_classifier("xception"), 0)
    arrays = {
        f"{collection}/features/{'/'.join(key.key for key in path)}": leaf
        for collection, tree in variables.items()
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree["features"])
    }
    given = initialize(create_detector("f3net"), Weights("an Xception", arrays))["params"]
    kernel = variables["params"]["features"]["conv1"]["kernel"]
    for trunk, copies in (("fad_trunk", 3), ("lfs_trunk", 2)):
        first = given[trunk]["conv1"]["kernel"].reshape(3, 3, copies, 3, 32)
        np.testing.assert_allclose(first.sum(2), kernel, rtol=1e-6)
        np.testing.assert_array_equal(first[:, :, 0], first[:, :, -1])
        same = given[trunk]["block7"]["conv_1"]["pointwise"]["kernel"]
        want = variables["params"]["features"]["block7"]["conv_1"]["pointwise"]["kernel"]
        np.testing.assert_array_equal(same, want)


def test_its_loss_is_the_binary_cross_entropy_of_one_logit() -> None:
    class Fixed(F3Net):
        def __call__(self, images: Any, **options: Any) -> Any:
            z = images[:, 0, 0, 0]
            return {"logits": jnp.stack([jnp.zeros_like(z), z], axis=-1)}

    z, labels = jnp.float32([-2.0, 0.5, 3.0]), jnp.int32([0, 1, 0])
    batch = {"image": z[:, None, None, None], "label": labels, "weight": jnp.float32([1, 1, 1])}
    forward = Forward(Fixed(), {}, {})
    loss, _ = CrossEntropy()(forward, batch, jax.random.key(0), jnp.int32(0))
    want = optax.sigmoid_binary_cross_entropy(z, labels).mean()
    np.testing.assert_allclose(loss, want, rtol=1e-6)
