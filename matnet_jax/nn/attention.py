"""Attention of tokens to tokens, by cuDNN's fused kernel on a GPU that has it for them."""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Iterator

import jax
import jax.numpy as jnp

_log = logging.getLogger(__name__)
_portable = contextvars.ContextVar("portable", default=False)


def attend(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """softmax(q·kᵀ / √d)·v a head: three of [B, T, heads, d] -> [B, T, heads, d].

    In bfloat16 or float16 on a GPU it is cuDNN's, which never has all of the softmax in memory, and
    elsewhere the compiler's own.
    """
    if _has_fused(query):
        try:
            return jax.nn.dot_product_attention(query, key, value, implementation="cudnn")
        except (NotImplementedError, RuntimeError, ValueError) as error:
            # An older GPU or cuDNN, or heads that it does not take: JAX says so when it traces.
            _log.warning("no fused attention (%s); the compiler's own is used", error)
    return jax.nn.dot_product_attention(query, key, value)


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """In here no kernel is chosen for this machine: what is traced shall run on others too."""
    token = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(token)


def _has_fused(query: jax.Array) -> bool:
    is_half = query.dtype in (jnp.bfloat16, jnp.float16)
    return is_half and jax.default_backend() == "gpu" and not _portable.get()
