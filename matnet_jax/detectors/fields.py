"""What a field of a dataclass may be, written where the field stands: ``Annotated[int, COUNT]``.

Configs, their check and their reference page are made from these, and networks made in Python are
held to them.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import flax.linen as nn
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Range:
    """Values that a field may have.

    Attributes:
      holds: value -> whether it may; called with values of the field's type alone.
      text: what it says, after "must be".
    """

    holds: Callable[[Any], bool]
    text: str


def one_of(*values: str) -> Range:
    """Named values, where a `Literal` cannot list them."""
    return Range(lambda v: v in values, "one of " + ", ".join(values))


POSITIVE = Range(lambda v: v > 0, "above 0")
COUNT = Range(lambda v: v >= 1, "at least 1")
NOT_NEGATIVE = Range(lambda v: v >= 0, "at least 0")
FRACTION = Range(lambda v: 0 <= v <= 1, "from 0 to 1")
RATE = Range(lambda v: 0 <= v < 1, "at least 0 and below 1")
DECAY = Range(lambda v: 0 < v <= 1, "above 0, at most 1")
IMAGE_SIZE = Range(lambda v: v >= 32, "at least 32 pixels")
PIXEL_MEAN = Range(lambda v: len(v) == 3, "three numbers, of pixels in [0, 1]")
PIXEL_STD = Range(lambda v: len(v) == 3 and min(v) > 0, "three numbers above 0")

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB pixels in [0, 1], as networks of ImageNet see them."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Of RGB pixels in [0, 1], as CLIP's image towers see them."""


@dataclasses.dataclass(frozen=True)
class Derived:
    """Marks a field that no config sets.

    Attributes:
      source: what does.
    """

    source: str


NumClasses = Annotated[int, COUNT, Derived("real and fake")]


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a dataclass, or of a config.

    Attributes:
      name: in a config dotted, such as "train.batch_size".
      kind: int, float, str, bool or tuple.
      optional: whether None may stand for a value.
      default: before a recipe.
      ranges: what its values must be.
      derived: whether no config sets it.
    """

    name: str
    kind: type
    optional: bool
    default: Any
    ranges: tuple[Range, ...] = ()
    derived: bool = False

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value, as "must be …; got …"; None if nothing is."""
        if value is None and self.optional:
            return None
        wanted = (w.text for w in self.ranges if not w.holds(value))
        text = next(wanted, None) if _has_type(value, self.kind) else _NAMES[self.kind]
        return None if text is None else f"must be {text}; got {value!r}"


def declared_fields(kind: type) -> Iterator[Field]:
    """The fields of a dataclass, in order, less Flax's own; a dtype is the text of its name."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        if issubclass(kind, nn.Module) and field.name in ("parent", "name"):
            continue
        hint, marks = hints[field.name], list[Any]()
        if get_origin(hint) is Annotated:
            hint, *marks = get_args(hint)
        optional = get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)
        if optional:
            hint = next(arg for arg in get_args(hint) if arg is not type(None))
        ranges = tuple(mark for mark in marks if isinstance(mark, Range))
        default: Any = field.default
        if get_origin(hint) is Literal:
            hint, ranges = str, (one_of(*get_args(hint)), *ranges)
        if hint in (jnp.dtype, type(jnp.dtype("float32"))):
            hint, default = str, jnp.dtype(default).name
        derived = any(isinstance(mark, Derived) for mark in marks)
        yield Field(field.name, get_origin(hint) or hint, optional, default, ranges, derived)


def check_values(kind: type, values: Mapping[str, Any]) -> None:
    """Holds values of some of a dataclass' fields to what the fields may be.

    Raises:
      ValueError: with a line for each that may not be.
    """
    problems = [
        f"{kind.__name__}.{field.name} {problem}"
        for field in declared_fields(kind)
        # A config names two dtypes; a program may compute in any.
        if field.name in values and field.name != "dtype"
        if (problem := field.problem(values[field.name])) is not None
    ]
    if problems:
        raise ValueError("\n".join(problems))


_NAMES = {
    float: "a finite number",
    int: "a whole number",
    str: "a string",
    bool: "a boolean",
    tuple: "a tuple",
}


def _has_type(value: Any, wanted: type) -> bool:
    if wanted is float:
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        return is_number and math.isfinite(value)
    if wanted is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if wanted is tuple:
        return isinstance(value, (tuple, list))
    return isinstance(value, wanted)
