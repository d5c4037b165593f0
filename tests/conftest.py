"""Fixtures for every test, and where the optional shared material is looked for."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Before JAX starts: eight fake devices let sharded steps run on any machine.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Where two cores play them all, a device may come late to a sum: XLA ends the process after 40 s.
_FLAG = (
    "--xla_force_host_platform_device_count=8"
    " --xla_cpu_collective_call_terminate_timeout_seconds=600"
)
# Its emitters start a compiler of their own for each fusion: half of a tiny program's time. XLA
# ends the process over a flag that it does not know, and 0.11.2 and 0.12 know this one no more.
if version("jaxlib").startswith("0.10."):
    _FLAG += " --xla_cpu_use_fusion_emitters=false"
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}".strip()

# XLA's pool has a thread a device, and each waits inside a sum for all the others: two sums that do
# not need one another then wait for threads that they hold themselves, for good.
os.environ.setdefault("PJRT_NPROC", "32")

# Tests that import ONNX Runtime by themselves tell its makers nothing either.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Nearly all programs here run once or twice on tiny shapes: compiling them takes longest.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

# What one test compiled another loads, in subprocesses and in later runs too.
_ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_ROOT / ".pytest_cache" / "compiled"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax  # noqa: E402
import pytest  # noqa: E402

_SHARED = _ROOT / ".." / "shared"


_BY_PARAMETER = ("tests/test_families.py", "tests/test_parity.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under ``--dist loadfile`` workers share the longest files, each parameter's tests together.

    Marks of ``--dist loadgroup`` would say it, but xdist 3.8 loses them under pytest 9.2.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, parameter = nodeid.split("::")[0], nodeid.partition("[")[2]
            return f"{file}[{parameter}" if file in _BY_PARAMETER else file

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


_MUCH = 3e9  # bytes
_MANY = 30_000  # pieces of memory, of the 65,530 that Linux gives a process


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """What JAX keeps of a file's programs goes where a worker grew: whole runs came to 17 GB."""
    yield
    statm = Path("/proc/self/statm")  # of Linux
    pages = int(statm.read_text().split()[1]) if statm.is_file() else 0
    if pages * os.sysconf("SC_PAGE_SIZE") > _MUCH:
        _forget()


@pytest.fixture(autouse=True)
def room_for_programs() -> Iterator[None]:
    """Programs go before there is no memory for the next: of JAX 0.12 each takes many pieces."""
    yield
    maps = Path("/proc/self/maps")
    if maps.is_file() and maps.read_bytes().count(b"\n") > _MANY:
        _forget()


def _forget() -> None:
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope="module")
def optimized() -> Iterator[None]:
    """Programs as users compile them: for tests of the compiled code, and of full size."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="module")
def two_devices() -> Iterator[None]:
    """`train` and `evaluate` on two of the fake devices, which two cores can run at once."""
    import matnet_jax.evaluation.run
    import matnet_jax.train.run
    from matnet_jax.runtime.sharding import data_mesh

    with pytest.MonkeyPatch.context() as patch:
        for module in (matnet_jax.train.run, matnet_jax.evaluation.run):
            patch.setattr(module, "data_mesh", lambda: data_mesh(jax.devices()[:2]))
        yield


@pytest.fixture(scope="module")
def no_charts() -> Iterator[Any]:
    """Reports without what matplotlib draws, which takes longer than evaluating a tiny network.

    Its value is the function that draws.
    """
    from markupsafe import Markup

    import matnet_jax.report.drawing

    with pytest.MonkeyPatch.context() as patch:
        drawing, empty = matnet_jax.report.drawing._inline_svg, Markup("<svg></svg>")
        patch.setattr(matnet_jax.report.drawing, "_inline_svg", lambda *_: empty)
        yield drawing


def _directory(variable: str, default: Path) -> Path:
    path = Path(os.environ.get(variable, default)).resolve()
    if not path.is_dir():
        pytest.skip(f"no {path}: set {variable} to run this test")
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real videos in official layouts; skips where they are absent."""
    return _directory("MATNET_TEST_DATA", _SHARED / "data")


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """Face detectors' weight files; skips where they are absent."""
    return _directory("MATNET_TEST_MODELS", _SHARED / "models")


@pytest.fixture(scope="session")
def shared_parity() -> Path:
    """Golden tensors of the released recipe; skips where they are absent."""
    return _directory("MATNET_TEST_PARITY", _SHARED / "parity")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """Authors' weights of other systems; skips where they are absent."""
    return _directory("MATNET_TEST_WEIGHTS", _SHARED / "weights")
