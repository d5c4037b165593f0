"""The library against stored results of the NumPy reference (see `make_golden`)."""

from __future__ import annotations

from typing import Any

import jax
import make_golden
import numpy as np
import pytest

from matnet_jax.detectors.mat import losses


@pytest.fixture(scope="module")
def golden() -> Any:
    return np.load(make_golden.PATH)


@pytest.mark.parametrize("name", make_golden.CASES)
def test_library_gives_the_stored_tensors(golden: Any, name: Any) -> None:
    _, _, version, m_in, m_out = make_golden.CASES[name]
    model, variables, stages = make_golden.case(name)
    labels, rate = make_golden.LABELS, make_golden.RATE

    def texture(model: Any, stages: Any) -> Any:
        maps = model.attention(stages["L5"], False)
        return model.texture(stages["L2"], maps, False)

    @jax.jit
    def run(variables: Any, stages: Any) -> Any:
        evaluation = model.apply(variables, stages)
        block = model.apply(variables, stages, method=texture)
        training, _ = model.apply(
            variables,
            stages,
            labels=labels,
            train=True,
            center_rate=rate,
            mutable=["batch_stats", "feature_centers"],
        )
        regions, centers = training.region_features, training.centers
        return {
            **{f"eval_{k}": v for k, v in vars(evaluation).items() if v is not None},
            **{f"train_{k}": v for k, v in vars(training).items() if v is not None},
            "eval_texture_features": block.features,
            "eval_pooled": block.pooled,
            "centers": centers,
            "ril_intra": losses.ril_intra(
                regions, centers, labels, inner_margin=m_in, version=version
            ),
            "ril_inter": losses.ril_inter(
                centers, outer_margin=m_out, center_rate=rate, version=version
            ),
        }

    got = run(variables, stages)
    stored = {k.split("/")[1]: golden[k] for k in golden.files if k.startswith(f"{name}/")}
    assert len(stored) == 15
    for key, want in stored.items():
        scale = max(np.abs(want).max(), 1e-6)
        np.testing.assert_allclose(got[key], want, rtol=0, atol=1e-4 * scale, err_msg=key)


@pytest.mark.parametrize("name", make_golden.CASES)
def test_stored_tensors_are_the_references(golden: Any, name: Any) -> None:
    for key, value in make_golden.compute(name).items():
        if f"{name}/{key}" in golden.files:
            np.testing.assert_allclose(golden[f"{name}/{key}"], value, rtol=1e-5, atol=1e-6)
