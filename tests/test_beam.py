"""Extraction in real worker processes and on Beam's portable runner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from preparing import video
from videos import write_clip

from data_pipeline.extract import beam
from data_pipeline.extract.attempts import LIMIT, attempt, attempts, settle_attempts
from data_pipeline.extract.beam import ExtractionError, extract
from data_pipeline.extract.crops import ORIGINALS, Settings, extraction_path
from data_pipeline.extract.extraction import Extraction

SETTINGS = Settings(detector="none", num_frames=2, crop_size=48)


def clips(folder: Any, count: int = 4) -> Any:
    return [video(write_clip(folder / f"{i:03}.mp4", 6 + i)) for i in range(count)]


def test_local_processes_write_a_file_a_video(tmp_path: Path) -> None:
    videos = clips(tmp_path / "in")
    broken = tmp_path / "in" / "broken.mp4"
    broken.write_bytes(b"no video")
    videos.append(video(broken))
    out, told = tmp_path / "out ' ü", []
    extract(videos, SETTINGS, out, workers=2, progress=told.append)
    loaded = [Extraction.load(extraction_path(out, v, SETTINGS)) for v in videos]
    assert [len(extraction) for extraction in loaded] == [2, 2, 2, 2, 0]
    assert "not a video" in loaded[-1].problem and sum(told) == 5
    kept = {path: path.stat().st_mtime_ns for path in (out / "videos").iterdir()}
    assert len(kept) == 5  # and nothing else
    extract(videos, SETTINGS, out, workers=2)
    assert kept == {path: path.stat().st_mtime_ns for path in (out / "videos").iterdir()}


def test_the_portable_runner_and_reals_before_their_fakes(tmp_path: Path) -> None:
    real = video(write_clip(tmp_path / "in" / "1.mp4", 8), original="1")
    fake = video(write_clip(tmp_path / "in" / "0_1.mp4", 8), 1, original="1")
    settings = Settings(detector="none", num_frames=2, crop_size=48, boxes_from=ORIGINALS)
    options = ["--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"]
    extract([fake, real], settings, tmp_path / "out", beam_options=options)
    files = [extraction_path(tmp_path / "out", v, settings) for v in (real, fake)]
    assert files[0].stat().st_mtime_ns < files[1].stat().st_mtime_ns
    first, second = map(Extraction.load, files)
    np.testing.assert_array_equal(first.box, second.box)


# Beam's own thread ends with its worker's connection.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    videos = clips(tmp_path / "in", 6)
    killed = []

    def kill_one() -> None:
        while not (workers := beam._workers()):
            time.sleep(0.05)
        time.sleep(1)
        killed.append(workers[0].pid)
        os.kill(workers[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    extract(videos, SETTINGS, tmp_path / "out", workers=1)
    killer.join()
    assert killed and not any(psutil.pid_exists(pid) for pid in killed)
    for v in videos:
        assert len(Extraction.load(extraction_path(tmp_path / "out", v, SETTINGS))) == 2


def test_a_video_that_workers_die_on_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    cut_off = []
    for deaths in range(1, LIMIT + 1):
        cut_off.append(attempt(path))
        cut_off[-1].__enter__()  # and no exit: the process is gone
        assert attempts(path) == deaths
    [v] = clips(tmp_path, 1)
    own = extraction_path(tmp_path, v, SETTINGS)
    own.parent.mkdir()
    path.with_suffix(".attempts").rename(own.with_suffix(".attempts"))
    work = beam._Extract(SETTINGS, tmp_path, None)
    work.setup()
    work.process((v, None))
    assert "died 3 times" in Extraction.load(own).problem


def test_videos_that_others_died_beside_are_not_blamed(tmp_path: Path) -> None:
    """Workers that are ended since one died: what these had in hand did no harm."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from data_pipeline.extract.attempts import attempt\n"
        "with attempt(Path(sys.argv[1])):\n"
        "    print('begun', flush=True); time.sleep(600)\n"
    )
    files = [tmp_path / f"{name}.npz" for name in ("crashed", "slow")]
    for lives in (1, 2):
        crashed, slow = (
            subprocess.Popen([sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE)
            for file in files
        )
        for process in (crashed, slow):
            assert process.stdout.readline() == b"begun\n"
        crashed.kill()
        crashed.wait()
        ended = beam._end([psutil.Process(slow.pid)])
        assert ended == {slow.pid} and beam._end([]) == set()
        settle_attempts(tmp_path, ended)
        assert [attempts(file) for file in files] == [lives, 0]
        crashed.stdout.close(), slow.stdout.close(), slow.wait()


def test_a_run_that_was_killed_blames_no_video(tmp_path: Path) -> None:
    [v] = clips(tmp_path / "in", 1)
    file = extraction_path(tmp_path / "out", v, SETTINGS)
    cut_off = []
    for _ in range(LIMIT):
        settle_attempts(file.parent)  # as every run begins
        cut_off.append(attempt(file))
        cut_off[-1].__enter__()  # and no exit: worker and run are killed
        assert attempts(file) == 1
    for deaths in range(2, LIMIT + 1):
        settle_attempts(file.parent, set())  # these the run saw
        cut_off.append(attempt(file))
        cut_off[-1].__enter__()
        assert attempts(file) == deaths
    extract([v], SETTINGS, tmp_path / "out", workers=1)
    assert len(Extraction.load(file)) == 2  # the last was not seen


def test_sigterm_blames_no_video_and_ends_as_ctrl_c_does(tmp_path: Path) -> None:
    write_clip(tmp_path / "in" / "real" / "a.mp4", 8)
    code = (
        "import os, signal, sys\n"
        "from data_pipeline.extract import beam\n"
        "from data_pipeline.extract.attempts import attempt\n"
        "from data_pipeline.prepare import COMMAND\n"
        "held = []\n"
        "def run(pipeline, *, watched, tick, files):\n"
        "    held.append(attempt(files / 'a.npz'))\n"
        "    held[0].__enter__()\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "beam._run = run\n"
        "os._exit(COMMAND(sys.argv[1:]))\n"
    )
    out = tmp_path / "out"
    command = ["--dataset=folder", f"--root={tmp_path / 'in'}", f"--out={out}"]
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    assert done.returncode == 143 and "the same command continues" in done.stderr
    assert list((out / "videos").iterdir()) == []


def test_what_beam_refuses_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(ExtractionError, match="Beam refuses --runner=NoSuchRunner") as raised:
        extract(clips(tmp_path, 1), SETTINGS, tmp_path, beam_options=["--runner=NoSuchRunner"])
    assert "\n" not in str(raised.value)
