"""Batches: the same from records and arrays, from any process and after any restart."""

import subprocess
import sys

import numpy as np
import pytest
from records import read_images, write_records

from data_pipeline.training.ops import PRESETS
from data_pipeline.training.pipeline import eval_batches, train_batches
from data_pipeline.training.sampler import Sampler
from data_pipeline.training.sources import ArraySource, DataError, RecordSource


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return RecordSource(write_records(tmp_path_factory.mktemp("records"), videos=5), "train")


@pytest.fixture(scope="module")
def arrays(records):
    return ArraySource(np.stack(read_images(records)), records.columns)


def take(source, count, *, start=0, process=(0, 1), ops="strong"):
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


def same(first, second):
    assert set(first) == set(second) == {"image", "label", "index"}
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_records_and_arrays_give_the_same_batches(records, arrays):
    for first, second in zip(take(records, 6), take(arrays, 6), strict=True):
        same(first, second)


@pytest.mark.parametrize("kind", ["records", "arrays"])
def test_a_restart_gives_the_batches_of_an_uninterrupted_run(kind, request):
    source = request.getfixturevalue(kind)
    whole = take(source, 12)
    for first, second in zip(take(source, 3, start=9), whole[9:], strict=True):
        same(first, second)


def test_processes_share_the_global_batch(arrays):
    whole = take(arrays, 4)
    parts = [take(arrays, 4, process=(i, 2)) for i in range(2)]
    for step in range(4):
        for name in whole[step]:
            joined = np.concatenate([part[step][name] for part in parts])
            np.testing.assert_array_equal(joined, whole[step][name])


@pytest.mark.parametrize("kind", ["records", "arrays"])
@pytest.mark.parametrize("processes", [1, 2])
def test_evaluation_reads_every_example_once(kind, processes, request):
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


def test_batches_cannot_be_split_unevenly(arrays):
    with pytest.raises(ValueError, match="cannot be shared by 3"):
        take(arrays, 1, process=(0, 3))


def test_a_bad_record_is_named_through_tf_data(records, monkeypatch):
    def read(self, indices, fields):
        raise DataError("record 3 of video 'x' is damaged")

    monkeypatch.setattr(RecordSource, "read", read)
    with pytest.raises(DataError, match="record 3 of video 'x' is damaged"):
        take(records, 1)


def test_arrays_need_no_tensorflow():
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
