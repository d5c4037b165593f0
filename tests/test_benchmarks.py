"""What benchmarks print, and what compares it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import sides
from benchmarks.compare import compare, read
from benchmarks.faces import count
from benchmarks.input import Work, images_per_second, share, write_records
from benchmarks.main_memory import Traffic, traffic
from benchmarks.peaks import find_peak
from benchmarks.profile import Kind, kinds, profiled
from data_pipeline.detectors import Face
from data_pipeline.extract.frames import Frame

ROOT = Path(__file__).parents[1]


def result(tmp_path: Path, name: Any, *lines: Any) -> Any:
    path = tmp_path / name
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def line(name: Any, figure: Any, unit: Any, ratio: Any = None, **settings: Any) -> Any:
    more = settings if ratio is None else settings | {"ratio": ratio}
    return {"name": name, "figure": figure, "unit": unit, **more, "versions": {"jax": "1"}}


def compared(before: Any, after: Any, *more: Any) -> Any:
    command = [sys.executable, "-m", "benchmarks.compare", str(before), str(after), *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_speeds_and_costs_are_better_in_opposite_ways(tmp_path: Path) -> None:
    before = result(tmp_path, "a", line("speed", 10.0, "images/s"), line("time", 10.0, "s"))
    after = result(tmp_path, "b", line("speed", 20.0, "images/s"), line("time", 20.0, "s"))
    gains = {name: gain for name, *_, gain in compare(read(before), read(after))}
    assert gains == {"speed": 2.0, "time": 0.5}
    done = compared(before, after)
    assert done.returncode == 1 and "speed" in done.stdout
    assert next(s for s in done.stdout.splitlines() if s.endswith("worse")).startswith("time")
    assert compared(before, after, "--tolerance=0.6").returncode == 0


def test_a_slower_machine_leaves_ratios_alone(tmp_path: Path) -> None:
    before = result(tmp_path, "a", line("step", 10.0, "images/s", 2.0))
    after = result(tmp_path, "b", line("step", 5.0, "images/s", 1.9))
    assert compared(before, after).returncode == 1
    assert compared(before, after, "--by=ratio").returncode == 0
    worse = result(tmp_path, "c", line("step", 10.0, "images/s", 1.0))
    assert compared(before, worse, "--by=ratio").returncode == 1


def test_other_settings_are_no_pair(tmp_path: Path) -> None:
    before = result(tmp_path, "a", line("step", 10.0, "s", batch_size=4))
    after = result(tmp_path, "b", line("step", 5.0, "s", batch_size=8))
    with pytest.raises(ValueError, match="no figure of equal settings is in both"):
        list(compare(read(before), read(after)))
    done = compared(before, after)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_what_is_no_result_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text('{"name": "x", "figure": 1, "unit": "s"}\nnoise\n')
    with pytest.raises(ValueError, match=r"a:2 is not a line that a benchmark prints"):
        read(path)


def test_the_least_time_is_that_of_the_slower_of_computing_and_moving() -> None:
    peak = find_peak("v5e:4x4")
    assert peak.seconds(197e12, 0) == 1 and peak.seconds(0, 2 * 819e9) == 2
    assert find_peak("NVIDIA H200").bytes > find_peak("NVIDIA H100 80GB HBM3").bytes
    assert find_peak("cpu") is None


def test_sides_are_called_in_turns_and_memory_is_that_of_the_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "two_sides.py").write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from benchmarks.sides import answer\n"
        "def tell():\n"
        "    with Path(__file__).with_name('calls').open('a') as file:\n"
        "        print(sys.argv[1:], file=file)\n"
        "answer({'large': lambda: b'x' * 10**8, 'small': tell})\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    monkeypatch.setattr(sys, "argv", ["command", "--flag"])
    results = sides.compare("two_sides", ("a", "b"), ("large", "small"), repeats=2)
    calls = [f"['--side={name}', '--flag']" for name in "ab"]
    assert (tmp_path / "calls").read_text().splitlines() == 3 * calls
    for name in "ab":
        large, small = results["large"][name], results["small"][name]
        assert large.peak_gb - small.peak_gb > 0.09 and min(large.seconds, small.seconds) > 0
    with pytest.raises(RuntimeError, match="side 'a' ended with status 1"):
        sides.compare("two_sides", "ab", ("gone",), repeats=1)


def test_faces_of_two_detectors_are_counted_and_paired() -> None:
    def face(x: float, side: float = 40) -> Face:
        return Face(np.array([x, 0, x + side, side]), np.zeros((5, 2)), 0.9)

    class Found:
        def __init__(self, *by_frame: list[Face]) -> None:
            self._left = iter(by_frame)

        def detect(self, image: np.ndarray) -> list[Face]:
            return next(self._left)

    frames = [Frame(i, i / 25, np.zeros((64, 256, 3), np.uint8)) for i in range(3)]
    # The same face, moved by a quarter; another one; one too small to count.
    first = Found([face(0)], [face(0), face(100)], [])
    second = Found([face(10)], [face(200)], [face(0, side=10)])
    counts = count(frames, {"a": first, "b": second})
    assert (counts["faces_a"], counts["faces_b"], counts["faces_both"]) == (3, 2, 1)
    assert (counts["frames_with_face_a"], counts["frames_with_face_b"]) == (2, 2)
    assert counts["frames"] == 3


def test_a_host_s_processes_share_its_cores_and_the_global_batch(tmp_path: Path) -> None:
    there = sorted(os.sched_getaffinity(0))[:2]
    shares = tuple(tuple(share(index, 2, 2)) for index in range(2))
    assert {core for own in shares for core in own} == set(there)
    assert share(0, 1, 2) == there and share(1, 4, 1) == there[:1]
    write_records(tmp_path, 32)
    todo = Work(str(tmp_path), ("none",), 32, batch_size=4, batches=1, runs=1, shares=shares)
    assert images_per_second(todo)["none"] > 0
    with pytest.raises(RuntimeError, match="a process ended early"):
        images_per_second(dataclasses.replace(todo, records=str(tmp_path / "gone")))


def test_a_profile_tells_layers_and_directions_apart() -> None:
    class Block(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            for i in range(2):
                x = nn.Dense(64, name=f"layer_{i}")(x)
            return x

    block, x = Block(), jnp.ones((256, 64))
    params = block.init(jax.random.key(0), x)
    step = jax.jit(jax.grad(lambda params: (block.apply(params, x) ** 2).sum()))
    compiled = step.lower(params).compile()

    total, seconds = profiled(
        lambda: jax.block_until_ready(compiled(params)), kinds(compiled.as_text()), calls=2
    )

    for backward in (False, True):
        assert 0 < total[Kind("Block/layer/dot_general", backward)] < 1e9 * seconds, total


PROGRAM = """HloModule step

inner {
  %a = bf16[4,128]{1,0:TILED} parameter(0)
  ROOT %b = bf16[4,128]{1,0:TILED} negate(%a)
}

ENTRY %main (x: bf16[2,100,24]) -> f32[24] {
  %x = bf16[2,100,24]{2,1,0:TILED} parameter(0)
  %in = (bf16[2,100,24]{2,1,0:TILED}, bf16[1,100,24]{2,1,0:TILEDS(1)}, s32[]{:S(2)}) slice-start(%x)
  %near = bf16[1,100,24]{2,1,0:TILEDS(1)} slice-done(%in)
  %sum = f32[24]{0:T(128)} fusion(%near, %x), backend_config={"estimated_cycles":"70"}
  ROOT %all = f32[24]{0:T(128)} negate(%sum), backend_config={"estimated_cycles":"5"}
}
""".replace("TILED", "T(8,128)(2,1)")


def test_traffic_is_what_main_memory_has_as_large_as_its_tiles() -> None:
    channels, rows = 128, 104  # of 24 and 100, in tiles of 8 by 128
    image = rows * channels * 2
    sums = channels * 4
    copied = image  # one image of two is read, and written where it costs nothing
    assert traffic(PROGRAM) == Traffic(copied + (2 * image + sums) + 2 * sums, 75)
    assert traffic("HloModule step") == Traffic(0, 0)
