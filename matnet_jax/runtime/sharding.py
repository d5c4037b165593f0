"""Data parallelism: one mesh axis over all devices of all processes.

Under `jit` with these shardings every sum in the step is over the *global* batch: batch statistics,
feature centers and losses need no axis name and do not depend on the number of devices.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA_AXIS = "data"


def data_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """A one-dimensional mesh, axis ``data``, over `devices` (default: all, of all processes)."""
    count = jax.device_count() if devices is None else len(devices)
    # Auto: under Explicit axes, make_mesh's default, flax.linen's Dropout fails.
    return jax.make_mesh((count,), (DATA_AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharded(mesh: Mesh) -> NamedSharding:
    """The leading (batch) axis is split over all devices."""
    return NamedSharding(mesh, PartitionSpec(DATA_AXIS))


def global_batch(host_batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Assembles the processes' parts of a batch into global arrays split over `mesh`.

    Args:
      host_batch: this process's rows, arrays ``[b, …]`` with the same b in every process and b a
        multiple of the devices of this process.
      mesh: as `data_mesh` makes it.

    Returns:
      Arrays ``[b · processes, …]``.
    """
    sharding = batch_sharded(mesh)
    return {
        name: jax.make_array_from_process_local_data(sharding, np.asarray(rows))
        for name, rows in host_batch.items()
    }


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Puts a tree of arrays, equal in every process, on all devices of `mesh`."""
    sharding = replicated(mesh)

    def put(x: Any) -> jax.Array:
        if isinstance(x, jax.Array) and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            # Keys cannot be put on other processes' devices, the numbers that they are can.
            data = jax.device_put(jax.random.key_data(x), sharding)
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
        return jax.device_put(x, sharding)

    return jax.tree.map(put, tree)


def check_divisible(
    batch_size: int, devices: int, *, parts: int = 1, group: int = 1, name: str = "batch_size"
) -> None:
    """Refuses a global batch that the devices cannot share equally.

    Args:
      batch_size: global.
      devices: of all processes.
      parts: that each device computes one after the other.
      group: examples that stay together, such as the 2 of a pair.
      name: of the batch size, for the message.

    Raises:
      ValueError: naming the nearest batch sizes that can be.
    """
    unit = devices * parts * group
    if batch_size % unit:
        below, above = batch_size // unit * unit, -(-batch_size // unit) * unit
        nearest = f"{below} or {above}" if below else f"{above}"
        times = f" times {parts} accumulated parts" if parts > 1 else ""
        times += f" in whole groups of {group}" if group > 1 else ""
        raise ValueError(
            f"{name} = {batch_size} (the global batch) is not divisible by the {devices} devices"
            f"{times}; take {nearest}"
        )
