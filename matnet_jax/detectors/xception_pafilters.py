"""Xception on the responses of four fixed filters that see where JPEG's blocks begin.

A row of F3-Net's comparison (Qian et al., ECCV 2020), after Chen, Sedighi, Boroumand and Fridrich,
"JPEG-phase-aware convolutional neural network for steganalysis of JPEG images", IH&MMSec 2017.
Nobody published the code: a reconstruction, with the filters of the latter before the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from matnet_jax.detectors.base import Family
from matnet_jax.detectors.classifier import CrossEntropy, PlainClassifier, check_backbone
from matnet_jax.detectors.fields import IMAGE_SIZE
from matnet_jax.nn.convolution import xla_convolve
from matnet_jax.nn.filters import phase_aware4

_COLOURS, _REACH = 3, 2
_FIRST = ("conv1", "stem_conv")  # the backbones' first convolutions


class XceptionPAFilters(PlainClassifier):
    """A plain classifier of twelve maps: each colour through each filter, filter by filter.

    Attributes:
      backbone: a name of `matnet_jax.backbones.BACKBONES`.
      image_size: side in pixels that images are prepared at.
      learnable: the filters train on from where they begin.
    """

    backbone: str = "xception"
    image_size: Annotated[int, IMAGE_SIZE] = 299
    learnable: bool = False

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"{self.backbone} on JPEG-phase-aware filters"

    def setup(self) -> None:
        """Makes the submodules."""
        super().setup()
        bank = phase_aware4()
        self.bank = self.param("filters", lambda key: jnp.asarray(bank)) if self.learnable else bank

    def endpoints(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Every stage of the backbone by name, of the filtered images."""
        self.check_images(images)
        return self.features(self.responses(images), train, weight)

    def responses(self, images: jax.Array) -> jax.Array:
        """Of pixels in [0, 1], with zeros around them: [B, H, W, 3] -> [B, H, W, 12]."""
        pixels = images.astype(jnp.float32) * jnp.asarray(self.std) + jnp.asarray(self.mean)
        # Filter f of colour c is output 3f + c, and sees that colour alone.
        kernel = jnp.einsum("hwf,cd->hwcfd", self.bank, jnp.eye(_COLOURS))
        kernel, around = kernel.reshape(*kernel.shape[:3], -1), (_REACH, _REACH)
        # Of a grey level or two: rounded to bfloat16, as on TPUs by default, they would drown.
        exactly = lax.Precision.HIGHEST
        return xla_convolve(pixels, kernel, 1, (around, around), precision=exactly)

    def adopt(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A first convolution of three colours spread over the filters, a quarter to each."""
        adopted = dict(arrays)
        for path in (f"params/features/{name}/kernel" for name in _FIRST):
            if path in adopted and adopted[path].shape[2] == _COLOURS:
                filters = phase_aware4().shape[-1]
                adopted[path] = np.tile(adopted[path], (1, 1, filters, 1)) / filters
        return adopted


FAMILY = Family(
    title="Xception-PAFilters",
    model=XceptionPAFilters,
    sections={"losses": CrossEntropy},
    check=check_backbone,
    recipes={"paper": {"optimizer": {"learning_rate": 2e-4, "weight_decay": 0.0}}},
    provenance="reconstruction",
)
