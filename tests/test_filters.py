"""Fixed filter banks, and the network that sees a face through four of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from scipy.ndimage import correlate

from matnet_jax.detectors.assembly import flatten
from matnet_jax.detectors.variables import init_variables
from matnet_jax.model import create_classifier, create_detector
from matnet_jax.nn.filters import laplacian_of_gaussian, phase_aware4, srm3, srm30
from matnet_jax.nn.layers import Conv
from matnet_jax.pretrained import initialize
from matnet_jax.pretrained.weights import Weights

FIELDS = {key: value for key, value in tiny.FIELDS.items() if key != "backbone"}


def responses(image: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """Inside the border: [filters, H − 4, W − 4]."""
    found = [
        correlate(image.astype(float), kernel, mode="constant")
        for kernel in bank.transpose(2, 0, 1)
    ]
    return np.stack(found)[:, 2:-2, 2:-2]


def test_what_the_banks_do_not_see() -> None:
    """A constant, and from the second order on a ramp."""
    flat, ramp = np.full((9, 9), 7.0), np.add.outer(3.0 * np.arange(9), 5.0 * np.arange(9))
    for bank in (srm30(), srm30(normalize=True), srm3()):
        np.testing.assert_allclose(responses(flat, bank), 0, atol=1e-5)
    np.testing.assert_allclose(responses(ramp, srm30()[..., 8:]), 0, atol=1e-4)
    assert np.abs(responses(ramp, srm30()[..., :8])).min() > 1
    seen = responses(flat, phase_aware4())
    np.testing.assert_allclose(seen[[0, 2, 3]], 0, atol=1e-5)
    np.testing.assert_allclose(seen[1], 7 * -0.0036, rtol=1e-3)


def test_the_thirty_are_different_and_normalised_by_class() -> None:
    bank = srm30()
    assert bank.shape == (5, 5, 30) and len(np.unique(bank.reshape(25, 30), axis=1).T) == 30
    np.testing.assert_array_equal(bank.sum((0, 1)), 0)
    centres = [-1] * 8 + [-2] * 4 + [-3] * 8 + [-4] * 5 + [-12] * 5
    np.testing.assert_array_equal(bank[2, 2], centres)
    np.testing.assert_allclose(srm30(normalize=True)[2, 2], -1)
    # The third order takes the difference of two second-order residuals, in each direction.
    third = bank[..., 12:20]
    assert {tuple(sorted(kernel[kernel != 0])) for kernel in third.transpose(2, 0, 1)} == {
        (-3, -1, 1, 3)
    }
    # An edge is half of its square, with the line through the centre.
    np.testing.assert_array_equal(bank[:3, :, 26], bank[:3, :, 25])
    np.testing.assert_array_equal(bank[3:, :, 26], 0)


def test_an_impulse_gives_the_flipped_kernel() -> None:
    impulse = np.zeros((9, 9))
    impulse[4, 4] = 1
    np.testing.assert_allclose(
        responses(impulse, srm30()), srm30().transpose(2, 0, 1)[:, ::-1, ::-1], atol=1e-6
    )


def test_waves_are_odd_across_and_even_along() -> None:
    across, down = phase_aware4()[..., 2], phase_aware4()[..., 3]
    np.testing.assert_array_equal(across, -across[:, ::-1])
    np.testing.assert_array_equal(across, across[::-1])
    np.testing.assert_array_equal(down, across.T)
    np.testing.assert_allclose(across[2], [0.0926, -0.2233, 0, 0.2233, -0.0926], rtol=1e-6)


@pytest.mark.parametrize("sigma", [0.8, 2.4])
def test_laplacian_of_gaussian(sigma: float) -> None:
    kernel = laplacian_of_gaussian(sigma)
    assert len(kernel) == 2 * np.ceil(3 * sigma) + 1
    np.testing.assert_allclose([kernel.sum(), np.abs(kernel).sum()], [0, 1], atol=1e-6)
    assert kernel.min() == kernel[len(kernel) // 2, len(kernel) // 2]


def pafilters(**fields: Any) -> Any:
    return create_detector(
        "xception_pafilters", backbone=tiny.FIELDS["backbone"], **FIELDS, **fields
    )


@pytest.mark.parametrize("learnable", [False, True])
def test_responses_of_the_network(learnable: bool) -> None:
    model = pafilters(learnable=learnable)
    variables = init_variables(model, 0)
    assert ("filters" in variables["params"]) == learnable
    pixels = tiny.pixels(2)
    images = model.preprocess.normalize(jnp.asarray(pixels))
    found = model.apply(variables, images, method="responses")
    for f, kernel in enumerate(phase_aware4().transpose(2, 0, 1)):
        for c in range(3):
            want = correlate(pixels[1, ..., c] / 255, kernel, mode="constant")
            np.testing.assert_allclose(found[1, ..., 3 * f + c], want, rtol=1e-4, atol=1e-5)
    traced = jax.make_jaxpr(lambda v, x: model.apply(v, x, method="responses"))(variables, images)
    assert "HIGHEST" in str(traced)  # of a grey level: lost in bfloat16, which TPUs multiply in
    gradient = jax.grad(lambda v: model.apply(v, images, method="responses")[0].sum())(variables)
    assert not learnable or np.abs(gradient["params"]["filters"]).max() > 0


def test_a_classifiers_first_convolution_is_spread_over_the_filters() -> None:
    """Four equal groups of maps give what the classifier's gives on one."""
    model, plain = pafilters(), create_classifier(tiny.FIELDS["backbone"], **FIELDS)
    own = flatten(init_variables(plain, 1))
    variables = initialize(model, Weights("a classifier", own))
    images, path = tiny.images(plain, 2), "params/features/stem_conv/kernel"
    conv = Conv(own[path].shape[-1], stride=2)
    want = conv.apply({"params": {"kernel": own[path]}}, images)
    spread = {"kernel": variables["params"]["features"]["stem_conv"]["kernel"]}
    assert spread["kernel"].shape[2] == 12
    found = conv.apply({"params": spread}, jnp.tile(images, (1, 1, 1, 4)))
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
    for name, array in flatten(variables).items():
        if name != path:
            np.testing.assert_array_equal(array, own[name])
    arrays = model.adopt({"params/features/conv1/kernel": np.ones((3, 3, 3, 32), np.float32)})
    quarter = np.full((3, 3, 12, 32), 0.25)
    np.testing.assert_array_equal(arrays["params/features/conv1/kernel"], quarter)
