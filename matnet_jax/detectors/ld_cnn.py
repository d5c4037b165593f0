"""LD-CNN: Steg.Features as a network whose every part may learn.

Cozzolino, Poggi and Verdoliva, "Recasting residual-based local descriptors as convolutional neural
networks: an application to image forgery detection", IH&MMSec 2017. The authors published no code:
a reconstruction. With ``relaxed=False`` it is Steg.Features to a division's rounding.
"""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from matnet_jax.detectors.base import Family
from matnet_jax.detectors.classifier import CrossEntropy
from matnet_jax.detectors.fields import POSITIVE
from matnet_jax.detectors.steg_features import Residuals, check
from matnet_jax.nn.cooccurrence import RUN, THIRD_ORDER, quantized, residuals, runs
from matnet_jax.nn.initializers import Given
from matnet_jax.nn.layers import Dense

LEVELS = (-1.0, 0.0, 1.0)


def codewords() -> np.ndarray:
    """All runs of four levels, each a column: [4, 81]; column n is n in base 3, lowest first."""
    numbers = np.arange(len(LEVELS) ** RUN)
    digits = numbers[None] // len(LEVELS) ** np.arange(RUN)[:, None] % len(LEVELS)
    return np.asarray(LEVELS, np.float32)[digits]


class LDCNN(Residuals):
    """Residuals, quantiser, nearest codewords, their shares, and a dense layer.

    Attributes:
      relaxed: quantiser and choice of codeword are soft, and learn; otherwise steps, and the dense
        layer alone learns.
      sharpness: of the relaxed quantiser, β·q: how steep its steps are.
      temperature: of the relaxed choice, γ: what the softmax multiplies by.
    """

    relaxed: bool = True
    sharpness: Annotated[float, POSITIVE] = 5.0
    temperature: Annotated[float, POSITIVE] = 10.0

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"LD-CNN, {'relaxed' if self.relaxed else 'constrained'}"

    def setup(self) -> None:
        """Makes the submodules, which start as the descriptor that they recast."""
        words = codewords()
        halves = -0.5 * np.square(words).sum(0)
        for name in ("across", "down"):
            setattr(self, f"residual_{name}", self._start(f"residual_{name}", THIRD_ORDER))
        for name in ("along", "across"):
            setattr(self, f"words_{name}", self._start(f"words_{name}", words))
            setattr(self, f"biases_{name}", self._start(f"biases_{name}", halves))
        self.head = Dense(2, self.dtype)

    def _start(self, name: str, values: Any) -> jax.Array:
        array = np.asarray(values, np.float32)
        if not self.relaxed:
            return jnp.asarray(array)
        return self.param(name, Given(tuple(array.ravel().tolist())), array.shape)

    def __call__(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Images [B, H, W, 3], normalised -> logits [B, 2] float32."""
        del train, weight
        return {"logits": self.head(self.shares(images)).astype(jnp.float32)}

    def shares(self, images: jax.Array) -> jax.Array:
        """How much of the image each codeword is: float32 [B, 162], along, then across."""
        across, down = (
            self.levels(r)
            for r in residuals(self.brightness(images), self.residual_across, self.residual_down)
        )
        halves = []
        for name, axis in (("along", 2), ("across", 1)):
            words, biases = getattr(self, f"words_{name}"), getattr(self, f"biases_{name}")
            both = ((across, axis), (down, 3 - axis))
            found = [self.chosen(x, own, words, biases) for x, own in both]
            total = sum(x.shape[1] * x.shape[2] for x in found)
            halves.append(sum(jnp.sum(x, axis=(1, 2)) for x in found) / total)
        return jnp.concatenate(halves, axis=-1)

    def levels(self, residual: jax.Array) -> jax.Array:
        """Residuals as −1, 0 and 1; relaxed ones between them too."""
        if not self.relaxed:
            return quantized(residual, self.step)
        r, b = residual / self.step, self.sharpness
        return (jnp.tanh(b * (r - 0.5)) + jnp.tanh(b * (r + 0.5))) / 2

    def chosen(self, x: jax.Array, axis: int, words: jax.Array, biases: jax.Array) -> jax.Array:
        """Of each run along an axis its nearest codeword, 1 of 81: [B, H, W] -> [B, h, w, 81].

        |x − c|² is least where x·c − |c|²/2 is largest.
        """
        places = jnp.stack(runs(x, axis), axis=-1)
        # Rounded products would change which codeword is the nearest.
        near = jnp.matmul(places, words, precision=lax.Precision.HIGHEST) + biases
        if self.relaxed:
            return jax.nn.softmax(self.temperature * near, axis=-1)
        return jax.nn.one_hot(jnp.argmax(near, axis=-1), near.shape[-1])


FAMILY = Family(
    title="LD-CNN",
    model=LDCNN,
    sections={"losses": CrossEntropy},
    check=check,
    recipes={
        "paper": {
            "train": {"batch_size": 16},
            "data": {"ops": "none"},
            "optimizer": {"learning_rate": 1e-4, "weight_decay": 0.0},
        }
    },
    provenance="reconstruction",
)
