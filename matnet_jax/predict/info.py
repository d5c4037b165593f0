"""What this machine has: for a bug report, and to see that an installation is whole."""

import contextlib
import importlib.metadata
import importlib.util
import os
import platform

from absl import flags

import matnet_jax
from data_pipeline.commands import Command
from data_pipeline.files import cache_folder

_PACKAGES = (
    *("jax", "jaxlib", "flax", "numpy", "opencv-python", "pillow", "av", "pi-heif"),
    *("tensorflow-cpu", "tensorflow"),
)
_WEIGHTS = {".onnx", ".tflite", ".h5", ".keras", ".pth", ".pt", ".bin", ".safetensors", ".npz"}
_DETECTORS = {"mtcnn": "mtcnn", "yunet": "cv2", "retinaface": "onnxruntime"}


def info() -> dict[str, str]:
    """Versions, devices, folders, face detectors, weights; what cannot be told says why."""
    found = {"python": platform.python_version(), "matnet": matnet_jax.__version__}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    found["devices"] = _devices()
    found["cache"] = str(cache_folder())
    compiled = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    found["compiled programs"] = compiled or str(cache_folder() / "compiled")
    found["media"] = _media()
    missing = {n: m for n, m in _DETECTORS.items() if importlib.util.find_spec(m) is None}
    there = [name for name in _DETECTORS if name not in missing]
    found["face detectors"] = ", ".join(
        [*there, *(f"no {name} ({module} is missing)" for name, module in missing.items())]
    )
    found["weights"] = _weights()
    found["packaged weights"] = _packaged()
    return found


def _media() -> str:
    optional = {"videos": "av", "HEIC": "pi_heif"}
    lacking = {what: m for what, m in optional.items() if importlib.util.find_spec(m) is None}
    there = ["pictures", *(what for what in optional if what not in lacking)]
    return ", ".join([*there, *(f"no {what} ({m} is missing)" for what, m in lacking.items())])


def _weights() -> str:
    """What was fetched before; detectors of faces that are not here are fetched once."""
    folder = cache_folder()
    files = sorted(folder.rglob("*")) if folder.is_dir() else []
    names = [str(p.relative_to(folder)) for p in files if p.suffix in _WEIGHTS]
    return ", ".join(names) or f"none in {folder}"


def _packaged() -> str:
    try:
        from matnet_jax.pretrained.packaged import manifests  # JAX, which may be what is broken

        listed = [
            f"{manifest.name} ({'passed the ship gate' if manifest.is_default else 'experimental'})"
            for manifest in manifests()
        ]
    except Exception as error:  # a damaged one is what one wants to see
        return f"none that can be read ({error})"
    return ", ".join(listed) or "none"


def _devices() -> str:
    try:
        import jax

        kinds = [device.device_kind for device in jax.devices()]
    except Exception as error:  # a broken driver raises anything, and is what one wants to see
        return f"none that JAX can use ({str(error).strip().splitlines()[0]})"
    return ", ".join(f"{kinds.count(kind)} × {kind}" for kind in dict.fromkeys(kinds))


def _run(_: flags.FlagValues, __: list[str]) -> None:
    for name, value in info().items():
        print(f"{name + ':':18} {value}")


COMMAND = Command(program="matnet info", about=__doc__ or "", define=lambda values: None, run=_run)
