"""The HTTP interface: what it answers, what it refuses, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from serving import PATIENCE, Running, entry_of, picture, pixels, running, until
from videos import write_clip

from matnet_jax.metrics.operating_point import OperatingPoint
from matnet_jax.predict.files import predict_files
from matnet_jax.predict.results import NO_SEAM
from matnet_jax.predict.serve.jobs import File, Job, Jobs, Kept, Places
from matnet_jax.predict.serve.service import Allowed
from matnet_jax.predict.serve.words import meaning, uncertainty
from matnet_jax.predict.serve.worker import NO_MEDIA


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    with running(monkeypatch) as made:
        yield made


def test_a_video_is_scored_as_the_command_scores_it(server: Running, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 64)
    answer = server.post(clip.read_bytes(), "a.mp4", params={"wait": PATIENCE})
    assert answer.status_code == 200
    predict_files(server.service.predictor, [str(clip)], tmp_path / "out")
    wanted = entry_of(tmp_path / "out") | {"input": "a.mp4"}
    found = answer.json()
    for one in (found, wanted):
        one["tracks"].sort(key=lambda track: track["track"])
    assert found == wanted and len(found["tracks"]) == 2


def test_a_job_its_progress_frames_and_report(server: Running, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 64)
    server.network.gate.clear()
    job = server.job(data=clip.read_bytes(), name="<b>&.mp4")
    until(lambda: server.state(job)["progress"] > 0)
    state = server.state(job)
    assert state["state"] in ("queued", "running") and state["progress"] < 1
    assert state["expires_in"] is None and state["files"][0]["result"] is None
    assert server.client.get(f"/v1/jobs/{job}/report").status_code == 409
    assert server.client.get(f"/v1/jobs/{job}/files/0/frames/4").status_code == 409
    server.network.gate.set()

    state = server.done(job)
    [file] = state["files"]
    assert state["progress"] == 1 and file["name"] == "<b>&.mp4" and 0 < state["expires_in"] <= 1800
    assert "single frames of this person" in file["uncertainty"] and file["meaning"]
    plain = server.client.get(f"/v1/jobs/{job}/files/0/frames/36")
    assert plain.headers["content-type"] == "image/jpeg"
    marked = server.client.get(f"/v1/jobs/{job}/files/0/frames/36", params={"overlay": True})
    before, after = pixels(plain.content).astype(int), pixels(marked.content).astype(int)
    assert before.shape == after.shape == (96, 128, 3)
    change = np.abs(after - before).max(axis=-1)
    assert change[20:30, 14:34].mean() > 20  # heat over the face
    assert change[85:, :40].max() < 12  # and none elsewhere
    for wrong in ("files/0/frames/5", "files/1/frames/4", "files/-1/frames/4"):
        assert server.client.get(f"/v1/jobs/{job}/{wrong}").status_code in (404, 422), wrong

    report = server.client.get(f"/v1/jobs/{job}/report")
    assert report.status_code == 200 and "attachment" in report.headers["content-disposition"]
    assert "&lt;b&gt;&amp;.mp4" in report.text and "<b>&.mp4" not in report.text
    assert report.text.count("data:image/jpeg") == 6 and "Score over time" in report.text
    assert "<script" not in report.text and "http://" not in report.text.replace(
        "http://www.w3.org/", ""
    )

    assert server.left() != []
    assert server.client.delete(f"/v1/jobs/{job}").status_code == 204
    assert server.client.get(f"/v1/jobs/{job}").status_code == 404
    assert server.client.delete(f"/v1/jobs/{job}").status_code == 404
    assert server.left() == []


def test_several_files_are_one_job(server: Running) -> None:
    files = [("file", (f"{i}.jpg", picture(i))) for i in range(3)]
    answer = server.client.post("/v1/predict", files=files, params={"wait": PATIENCE})
    assert [entry["input"] for entry in answer.json()] == ["0.jpg", "1.jpg", "2.jpg"]
    assert server.places == 0


def test_files_that_cannot_be_scored_say_why(server: Running) -> None:
    for data, why in (
        (b"", NO_MEDIA),
        (b"%PDF-1.7 and so on", NO_MEDIA),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", NO_MEDIA),  # FFmpeg would open what it names
        (picture()[:200], "bad.jpg"),
        (b"\0\0\0\x18ftypmp42" + bytes(64), "bad.jpg"),
    ):
        entry = server.post(data, "bad.jpg", params={"wait": PATIENCE}).json()
        assert entry["score"] is None and why in entry["error"], entry
        assert str(server.service.folder) not in str(entry)
    assert server.post(params={"wait": PATIENCE}).json()["score"] is not None
    [state] = server.done(server.job(data=b"%PDF"))["files"]
    assert state["meaning"].startswith("No face was scored") and state["uncertainty"] == ""


def test_names_are_never_paths(server: Running) -> None:
    names = ["../../etc/passwd", "/etc/passwd", "..", "a\x01b.jpg", "x" * 3000, "é😀.jpg", ""]
    for name in names:
        data = (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="'
            + name.encode()
            + b'"\r\n\r\n'
            + picture()
            + b"\r\n--b--\r\n"
        )
        answer = server.client.post(
            "/v1/predict",
            content=data,
            params={"wait": PATIENCE},
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
        entry = answer.json()
        assert answer.status_code == 200 and entry["score"] is not None, name[:80]
        assert len(entry["input"]) <= 255 and "\x01" not in entry["input"]
    inside = [Path(path).relative_to(server.service.folder) for path in server.left()]
    assert all(len(path.parts) <= 2 for path in inside)
    # Each upload is gone; a frame of each is kept.
    assert {path.name for path in inside if len(path.parts) == 2} == {"0-0.jpg"}


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ({"files": {"other": ("a.jpg", b"x")}}, 422, "a field 'other'; wanted: 'file' alone"),
        ({"files": {"file": (None, b"x")}}, 422, "it has no filename"),
        ({"json": {}}, 415, "'application/json'; wanted: multipart/form-data"),
        ({}, 415, "wanted: multipart/form-data"),
        ({"params": {"wait": -1}}, 422, "query.wait"),
        ({"params": {"wait": "nan"}}, 422, "query.wait"),
        ({"headers": {"Content-Type": "multipart/form-data"}}, 400, "without a boundary"),
        (
            {"headers": {"Content-Type": f"multipart/form-data; boundary={'b' * 300}"}},
            400,
            "a boundary of 300 bytes; wanted: at most 256",
        ),
        (
            {
                "headers": {"Content-Type": "multipart/form-data; boundary=b"},
                "content": b"nonsense",
            },
            400,
            "no multipart form",
        ),
        (
            {
                "headers": {"Content-Type": "multipart/form-data; boundary=b"},
                "content": b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
                b"\r\ncut",
            },
            400,
            "ends before its last boundary",
        ),
    ],
)
def test_what_is_no_upload(server: Running, options: Any, status: int, message: str) -> None:
    answer = server.client.post("/v1/predict", **options)
    assert answer.status_code == status and message in answer.json()["detail"]
    assert server.places == 0 and server.left() == []


def test_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(monkeypatch, Allowed(upload_bytes=50_000)) as server:
        for content in (bytes(60_000), iter([bytes(1000)] * 60)):
            kind = {"Content-Type": "multipart/form-data; boundary=b"}
            if not isinstance(content, bytes):  # without a length: it is counted
                head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
                content = iter([head, *content])
            answer = server.client.post("/v1/predict", content=content, headers=kind)
            assert answer.status_code == 413 and "50,000 bytes" in answer.json()["detail"]
        assert server.places == 0 and server.left() == []
        assert server.post(params={"wait": PATIENCE}).status_code == 200


def test_a_full_queue_says_when_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(monkeypatch, Allowed(queue=2)) as server:
        server.network.gate.clear()
        first, second = server.job(), server.job()
        full = server.post()
        assert full.status_code == 429 and int(full.headers["retry-after"]) > 0
        assert "all 2 places" in full.json()["detail"]
        assert server.client.delete(f"/v1/jobs/{first}").status_code == 204
        third = server.job()
        assert server.post().status_code == 429
        server.network.gate.set()
        for job in (second, third):
            assert server.done(job)["files"][0]["result"]["score"] is not None
        many = [("file", (f"{i}.jpg", picture())) for i in range(3)]
        assert server.client.post("/v1/predict", files=many).status_code == 429
        assert server.places == 0


def test_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(monkeypatch, Allowed(token="s3cret")) as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
            for path in ("/v1/jobs/x", "/v1/service", "/metrics"):
                refused = server.client.get(path, headers=headers)
                assert refused.status_code == 401, path
                assert refused.headers["www-authenticate"] == "Bearer"
            assert server.post(headers=headers).status_code == 401
        assert server.places == 0
        right = {"Authorization": "Bearer s3cret"}
        assert server.post(headers=right, params={"wait": PATIENCE}).status_code == 200
        assert server.client.get("/healthz").status_code == 200
        assert server.client.get("/").status_code == 200


def test_other_names_and_origins_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(monkeypatch, Allowed(hosts=("127.0.0.1", "localhost"))) as server:
        rebound = server.client.get("/v1/service", headers={"Host": "evil.example"})
        assert rebound.status_code == 421 and "127.0.0.1, localhost" in rebound.json()["detail"]
        asked = server.client.get("/healthz", headers={"Host": "10.0.0.7"})
        assert asked.json() == {"status": "ok"}
        for headers in (
            {"Origin": "http://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "null"},
        ):
            assert server.post(headers=headers).status_code == 403
        own = {"Origin": server.url.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
        assert server.post(headers=own).status_code == 202


def test_headers_and_metrics(server: Running) -> None:
    for path in ("/", "/page/app.js", "/page/style.css", "/healthz", "/v1/jobs/x", "/nowhere"):
        headers = server.client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy, path
        assert headers["x-content-type-options"] == "nosniff"
    page = server.client.get("/").text
    assert "style=" not in page and "<style" not in page and page.count("<script") == 1
    server.post(params={"wait": PATIENCE})
    told = server.client.get("/metrics").text
    for line in (
        'matnet_files_total{outcome="real"} 1.0',
        'matnet_requests_total{method="POST",route="/v1/predict",status="200"} 1.0',
        "matnet_places_taken 0.0",
        "matnet_places 64.0",
        "matnet_jobs 1.0",
    ):
        assert line in told, told


def test_results_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(monkeypatch, Allowed(kept=Kept(seconds=0.2))) as server:
        job = server.job()
        until(lambda: server.client.get(f"/v1/jobs/{job}").status_code == 404)
        assert server.left() == [] and server.places == 0
    with running(monkeypatch, Allowed(kept=Kept(jobs=2))) as server:
        jobs = []
        for _ in range(4):
            jobs.append(server.job())
            server.done(jobs[-1])
        until(lambda: len(server.service.jobs) == 2)
        answers = [server.client.get(f"/v1/jobs/{job}").status_code for job in jobs]
        assert answers == [404, 404, 200, 200]


def test_a_device_that_fails_loses_that_file_alone(server: Running) -> None:
    server.network.broken = True
    entry = server.post(params={"wait": PATIENCE}).json()
    assert entry["score"] is None and "the network failed (RuntimeError)" in entry["error"]
    server.network.broken = False
    assert server.post(params={"wait": PATIENCE}).json()["score"] is not None
    assert server.client.get("/healthz").json() == {"status": "ok"}


def test_fifty_clients_at_once_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than there are places: who is told to try again does, and is served."""

    async def client(http: httpx.AsyncClient, number: int) -> tuple[int, Any, int]:
        refused = 0
        while True:
            files = {"file": (f"{number}.jpg", picture(number))}
            answer = await http.post("/v1/predict", files=files, params={"wait": PATIENCE})
            if answer.status_code != 429:
                answer.raise_for_status()
                return number, answer.json(), refused
            refused += 1
            await asyncio.sleep(0.05)

    async def all_of_them(url: str) -> list[tuple[int, Any, int]]:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, limits=limits) as http:
            sent = asyncio.gather(*(client(http, number) for number in range(50)))
            await asyncio.sleep(0.3)
            gate.set()
            return await sent

    with running(monkeypatch, Allowed(queue=20)) as server:
        gate = server.network.gate
        gate.clear()
        found = asyncio.run(all_of_them(server.url))
        assert [number for number, _, _ in found] == list(range(50))
        for number, entry, _ in found:
            wanted = server.service.predictor(_array(number)).score
            assert entry["input"] == f"{number}.jpg"
            assert entry["score"] == pytest.approx(wanted, abs=0.02)
        assert sum(refused for *_, refused in found) > 0
        assert max(server.network.sizes) == 4  # batches went across requests
        assert server.places == 0 and server.client.get("/healthz").status_code == 200


def _array(number: int) -> np.ndarray:
    return pixels(picture(number))


def test_a_fitted_threshold_says_no_seam(server: Running) -> None:
    network = dataclasses.replace(
        server.network.network,
        operating_point=OperatingPoint(0.9, (0.6, 0.9), max_risk=0.1),
        limits="faces from nowhere are not seen",
    )
    low = dataclasses.replace(server.service.predictor, network=network)(_array(10))
    assert low.finding == NO_SEAM and "faces from nowhere" in meaning(low)
    assert "undecided from 0.600 to 0.900" in uncertainty(low)
    between = dataclasses.replace(low, score=0.7)
    assert between.abstained and "neither fake nor real" in meaning(between)
    over = dataclasses.replace(low, score=0.95)
    assert over.label == "fake" and "evidence, not proof" in meaning(over)
    unfitted = server.service.predictor(_array(10))
    assert unfitted.label == "real" and "not fitted for this network" in meaning(unfitted)
    brief = dataclasses.replace(unfitted.tracks[0], number=9, score=0.99)
    glimpsed = dataclasses.replace(unfitted, tracks=(brief, *unfitted.tracks))
    assert meaning(unfitted).startswith("No person's score is over")
    assert meaning(glimpsed).startswith("Of those seen long enough to decide, no person's score")


def test_a_job_may_be_finished_and_removed_at_once(tmp_path: Path) -> None:
    """Both settle it, each in its thread; the one that comes second may not fail."""

    class Raced(Future[None]):
        def set_result(self, result: None) -> None:
            super().set_result(result)  # by the other thread, just before
            super().set_result(result)

    jobs = Jobs(tmp_path, Places(4), Kept())
    job = Job([File("a.jpg", tmp_path / "a", 1)], jobs.folder_name())
    job.done = Raced()
    jobs.add(job)
    assert jobs.remove(job.id) and job.done.result() is None
