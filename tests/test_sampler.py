"""The order of examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data_pipeline.training.sampler import Sampler

LABELS = np.array([0] * 5 + [1] * 20)


def rows(sampler: Any, steps: Any) -> Any:
    return np.concatenate([sampler.batch(step)[0] for step in steps])


def test_an_epoch_holds_each_example_by_its_repeats() -> None:
    sampler = Sampler(LABELS, batch_size=8, seed=3, real_repeat=4)
    assert sampler.steps_per_epoch == 5
    counts = np.bincount(rows(sampler, range(5)), minlength=25)
    np.testing.assert_array_equal(counts, np.where(LABELS == 0, 4, 1))


def test_batches_are_functions_of_seed_and_step() -> None:
    first, second = (Sampler(LABELS, batch_size=8, seed=3) for _ in range(2))
    sequence = [first.batch(step) for step in range(20)]
    for step in (19, 0, 7):  # in any order, from a fresh sampler
        for have, want in zip(second.batch(step), sequence[step], strict=True):
            np.testing.assert_array_equal(have, want)
    other = Sampler(LABELS, batch_size=8, seed=4)
    assert not np.array_equal(rows(first, range(3)), rows(other, range(3)))


def test_epochs_differ_and_batches_cross_them_without_loss() -> None:
    sampler = Sampler(LABELS, batch_size=8, seed=0)
    endless = rows(sampler, range(25))  # 200 rows: 8 epochs of 25
    epochs = endless.reshape(8, 25)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(25))
    assert len({tuple(epoch) for epoch in epochs}) == 8


def test_balanced_batches_are_half_real() -> None:
    sampler = Sampler(LABELS, batch_size=8, seed=0, balance="batch")
    for step in range(10):
        assert LABELS[sampler.batch(step)[0]].sum() == 4
    fakes = [r for r in rows(sampler, range(5)) if LABELS[r]]
    assert len(set(fakes)) == 20  # all fakes in the first five batches


def test_an_epoch_may_end_with_the_rarer_class() -> None:
    sampler = Sampler(LABELS, batch_size=10, seed=0, balance="rarer")
    assert sampler.epoch_size == 10 and sampler.steps_per_epoch == 1
    epochs = rows(sampler, range(4)).reshape(4, 10)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch[LABELS[epoch] == 0]), np.arange(5))
    fakes = epochs[LABELS[epochs] == 1]
    np.testing.assert_array_equal(np.sort(fakes), np.arange(5, 25))  # on through the other class


def test_a_fake_comes_with_a_real_example_of_its_source() -> None:
    sources = np.array(["a", "b", "c", "c", "d"] + ["c", "b", "a", "x"] * 5)
    sampler = Sampler(LABELS, batch_size=8, seed=1, balance="source", sources=sources)
    assert sampler.steps_per_epoch == 5  # each fake once
    pairs = rows(sampler, range(30)).reshape(6, 20, 2)
    partners = set()
    for real, fake in pairs.reshape(-1, 2):
        assert (LABELS[real], LABELS[fake]) == (0, 1)
        assert sources[fake] in ("x", sources[real])  # x has no real example: any goes with it
        partners |= {(sources[fake], int(real))}
    assert {real for source, real in partners if source == "c"} == {2, 3}
    assert len([1 for source, _ in partners if source == "x"]) == 5
    for epoch in pairs:
        np.testing.assert_array_equal(np.sort(epoch[:, 1]), np.arange(5, 25))
    again = Sampler(LABELS, batch_size=8, seed=1, balance="source", sources=sources)
    np.testing.assert_array_equal(again.batch(17)[0], rows(sampler, [17]))

    videos = np.repeat(["a", "b"], [10, 12])
    few = Sampler(
        np.repeat([0, 1], [10, 12]),
        batch_size=2,
        seed=0,
        balance="source",
        sources=np.full(22, "s"),
        videos=videos,
        frames_per_video=3,
    )
    chosen = rows(few, range(3)).reshape(3, 2)
    assert few.steps_per_epoch == 3 and len(set(chosen[:, 1])) == 3
    assert set(chosen[:, 0]) <= set(few._members(0, 0))


def test_group_weights_repeat_and_thin_out() -> None:
    groups = np.array(["a"] * 10 + ["b"] * 10)
    sampler = Sampler(
        np.ones(20), batch_size=5, seed=0, groups=groups, group_weights={"a": 2.0, "b": 0.5}
    )
    counts = np.bincount(rows(sampler, range(5)), minlength=20)
    assert (counts[:10] == 2).all() and counts[10:].sum() == 5 and counts[10:].max() == 1


def test_some_frames_of_each_video_and_others_in_the_next_epoch() -> None:
    videos = np.repeat(["a", "b", "c"], [10, 3, 8])
    labels = np.repeat([0, 1, 1], [10, 3, 8])
    sampler = Sampler(
        labels, batch_size=1, seed=0, real_repeat=2, videos=videos, frames_per_video=4
    )
    assert sampler.steps_per_epoch == 2 * 4 + 3 + 4
    epochs = rows(sampler, range(15 * 6)).reshape(6, 15)
    chosen = [sorted(set(epoch)) for epoch in epochs]
    for epoch, own in zip(epochs, chosen, strict=True):
        assert [sum(videos[own] == v) for v in "abc"] == [4, 3, 4]
        assert (np.bincount(epoch, minlength=21)[own] == np.where(labels[own] == 0, 2, 1)).all()
        gaps = np.diff([row for row in own if videos[row] == "a"])
        assert set(gaps) <= {2, 3}  # ten frames, four of them: evenly spread
    assert {row for own in chosen for row in own} == set(range(21))  # all frames, in six epochs
    balanced = Sampler(
        labels, batch_size=8, seed=0, balance="batch", videos=videos, frames_per_video=4
    )
    assert labels[balanced.batch(3)[0]].sum() == 4


def test_seeds_differ_between_examples_and_steps() -> None:
    sampler = Sampler(LABELS, batch_size=8, seed=0)
    seeds = np.concatenate([sampler.batch(step)[1] for step in range(50)])
    assert len(set(seeds.tolist())) == len(seeds)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": np.array([])}, "no examples"),
        ({"labels": np.ones(4), "balance": "batch"}, "one is missing"),
        ({"labels": LABELS, "balance": "even"}, "repeat, batch, rarer, source"),
        ({"labels": LABELS, "balance": "source"}, "needs the sources"),
        (
            {"labels": LABELS, "balance": "source", "sources": np.arange(25)},
            "of 20 sources of fakes not one has any: take 'batch'",
        ),
        ({"labels": LABELS, "batch_size": 7, "balance": "batch"}, "even batch size"),
        (
            {"labels": LABELS, "groups": np.full(25, "x"), "group_weights": {"y": 1.0}},
            "no examples of y; there are x",
        ),
        (
            {
                "labels": LABELS,
                "balance": "batch",
                "groups": np.full(25, "x"),
                "group_weights": {"x": 2.0},
            },
            "group_weights need balance 'repeat', not 'batch'",
        ),
        (
            {"labels": LABELS, "groups": np.full(25, "x"), "group_weights": {"x": 0.0}},
            "leave no example",
        ),
        ({"labels": LABELS, "frames_per_video": 3}, "needs the videos"),
    ],
)
def test_what_cannot_be_sampled_is_refused(arguments: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        Sampler(**({"batch_size": 4, "seed": 0} | arguments))
