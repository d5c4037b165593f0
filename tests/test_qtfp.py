"""QTFP's queries and losses, a patch at a time in NumPy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from matnet_jax.detectors.qtfp import attention_divergence, patch_contrast
from matnet_jax.model import create_detector, init_variables

LABELS, WEIGHT = np.array([0, 1, 1, 0, 1]), np.array([1, 1, 1, 1, 0], np.float32)


def unit(x: Any) -> Any:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def slow_contrast(patches: Any, temperature: float, sharpness: float) -> float:
    """Over the examples that count."""
    patches = np.asarray(patches, np.float64)
    kept = [i for i in range(len(LABELS)) if WEIGHT[i]]
    flat = [(unit(patch), LABELS[i]) for i in kept for patch in patches[i]]
    real, fake = (unit(np.mean([x for x, y in flat if y == label], axis=0)) for label in (0, 1))
    terms = []
    for i, (x, label) in enumerate(flat):
        if label:
            like = {j: np.exp(x @ y / temperature) for j, (y, _) in enumerate(flat) if j != i}
            same = sum(value for j, value in like.items() if flat[j][1])
            weight = 1 / (1 + np.exp(-sharpness * (x @ fake - x @ real)))
            terms.append(-weight * np.log(same / sum(like.values())))
    return float(np.mean(terms))


@pytest.mark.parametrize("temperature", [0.1, 0.01])
def test_contrast_of_patches(temperature: float) -> None:
    patches = np.random.default_rng(0).standard_normal((5, 3, 4)).astype(np.float32)

    def contrast(patches: Any, weight: Any = WEIGHT) -> Any:
        labels = jnp.asarray(LABELS)
        options = {"temperature": temperature, "sharpness": 2.0}
        return patch_contrast(jnp.asarray(patches), labels, jnp.asarray(weight), **options)

    want = slow_contrast(patches, temperature, 2.0)
    assert float(contrast(patches)) == pytest.approx(want, rel=1e-4)
    assert np.all(np.isfinite(jax.grad(contrast)(patches)))
    for kept in (WEIGHT * (LABELS == 0), WEIGHT * (LABELS == 1), np.zeros(5)):
        # Without forged images, or without others to tell them from, there is nothing to learn.
        loss, gradient = jax.value_and_grad(contrast)(patches, kept.astype(np.float32))
        assert float(loss) == pytest.approx(0, abs=1e-6) and np.all(np.isfinite(gradient))
    zeros = jax.grad(contrast)(np.zeros_like(patches))
    assert np.all(np.isfinite(zeros))


def test_divergence_of_attention_has_a_gradient_for_the_queries_alone() -> None:
    draw = np.random.default_rng(0)
    queries, classes = draw.random((2, 2, 3, 4)), draw.random((2, 2, 3, 1))
    queries /= queries.sum((1, 2), keepdims=True)
    classes /= classes.sum((1, 2), keepdims=True)
    want = np.sum(queries * np.log(queries / classes), axis=(1, 2)).mean(-1)
    np.testing.assert_allclose(attention_divergence(queries, classes), want, rtol=1e-5)
    same = jnp.repeat(jnp.asarray(classes), 4, axis=-1)
    np.testing.assert_allclose(attention_divergence(same, classes), 0, atol=1e-6)
    moved = jax.grad(lambda q, c: attention_divergence(q, c).sum(), argnums=(0, 1))
    own, other = moved(jnp.asarray(queries), jnp.asarray(classes))
    assert np.any(own) and not np.any(other)
    one_hot = jnp.zeros((1, 2, 3, 1)).at[0, 0, 0].set(1)
    assert np.all(np.isfinite(attention_divergence(one_hot, one_hot)))


def test_queries_take_patches_by_a_softmax() -> None:
    fields = {"width_coefficient": 0.1, "depth_coefficient": 0.05, "image_size": tiny.SIZE}
    model = create_detector("qtfp", num_queries=3, **fields)
    variables = init_variables(model, 0)
    images = tiny.images(model, 2)
    out = jax.jit(lambda v, x: model.apply(v, x, train=True))(variables, images)
    queries = variables["params"]["queries"]
    assert "patches" not in jax.eval_shape(lambda v, x: model.apply(v, x), variables, images)
    for i, patches in enumerate(np.asarray(out["patches"], np.float64)):
        scores = np.exp(patches @ queries.T / np.sqrt(patches.shape[1]))
        attention = scores / scores.sum(0)
        np.testing.assert_allclose(
            out["query_attention"][i].reshape(attention.shape), attention, rtol=1e-4
        )
        np.testing.assert_allclose(
            out["feature"][i], (attention.T @ patches).mean(0), rtol=1e-3, atol=1e-5
        )
    np.testing.assert_allclose(out["class_attention"].sum((1, 2)), 1, rtol=1e-5)
