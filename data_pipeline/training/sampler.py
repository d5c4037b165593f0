"""The order of training examples: a pure function of (seed, step), for any number of processes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

BALANCES = ("repeat", "batch", "rarer", "source")

_ALL, _REAL, _FAKE, _PARTNER = -1, 0, 1, 2
"""Pools of rows; the last has a real example for each fake, in the order of those."""


class Sampler:
    """Which examples make up the global batch of a step.

    An epoch lists every example, real ones `real_repeat` times, in an order drawn from (seed,
    epoch) alone; batches are cut from the endless sequence of epochs, so none is partial and none
    is dropped. A restart computes the batches it needs and replays nothing.

    Args:
      labels: [N], 0 real, 1 fake.
      batch_size: global.
      seed: of order and augmentation.
      real_repeat: times a real example is in an epoch (4 for FaceForensics++ with its four
        manipulations).
      balance: "repeat"; "batch": half of each batch real, half fake, the rarer class repeated;
        "rarer": the same, but an epoch ends with the rarer class, and the next goes on through the
        other; or "source": as "batch", each fake with a real example of its own source, any of
        them. Where it has none, any real one.
      sources: [N], the source of an example, for balance "source".
      groups: [N], a group an example (its manipulation, say), for `group_weights`.
      group_weights: times that examples of a group are in an epoch, where not once; a fraction
        keeps that share of them, another one each epoch.
      videos: [N], a video an example, for `frames_per_video`.
      frames_per_video: so many of each video's examples are in an epoch, evenly spread, and others
        in the next: their places move on by the golden ratio of the distance between two. None for
        all; a video with fewer has all of its in each epoch.

    Raises:
      ValueError: no examples, an unknown balance, one class only where classes are balanced, or
        not one fake with a real example of its source for balance "source"; weights where classes
        are balanced, or that leave nothing.
    """

    def __init__(
        self,
        labels: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        real_repeat: int = 1,
        balance: str = "repeat",
        sources: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        group_weights: Mapping[str, float] | None = None,
        videos: np.ndarray | None = None,
        frames_per_video: int | None = None,
    ) -> None:
        if balance not in BALANCES:
            raise ValueError(f"unknown balance '{balance}'; available: {', '.join(BALANCES)}")
        if not len(labels):
            raise ValueError("the training split holds no examples")
        self._batch_size, self._seed, self._balance = batch_size, seed, balance
        repeats = np.where(np.asarray(labels) == 0, float(real_repeat), 1.0)
        if group_weights:
            if groups is None:
                raise ValueError("group_weights need the groups of the examples")
            unknown = sorted(set(group_weights) - set(map(str, np.unique(groups))))
            if unknown:
                have = ", ".join(map(str, np.unique(groups)))
                raise ValueError(f"no examples of {', '.join(unknown)}; there are {have}")
            for group, weight in group_weights.items():
                repeats[np.asarray(groups) == group] *= weight
            if balance != "repeat":
                raise ValueError(f"group_weights need balance 'repeat', not {balance!r}")
            if not repeats.any():
                raise ValueError("group_weights leave no example: all that there are weigh 0")
        self._repeats, self._labels = repeats, np.asarray(labels)
        self._frames: _Frames | None = None
        if frames_per_video:
            if videos is None:
                raise ValueError("frames_per_video needs the videos of the examples")
            self._frames = _Frames(videos, frames_per_video)
        self._pools = [self._members(label, 0) for label in (_REAL, _FAKE)]
        if balance != "repeat":
            if not all(len(pool) for pool in self._pools):
                raise ValueError(
                    f"balance {balance!r} needs real and fake examples; one is missing"
                )
            if batch_size % 2:
                raise ValueError(f"balance {balance!r} needs an even batch size, not {batch_size}")
        if balance == "source":
            if sources is None:
                raise ValueError("balance 'source' needs the sources of the examples")
            self._sources = np.unique(np.asarray(sources), return_inverse=True)[1]
            real, fake = (self._sources[pool] for pool in self._pools)
            if not np.isin(fake, real).any():
                raise ValueError(
                    "balance 'source' needs fakes with a real example of their source; of "
                    f"{len(np.unique(fake))} sources of fakes not one has any: take 'batch'"
                )
            self._pools.append(self._pools[_FAKE])  # a partner for each
        self._epoch_size = self._count()
        self._cache: dict[tuple[int, int], np.ndarray] = {}

    @property
    def batch_size(self) -> int:
        """Of the global batch."""
        return self._batch_size

    @property
    def epoch_size(self) -> int:
        """Examples in an epoch."""
        return self._epoch_size

    @property
    def steps_per_epoch(self) -> int:
        """Steps after which every example was seen: the epoch's size in batches, rounded up."""
        return -(-self._epoch_size // self._batch_size)

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The global batch of a step.

        Args:
          step: counted from 0.

        Returns:
          Rows of the source, int64 [B], and a seed for each row's augmentation, uint32 [B].
        """
        rows = self.rows(step * self._batch_size, self._batch_size)
        # One stream of seeds a step: a batch's augmentation replays without the steps before it.
        seeds = np.random.SeedSequence([self._seed, step]).generate_state(self._batch_size)
        return rows, seeds.astype(np.uint32)

    def rows(self, start: int, count: int) -> np.ndarray:
        """Rows of the source from a position of the endless sequence of epochs, int64 [count].

        Args:
          start: even where classes are balanced, as `count` is: real and fake take turns.
          count: of rows.
        """
        if self._balance != "repeat":
            first = _PARTNER if self._balance == "source" else _REAL
            reals, fakes = (self._draw(pool, start // 2, count // 2) for pool in (first, _FAKE))
            return np.stack([reals, fakes], axis=1).reshape(-1).astype(np.int64)
        return self._draw(_ALL, start, count).astype(np.int64)

    def _count(self) -> int:
        if self._balance in ("batch", "rarer"):
            count = max if self._balance == "batch" else min
            return 2 * count(len(pool) for pool in self._pools)
        if self._balance == "source":
            return 2 * len(self._pools[_FAKE])
        return max(int(np.floor(self._repeats[self._members(_ALL, 0)].sum())), 1)

    def _members(self, pool: int, epoch: int) -> np.ndarray:
        """Rows that are in an epoch of a pool: `_REAL`, `_FAKE`, or `_ALL`."""
        rows = np.arange(len(self._labels)) if self._frames is None else self._frames(epoch)
        return rows if pool == _ALL else rows[self._labels[rows] == pool]

    def _draw(self, pool: int, start: int, count: int) -> np.ndarray:
        """`count` entries from position `start` of the endless sequence of a pool's epochs."""
        size = self._epoch_size if pool == _ALL else len(self._pools[pool])
        rows: list[np.ndarray] = [np.zeros(0, np.int64)]
        while count:
            epoch, offset = divmod(start, size)
            part = self._epoch(pool, epoch, size)[offset : offset + count]
            rows.append(part)
            start, count = start + len(part), count - len(part)
        return np.concatenate(rows)

    def _epoch(self, pool: int, epoch: int, size: int) -> np.ndarray:
        """The order of one epoch; the latest two of a pool are kept."""
        key = (pool, epoch)
        order = self._cache.get(key)
        if order is None:
            draw = np.random.default_rng([self._seed, epoch, pool + 1])
            if pool == _ALL:
                order = draw.permutation(self._listed(draw, self._members(pool, epoch)))[:size]
            elif pool == _PARTNER:
                order = self._partners(draw, epoch, self._epoch(_FAKE, epoch, size))
            else:
                order = self._members(pool, epoch)[draw.permutation(size)]
            kept = {k: v for k, v in self._cache.items() if k[0] != pool or k[1] == epoch - 1}
            self._cache = {**kept, key: order}  # replaced, not changed: threads read it
        return order

    def _partners(self, draw: np.random.Generator, epoch: int, fakes: np.ndarray) -> np.ndarray:
        """A real row of each fake's source, or any real row where that has none."""
        reals = self._members(_REAL, epoch)
        reals = reals[np.argsort(self._sources[reals], kind="stable")]
        own, wanted = self._sources[reals], self._sources[fakes]
        first, last = (np.searchsorted(own, wanted, side=side) for side in ("left", "right"))
        alone = first == last
        first, last = np.where(alone, 0, first), np.where(alone, len(reals), last)
        return reals[first + np.floor(draw.random(len(fakes)) * (last - first)).astype(np.int64)]

    def _listed(self, draw: np.random.Generator, members: np.ndarray) -> np.ndarray:
        """Rows by their repeats; the fractional parts are shared out by systematic sampling."""
        repeats = self._repeats[members]
        whole = np.floor(repeats).astype(np.int64)
        rows = np.repeat(members, whole)
        missing = self._epoch_size - len(rows)
        if missing > 0:
            fraction = repeats - whole
            order = draw.permutation(np.flatnonzero(fraction > 0))
            ticks = np.cumsum(fraction[order])
            chosen = np.searchsorted(ticks, (np.arange(missing) + 0.5) * ticks[-1] / missing)
            rows = np.concatenate([rows, members[order[np.minimum(chosen, len(order) - 1)]]])
        return rows


class _Frames:
    """The examples of each video that an epoch has, in the order of the rows."""

    def __init__(self, videos: np.ndarray, count: int) -> None:
        _, numbers = np.unique(np.asarray(videos), return_inverse=True)
        self._order = np.argsort(numbers, kind="stable")
        lengths = np.bincount(numbers)
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        taken = np.minimum(lengths, count)
        video = np.repeat(np.arange(len(taken)), taken)
        place = np.arange(len(video)) - np.repeat(np.cumsum(taken) - taken, taken)
        self._start, self._place = starts[video], place
        self._spacing = (lengths / taken)[video]

    def __call__(self, epoch: int) -> np.ndarray:
        shift = epoch * (5**0.5 - 1) / 2 % 1
        offsets = np.floor((self._place + shift) * self._spacing).astype(np.int64)
        return np.sort(self._order[self._start + offsets])
