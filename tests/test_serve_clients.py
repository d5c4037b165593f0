"""Clients that vanish or dawdle, and the service's own end: places and files come back."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import PATIENCE, Running, picture, running, until
from videos import write_clip
from workdirs import tiny_config, workdir

from matnet_jax.predict.serve.service import Allowed

ROOT = Path(__file__).parents[1]
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    with running(monkeypatch, Allowed(queue=3)) as made:
        yield made


def connected(server: Running, body: bytes, length: int, path: str = "/v1/predict") -> Any:
    """A socket that has sent a request's head, and of its body what is given."""
    url = httpx.URL(server.url)
    connection = socket.create_connection((url.host, url.port), timeout=PATIENCE)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: {length}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def whole() -> bytes:
    return HEAD + picture() + b"\r\n--b--\r\n"


def test_a_client_that_vanishes_while_it_uploads_frees_its_place(server: Running) -> None:
    connection = connected(server, HEAD + bytes(5000), 100_000)
    until(lambda: server.places == 1 and len(server.left()) == 2)  # a folder, a file
    connection.close()
    until(lambda: server.places == 0)
    assert server.left() == []


def test_a_client_that_vanishes_while_it_waits_frees_its_place(server: Running) -> None:
    server.network.gate.clear()
    body = whole()
    connection = connected(server, body, len(body), "/v1/predict?wait=60")
    until(lambda: len(server.service.jobs) == 1)
    assert server.places == 1
    connection.close()
    until(lambda: server.places == 0)
    until(lambda: server.left() == [])
    server.network.gate.set()
    assert server.post(params={"wait": PATIENCE}).status_code == 200


def test_a_job_that_is_deleted_tells_who_waits_for_it(server: Running) -> None:
    server.network.gate.clear()
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(server.post(params={"wait": PATIENCE})))
    thread.start()
    until(lambda: len(server.service.jobs) == 1)
    [job] = server.service.jobs._jobs
    assert server.client.delete(f"/v1/jobs/{job}").status_code == 204
    thread.join()
    assert answers[0].status_code == 410 and server.places == 0


def test_who_waits_for_too_long_gets_the_job(server: Running) -> None:
    server.network.gate.clear()
    answer = server.post(params={"wait": 0.2})
    assert answer.status_code == 202
    server.network.gate.set()
    assert server.done(answer.json()["job"])["files"][0]["result"]["score"] is not None


@pytest.mark.parametrize("limit", [{"idle_seconds": 0.3}, {"upload_seconds": 0.3}])
def test_a_client_that_dawdles_is_ended(monkeypatch: pytest.MonkeyPatch, limit: Any) -> None:
    with running(monkeypatch, Allowed(**limit)) as server:
        connection = connected(server, HEAD + bytes(100), 100_000)
        answer = connection.recv(4096)
        assert b" 408 " in answer.splitlines()[0]
        connection.close()
        assert server.places == 0 and server.left() == []


def test_the_end_answers_who_waits_and_deletes_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[httpx.Response] = []
    with running(monkeypatch) as server:
        server.network.gate.clear()
        url = server.url

        def wait() -> None:
            files = {"file": ("a.jpg", picture())}
            answers.append(httpx.post(f"{url}v1/predict?wait=60", files=files, timeout=PATIENCE))

        def once_answered() -> None:
            until(lambda: answers)
            server.network.gate.set()

        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: len(server.service.jobs) == 1)
        folder = server.service.folder
        assert folder.stat().st_mode & 0o777 == 0o700
        server.shut = True
        later = threading.Thread(target=once_answered)
        later.start()
    thread.join()
    later.join()
    assert answers[0].status_code == 503 and "closing" in answers[0].json()["detail"]
    assert not folder.exists() and not server.service.ready
    alive = {thread.name for thread in threading.enumerate()}
    assert not any(name.startswith(("find-", "score", "sweep")) for name in alive)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workdir(tmp_path_factory.mktemp("run"), tiny_config())


STUB = """
import signal
import sys
import serving
from matnet_jax.predict import Predictor
from matnet_jax.predict.serve import command, worker

worker.create_detector = lambda *_: serving.Squares()
predictor = Predictor(serving.Gated().network, settings=serving.SETTINGS)
command._predictor = lambda values: predictor
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
sys.exit(command.COMMAND(["--port=0"]))
"""
REAL = ["--port=0", "--detector=none", "--batch_size=8", "--num_frames=4"]


@pytest.mark.parametrize(
    ("network", "ended_by"),
    [("real", signal.SIGTERM), ("stub", signal.SIGINT), ("stub", signal.SIGHUP)],
)
def test_the_command_serves_until_it_is_told_to_end(
    network: str, ended_by: signal.Signals, trained: Path, tmp_path: Path
) -> None:
    command = ["-m", "matnet_jax", "serve", f"--workdir={trained}", *REAL]
    if network == "stub":
        command = ["-c", STUB]
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT if network == "real" else ROOT / "tests",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "TMPDIR": str(tmp_path),
            "MATNET_TOKEN": "s3cret",
            "PYTHONPATH": f"{ROOT}:{ROOT}/tests",
        },
    )
    try:
        line = process.stdout.readline()
        found = re.search(r"serving on (http://127\.0\.0\.1:\d+)/", line)
        assert found, (line, process.stderr.read())
        with httpx.Client(
            base_url=found[1], timeout=PATIENCE, headers={"Authorization": "Bearer s3cret"}
        ) as client:
            assert client.get("/healthz").json() == {"status": "ok"}
            clip = write_clip(tmp_path / "clip" / "a.mp4", 8)
            entry = client.post(
                "/v1/predict", files={"file": ("a.mp4", clip.read_bytes())}, params={"wait": 60}
            ).json()
            assert 0 < entry["score"] < 1 and not entry["error"]
            assert entry["frames"] == {"real": 4, "stub": 8}[network]
            assert len(list(tmp_path.glob("matnet-serve-*"))) == 1
            name = {"real": trained.name, "stub": "brightness"}[network]
            assert client.get("/v1/service").json()["network"] == name
            assert client.get("/v1/service", headers={"Authorization": ""}).status_code == 401
            assert client.get("/v1/service", headers={"Host": "evil.example"}).status_code == 421
        process.send_signal(ended_by)
        assert process.wait(PATIENCE) == 0, process.stderr.read()
    finally:
        process.kill()
        process.communicate()
    assert not list(tmp_path.glob("matnet-serve-*"))


def test_the_command_without_weights_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from matnet_jax.predict.serve.command import COMMAND
    from matnet_jax.pretrained import packaged

    monkeypatch.setattr(packaged, "manifests", lambda: [])
    assert COMMAND.run(_flags(), []) == 2
    assert "error: " in capsys.readouterr().err


def _flags() -> Any:
    from absl import flags

    from matnet_jax.predict.serve.command import COMMAND

    values = flags.FlagValues()
    COMMAND.define(values)
    values(["serve"])
    return values
