"""What every detector is: a Flax module, the objective it trains with, and the family of both."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from matnet_jax.detectors.fields import (
    IMAGE_SIZE,
    PIXEL_MEAN,
    PIXEL_STD,
    check_values,
    declared_fields,
    one_of,
)

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
Steps = Callable[[str], int]
"""A duration in words, such as "5 epochs", to steps of the run."""
Provenance = Literal["port", "port-data", "third-party", "reconstruction", "own"]
"""Whose code a family follows: its authors', theirs for the data alone, somebody else's; nobody's,
since none was published; or it is a network of this library's own."""


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """How pixels become the network's input: resize to image_size, /255, minus mean, over std."""

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def normalize(self, pixels_0_255: jax.Array) -> jax.Array:
        """uint8 RGB [..., 3] -> float32."""
        mean, std = (jnp.asarray(v, jnp.float32) for v in (self.mean, self.std))
        return (pixels_0_255.astype(jnp.float32) / 255.0 - mean) / std


class Detector(nn.Module):
    """A network that tells forged faces from real ones.

    A family subclasses it with ``__call__(images, *, train=False) -> outputs``: images [B, H, W, 3]
    RGB, normalised floats; outputs a dict of arrays, or a struct that reads as one, with ``logits``
    [B, 2] float32, class 1 fake. It also takes ``weight``, [B] float32 or None: an example of
    weight 0 enters no batch statistics.

    One of clips has a field ``clip_length``, T: where that is above 1, it is given [B, T, H, W, 3].
    It has logits for the clip, or [B, T, 2] for each frame; score and heat maps are likewise.

    Attributes:
      image_size: side in pixels that images are prepared at.
      dtype: of computation; parameters, statistics and losses stay float32.
      mean: of pixels in [0, 1], a channel each, for `preprocess`.
      std: of pixels in [0, 1], a channel each.
      mirrored: evaluation and prediction score each image and its mirror image, at twice the cost:
        P(fake) and heat maps are means of both.
    """

    image_size: Annotated[int, IMAGE_SIZE] = 224
    dtype: Annotated[jnp.dtype, one_of("float32", "bfloat16")] = jnp.float32
    mean: Annotated[tuple[float, float, float], PIXEL_MEAN] = (0.5, 0.5, 0.5)
    std: Annotated[tuple[float, float, float], PIXEL_STD] = (0.5, 0.5, 0.5)
    mirrored: bool = False

    @property
    def preprocess(self) -> Preprocess:
        """How images are made ready for this model."""
        return Preprocess(self.image_size, self.mean, self.std)

    @property
    def clip_length(self) -> int:
        """Frames of an example: 1 of a network of single images."""
        return 1

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one example: (S, S, 3), and (T, S, S, 3) of clips of T > 1 frames."""
        frames = (self.clip_length,) if self.clip_length > 1 else ()
        return (*frames, self.image_size, self.image_size, 3)

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"{type(self).__name__}"

    def score(self, out: Any) -> jax.Array:
        """P(fake), of what a forward pass gave: [B] float32; of each frame of a clip [B, T]."""
        return jax.nn.softmax(out["logits"].astype(jnp.float32))[..., 1]

    def heatmaps(self, out: Any) -> dict[str, jax.Array]:
        """Where the network looked: [B, h, w, K], not negative, by name; empty by default.

        [B, T, h, w, K] where each frame of a clip has a score.
        """
        del out
        return {}

    @property
    def trunks(self) -> tuple[str, ...]:
        """Its parts that start from a plain classifier's backbone."""
        return ("features",)

    def adopt(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A plain classifier's arrays by our path, "params/features/…", as those of `trunks`."""
        return dict(arrays)

    def merged(self, variables: Mapping[str, Any]) -> tuple[Detector, Mapping[str, Any]]:
        """A network of the same outputs without what only training needs; itself by default."""
        return self, variables

    def watch(self, variables: Mapping[str, Any]) -> dict[str, float | None]:
        """Numbers of its variables that are worth a curve in training; none by default."""
        del variables
        return {}

    def check_images(self, images: jax.Array) -> None:
        """Raises ValueError unless images are [B, H, W, 3] floats."""
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"images must be [B, H, W, 3] RGB, not {list(images.shape)}")
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise ValueError(
                f"images must be normalised floats, not {images.dtype}: pass uint8 pixels through "
                "model.preprocess.normalize first"
            )


class Forward:
    """A detector's training passes over one batch, each with what the last left in collections.

    Args:
      model: the detector.
      params: its parameters.
      collections: its other variables by collection, such as batch_stats.
      weight: of the batch's examples, [B] float32; None where all count.
    """

    def __init__(
        self,
        model: Detector,
        params: Any,
        collections: Mapping[str, Any],
        weight: jax.Array | None = None,
    ) -> None:
        self._model, self._params, self._weight = model, params, weight
        self.collections = dict(collections)

    def __call__(
        self, images: jax.Array, *, key: jax.Array, keep: Sequence[str] = (), **arguments: Any
    ) -> Any:
        """One pass in training mode.

        Args:
          images: [B, H, W, 3], or clips [B, T, H, W, 3], normalised.
          key: of dropout.
          keep: collections that this pass leaves as they are.
          **arguments: of the module's own.

        Returns:
          What the module gives.
        """
        if self._weight is not None:
            arguments["weight"] = self._weight
        out, moved = self._model.apply(
            {"params": self._params, **self.collections},
            images,
            train=True,
            rngs={"dropout": key},
            mutable=[name for name in self.collections if name not in keep],
            **arguments,
        )
        self.collections |= moved
        return out


class Objective(Protocol):
    """What a family minimises: a frozen dataclass that is a pure function of arrays."""

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """The loss of one batch.

        Args:
          forward: runs the network; two passes are two calls.
          batch: image [B, H, W, 3] or [B, T, H, W, 3] float32, normalised; label [B] int32; weight
            [B] float32, 0 for an example that does not count; index; and what the family `reads`.
          key: of this step.
          step: finished steps, int32 scalar.

        Returns:
          A scalar, and scalars by name to follow; ``loss`` is added to them.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Family:
    """Detectors of one kind: all that the rest of the library has to know of them.

    Attributes:
      title: for people to read.
      model: the module; its fields are those of ``config.model``.
      create: (recipe, **fields) -> module, by default the module with these fields; raises
        ValueError where fields do not go together.
      sections: dataclasses of the objective and what belongs to it, by name: ``config.NAME`` has
        their fields.
      objective: (model, steps, **sections) -> objective; by default the only section is that.
      derive: (**sections) -> fields of the model that follow from them.
      check: (model, **sections), raises ValueError where they do not go together.
      recipes: what a named recipe sets, by section of the config and field.
      reads: what of an example it needs beside image and label: of `example.FIELDS`; or
        (**sections) -> that, where the objective's options decide. `needs` is either.
      provenance: whose code it follows; evaluations and model cards say it.
    """

    title: str
    model: type[Detector]
    create: Callable[..., Detector] | None = None
    sections: Mapping[str, type] = dataclasses.field(default_factory=dict)
    objective: Callable[..., Objective] | None = None
    derive: Callable[..., Mapping[str, Any]] = lambda **sections: {}
    check: Callable[..., None] = lambda model, **sections: None
    recipes: Mapping[str, Mapping[str, Mapping[str, Any]]] = dataclasses.field(
        default_factory=lambda: {"paper": {}}
    )
    reads: tuple[str, ...] | Callable[..., tuple[str, ...]] = ()
    provenance: Provenance = "own"

    def make(self, recipe: str = "paper", **fields: Any) -> Detector:
        """A module of the family.

        Raises:
          ValueError: an unknown recipe or field, or a value out of range; the message lists what
            there is.
        """
        if recipe not in self.recipes:
            raise ValueError(f"unknown recipe '{recipe}'; available: {', '.join(self.recipes)}")
        if self.create is not None:
            return self.create(recipe, **fields)
        own = self.recipes[recipe].get("model", {})
        return build(self.model, {}, own, fields)

    def needs(self, **sections: Any) -> tuple[str, ...]:
        """What of an example training needs beside image and label.

        Args:
          **sections: instances of `sections`.
        """
        return self.reads(**sections) if callable(self.reads) else self.reads

    def make_objective(self, model: Detector, steps: Steps, **sections: Any) -> Objective:
        """What a module of the family is trained with.

        Args:
          model: of `make`.
          steps: turns a duration in words into steps.
          **sections: instances of `sections`.
        """
        if self.objective is not None:
            return self.objective(model, steps, **sections)
        (only,) = sections.values()
        return only


Model = TypeVar("Model", bound=nn.Module)


def build(
    kind: type[Model],
    fields: Mapping[str, Any],
    recipe: Mapping[str, Any],
    overrides: Mapping[str, Any],
) -> Model:
    """A module with fields from three places, the later ones first.

    Raises:
      ValueError: there is no such field: the message has the closest one, and all; or a value that
        the field may not have.
    """
    known = {field.name for field in declared_fields(kind)}
    for name in (*fields, *overrides):
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise ValueError(
                f"{kind.__name__} has no field '{name}'{hint} Available: {', '.join(sorted(known))}"
            )
    # Variables are kept by module: its fields have to be hashable.
    values = {
        name: tuple(value) if isinstance(value, (list, np.ndarray)) else value
        for name, value in {**fields, **recipe, **overrides}.items()
    }
    check_values(kind, values)
    return kind(**values)
