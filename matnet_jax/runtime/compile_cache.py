"""Compiled programs kept on disk between runs: JAX's persistent cache, in the user's folder."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

import jax

from data_pipeline.files import cache_folder


def use_compile_cache() -> None:
    """Lets JAX keep what it compiles, and load it in later runs.

    The commands call this; a library's users keep their own settings unless they call it too. JAX's
    environment variables go first: ``JAX_COMPILATION_CACHE_DIR`` for another folder,
    ``JAX_ENABLE_COMPILATION_CACHE=false`` for none. Programs may be deleted at any time.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(default_directory()))


def default_directory() -> Path:
    """``compiled/…`` in the cache folder; one folder a kind of CPU.

    JAX's own key leaves the processor out: in a home shared by unlike machines, a program could be
    loaded that uses instructions which the processor lacks.
    """
    return cache_folder() / "compiled" / _processor()


def _processor() -> str:
    lines = {platform.machine(), platform.processor()}
    info = Path("/proc/cpuinfo")
    if info.exists():
        kinds = ("model name", "flags", "Features")  # x86's and ARM's names of them
        lines |= {line for line in info.read_text().splitlines() if line.startswith(kinds)}
    digest = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    return f"{platform.machine()}-{digest[:12]}"
