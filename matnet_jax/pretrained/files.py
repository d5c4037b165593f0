"""Checkpoint files of other frameworks as named arrays; what kind one is, its first bytes tell.

A pickle is never executed: PyTorch files go through its restricted unpickler, which makes tensors
and plain containers and refuses everything else.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from matnet_jax.pretrained.keras_files import KerasWeights, read_keras

_TORCH_HINT = (
    "install PyTorch (pip install 'matnet-jax[torch]'), or convert the file to safetensors where "
    "PyTorch is: safetensors.torch.save_file(state_dict, 'weights.safetensors')"
)


class CheckpointFileError(ValueError):
    """A file is no checkpoint, is damaged, or needs a package that is not installed."""


def load_state_dict(path: str | Path) -> dict[str, Any]:
    """Reads a PyTorch (`.pth`, `.pt`, `.bin`) or safetensors file.

    Returns:
      What the file holds with tensors as NumPy arrays: a state dict, or a dict around one.

    Raises:
      CheckpointFileError: not such a file, truncated, with code in its pickle, or PyTorch is
        needed and not installed.
      FileNotFoundError: there is no such file.
    """
    loaded = read_file(Path(path))
    if isinstance(loaded, KerasWeights):
        raise CheckpointFileError(f"{path} is a Keras file; use initialize or from_pretrained")
    return loaded


def read_file(path: Path) -> dict[str, Any] | KerasWeights:
    """A state dict, or the layers of a Keras file; errors as in `load_state_dict`."""
    kind = _kind(path)
    try:
        if kind == "keras":
            return read_keras(path)
        return _read_safetensors(path) if kind == "safetensors" else _read_torch(path)
    except ImportError as error:
        hint = _TORCH_HINT if error.name == "torch" else f"pip install {error.name}"
        raise CheckpointFileError(f"reading {path} needs {error.name}: {hint}") from error
    except pickle.UnpicklingError as error:
        raise CheckpointFileError(
            f"{path} is refused: its pickle holds more than tensors and plain containers, and "
            f"running its code could do anything ({_first_line(error)}). If you trust it, load it "
            "in PyTorch and save its state dict alone: torch.save(model.state_dict(), …)"
        ) from error
    except CheckpointFileError:
        raise
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointFileError(
            f"{path} is damaged or incomplete ({_first_line(error)}); "
            f"it has {path.stat().st_size} bytes: fetch it again"
        ) from error


def _kind(path: Path) -> str:
    if path.is_dir():
        raise CheckpointFileError(f"{path} is a folder; a .pth, .safetensors or .h5 file is wanted")
    with open(path, "rb") as file:
        head = file.read(16)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras"
    if head.startswith(b"PK\x03\x04"):
        # PyTorch and Keras both write zip archives; a truncated one has lost its directory.
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _kind_of_zip(path, archive.namelist())
        return "keras" if path.suffix == ".keras" else "torch"
    if head[8:9] == b"{":
        return "safetensors"
    if head.startswith(b"\x80"):
        return "torch"
    raise CheckpointFileError(
        f"{path} is no checkpoint that this library reads: it begins with {head!r}. Known: PyTorch "
        "(.pth), safetensors, Keras (.h5, .weights.h5, .keras), and folders of this library's own"
    )


def _kind_of_zip(path: Path, names: list[str]) -> str:
    if "model.weights.h5" in names:
        return "keras"
    if any(name.endswith("/constants.pkl") for name in names):
        raise CheckpointFileError(
            f"{path} is a TorchScript program, of which only PyTorch has the weights: "
            "torch.save(torch.jit.load(FILE, map_location='cpu').state_dict(), …)"
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise CheckpointFileError(
            f"{path} is a zip archive, and neither PyTorch's nor Keras's: it holds "
            f"{', '.join(names[:3]) or 'nothing'}"
        )
    return "torch"


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def _read_torch(path: Path) -> dict[str, Any]:
    import torch

    # Numbers of NumPy, which authors store in their logs, are data; all else stays refused.
    with torch.serialization.safe_globals(_numpy_scalars()):
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(loaded, Mapping):
        raise CheckpointFileError(
            f"{path} holds a {type(loaded).__name__}; wanted a dict of tensors, as state_dict() is"
        )
    return _as_arrays(loaded)


def _numpy_scalars() -> list[Any]:
    scalar = np.float64(0).__reduce__()[0]
    names = [f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")]
    kinds = [type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4", "?")]
    return [np.dtype, *kinds, *((scalar, name) for name in names)]


def _as_arrays(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _as_arrays(entry) for key, entry in value.items()}
    if hasattr(value, "detach"):
        value = value.detach()
        if value.is_sparse:
            value = value.to_dense()
        # NumPy has no bfloat16; our variables are float32 anyway.
        return (value.float() if value.is_floating_point() else value).numpy()
    return value


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
