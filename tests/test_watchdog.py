"""Which process hangs, and what a run does that is asked to end."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from matnet_jax.runtime.preemption import Preemption
from matnet_jax.train.watchdog import Watchdog


def wait_for(condition: Any, seconds: int = 10) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def test_a_silent_process_says_where_it_and_the_others_are(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = {"doing": "waiting for data", "step": 6, "since": time.time() - 50}
    (tmp_path / "1.json").write_text(json.dumps(other))
    with Watchdog(tmp_path, 0, seconds=0.2) as watchdog:
        watchdog.now("training", 7)
        text = ""

        def complained() -> Any:
            nonlocal text
            text += capfd.readouterr().err
            return "Current thread" in text or "Thread 0x" in text

        wait_for(complained)
        assert "process 0 has been training (step 7)" in text
        assert "process 1: waiting for data, step 6, 5" in text
        assert text.count("has been") == 1
        assert json.loads((tmp_path / "0.json").read_text())["step"] == 7
    assert not (tmp_path / "0.json").exists()


def test_a_block_names_what_is_done_in_it(tmp_path: Path) -> None:
    watchdog = Watchdog(tmp_path, 0, seconds=60)
    watchdog.now("training", 3)
    with watchdog.during("saving", 3):
        assert watchdog._doing == ("saving", 3)
    assert watchdog._doing == ("training", 3)


def test_sigterm_is_noted_and_handed_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Preemption() as preemption:
        assert not preemption.reached(1)
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(lambda: preemption.reached(2))
    assert signal.getsignal(signal.SIGTERM) == before
