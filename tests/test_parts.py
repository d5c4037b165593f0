"""A batch in parts: the same results, whatever its length is."""

from __future__ import annotations

import os

import jax
import numpy as np
import pytest
import tiny

from data_pipeline.cores import usable_cores
from matnet_jax.evaluation.step import make_eval_step
from matnet_jax.model import create_detector, init_variables
from matnet_jax.runtime import parts
from matnet_jax.runtime.parts import images_at_once, in_parts


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("count", [1, 3, 6, 7])
def test_every_image_is_given_once_in_its_order(count: int, *, pad: bool) -> None:
    given: list[np.ndarray] = []

    def run(images: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        given.append(images)
        return images[:, 0], {"maps": images * 2}

    images = np.arange(1, 1 + count * 2, dtype=np.uint8).reshape(count, 2)
    scores, maps = in_parts(run, 3, pad=pad)(images)
    np.testing.assert_array_equal(scores, images[:, 0])
    np.testing.assert_array_equal(maps["maps"], images * 2)
    left = count % 3 or 3
    assert [len(part) for part in given[:-1]] == [3] * (len(given) - 1)
    assert len(given[-1]) == (3 if pad else left)
    assert not given[-1][left:].any() and given[-1].dtype == np.uint8


def test_one_image_a_core_on_cpus_and_all_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "usable_cores", lambda: 8)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert [images_at_once(n) for n in (1, 4, 32)] == [1, 4, 8]
    assert [images_at_once(32, frames=n) for n in (4, 8, 16)] == [2, 1, 1]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert images_at_once(32, frames=16) == 32


def test_an_evaluation_step_says_the_same_in_parts() -> None:
    model = create_detector("meso4", image_size=64)
    variables = init_variables(model, 0)
    batch = {
        "image": tiny.pixels(6, 64),
        "label": np.arange(6, dtype=np.int32) % 2,
        "weight": np.array([1, 1, 1, 1, 0.5, 0], np.float32),
    }
    whole = make_eval_step(model)(variables, batch)
    for at_once in (1, 2, 4, 6, 32):  # 4 does not divide 6
        step = make_eval_step(model, at_once=at_once)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), step(variables, batch), whole
        )
        loops = str(jax.make_jaxpr(step)(variables, batch)).count("scan[")
        assert loops == (0 if at_once >= 6 else 1)


def test_cores_where_the_system_does_not_say_which(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert usable_cores() == os.cpu_count()
