"""Which implementation of attention is taken where, and that each is the same attention."""

from __future__ import annotations

import logging
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matnet_jax.nn.attention import attend, portable


def tokens(dtype: Any) -> Any:
    draw = np.random.default_rng(0).standard_normal((3, 2, 5, 2, 8))
    return [jnp.asarray(part, dtype) for part in draw]


def slow(query: Any, key: Any, value: Any) -> Any:
    q, k, v = (np.asarray(x, np.float64) for x in (query, key, value))
    scores = np.exp(np.einsum("bthd,bshd->bhts", q, k) / np.sqrt(q.shape[-1]))
    return np.einsum("bhts,bshd->bthd", scores / scores.sum(-1, keepdims=True), v)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The implementations that are asked for, as if there were a GPU with cuDNN."""
    implementations: list[Any] = []
    plain = jax.nn.dot_product_attention

    def ask(*tokens: Any, implementation: Any = None) -> Any:
        implementations.append(implementation)
        return plain(*tokens)

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax.nn, "dot_product_attention", ask)
    return implementations


@pytest.mark.parametrize(("dtype", "close"), [("float32", 1e-5), ("bfloat16", 3e-2)])
def test_on_this_machine(dtype: str, close: float) -> None:
    given = tokens(dtype)
    got = attend(*given)
    assert got.dtype == dtype
    np.testing.assert_allclose(np.asarray(got, np.float32), slow(*given), atol=close)


def test_a_gpu_has_the_fused_one_in_half_precision(asked: list[Any]) -> None:
    for dtype in ("float32", "bfloat16", "float16"):
        attend(*tokens(dtype))
    with portable():  # an export, which shall run elsewhere too
        attend(*tokens("bfloat16"))
    attend(*tokens("bfloat16"))
    assert asked == [None, "cudnn", "cudnn", None, "cudnn"]


def test_what_cudnn_refuses_the_compiler_takes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """JAX's own refusal, for want of a GPU here."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    given = tokens("bfloat16")
    with caplog.at_level(logging.WARNING):
        got = attend(*given)
    assert "no fused attention (" in caplog.text
    np.testing.assert_allclose(np.asarray(got, np.float32), slow(*given), atol=3e-2)
