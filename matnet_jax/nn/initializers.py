"""Initialisers that a module declares and that NumPy can draw.

`model.init` would trace and compile the whole network to draw its weights (25 s for B4 on two
cores). These initialisers are Flax's to call, with key, shape and dtype; and while a trace declares
(`declaring`), a call returns no value but itself, in a box of Flax's for metadata. So an abstract
trace says how each leaf wants to start, whatever its name, and `matnet_jax.nn.declared` draws it.
"""

from __future__ import annotations

import abc
import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from flax.core import meta

Shape = tuple[int, ...]
Init = Callable[..., Any]  # (key, shape, dtype) -> array: one of these, or Flax's
Fan = Literal["fan_in", "fan_out", "fan_avg"]
Distribution = Literal["normal", "truncated_normal", "uniform"]

_declaring = contextvars.ContextVar("declaring", default=False)


@contextlib.contextmanager
def declaring() -> Iterator[None]:
    """Within it initialisers return `Declared` boxes, with zeros in them."""
    token = _declaring.set(True)
    try:
        yield
    finally:
        _declaring.reset(token)


class Initializer(abc.ABC):
    """How a leaf starts: called as Flax's initialisers are, or drawn by NumPy.

    A subclass is a frozen dataclass, since modules hold it as a field.
    """

    def __call__(self, key: jax.Array | None, shape: Shape, dtype: Any = jnp.float32) -> Any:
        """The initial value of a leaf, or a `Declared` box; a constant's key may be None."""
        if _declaring.get():
            return Declared(jnp.zeros(shape, dtype), self, tuple(shape))
        return self.sample(key, shape, dtype)

    @abc.abstractmethod
    def sample(self, key: jax.Array | None, shape: Shape, dtype: Any) -> jax.Array:
        """A value by JAX's generator."""

    @abc.abstractmethod
    def draw(self, generator: np.random.Generator, shape: Shape, dtype: Any) -> np.ndarray:
        """A value of the same distribution by NumPy's generator."""


class Declared(flax.struct.PyTreeNode, meta.AxisMetadata[Any]):
    """A leaf and the initialiser that its module declared.

    Attributes:
      value: what stands in for the leaf while shapes are traced.
      initializer: draws it.
      shape: that the initialiser was called with; the leaf may be reshaped from it.
      axes: that lifted transforms (`nn.scan`, `nn.vmap`) put around the leaf, in their order; each
        entry along them is a draw of its own.
    """

    value: Any
    initializer: Initializer = flax.struct.field(pytree_node=False)
    shape: Shape = flax.struct.field(pytree_node=False)
    axes: Shape = flax.struct.field(pytree_node=False, default=())

    def unbox(self) -> Any:
        """See `nn.meta.AxisMetadata`."""
        return self.value

    def replace_boxed(self, val: Any) -> Declared:
        """See `nn.meta.AxisMetadata`."""
        return self.replace(value=val)

    def add_axis(self, index: int, params: dict[Any, Any]) -> Declared:
        """See `nn.meta.AxisMetadata`."""
        return self.replace(axes=(*self.axes, index))

    def remove_axis(self, index: int, params: dict[Any, Any]) -> Declared:
        """See `nn.meta.AxisMetadata`."""
        return self.replace(axes=self.axes[:-1])

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """The leaf's initial value, of `value`'s shape and dtype."""
        return self._draw(generator, self.value.shape, self.axes)

    def _draw(self, generator: np.random.Generator, shape: Shape, axes: Shape) -> np.ndarray:
        if not axes:
            drawn = self.initializer.draw(generator, self.shape, self.value.dtype)
            return drawn.reshape(shape)
        axis = axes[-1] % len(shape)
        inner = shape[:axis] + shape[axis + 1 :]
        parts = [self._draw(generator, inner, axes[:-1]) for _ in range(shape[axis])]
        return np.stack(parts, axis)


@dataclasses.dataclass(frozen=True)
class Constant(Initializer):
    """One value everywhere."""

    value: float

    def sample(self, key: jax.Array | None, shape: Shape, dtype: Any) -> jax.Array:
        """See `Initializer.sample`."""
        return jnp.full(shape, self.value, dtype)

    def draw(self, generator: np.random.Generator, shape: Shape, dtype: Any) -> np.ndarray:
        """See `Initializer.draw`."""
        return np.full(shape, self.value, dtype)


@dataclasses.dataclass(frozen=True)
class Given(Initializer):
    """These values, row by row, such as a filter's that is known before it learns."""

    values: tuple[float, ...]

    def sample(self, key: jax.Array | None, shape: Shape, dtype: Any) -> jax.Array:
        """See `Initializer.sample`."""
        return jnp.asarray(self.values, dtype).reshape(shape)

    def draw(self, generator: np.random.Generator, shape: Shape, dtype: Any) -> np.ndarray:
        """See `Initializer.draw`."""
        return np.asarray(self.values, dtype).reshape(shape)


@dataclasses.dataclass(frozen=True)
class Normal(Initializer):
    """Normal with standard deviation `std`, around 0 unless `mean` is given."""

    std: float
    mean: float = 0.0

    def sample(self, key: jax.Array | None, shape: Shape, dtype: Any) -> jax.Array:
        """See `Initializer.sample`."""
        return self.mean + self.std * jax.random.normal(_needed(key), shape, dtype)

    def draw(self, generator: np.random.Generator, shape: Shape, dtype: Any) -> np.ndarray:
        """See `Initializer.draw`."""
        values = self.std * generator.standard_normal(shape, np.float32)
        # Adding 0 would turn a −0.0 into 0.0, and the values of earlier runs are kept to the bit.
        return (values + self.mean if self.mean else values).astype(dtype)


@dataclasses.dataclass(frozen=True)
class TruncatedNormal(Initializer):
    """Normal(0, `std`) of which what lies beyond 2·std is drawn again (so the spread is less)."""

    std: float

    def sample(self, key: jax.Array | None, shape: Shape, dtype: Any) -> jax.Array:
        """See `Initializer.sample`."""
        return self.std * jax.random.truncated_normal(_needed(key), -2.0, 2.0, shape, dtype)

    def draw(self, generator: np.random.Generator, shape: Shape, dtype: Any) -> np.ndarray:
        """See `Initializer.draw`."""
        values = np.asarray(generator.standard_normal(shape, np.float32))
        while (beyond := np.abs(values) > 2).any():
            values[beyond] = generator.standard_normal(int(beyond.sum()), np.float32)
        return (self.std * values).astype(dtype)


@dataclasses.dataclass(frozen=True)
class Uniform(Initializer):
    """Uniform from −`limit` to `limit`."""

    limit: float

    def sample(self, key: jax.Array | None, shape: Shape, dtype: Any) -> jax.Array:
        """See `Initializer.sample`."""
        return jax.random.uniform(_needed(key), shape, dtype, -self.limit, self.limit)

    def draw(self, generator: np.random.Generator, shape: Shape, dtype: Any) -> np.ndarray:
        """See `Initializer.draw`."""
        return (self.limit * (2 * generator.random(shape, np.float32) - 1)).astype(dtype)


# Standard deviation of a normal of deviation 1 that is cut at ±2.
_TRUNCATED_STD = 0.87962566103423978


@dataclasses.dataclass(frozen=True)
class VarianceScaling(Initializer):
    """Mean 0 and variance `scale` / fan, the fan read off the leaf's shape (see `fans`).

    "fan_avg" is the mean of both fans.
    """

    scale: float
    fan: Fan
    distribution: Distribution = "normal"

    def sample(self, key: jax.Array | None, shape: Shape, dtype: Any) -> jax.Array:
        """See `Initializer.sample`."""
        return self.scaled(shape).sample(key, shape, dtype)

    def draw(self, generator: np.random.Generator, shape: Shape, dtype: Any) -> np.ndarray:
        """See `Initializer.draw`."""
        return self.scaled(shape).draw(generator, shape, dtype)

    def scaled(self, shape: Shape) -> Initializer:
        """The distribution of a leaf of this shape."""
        fan_in, fan_out = fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.fan]
        std = math.sqrt(self.scale / fan)
        if self.distribution == "normal":
            return Normal(std)
        if self.distribution == "truncated_normal":
            return TruncatedNormal(std / _TRUNCATED_STD)
        if self.distribution == "uniform":
            return Uniform(math.sqrt(3.0) * std)
        raise ValueError(
            f"no distribution '{self.distribution}'; available: normal, truncated_normal, uniform"
        )


def fans(shape: Shape) -> tuple[int, int]:
    """(fan-in, fan-out) of a kernel [k, k, C_in, C_out], [k, k, C] (depthwise) or [in, out].

    A depthwise filter reads one channel and feeds one. A vector counts as its own fan-in.
    """
    if len(shape) == 3:
        return shape[0] * shape[1], shape[0] * shape[1]
    if len(shape) < 2:
        return math.prod(shape), 1
    area = math.prod(shape[:-2])
    return area * shape[-2], area * shape[-1]


def _needed(key: jax.Array | None) -> jax.Array:
    if key is None:
        raise ValueError("only a Constant can be sampled without a key")
    return key


ZEROS, ONES = Constant(0.0), Constant(1.0)
CONV = VarianceScaling(2.0, "fan_out")
"""Of convolutions, depthwise ones too: √(2 / fan-out), as EfficientNet has it."""
DENSE = VarianceScaling(1.0, "fan_in")
"""Of matrix products: √(1 / fan-in)."""
GLOROT = VarianceScaling(1.0, "fan_avg", "uniform")
"""Keras's own, of convolutions and matrix products: variance 2 / (fan-in + fan-out)."""
