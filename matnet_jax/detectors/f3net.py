"""F3-Net: a face's frequencies, seen by two Xceptions that look at each other.

Qian, Yin, Sheng, Chen and Shao, "Thinking in frequency: face forgery detection by mining
frequency-aware clues", ECCV 2020. The authors published no code. This follows the paper as far as
it says, and where it is silent what others' code does; the recipe ``public`` is the form in which
that code has been measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from matnet_jax.backbones.xception import Xception
from matnet_jax.detectors.activation import class_activation, evidence_of_places
from matnet_jax.detectors.base import Detector, Family
from matnet_jax.detectors.classifier import CrossEntropy
from matnet_jax.detectors.fields import (
    IMAGE_SIZE,
    NOT_NEGATIVE,
    POSITIVE,
    RATE,
    Derived,
    Range,
)
from matnet_jax.nn.batch_norm import BatchNorm, Norm
from matnet_jax.nn.frequency import band, dct2, inverse_dct2, windowed_dct
from matnet_jax.nn.initializers import ZEROS, Init, Normal
from matnet_jax.nn.layers import Conv, Dense, DepthwiseConv

WINDOW, STRIDE, PADDING = 10, 2, 4
LOCAL_BANDS = 6
_THREE_OR_FOUR = Range(lambda v: v in (3, 4), "3 or 4")


def image_bands(size: int, count: int) -> np.ndarray:
    """The bands of a whole image's spectrum, float32 [count, size, size].

    Low, middle and high are 1/16, 1/8 and the rest of its area; the fourth is all of it.
    """
    low, middle, all_ = int(size / 2.82), size // 2, 2 * size
    edges = ((0, low), (low, middle), (middle, all_), (0, all_))
    return np.stack([band(size, *ends) for ends in edges[:count]])


def window_bands() -> np.ndarray:
    """The bands of a window's spectrum, equally wide: float32 [6, 10, 10]."""
    width = 2 * WINDOW / LOCAL_BANDS
    return np.stack([band(WINDOW, m * width, (m + 1) * width) for m in range(LOCAL_BANDS)])


class BandFilters(nn.Module):
    """What each band lets through: its base, and learned on top 2·sigmoid(w) − 1, in (−1, 1).

    Attributes:
      init: of w, [bands, S, S].
    """

    init: Init = Normal(0.1)

    @nn.compact
    def __call__(self, base: np.ndarray) -> jax.Array:
        """Bases [bands, S, S] -> filters [bands, S, S] float32."""
        learned = self.param("learned", self.init, base.shape)
        return jnp.asarray(base) + 2.0 * nn.sigmoid(learned) - 1.0


class Decomposition(nn.Module):
    """Frequency-aware decomposition (FAD): the image through each band of its spectrum.

    Attributes:
      bands: 3, or 4 with one of the whole spectrum.
    """

    bands: int = 3

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Images [B, S, S, C] -> [B, S, S, bands·C] float32, all channels of a band together."""
        size = images.shape[1]
        filters = BandFilters(name="filters")(image_bands(size, self.bands))
        spectrum = dct2(images)
        return jnp.concatenate(
            [inverse_dct2(spectrum * filters[i][..., None]) for i in range(self.bands)], axis=-1
        )


class LocalStatistics(nn.Module):
    """Local frequency statistics (LFS): how much of each band there is in windows of 10 pixels.

    Attributes:
      form: "log_norm", the paper's: log10 ‖D ⊙ f‖₁ of a window's spectrum D and a band's filter f;
        "mean_log", of public code: Σ log10 |D| · f over the number of the band's coefficients.
      epsilon: added to what a logarithm is taken of, so that a flat window has one.
    """

    form: str = "log_norm"
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """RGB images [B, S, S, 3] in [−1, 1] -> [B, (S − 2) // 2 + 1, …, 6] float32."""
        base = window_bands()
        filters = BandFilters(name="filters")(base).reshape(LOCAL_BANDS, -1)
        grey = images.astype(jnp.float32) @ jnp.float32([0.299, 0.587, 0.114])
        amount = jnp.abs(windowed_dct((grey + 1.0) * 122.5, WINDOW, STRIDE, PADDING))

        def sums(x: jax.Array, f: jax.Array) -> jax.Array:
            return jnp.einsum("bhwk,mk->bhwm", x, f, precision=jax.lax.Precision.HIGHEST)

        if self.form == "mean_log":
            return sums(jnp.log10(amount + self.epsilon), filters) / base.sum((1, 2))
        return jnp.log10(sums(amount, jnp.abs(filters)) + self.epsilon)


class MixBlock(nn.Module):
    """Each stream adds what it attends to in the other: two of [B, S, S, C] -> the same.

    Attention is between rows, in every channel by itself: with both streams' queries and keys side
    by side, A = softmax over j of Σ_w q[i, w]·k[j, w], [S, S]. It gates the other stream's values
    place by place, with a factor 2·sigmoid(γ) − 1 that is 0 at first.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, fad: jax.Array, lfs: jax.Array, train: bool, weight: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """See the class."""
        channels = fad.shape[-1]

        def project(x: jax.Array, name: str) -> jax.Array:
            return Conv(channels, 1, use_bias=True, dtype=self.dtype, name=name)(x)

        energy = sum(
            jnp.einsum("biwc,bjwc->bcij", project(x, f"{name}_query"), project(x, f"{name}_key"))
            for name, x in (("fad", fad), ("lfs", lfs))
        )
        attention = nn.softmax(jnp.asarray(energy, jnp.float32)).transpose(0, 2, 3, 1)

        def added(x: jax.Array, source: str, target: str) -> jax.Array:
            gamma = self.param(f"{source}_gamma", ZEROS, (1,))
            gated = x * (attention * (2.0 * nn.sigmoid(gamma) - 1.0)).astype(x.dtype)
            scale = DepthwiseConv(1, use_bias=True, dtype=self.dtype, name=f"{target}_depthwise")
            norm = BatchNorm(dtype=self.dtype, name=f"{target}_bn")
            return norm(scale(gated), train=train, weight=weight)

        return fad + added(lfs, "lfs", "fad"), lfs + added(fad, "fad", "lfs")


class F3Net(Detector):
    """Xceptions on the decomposition and on the local statistics, mixed twice.

    Attributes:
      image_size: side in pixels; both streams' maps must come out alike, as they do of 299.
      fad_bands: low, middle and high; 4 with the whole spectrum, as all public code has it.
      lfs_form: log_norm, as the paper has it: the logarithm of a band's sum; mean_log, as public
        code has it: the mean of a band's logarithms.
      lfs_epsilon: added before the logarithm.
      mix: the streams attend to each other, after half of Xception's middle and after its blocks.
      dropout_rate: before the dense layer.
      width_coefficient: of Xception's channels.
      middle_blocks: of Xception's middle.
      remat: blocks are computed again in the backward pass, instead of kept.
    """

    image_size: Annotated[int, IMAGE_SIZE] = 299
    fad_bands: Annotated[int, _THREE_OR_FOUR] = 3
    lfs_form: Literal["log_norm", "mean_log"] = "log_norm"
    lfs_epsilon: Annotated[float, POSITIVE] = 1e-6
    mix: bool = True
    dropout_rate: Annotated[float, RATE] = 0.2
    width_coefficient: Annotated[float, POSITIVE] = 1.0
    middle_blocks: Annotated[int, NOT_NEGATIVE] = 8
    remat: Annotated[bool, Derived("config.train.remat")] = False

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return "F3-Net on two Xceptions"

    @property
    def trunks(self) -> tuple[str, ...]:
        """See `Detector.trunks`."""
        return ("fad_trunk", "lfs_trunk")

    def adopt(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Detector.adopt`: the first kernel repeated over the bands, and divided by them."""
        adopted = {}
        for path, array in arrays.items():
            for trunk, copies in (("fad_trunk", self.fad_bands), ("lfs_trunk", LOCAL_BANDS // 3)):
                own = path.replace("/features/", f"/{trunk}/", 1)
                is_first = own == f"params/{trunk}/conv1/kernel"
                adopted[own] = np.tile(array, (1, 1, copies, 1)) / copies if is_first else array
        return adopted

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Images [B, S, S, 3] -> logits [B, 2] float32 and class_activation [B, h, w, 1]."""
        self.check_images(images)
        if images.shape[1:3] != (self.image_size, self.image_size):
            raise ValueError(
                f"images must be {self.image_size} pixels high and wide, as the filters of their "
                f"spectrum are, not {list(images.shape[1:3])}: create_detector('f3net', "
                f"image_size={images.shape[1]}) makes a network for those"
            )

        def trunk(stride: int, name: str) -> Xception:
            return Xception(
                norm=Norm(dtype=self.dtype),
                remat=self.remat,
                stem_stride=stride,
                width=self.width_coefficient,
                middle_blocks=self.middle_blocks,
                name=name,
            )

        trunks = trunk(2, "fad_trunk"), trunk(1, "lfs_trunk")
        local = LocalStatistics(self.lfs_form, self.lfs_epsilon, name="lfs")(images)
        inputs = Decomposition(self.fad_bands, name="fad")(images), local
        streams = [t.stem(x, train, weight) for t, x in zip(trunks, inputs, strict=True)]
        half, last = 3 + self.middle_blocks // 2, 4 + self.middle_blocks
        for part, (first, end) in enumerate(((1, half), (half + 1, last)), start=1):
            streams = [
                t.blocks(x, first, end, train, weight)[f"b{end}"]
                for t, x in zip(trunks, streams, strict=True)
            ]
            self._check_streams(*streams)
            if self.mix:
                fad, lfs = streams
                mix = MixBlock(self.dtype, name=f"mix_{part}")
                streams = list(mix(fad, lfs, train, weight))
        final = [t.tail(x, train, weight) for t, x in zip(trunks, streams, strict=True)]
        features = jnp.concatenate(final, axis=-1).astype(jnp.float32)
        head = Dense(1, self.dtype, name="head")
        dropout = nn.Dropout(self.dropout_rate, deterministic=not train)
        z = head(dropout(jnp.mean(features, axis=(1, 2))))[:, 0].astype(jnp.float32)
        return {
            "logits": jnp.stack([jnp.zeros_like(z), z], axis=-1),
            "class_activation": evidence_of_places(features, head),
        }

    def heatmaps(self, out: Any) -> dict[str, jax.Array]:
        """See `Detector.heatmaps`."""
        return class_activation(out)

    def _check_streams(self, fad: jax.Array, lfs: jax.Array) -> None:
        if fad.shape[1:3] != lfs.shape[1:3]:
            raise ValueError(
                f"image_size {self.image_size} gives the streams maps of {list(fad.shape[1:3])} "
                f"and {list(lfs.shape[1:3])} places, which cannot meet; sizes that do: 299, 256, 64"
            )


_PUBLIC_MODEL: Mapping[str, Any] = {
    "fad_bands": 4,
    "lfs_form": "mean_log",
    "lfs_epsilon": 1e-15,
    "mix": False,
}
RECIPES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "paper": {
        "train": {"batch_size": 128, "duration": "150000 steps"},
        "optimizer": {
            "name": "sgd",
            "learning_rate": 2e-3,
            "momentum": 0.9,
            "weight_decay": 0.0,
            "schedule": "cosine",
        },
    },
    "public": {
        "model": _PUBLIC_MODEL,
        "train": {"batch_size": 12, "duration": "5 epochs"},
        "data": {"balance": "batch"},
        "optimizer": {"learning_rate": 2e-4, "weight_decay": 0.0},
    },
}
"""The paper's text; and the network and training of the public code that was measured."""

FAMILY = Family(
    title="F3-Net",
    model=F3Net,
    sections={"losses": CrossEntropy},
    recipes=RECIPES,
    provenance="third-party",
)
