"""Batches of records and of pairs: a mixture by shares, a pure function of (seed, step)."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping

import numpy as np

from data_pipeline.training.sampler import Sampler

RECORDS = "records"
"""The kind of an example that is taken as it is."""
_GOLDEN = (5**0.5 - 1) / 2


@dataclasses.dataclass(frozen=True)
class Share:
    """The share that examples of one kind have of a batch, which may change linearly.

    Attributes:
      start: at step 0, from 0 to 1.
      end: from the end of the change on.
    """

    start: float
    end: float

    @classmethod
    def parse(cls, text: str) -> tuple[str, Share]:
        """Of "kind=0.5", or "kind=1:0.5" for a change from 1 to 0.5; the kind comes first.

        Raises:
          ValueError: the text has not that form.
        """
        kind, equals, numbers = text.rpartition("=")
        start, colon, end = numbers.partition(":")
        try:
            share = cls(float(start), float(end if colon else start))
        except ValueError:
            equals = ""
        if not kind or not equals or not (0 <= share.start <= 1 and 0 <= share.end <= 1):
            raise ValueError(
                f"a share is a text such as 'records=0.5' or 'records=0:0.5', with numbers from 0 "
                f"to 1; got {text!r}"
            )
        return kind, share


def check_shares(shares: Mapping[str, Share]) -> None:
    """Refuses shares that are not those of a whole, at the start or at the end.

    Raises:
      ValueError: they do not sum to 1.
    """
    for when in ("start", "end"):
        values = {kind: getattr(share, when) for kind, share in shares.items()}
        if abs(sum(values.values()) - 1) > 1e-6:
            listed = " + ".join(f"{kind} {value:g}" for kind, value in values.items())
            raise ValueError(
                f"the shares of a batch sum to 1; at the {when} they are {listed} = "
                f"{sum(values.values()):g}"
            )


class Mixture:
    """The sampler of batches that hold pairs (real, fake) made of real examples.

    A batch is cut into places of two: a place has a pair, or two examples of the records. Kinds
    take turns over the batch, so that any part of it has about its share of each. How many places
    a kind has at a step is rounded by systematic sampling whose offset moves on by the golden ratio
    from step to step: up or down, and in the long run by its share, to a few places.

    Real examples of a kind of pairs come in an order of their own, each once before any comes
    again.

    An epoch is as long as the records' own, in examples, where the mixture has records, and has
    each real example once where it has none: durations mean the same with and without pairs.

    Args:
      shares: by kind: `RECORDS` and names of kinds of pairs.
      over: steps an epoch -> steps in which shares go from their start to their end.
      batch_size: global.
      seed: of order and augmentation.
      records: the order of examples that are taken as they are; None where they have no share.
      labels: [N], 0 real, 1 fake, of the source.
      videos: [N], a video an example, for `frames_per_video`.
      frames_per_video: of the real examples that pairs are made of, in one epoch, as of `Sampler`.

    Raises:
      ValueError: shares that do not sum to 1, an odd batch, no real examples, or no records.
    """

    def __init__(
        self,
        shares: Mapping[str, Share],
        *,
        over: Callable[[int], int] = lambda steps_per_epoch: 0,
        batch_size: int,
        seed: int,
        records: Sampler | None,
        labels: np.ndarray,
        videos: np.ndarray | None = None,
        frames_per_video: int | None = None,
    ) -> None:
        check_shares(shares)
        if batch_size % 2:
            raise ValueError(f"pairs need an even batch size, not {batch_size}")
        self._reals = np.flatnonzero(np.asarray(labels) == 0)
        if not len(self._reals):
            raise ValueError("the training split holds no real examples, which pairs are made of")
        self._kinds = tuple(shares)
        self._ends = np.array([(s.start, s.end) for s in shares.values()])
        self._seed = seed
        self.batch_size = batch_size
        own = None if videos is None else np.asarray(videos)[self._reals]
        self._samplers: dict[str, Sampler] = {}
        for kind in self._kinds:
            if kind == RECORDS:
                if records is None:
                    raise ValueError("a mixture with records needs their sampler")
                self._samplers[kind] = records
                continue
            self._samplers[kind] = Sampler(
                np.zeros(len(self._reals)),
                batch_size=batch_size // 2,
                seed=_stream(seed, kind),
                videos=own,
                frames_per_video=frames_per_video,
            )
        self._over = over(self.steps_per_epoch)
        # Places of each kind before step t, for t = 0, 1, …; it grows as steps are asked for.
        self._before = np.zeros((1, len(self._kinds)), np.int64)

    @property
    def kinds(self) -> tuple[str, ...]:
        """In the order of the shares; `layout` counts them."""
        return self._kinds

    @property
    def steps_per_epoch(self) -> int:
        """See the class."""
        if RECORDS in self._samplers:
            return -(-self._samplers[RECORDS].epoch_size // self.batch_size)
        return self._samplers[self._kinds[0]].steps_per_epoch

    def counts(self, steps: np.ndarray) -> np.ndarray:
        """Places of two that each kind has at some steps: int64 [T, kinds].

        Args:
          steps: int [T].
        """
        places = self.batch_size // 2
        done = np.minimum(steps / self._over, 1.0) if self._over else np.ones(len(steps))
        shares = self._ends[:, 0] + done[:, None] * (self._ends[:, 1] - self._ends[:, 0])
        bounds = np.cumsum(shares, axis=1) * places
        bounds[:, -1] = places  # rounding aside, it is
        # Ticks at offset, offset + 1, …: how many are below each bound.
        offset = (steps * _GOLDEN + 0.5) % 1.0
        below = np.ceil(bounds - offset[:, None]).clip(0, places).astype(np.int64)
        return np.diff(below, axis=1, prepend=0)

    def layout(self, step: int) -> np.ndarray:
        """The kind of each example of a batch, as its number in `kinds`: int64 [B].

        Kinds are spread evenly, two examples at a time.
        """
        [counts] = self.counts(np.array([step]))
        kinds = np.repeat(np.arange(len(counts)), counts)
        middles = np.concatenate([(np.arange(n) + 0.5) / n for n in counts if n])
        return np.repeat(kinds[np.argsort(middles, kind="stable")], 2)

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The global batch of a step; both of a pair have one row and one seed.

        Args:
          step: counted from 0.

        Returns:
          Rows of the source, int64 [B], and a seed for each row's augmentation, uint32 [B].
        """
        layout, before = self.layout(step), self._places_before(step)
        rows = np.empty(self.batch_size, np.int64)
        seeds = np.random.SeedSequence([self._seed, step]).generate_state(self.batch_size)
        for number, kind in enumerate(self._kinds):
            own = layout == number
            start, count = int(before[number]), int(own.sum()) // 2
            if kind == RECORDS:
                rows[own] = self._samplers[kind].rows(2 * start, 2 * count)
            else:
                rows[own] = np.repeat(self._reals[self._samplers[kind].rows(start, count)], 2)
                seeds[own] = np.repeat(seeds[own][::2], 2)
        return rows, seeds.astype(np.uint32)

    def _places_before(self, step: int) -> np.ndarray:
        before = self._before
        if step >= len(before):
            # Twice as many as are needed: a run adds up its steps a few times, not at each.
            more = self.counts(np.arange(len(before) - 1, 2 * step + 1))
            before = np.concatenate([before, before[-1] + np.cumsum(more, axis=0)])
            self._before = before  # replaced, not changed: threads read it
        return before[step]


def _stream(seed: int, kind: str) -> int:
    """A seed of its own for each kind, whatever others there are."""
    state = np.random.SeedSequence([seed, zlib.crc32(kind.encode())]).generate_state(1)
    return int(state[0])
