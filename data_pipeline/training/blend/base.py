"""What makes a pair (real, fake) of a real example."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Annotated, Any, Literal, Protocol, get_args, get_origin

import numpy as np

from data_pipeline.training.example import Example


class PairOp(Protocol):
    """One way to make a fake: a frozen dataclass, some of whose fields are options of a config.

    Its `size` is the network's; its `margin`, where there is one, is fixed in validation (see
    `for_validation`). It raises ValueError for options that do not go together.
    """

    @property
    def size(self) -> int:
        """Side of the pair's images, in pixels."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """What of an example it needs beside image and label, of `FIELDS`."""
        ...

    @property
    def needs_donor(self) -> bool:
        """Whether the fake takes something from another real example."""
        ...

    def pair(
        self, example: Example, draw: np.random.Generator, donor: Example | None = None
    ) -> tuple[Example, Example]:
        """A real example, label 0, and a fake, label 1; both have masks and the same landmarks.

        Args:
          example: a real one with the fields that it `reads`; it is left as it is.
          draw: everything is drawn from it.
          donor: another real one with the same fields, where it `needs_donor`.
        """
        ...


def option_names(kind: type) -> tuple[str, ...]:
    """The fields of a kind of pairs that a config sets.

    Those that are numbers, texts, booleans or tuples of them, but for those of the protocol.
    """
    hints = typing.get_type_hints(kind, include_extras=True)
    own = ("size", "reads", "needs_donor")
    names = [field.name for field in dataclasses.fields(kind) if field.name not in own]
    return tuple(name for name in names if _is_plain(hints[name]))


def _is_plain(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        return _is_plain(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return True
    plain = (int, float, str, bool, types.NoneType, ...)
    return hint in plain or (bool(get_args(hint)) and all(map(_is_plain, get_args(hint))))
