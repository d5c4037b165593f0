"""Shares of a batch: a pure function of (seed, step), true to the shares, in whole pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.training.mixture import RECORDS, Mixture, Share
from data_pipeline.training.sampler import Sampler

LABELS = np.array([0, 1, 1, 0, 1, 0, 0, 1, 0, 1] * 3)
REALS = np.flatnonzero(LABELS == 0)


def mixture(*texts: str, batch_size: int = 8, over: int = 0, seed: int = 3, **options: Any) -> Any:
    shares = dict(Share.parse(text) for text in texts)
    fields: dict[str, Any] = {"labels": LABELS} | options
    records = Sampler(fields["labels"], batch_size=batch_size, seed=seed)
    return Mixture(
        shares,
        over=lambda steps_per_epoch: over,
        batch_size=batch_size,
        seed=seed,
        records=records if RECORDS in shares else None,
        **fields,
    )


THREE = ("records=0.5", "a=0.3:0.1", "b=0.2:0.4")


def test_batches_are_functions_of_seed_and_step() -> None:
    first, second = (mixture(*THREE, over=30) for _ in range(2))
    sequence = [(*first.batch(step), first.layout(step)) for step in range(60)]
    for step in (59, 0, 31):  # in any order, from a fresh sampler
        again = (*second.batch(step), second.layout(step))
        for have, want in zip(again, sequence[step], strict=True):
            np.testing.assert_array_equal(have, want)
    other = mixture(*THREE, over=30, seed=4)
    assert not np.array_equal(first.batch(2)[0], other.batch(2)[0])


def test_both_of_a_pair_stand_together_with_one_row_and_one_seed() -> None:
    mixed = mixture(*THREE)
    for step in range(20):
        (rows, seeds), layout = mixed.batch(step), mixed.layout(step)
        assert rows.dtype == np.int64 and seeds.dtype == np.uint32 and len(rows) == 8
        pairs = rows.reshape(-1, 2)[layout[::2] > 0]
        assert (layout[::2] == layout[1::2]).all()
        assert (pairs[:, 0] == pairs[:, 1]).all() and not LABELS[pairs].any()
        same = seeds[::2] == seeds[1::2]
        np.testing.assert_array_equal(same, layout[::2] > 0)
        assert len(set(seeds[::2].tolist())) == 4


@settings(max_examples=50, deadline=None)
@given(
    cuts=st.lists(st.floats(0, 1), min_size=1, max_size=3),
    places=st.integers(1, 16),
    start=st.integers(0, 10**6),
)
def test_shares_are_met_over_steps_and_at_each_to_a_place(
    cuts: list[float], places: int, start: int
) -> None:
    shares = np.diff([0.0, *sorted(cuts), 1.0])
    texts = [f"{kind}={share!r}" for kind, share in zip("abcd", shares.tolist(), strict=False)]
    mixed = mixture(*texts, batch_size=2 * places)
    counts = mixed.counts(np.arange(start, start + 100))
    assert (counts >= 0).all() and (counts.sum(axis=1) == places).all()
    assert (np.abs(counts - shares * places) < 1 + 1e-6).all()
    assert (np.abs(counts.sum(axis=0) - 100 * shares * places) < 4).all()


def test_shares_change_linearly_and_then_stay() -> None:
    mixed = mixture("records=0:0.5", "a=1:0.5", batch_size=32, over=100)
    counts = mixed.counts(np.arange(300))
    ramp = np.minimum(np.arange(300) / 100, 1) * 8
    assert (np.abs(counts[:, 0] - ramp) < 1 + 1e-9).all()
    assert abs(counts[:100, 0].sum() - ramp[:100].sum()) < 2
    assert (counts[100:] == 8).all() and (counts[0] == [0, 16]).all()


def test_each_kind_has_every_real_example_once_before_any_again() -> None:
    mixed = mixture(*THREE, over=10)
    taken: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for step in range(120):
        rows, layout = mixed.batch(step)[0], mixed.layout(step)
        taken[0] += rows[layout == 0].tolist()
        for kind in (1, 2):
            taken[kind] += rows[layout == kind][::2].tolist()
    for kind in (1, 2):
        epochs = len(taken[kind]) // len(REALS)
        assert epochs >= 2
        for epoch in np.reshape(taken[kind][: epochs * len(REALS)], (epochs, -1)):
            np.testing.assert_array_equal(np.sort(epoch), REALS)
    assert taken[1][: len(REALS)] != taken[2][: len(REALS)]
    alone = Sampler(LABELS, batch_size=8, seed=3)
    want = np.concatenate([alone.batch(step)[0] for step in range(120)])
    np.testing.assert_array_equal(taken[0], want[: len(taken[0])])


def test_kinds_are_spread_over_the_batch() -> None:
    mixed = mixture("records=0.5", "a=0.5", batch_size=16)
    for step in range(5):
        halves = mixed.layout(step).reshape(2, -1)
        assert (halves.sum(axis=1) == 4).all()


def test_an_epoch_has_every_real_example_once_or_is_the_records_own() -> None:
    assert mixture("a=1").steps_per_epoch == -(-len(REALS) // 4)
    assert mixture("a=0.5", "b=0.5").steps_per_epoch == -(-len(REALS) // 4)
    assert mixture("records=0.5", "a=0.5").steps_per_epoch == -(-len(LABELS) // 8)
    videos = np.repeat(["u", "v", "w"], 10)
    few = mixture("a=1", batch_size=2, videos=videos, frames_per_video=2)
    assert few.steps_per_epoch == 6
    chosen = np.array([few.batch(step)[0][0] for step in range(6)])
    assert sorted(videos[chosen]) == ["u", "u", "v", "v", "w", "w"]


def test_balanced_records_stay_balanced() -> None:
    shares = {RECORDS: Share(0.5, 0.5), "a": Share(0.5, 0.5)}
    records = Sampler(LABELS, batch_size=8, seed=0, balance="batch")
    mixed = Mixture(shares, batch_size=8, seed=0, records=records, labels=LABELS)
    for step in range(10):
        rows, layout = mixed.batch(step)[0], mixed.layout(step)
        assert LABELS[rows[layout == 0]].sum() == 2


def test_shares_are_read_from_texts() -> None:
    assert Share.parse("a=0.5") == ("a", Share(0.5, 0.5))
    assert Share.parse("a=1:0.25") == ("a", Share(1.0, 0.25))
    for text in ("a", "=1", "a=2", "a=1:2:3", "a=x", "a=nan"):
        with pytest.raises(ValueError, match="a share is a text such as"):
            Share.parse(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": ("a=0.5", "b=0.6")}, r"at the start they are a 0.5 \+ b 0.6 = 1.1"),
        ({"texts": ("a=1:0.5", "b=0")}, r"at the end they are a 0.5 \+ b 0 = 0.5"),
        ({"texts": ("a=1",), "batch_size": 7}, "an even batch size, not 7"),
        ({"texts": ("a=1",), "labels": np.ones(4)}, "no real examples"),
    ],
)
def test_what_cannot_be_mixed_is_refused(arguments: Any, message: str) -> None:
    texts = arguments.pop("texts")
    with pytest.raises(ValueError, match=message):
        mixture(*texts, **arguments)
