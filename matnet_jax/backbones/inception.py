"""Inception-v3 (Szegedy et al., CVPR 2016), without its auxiliary head.

Modules have the names of PyTorch's in small letters; paddings and pools are its too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.backbones.base import Backbone, scaled
from matnet_jax.backbones.resnet import ONE
from matnet_jax.nn.batch_norm import BatchNorm, Norm
from matnet_jax.nn.layers import Conv

VALID = ((0, 0), (0, 0))
SMALLEST = 75
"""Pixels a side below which no place is left after the last stride."""

Step = tuple[str, int, int | tuple[int, int]]
"""Name, channels and kernel of one unit of a branch, with stride 1 and SAME padding."""


class Unit(nn.Module):
    """Convolution without a bias, batch norm, ReLU: [B, H, W, C] -> [B, H', W', features]."""

    features: int
    kernel_size: int | tuple[int, int] = 3
    stride: int = 1
    same: bool = True
    norm: Norm = Norm()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""
        conv = Conv(
            self.features,
            self.kernel_size,
            self.stride,
            padding=None if self.same else VALID,
            dtype=self.norm.dtype,
            name="conv",
        )
        return nn.relu(BatchNorm(*self.norm, name="bn")(conv(x), train=train, weight=weight))


class Mixed(nn.Module):
    """What the blocks share: branches side by side, joined by channel.

    Attributes:
      width: factor of all channels.
      norm: fields of the batch norms.
    """

    width: float = 1.0
    norm: Norm = Norm()

    def unit(self, x: jax.Array, step: Step, train: bool, weight: Any, **fields: Any) -> jax.Array:
        """One unit, its channels times `width`."""
        name, features, kernel = step
        layer = Unit(scaled(features, self.width), kernel, norm=self.norm, name=name, **fields)
        return layer(x, train, weight)

    def branch(self, x: jax.Array, steps: Sequence[Step], train: bool, weight: Any) -> jax.Array:
        """Units one after another."""
        for step in steps:
            x = self.unit(x, step, train, weight)
        return x

    def pooled(self, x: jax.Array, features: int, train: bool, weight: Any) -> jax.Array:
        """Means of 3×3 places, with zeros around the map that count, and a 1×1 unit."""
        mean = nn.avg_pool(x, (3, 3), (1, 1), ONE)
        return self.unit(mean, ("branch_pool", features, 1), train, weight)


class MixedA(Mixed):
    """1×1; 5×5; 3×3 twice; pooled: 35 places a side at 299 pixels.

    Attributes:
      pool_features: channels of the pooled branch.
    """

    pool_features: int = 64

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, 224 + pool_features]."""
        twice: list[Step] = [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3)]
        branches: tuple[list[Step], ...] = (
            [("branch1x1", 64, 1)],
            [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)],
            [*twice, ("branch3x3dbl_3", 96, 3)],
        )
        found = [self.branch(x, steps, train, weight) for steps in branches]
        found.append(self.pooled(x, self.pool_features, train, weight))
        return jnp.concatenate(found, axis=-1)


class MixedB(Mixed):
    """Halves the map: 3×3; 3×3 twice; the largest of 3×3."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """[B, H, W, C] -> [B, (H − 1) // 2, …, C + 480]."""
        half = {"stride": 2, "same": False}
        twice = self.branch(
            x, [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3)], train, weight
        )
        found = (
            self.unit(x, ("branch3x3", 384, 3), train, weight, **half),
            self.unit(twice, ("branch3x3dbl_3", 96, 3), train, weight, **half),
            nn.max_pool(x, (3, 3), (2, 2)),
        )
        return jnp.concatenate(found, axis=-1)


class MixedC(Mixed):
    """1×1; rows and columns of 7; those twice; pooled: 17 places a side at 299 pixels.

    Attributes:
      inner: channels between the units of 7.
    """

    inner: int = 128

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, 768]."""
        c, across, down = self.inner, (1, 7), (7, 1)
        branches: tuple[list[Step], ...] = (
            [("branch1x1", 192, 1)],
            [("branch7x7_1", c, 1), ("branch7x7_2", c, across), ("branch7x7_3", 192, down)],
            [
                ("branch7x7dbl_1", c, 1),
                ("branch7x7dbl_2", c, down),
                ("branch7x7dbl_3", c, across),
                ("branch7x7dbl_4", c, down),
                ("branch7x7dbl_5", 192, across),
            ],
        )
        found = [self.branch(x, steps, train, weight) for steps in branches]
        found.append(self.pooled(x, 192, train, weight))
        return jnp.concatenate(found, axis=-1)


class MixedD(Mixed):
    """Halves the map: 3×3; row, column of 7 and 3×3; the largest of 3×3."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """[B, H, W, C] -> [B, (H − 1) // 2, …, C + 512]."""
        half = {"stride": 2, "same": False}
        sevens: list[Step] = [("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, (1, 7))]
        sevens.append(("branch7x7x3_3", 192, (7, 1)))
        threes = self.unit(x, ("branch3x3_1", 192, 1), train, weight)
        found = (
            self.unit(threes, ("branch3x3_2", 320, 3), train, weight, **half),
            self.unit(
                self.branch(x, sevens, train, weight),
                ("branch7x7x3_4", 192, 3),
                train,
                weight,
                **half,
            ),
            nn.max_pool(x, (3, 3), (2, 2)),
        )
        return jnp.concatenate(found, axis=-1)


class MixedE(Mixed):
    """1×1; two branches that part into a row and a column of 3; pooled."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, 2048]."""
        twice: list[Step] = [("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3)]
        parting: tuple[tuple[list[Step], str], ...] = (
            ([("branch3x3_1", 384, 1)], "branch3x3_2"),
            (twice, "branch3x3dbl_3"),
        )
        found = [self.unit(x, ("branch1x1", 320, 1), train, weight)]
        for steps, name in parting:
            y = self.branch(x, steps, train, weight)
            found.append(self.unit(y, (f"{name}a", 384, (1, 3)), train, weight))
            found.append(self.unit(y, (f"{name}b", 384, (3, 1)), train, weight))
        found.append(self.pooled(x, 192, train, weight))
        return jnp.concatenate(found, axis=-1)


_STAGES: dict[str, tuple[tuple[str, Callable[..., Mixed], dict[str, int]], ...]] = {
    "L2": tuple(
        (f"mixed_5{letter}", MixedA, {"pool_features": features})
        for letter, features in zip("bcd", (32, 64, 64), strict=True)
    ),
    "L3": (
        ("mixed_6a", MixedB, {}),
        *(
            (f"mixed_6{letter}", MixedC, {"inner": inner})
            for letter, inner in zip("bcde", (128, 160, 160, 192), strict=True)
        ),
    ),
    "L4": (("mixed_7a", MixedD, {}), ("mixed_7b", MixedE, {}), ("mixed_7c", MixedE, {})),
}


class InceptionV3(nn.Module):
    """Images [B, H, W, 3] -> {"stem", "L1", …, "L4", "final"}: each [B, h, w, C]; "final" is L4.

    At 299 pixels they have 73, 35, 35, 17 and 8 places a side.

    Attributes:
      width: factor of all channels.
      norm: fields of the batch norms.
      remat: keeps only what goes from block to block, and computes the rest again.
    """

    width: float = 1.0
    norm: Norm = Norm()
    remat: bool = False

    @property
    def endpoint_channels(self) -> dict[str, int]:
        """Channels of every endpoint, known without running the network."""

        def total(*parts: int) -> int:
            return sum(scaled(part, self.width) for part in parts)

        last = total(320, 384, 384, 384, 384, 192)
        stages = {"L2": total(64, 64, 96, 64), "L3": 4 * total(192), "L4": last}
        return {"stem": total(64), "L1": total(192)} | stages | {"final": last}

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """See the class.

        Raises:
          ValueError: the images are too small.
        """
        if min(images.shape[1:3]) < SMALLEST:
            raise ValueError(
                f"images of {images.shape[1]}×{images.shape[2]} pixels are too small for "
                f"Inception-v3: it takes {SMALLEST} or more, and was designed for 299"
            )

        def unit(x: jax.Array, name: str, features: int, size: int, **fields: Any) -> jax.Array:
            layer = Unit(scaled(features, self.width), size, norm=self.norm, name=name, **fields)
            return layer(x, train, weight)

        x = unit(images, "conv2d_1a_3x3", 32, 3, stride=2, same=False)
        x = unit(x, "conv2d_2a_3x3", 32, 3, same=False)
        x = nn.max_pool(unit(x, "conv2d_2b_3x3", 64, 3), (3, 3), (2, 2))
        endpoints = {"stem": x}
        x = unit(x, "conv2d_3b_1x1", 80, 1)
        x = nn.max_pool(unit(x, "conv2d_4a_3x3", 192, 3, same=False), (3, 3), (2, 2))
        endpoints["L1"] = x
        for stage, blocks in _STAGES.items():
            for name, kind, fields in blocks:
                block = nn.remat(kind, static_argnums=(2,)) if self.remat else kind
                x = block(self.width, self.norm, name=name, **fields)(x, train, weight)
            endpoints[stage] = x
        return endpoints | {"final": x}


def _make(
    *,
    width_coefficient: float = 1.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-3,
    bn_group_size: int | None = None,
    dtype: jnp.dtype = jnp.float32,
    **fields: Any,
) -> InceptionV3:
    norm = Norm(batch_norm_momentum, batch_norm_epsilon, dtype, bn_group_size)
    return InceptionV3(width_coefficient, norm, **fields)


INCEPTION_V3 = Backbone(
    make=_make,
    native_size=299,
    image_size=299,
    texture_stage="L1",
    attention_stage="L3",
    classifier_dropout=0.5,
    options=("width_coefficient", "batch_norm_momentum", "batch_norm_epsilon"),
)
