"""SlowFast-50 (Feichtenhofer et al., ICCV 2019) as Eighteen Years Old's code has it.

Its lateral connections are convolutions alone, without batch norm and ReLU, and the slow path takes
every α-th frame of the fast one's.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.nn.batch_norm import Norm
from matnet_jax.nn.clips import Conv3D, ConvNorm, max_pool

_EXPANSION = 4


class Bottleneck(nn.Module):
    """1×1 over one or three frames, 3×3 and 1×1, plus the input: [B, T, H, W, C] -> 4·planes.

    Attributes:
      planes: channels inside.
      stride: of rows and columns.
      frames: that the first convolution sees.
      norm: fields of the batch norms.
    """

    planes: int
    stride: int = 1
    frames: int = 1
    norm: Norm = Norm()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""
        features, stride = _EXPANSION * self.planes, (1, self.stride, self.stride)
        y = ConvNorm(self.planes, (self.frames, 1, 1), norm=self.norm, name="first")(
            x, train, weight
        )
        y = ConvNorm(self.planes, (1, 3, 3), stride, norm=self.norm, name="second")(
            y, train, weight
        )
        y = ConvNorm(features, (1, 1, 1), norm=self.norm, activate=False, name="third")(
            y, train, weight
        )
        if self.stride != 1 or x.shape[-1] != features:
            skip = ConvNorm(
                features, (1, 1, 1), stride, norm=self.norm, activate=False, name="skip"
            )
            x = skip(x, train, weight)
        return nn.relu(x + y)


class SlowFast(nn.Module):
    """Clips [B, T, H, W, 3] -> float32 [B, 1, C], the slow path's features and then the fast's.

    Attributes:
      depths: blocks of each stage.
      width: channels of the slow path's stem.
      alpha: α, frames of the fast path to one of the slow.
      beta: 1/β, the slow path's channels to one of the fast.
      norm: fields of the batch norms.
      remat: keeps only what goes from block to block, and computes the rest again.
    """

    depths: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    alpha: int = 4
    beta: int = 8
    norm: Norm = Norm()
    remat: bool = False

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""
        block_type = nn.remat(Bottleneck, static_argnums=(2,)) if self.remat else Bottleneck
        narrow = max(self.width // self.beta, 1)

        def stem(x: jax.Array, width: int, frames: int, name: str) -> jax.Array:
            conv = ConvNorm(width, (frames, 7, 7), (1, 2, 2), norm=self.norm, name=name)
            return max_pool(conv(x, train, weight), (1, 3, 3), (1, 2, 2), (0, 1, 1))

        fast = stem(clips, narrow, 5, "fast_stem")
        slow = stem(clips[:, :: self.alpha], self.width, 1, "slow_stem")
        for stage, depth in enumerate(self.depths):
            lateral = Conv3D(
                2 * fast.shape[-1],
                (5, 1, 1),
                (self.alpha, 1, 1),
                dtype=self.norm.dtype,
                name=f"lateral_{stage + 1}",
            )
            slow = jnp.concatenate([slow, lateral(fast)], axis=-1)
            for i in range(depth):
                where, stride = f"stage_{stage + 1}_block_{i}", 2 if stage and i == 0 else 1
                planes = narrow * 2**stage, self.width * 2**stage
                # The slow path sees motion in its last two stages alone.
                frames = 3, 3 if stage >= 2 else 1
                fast = block_type(planes[0], stride, frames[0], self.norm, name=f"fast_{where}")(
                    fast, train, weight
                )
                slow = block_type(planes[1], stride, frames[1], self.norm, name=f"slow_{where}")(
                    slow, train, weight
                )
        means = [jnp.mean(x.astype(jnp.float32), axis=(1, 2, 3)) for x in (slow, fast)]
        return jnp.concatenate(means, axis=-1)[:, None]
