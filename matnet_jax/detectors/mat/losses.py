"""The losses, per example: callers mask, weigh and average.

Labels are 0 for real and 1 for fake. Every function computes in float32.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from matnet_jax.nn.norms import l2_norm, l2_normalize

RILVersion = Literal["paper", "v1", "v2"]


def ril_intra(
    region_features: jax.Array,
    centers: jax.Array,
    labels: jax.Array,
    *,
    inner_margin: tuple[float, float],
    version: RILVersion = "paper",
) -> jax.Array:
    """First term of the regional independence loss (eq. 3): pulls V to its centers.

    Args:
      region_features: V, [B, M, N].
      centers: c^t after its update, [M, N], with its gradient.
      labels: [B].
      inner_margin: m_in for (real, fake).
      version: "paper" sums max(‖V_j − c_j‖² − m_in, 0) over maps; "v1" averages
        max(‖V_j − c_j‖ − m_in, 0) over maps; "v2" has one Frobenius norm over all maps, and a
        negative margin pushes beyond its size instead: max(sign(m_in)·‖V − c‖ − m_in, 0).

    Returns:
      [B].
    """
    margin = jnp.asarray(inner_margin, jnp.float32)[labels]
    offsets = region_features.astype(jnp.float32) - centers
    if version == "paper":
        squares = jnp.sum(jnp.square(offsets), axis=-1)
        return jnp.sum(jax.nn.relu(squares - margin[:, None]), axis=-1)
    if version == "v1":
        return jnp.mean(jax.nn.relu(l2_norm(offsets) - margin[:, None]), axis=-1)
    if version == "v2":
        return jax.nn.relu(l2_norm(offsets, axis=(1, 2)) * jnp.sign(margin) - margin)
    raise ValueError(f"unknown RIL version '{version}'; available: paper, v1, v2")


def ril_inter(
    centers: jax.Array,
    *,
    outer_margin: float,
    center_rate: jax.Array | float = 1.0,
    version: RILVersion = "paper",
) -> jax.Array:
    """Second term of the regional independence loss (eq. 3): pushes centers apart.

    Args:
      centers: c^t, [M, N], with its gradient.
      outer_margin: m_out.
      center_rate: the current α; only "v2" divides by it.
      version: "paper" sums max(m_out − ‖c_i − c_j‖², 0) over ordered pairs; "v1" and "v2" sum
        max(m_out − ‖c_i − c_j‖, 0) over unordered pairs; "v2" divides that by M·α.

    Returns:
      A scalar; 0 for a single map, and of "v2" for a rate of 0.
    """
    maps = centers.shape[0]
    i, j = np.triu_indices(maps, k=1)
    distances = l2_norm(centers[i] - centers[j])
    if version == "paper":
        return 2.0 * jnp.sum(jax.nn.relu(outer_margin - jnp.square(distances)))
    total = jnp.sum(jax.nn.relu(outer_margin - distances))
    if version == "v1":
        return total
    if version == "v2":
        # Centers of rate 0 stay where they are, and have nothing to be pushed by.
        rate = jnp.asarray(center_rate, jnp.float32)
        return jnp.where(rate > 0, total / maps / jnp.where(rate > 0, rate, 1.0), 0.0)
    raise ValueError(f"unknown RIL version '{version}'; available: paper, v1, v2")


def ams(
    region_features: jax.Array, class_centers: jax.Array, *, scale: float, margin: float
) -> jax.Array:
    """Additive-margin softmax over attention maps, the paper's alternative to RIL (Table 6).

    Each map is a class with a learned center; map j of a sample should be nearest, in angle and by
    `margin`, to its own.

    Args:
      region_features: V, [B, M, N].
      class_centers: [M, N], normalised here.
      scale: s.
      margin: m, subtracted from the cosine of the true class.

    Returns:
      [B], the mean over maps.
    """
    features = l2_normalize(region_features.astype(jnp.float32))
    cosines = jnp.einsum("bjn,in->bji", features, l2_normalize(class_centers))
    own = jnp.eye(class_centers.shape[0])
    log_p = jax.nn.log_softmax(scale * (cosines - margin * own))
    return -jnp.mean(jnp.sum(log_p * own, axis=-1), axis=-1)


def match(augmented: jax.Array, original: jax.Array, dropped_map: jax.Array) -> jax.Array:
    """How far the region features of the maps that AGDA left alone have moved (released recipe).

    Args:
      augmented: V of the augmented image, [B, M, N].
      original: V of the image, [B, M, N].
      dropped_map: [B], the map AGDA used on each sample.

    Returns:
      [B]: ‖V'_k − V_k‖₂ averaged over maps, that of the dropped map counted as 0.
    """
    distances = l2_norm(augmented.astype(jnp.float32) - original.astype(jnp.float32))
    kept = 1.0 - jax.nn.one_hot(dropped_map, original.shape[1])
    return jnp.mean(distances * kept, axis=-1)
