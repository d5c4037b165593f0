"""ONNX, made of the traced network: a node or a few for each of JAX's primitives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from matnet_jax.checkpoints.export.interface import export_folder, interface, outputs, prepared
from matnet_jax.checkpoints.export.onnx.errors import UnsupportedError
from matnet_jax.detectors.base import Detector

ONNX_FILE = "model.onnx"
_MOST_BYTES = 2**31 - 2**20  # of a protocol buffer


def export_onnx(
    model: Detector,
    variables: Mapping[str, Any],
    out: str | Path,
    *,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Writes `model.onnx`, weights included, and `preprocess.json` into a new folder `out`.

    It takes any batch, and computes in float32 whatever the network was trained in.

    Args:
      model: of any family.
      variables: what `model.apply` takes.
      out: the folder.
      about: JSON values to keep beside it, such as the checkpoint's step.

    Raises:
      FileExistsError: `out` is there already.
      ModuleNotFoundError: the package onnx is not installed.
      UnsupportedError: the network computes something that has no counterpart in ONNX here.
    """
    model, variables = prepared(model, variables)
    model = model.clone(dtype=jnp.float32)
    proto = to_onnx(model, variables)
    with export_folder(out, interface(model, variables) | dict(about or {})) as folder:
        (folder / ONNX_FILE).write_bytes(proto.SerializeToString())
    return Path(out)


def to_onnx(model: Detector, variables: Mapping[str, Any]) -> Any:
    """The network of float32 images [b, S, S, 3], or clips, as an `onnx.ModelProto`.

    Raises:
      ModuleNotFoundError, UnsupportedError: see `export_onnx`.
    """
    try:
        from matnet_jax.checkpoints.export.onnx.graph import Graph, constant
        from matnet_jax.checkpoints.export.onnx.interpret import interpret
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "an ONNX file needs the package onnx: pip install 'matnet-jax[onnx]'", name=error.name
        ) from error
    shape = jax.export.symbolic_shape(f"b,{','.join(map(str, model.input_shape))}")
    arrays, tree = jax.tree.flatten(jax.device_get(dict(variables)))

    def function(arrays: list[Any], images: jax.Array) -> dict[str, jax.Array]:
        return outputs(model, jax.tree.unflatten(tree, arrays), images)

    abstract = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays]
    closed, result = jax.make_jaxpr(function, return_shape=True)(
        abstract, jax.ShapeDtypeStruct(shape, jnp.float32)
    )
    graph = Graph(shape[0])
    inputs = [*map(constant, arrays), graph.input("images", tuple(shape))]
    found = interpret(graph, closed, inputs)
    proto = graph.model(dict(zip(sorted(result), found, strict=True)))
    if proto.ByteSize() > _MOST_BYTES:
        raise UnsupportedError(
            f"the network has {proto.ByteSize() / 2**30:.1f} GiB, and an ONNX file holds 2: "
            "export it with --format=stablehlo"
        )
    return proto
