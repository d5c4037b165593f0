"""Which extra of setup.cfg brings a package that is not installed."""

from __future__ import annotations

_EXTRAS = {
    **dict.fromkeys(("tensorflow", "array_record", "importlib_resources"), "data"),
    **dict.fromkeys(("av", "pi_heif"), "predict"),
    **dict.fromkeys(("apache_beam", "mtcnn", "psutil"), "video"),
    **dict.fromkeys(
        ("fastapi", "prometheus_client", "pydantic", "python_multipart", "starlette", "uvicorn"),
        "serve",
    ),
    **dict.fromkeys(("onnx", "onnxruntime"), "onnx"),
    "torch": "torch",
}


def what_brings(module: str | None) -> str:
    """What to do about a module that is missing: a sentence, or "" where no extra brings it."""
    extra = _EXTRAS.get((module or "").split(".")[0])
    if extra is None:
        return ""
    return f"this needs the package {module}: pip install 'matnet-jax[{extra}]'"
