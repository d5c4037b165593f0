"""Compiled programs on disk, and who decides where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from matnet_jax.runtime.compile_cache import default_directory

ROOT = Path(__file__).parents[1]
PROGRAM = """
import jax
from matnet_jax.runtime.compile_cache import use_compile_cache
events = []
jax.monitoring.register_event_listener(lambda name, **_: events.append(name.split("/")[-1]))
use_compile_cache()
jax.jit(lambda x: (x @ x).sum())(jax.numpy.ones((8, 8)))
print(events.count("cache_misses"), events.count("cache_hits"))
"""


def run(tmp_path: Path, **environment: Any) -> list[int]:
    """Misses and hits of a fresh process."""
    clean = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=clean
        | {"XDG_CACHE_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
        | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(n) for n in done.stdout.split()]


def test_a_second_process_loads_what_the_first_compiled(tmp_path: Path) -> None:
    [misses, hits] = run(tmp_path)
    assert misses and not hits
    assert run(tmp_path) == [0, misses]


def test_jax_settings_go_first(tmp_path: Path) -> None:
    run(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"))
    assert any((tmp_path / "own").iterdir()) and not (tmp_path / "home").exists()
    assert run(tmp_path, JAX_ENABLE_COMPILATION_CACHE="false") == [0, 0]
    assert not (tmp_path / "home").exists()


def test_unlike_processors_have_unlike_folders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    here = default_directory()
    assert here.is_relative_to(tmp_path / "matnet_jax") and here == default_directory()
    monkeypatch.setattr("platform.processor", lambda: "another")
    assert default_directory() != here
