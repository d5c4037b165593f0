"""Scores of an image and its mirror image."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from matnet_jax.config.build import build_model
from matnet_jax.detectors.inference import infer
from matnet_jax.detectors.variables import init_variables
from matnet_jax.runtime.config_files import load_config


def test_scores_and_maps_are_means_of_both() -> None:
    model = tiny.patch_model(tiny.tiny_model())
    variables = init_variables(model, 0)
    images = tiny.images(model, 4)
    plain, turned = (infer(model, variables, x) for x in (images, images[..., ::-1, :]))
    both = infer(model.clone(mirrored=True), variables, images)
    assert np.abs(plain.score - turned.score).max() > 1e-4
    np.testing.assert_allclose(both.score, (plain.score + turned.score) / 2, rtol=1e-5)
    for name, maps in both.heatmaps.items():
        want = (plain.heatmaps[name] + turned.heatmaps[name][..., ::-1, :]) / 2
        np.testing.assert_allclose(maps, want, rtol=1e-4, atol=1e-6)
    assert both.heatmaps
    # What the network itself gave is of the image as it is; a mirror image has the same score.
    np.testing.assert_array_equal(both.outputs["logits"], plain.outputs["logits"])
    again = infer(model.clone(mirrored=True), variables, images[..., ::-1, :])
    np.testing.assert_allclose(again.score, both.score, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "mirrored"),
    [
        ("medics", True),
        ("medics:se_resnext", False),
        ("eighteen_years_old", False),
        ("eighteen_years_old:b1", True),
        ("eighteen_years_old:b1_all", False),
    ],
)
def test_the_winners_that_did(config: str, mirrored: bool) -> None:
    assert build_model(load_config(f"systems/{config}")).mirrored is mirrored
