"""Pairs in batches, of any process and after any restart; donors; pairs as a source."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from data_pipeline.synthetic import synthetic_source
from data_pipeline.training.blend import PAIRS, BlendedSource, Pairs, SelfBlend, option_names
from data_pipeline.training.blend.donors import Donors
from data_pipeline.training.example import Example
from data_pipeline.training.mixture import Mixture, Share
from data_pipeline.training.ops import PRESETS
from data_pipeline.training.pipeline import eval_batches, train_batches
from data_pipeline.training.sampler import Sampler
from data_pipeline.training.sources import ArraySource, DataError

SIZE = 48


@dataclasses.dataclass(frozen=True)
class Same:
    """A fake that is the real one, or the donor."""

    size: int = SIZE
    needs_donor: bool = False

    @property
    def reads(self) -> tuple[str, ...]:
        return ("landmarks",)

    def pair(
        self, example: Example, draw: np.random.Generator, donor: Example | None = None
    ) -> tuple[Example, Example]:
        assert (donor is not None) == self.needs_donor
        real, fake = (
            dataclasses.replace(
                given, label=label, mask=np.full(given.image.shape[:2], 255 * label, np.uint8)
            )
            for label, given in enumerate((example, donor or example))
        )
        return real, fake


@pytest.fixture(scope="module")
def source() -> Any:
    return synthetic_source("train", seed=0, image_size=SIZE, num_identities=6)


def batches(
    source: Any,
    count: int,
    *,
    op: Any = None,
    shares: str = "self_blended=1",
    start: int = 0,
    process: tuple[int, int] = (0, 1),
    ops: str = "none",
    reads: Any = (),
) -> Any:
    kinds = dict(Share.parse(text) for text in shares.split())
    labels = source.columns["label"]
    sampler = Mixture(
        kinds,
        batch_size=8,
        seed=7,
        records=Sampler(labels, batch_size=8, seed=7),
        labels=labels,
    )
    op = op or SelfBlend(size=SIZE, outline="five")
    made = train_batches(
        source,
        sampler,
        ops=PRESETS[ops],
        image_size=SIZE,
        reads=reads,
        pairs={"self_blended": Pairs(source, op, "self_blended")},
        pair_ops=PRESETS[ops],
        start_step=start,
        process_index=process[0],
        process_count=process[1],
    )
    taken = [next(made) for _ in range(count)]
    made.close()
    return taken


def same(first: Any, second: Any) -> None:
    assert set(first) == set(second)
    for name in first:
        assert first[name].dtype == second[name].dtype
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_a_batch_of_pairs(source: Any) -> None:
    reads = ("mask", "landmarks", "box") if "box" in source.fields else ("mask", "landmarks")
    for batch in batches(source, 4, reads=reads):
        assert set(batch) == {"image", "label", "index", *reads}
        np.testing.assert_array_equal(batch["label"], [0, 1] * 4)
        np.testing.assert_array_equal(batch["index"][::2], batch["index"][1::2])
        assert not source.columns["label"][batch["index"]].any()
        assert not batch["mask"][::2].any() and batch["mask"][1::2].any(axis=(1, 2)).all()
        np.testing.assert_array_equal(batch["landmarks"][::2], batch["landmarks"][1::2])
        differ = (batch["image"][::2] != batch["image"][1::2]).any(axis=(1, 2, 3))
        assert differ.all()


def test_both_of_a_pair_get_the_same_draws_of_what_follows(source: Any) -> None:
    for batch in batches(source, 3, op=Same(), ops="strong"):
        np.testing.assert_array_equal(batch["image"][::2], batch["image"][1::2])
        plain = source.read(batch["index"])
        assert any((e.image != i).any() for e, i in zip(plain, batch["image"], strict=True))


MIXED = "records=0.5 self_blended=0.5"


def test_a_restart_and_two_processes_give_the_same_batches(source: Any) -> None:
    whole = batches(source, 6, shares=MIXED, ops="standard", reads=("mask",))
    for first, second in zip(
        batches(source, 2, start=4, shares=MIXED, ops="standard", reads=("mask",)),
        whole[4:],
        strict=True,
    ):
        same(first, second)
    parts = [
        batches(source, 6, process=(i, 2), shares=MIXED, ops="standard", reads=("mask",))
        for i in range(2)
    ]
    for step in range(6):
        joined = {k: np.concatenate([part[step][k] for part in parts]) for k in whole[step]}
        same(joined, whole[step])
    assert any(batch["label"].sum() != 4 for batch in whole)  # the records' own, as they come


def test_a_part_without_whole_pairs_is_refused(source: Any) -> None:
    with pytest.raises(ValueError, match=r"the 1 examples of a process's part .* no whole pairs"):
        batches(source, 1, process=(0, 8))
    sampler = Mixture(
        {"other": Share(1, 1)}, batch_size=8, seed=0, records=None, labels=np.zeros(4)
    )
    with pytest.raises(ValueError, match="nothing makes the pairs of other"):
        train_batches(source, sampler, ops=(), image_size=SIZE)


def arrays(source: Any, rows: np.ndarray, **fields: Any) -> ArraySource:
    examples = source.read(rows, ("landmarks",))
    return ArraySource(
        np.stack([e.image for e in examples]),
        {name: column[rows] for name, column in source.columns.items()},
        **({"landmarks": np.stack([e.landmarks for e in examples])} | fields),
    )


def test_records_without_masks_have_empty_ones_where_they_are_real(source: Any) -> None:
    real = np.flatnonzero(source.columns["label"] == 0)
    for batch in batches(arrays(source, real), 3, shares=MIXED, reads=("mask",)):
        np.testing.assert_array_equal(batch["mask"].any(axis=(1, 2)), batch["label"] == 1)
    with pytest.raises(DataError, match="no mask in an ArraySource"):
        batches(arrays(source, np.arange(16)), 1, shares=MIXED, reads=("mask",))
    alone = batches(arrays(source, np.arange(16)), 1, reads=("mask",))
    assert alone[0]["mask"].any()


def test_what_pairs_need_is_told(source: Any) -> None:
    with pytest.raises(DataError, match=r"need landmarks_dense .*face_mesh`; or set outline='five"):
        Pairs(source, SelfBlend(size=SIZE), "self_blended")
    pairs = Pairs(source, SelfBlend(size=SIZE, outline="five"), "self_blended")
    fake = np.flatnonzero(source.columns["label"] == 1)[:1]
    with pytest.raises(DataError, match=r"'self_blended' of row .*label 1"):
        pairs(fake, np.zeros(1, np.uint32))


def test_a_donor_is_another_person_whose_landmarks_lie_alike() -> None:
    draw = np.random.default_rng(0)
    shapes = draw.uniform(10, 40, (4, 5, 2))
    people = np.array(["a", "a", "b", "c", "d", "a"])
    # b's is a's, moved and grown; c's and d's are other shapes.
    landmarks = np.stack([shapes[0], shapes[0], shapes[0] * 2 + 5, *shapes[1:3], shapes[0]])
    source = ArraySource(
        np.zeros((6, 8, 8, 3), np.uint8),
        {"label": np.array([0, 0, 0, 0, 0, 1]), "source_id": people},
        landmarks=landmarks.astype(np.float32),
    )
    donors = Donors(source)
    assert [donors(row, np.random.default_rng(1)) for row in (0, 1)] == [2, 2]
    few = Donors(source, candidates=1)
    lent = [few(0, np.random.default_rng(seed)) for seed in range(20)]
    assert set(lent) == {2, 3, 4}
    assert lent == [few(0, np.random.default_rng(seed)) for seed in range(20)]
    alone = ArraySource(
        np.zeros((2, 8, 8, 3), np.uint8),
        {"label": np.zeros(2, np.int32), "source_id": np.array(["a", "a"])},
        landmarks=np.zeros((2, 5, 2), np.float32),
    )
    with pytest.raises(DataError, match="real examples of two people"):
        Donors(alone)


def test_a_pair_with_a_donor(source: Any) -> None:
    op = Same(needs_donor=True)
    first, second = (batches(source, 3, op=op) for _ in range(2))
    for batch, again in zip(first, second, strict=True):
        same(batch, again)
        rows = {e.image.tobytes(): i for i, e in enumerate(source.read(np.arange(len(source))))}
        lent = [rows[image.tobytes()] for image in batch["image"][1::2]]
        person = source.columns["source_id"]
        assert (person[lent] != person[batch["index"][::2]]).all()


def test_pairs_as_a_source(source: Any) -> None:
    op = SelfBlend(size=SIZE, outline="five")
    blended = BlendedSource(source, op, name="self_blended", seed=1)
    assert len(blended) == len(source)  # each clip is there real and forged
    assert blended.crop_protocol is None and "mask" in blended.fields
    np.testing.assert_array_equal(blended.columns["label"], [0, 1] * (len(source) // 2))
    fakes = blended.columns["label"] == 1
    assert set(blended.columns["subset"][fakes]) == {"self_blended"}
    assert set(blended.columns["subset"][~fakes]) == {"real"}
    examples = blended.read(np.arange(6), ("mask", "landmarks"))
    again = blended.read(np.array([5, 0]), ("mask",))
    np.testing.assert_array_equal(again[0].image, examples[5].image)
    np.testing.assert_array_equal(again[1].image, examples[0].image)
    assert [e.label for e in examples] == [0, 1] * 3
    assert not examples[0].mask.any() and examples[1].mask.any()
    # The margin of validation: 12.5 % of the outline's box at each side, as far as the image goes.
    np.testing.assert_array_equal(
        examples[0].image,
        BlendedSource(
            source, dataclasses.replace(op, margin=(0.3, 0.3)), name="self_blended", seed=1
        )
        .read(np.array([0]))[0]
        .image,
    )
    seen = [b["index"][b["weight"] > 0] for b in eval_batches(blended, batch_size=5, image_size=32)]
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(len(blended)))
    with pytest.raises(DataError, match="no real examples"):
        BlendedSource(
            arrays(source, np.flatnonzero(source.columns["label"] == 1)), op, name="x", seed=0
        )


def test_options_of_pairs_are_what_a_config_can_say() -> None:
    assert {"margin", "mirror", "outline", "regions", "soft", "ratios"} <= set(
        option_names(SelfBlend)
    )
    for kind in PAIRS.values():
        assert not {"size", "reads", "needs_donor", "mismatch"} & set(option_names(kind))
