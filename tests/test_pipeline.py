"""Batches: the same from records and arrays, from any process and after any restart."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from records import read_images, write_records

from data_pipeline.training.example import FIELDS
from data_pipeline.training.ops import PRESETS
from data_pipeline.training.pipeline import eval_batches, train_batches
from data_pipeline.training.sampler import Sampler
from data_pipeline.training.sources import ArraySource, DataError, RecordSource


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return RecordSource(write_records(tmp_path_factory.mktemp("records"), videos=5), "train")


@pytest.fixture(scope="module")
def arrays(records: Any) -> Any:
    return ArraySource(np.stack(read_images(records)), records.columns)


def take(
    source: Any, count: Any, *, start: int = 0, process: Any = (0, 1), ops: str = "strong"
) -> Any:
    sampler = Sampler(source.columns["label"], batch_size=4, seed=7, real_repeat=2)
    batches = train_batches(
        source,
        sampler,
        ops=PRESETS[ops],
        image_size=32,
        start_step=start,
        process_index=process[0],
        process_count=process[1],
    )
    taken = [next(batches) for _ in range(count)]
    batches.close()
    return taken


def same(first: Any, second: Any) -> None:
    assert set(first) == set(second) == {"image", "label", "index"}
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_records_and_arrays_give_the_same_batches(records: Any, arrays: Any) -> None:
    for first, second in zip(take(records, 6), take(arrays, 6), strict=True):
        same(first, second)


@pytest.mark.parametrize("kind", ["records", "arrays"])
def test_a_restart_gives_the_batches_of_an_uninterrupted_run(
    kind: Any, request: pytest.FixtureRequest
) -> None:
    source = request.getfixturevalue(kind)
    whole = take(source, 12)
    for first, second in zip(take(source, 3, start=9), whole[9:], strict=True):
        same(first, second)


def test_processes_share_the_global_batch(arrays: Any) -> None:
    whole = take(arrays, 4)
    parts = [take(arrays, 4, process=(i, 2)) for i in range(2)]
    for step in range(4):
        for name in whole[step]:
            joined = np.concatenate([part[step][name] for part in parts])
            np.testing.assert_array_equal(joined, whole[step][name])


@pytest.mark.parametrize("kind", ["records", "arrays"])
@pytest.mark.parametrize("processes", [1, 2])
def test_evaluation_reads_every_example_once(
    kind: Any, processes: Any, request: pytest.FixtureRequest
) -> None:
    source = request.getfixturevalue(kind)
    seen, counts = [], []
    for i in range(processes):
        batches = list(
            eval_batches(
                source, batch_size=4, image_size=32, process_index=i, process_count=processes
            )
        )
        counts.append(len(batches))
        for batch in batches:
            kept = batch["weight"] > 0
            assert ((batch["index"] >= 0) == kept).all()
            assert (batch["label"][kept] == source.columns["label"][batch["index"][kept]]).all()
            seen.extend(batch["index"][kept].tolist())
    assert len(set(counts)) == 1
    assert sorted(seen) == list(range(len(source)))


def test_batches_cannot_be_split_unevenly(arrays: Any) -> None:
    with pytest.raises(ValueError, match="cannot be shared by 3"):
        take(arrays, 1, process=(0, 3))


def test_a_bad_record_is_named_through_tf_data(
    records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: Any, indices: Any, fields: Any) -> None:
        raise DataError("record 3 of video 'x' is damaged")

    monkeypatch.setattr(RecordSource, "read", read)
    with pytest.raises(DataError, match="record 3 of video 'x' is damaged"):
        take(records, 1)


@pytest.fixture(scope="module")
def extras(records: Any) -> Any:
    """Arrays with all fields, and 7 landmarks, which only ops that do not mirror can take."""
    count, draw = len(records), np.random.default_rng(0)
    mask = np.where(draw.random((count, 48, 48)) < 0.3, 255, 0).astype(np.uint8)
    landmarks = draw.uniform(0, 47, (count, 7, 2)).astype(np.float32)
    return ArraySource(
        np.stack(read_images(records)),
        records.columns,
        mask=mask,
        landmarks=landmarks,
        landmarks_dense=draw.uniform(0, 47, (count, 68, 2)).astype(np.float32),
        box=draw.uniform(0, 47, (count, 4)).astype(np.float32),
    )


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Records of drawn faces with masks."""
    from data_pipeline.extract.crops import Settings
    from data_pipeline.prepare import prepare

    folder = tmp_path_factory.mktemp("masked")
    settings = Settings(detector="none", num_frames=2, crop_size=48, masks=True)
    options = {"identities": 4, "size": 48}
    prepare("synthetic", folder / "in", folder / "out", settings=settings, options=options)
    return RecordSource(folder / "out", "train")


def test_batches_hold_what_is_read(extras: Any) -> None:
    sampler = Sampler(extras.columns["label"], batch_size=4, seed=7)
    reads = FIELDS
    batches = train_batches(extras, sampler, ops=(), image_size=48, reads=reads)
    plain = train_batches(extras, sampler, ops=(), image_size=48)
    for _ in range(3):
        batch, images_alone = next(batches), next(plain)
        assert set(batch) == {"image", "label", "index", *reads}
        np.testing.assert_array_equal(batch["image"], images_alone["image"])
        assert batch["mask"].shape == (4, 48, 48) and batch["mask"].dtype == np.uint8
        for name, shape in {"landmarks": (7, 2), "landmarks_dense": (68, 2), "box": (4,)}.items():
            assert batch[name].shape == (4, *shape) and batch[name].dtype == np.float32
        for i, example in enumerate(extras.read(batch["index"], reads)):
            for name in reads:
                np.testing.assert_array_equal(batch[name][i], getattr(example, name))
    batches.close()
    plain.close()


def test_masks_come_the_same_through_tf_data_and_through_threads(masked: Any) -> None:
    rows = masked.read(np.arange(len(masked)), ["mask"])
    arrays = ArraySource(
        np.stack([row.image for row in rows]),
        masked.columns,
        mask=np.stack([row.mask for row in rows]),
    )
    taken = []
    for source in (masked, arrays):
        sampler = Sampler(source.columns["label"], batch_size=4, seed=7)
        batches = train_batches(
            source, sampler, ops=PRESETS["strong"], image_size=32, reads=["mask"]
        )
        taken.append([next(batches) for _ in range(4)])
        batches.close()
    for first, second in zip(*taken, strict=True):
        assert set(first) == set(second) == {"image", "label", "index", "mask"}
        for name in first:
            assert first[name].dtype == second[name].dtype
            np.testing.assert_array_equal(first[name], second[name])
    assert any(batch["mask"].any() for batch in taken[0])


def test_padding_has_the_shapes_of_what_it_pads(extras: Any) -> None:
    """Also where a process has nothing but padding."""
    reads = ("mask", "landmarks", "box")
    rows = ArraySource(
        np.stack(read_images(extras, np.arange(2))),
        {"label": extras.columns["label"][:2]},
        mask=np.ones((2, 48, 48), np.uint8),
        landmarks=np.ones((2, 7, 2), np.float32),
        box=np.ones((2, 4), np.float32),
    )
    options = {"batch_size": 8, "image_size": 48, "reads": reads, "process_count": 2}
    [own], [other] = (list(eval_batches(rows, **options, process_index=i)) for i in range(2))
    assert list(own["weight"]) == [1, 1, 0, 0] and list(other["weight"]) == [0] * 4
    assert {name: a.shape for name, a in own.items()} == {n: a.shape for n, a in other.items()}
    assert not any(other[name].any() for name in ("image", *reads))
    assert not own["mask"][2:].any() and own["landmarks"][:2].all()


def test_what_a_source_has_not_is_refused_at_once(arrays: Any) -> None:
    sampler = Sampler(arrays.columns["label"], batch_size=4, seed=7)
    with pytest.raises(DataError, match=r"no mask in an ArraySource .*: it holds image, label\."):
        train_batches(arrays, sampler, ops=(), image_size=32, reads=["mask"])
    with pytest.raises(DataError, match="no landmarks"):
        eval_batches(arrays, batch_size=4, image_size=32, reads=["landmarks"])


def test_arrays_need_no_tensorflow() -> None:
    script = (
        "import sys, numpy as np\n"
        "from data_pipeline.training.pipeline import train_batches, eval_batches\n"
        "from data_pipeline.training.sampler import Sampler\n"
        "from data_pipeline.training.sources import ArraySource\n"
        "s = ArraySource(np.zeros((6, 8, 8, 3), np.uint8), {'label': [0, 1] * 3})\n"
        "b = train_batches(s, Sampler(s.columns['label'], batch_size=2, seed=0), ops=(),"
        " image_size=8)\n"
        "next(b); b.close(); list(eval_batches(s, batch_size=4, image_size=8))\n"
        "assert not {'tensorflow', 'jax', 'matnet_jax'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
