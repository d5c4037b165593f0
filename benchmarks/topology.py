"""A mesh of TPU chips that are not there, to compile for."""

from __future__ import annotations

import os

from jax.sharding import Mesh

# libtpu asks Google's cloud where it runs, and lets one process at a time load it: both are for
# computing on chips, and would make a compilation fail or wait.
_COMPILES_ONLY = {"TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}


def slice_mesh(name: str) -> Mesh:
    """All chips of a slice, over which batches are divided.

    Args:
      name: as JAX names slices, such as "v5e:4x4".
    """
    from jax.experimental import topologies

    from matnet_jax.runtime.sharding import data_mesh

    for variable, value in _COMPILES_ONLY.items():
        os.environ.setdefault(variable, value)
    return data_mesh(topologies.get_topology_desc(name, "tpu").devices)
