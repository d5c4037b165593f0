"""Which faces are swapped with which: as many of each kind, with donors who look alike."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np

from data_pipeline.swaps.portraits import Face, Source, SwapError

_NEAREST = 10
"""A donor is one of so many that are nearest to the target and of other people.

Of these, one of those whose person gave a face least often: else a few faces that are near to many
would give most.
"""


@dataclasses.dataclass(frozen=True)
class Planned:
    """A fake to be made.

    Attributes:
      name: unique.
      kind: of `kinds.KINDS`.
      target, donor: indices of the faces.
      width: that the donor's face is brought down to in pixels; None leaves it.
      number: within all; with the seed, it determines every draw.
    """

    name: str
    kind: str
    target: int
    donor: int
    width: int | None
    number: int


def describe(face: Face) -> np.ndarray:
    """What faces are compared by: the colour of the face and its shape, [3 + 2·K].

    A distance of 1 is one unit of mean CIELAB colour (of 255), or 1 % of the face's width in the
    landmarks' root mean square.
    """
    mask = np.zeros(face.image.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, np.rint(cv2.convexHull(face.points)).astype(np.int32), 255)
    colour = cv2.mean(cv2.cvtColor(face.image, cv2.COLOR_RGB2LAB), mask)[:3]
    centred = face.points - face.points.mean(0)
    shape = 100 * centred / max(float(np.ptp(centred[:, 0])), 1e-6) / np.sqrt(len(centred))
    return np.concatenate([colour, shape.ravel()])


def plan(
    sources: Sequence[Source],
    descriptions: np.ndarray,
    *,
    kinds: Sequence[str],
    widths: Sequence[int | None],
    num: int,
    seed: int,
) -> list[Planned]:
    """The fakes to be made; a pure function of its arguments.

    Each kind takes every face as a target once before it takes one twice. Its widths alternate.

    Args:
      sources: of the faces.
      descriptions: [N, …] of the faces.
      kinds: names.
      widths: of donors.
      num: fakes a kind; 0 for none, of faces that only pass as reals.
      seed: of the order of targets and the choice of donors.

    Raises:
      SwapError: all faces are of one person, or a description has another length.
    """
    if not num:
        return []
    people = np.array([source.person for source in sources])
    if len(set(people)) < 2:
        raise SwapError(
            f"{len(sources)} faces of {len(set(people))} person: swaps need two people at least"
        )
    made: list[Planned] = []
    for i, kind in enumerate(kinds):
        draw = np.random.default_rng([seed, i])
        given: Counter[str] = Counter()
        rounds = -(-num // len(sources))
        order = np.concatenate([draw.permutation(len(sources)) for _ in range(rounds)])
        for j, target in enumerate(order[:num]):
            distance = np.linalg.norm(descriptions - descriptions[target], axis=1)
            distance[people == people[target]] = np.inf
            others = int(np.isfinite(distance).sum())
            nearest = np.argsort(distance, kind="stable")[: min(_NEAREST, others)]
            times = np.array([given[people[other]] for other in nearest])
            donor = int(draw.choice(nearest[times == times.min()]))
            given[people[donor]] += 1
            name = f"{kind}_{j:04d}_{sources[target].name}_{sources[donor].name}"
            width = widths[j % len(widths)]
            made.append(Planned(name, kind, int(target), donor, width, len(made)))
    return made
