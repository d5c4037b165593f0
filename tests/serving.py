"""A service with a stub network on a free port of loopback, for tests of `matnet serve`."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from stub_network import SETTINGS, Brightness, Squares
from videos import jpeg, moving_square

from matnet_jax.predict import Predictor
from matnet_jax.predict import predictor as predictor_module
from matnet_jax.predict.serve import worker
from matnet_jax.predict.serve.app import create_app
from matnet_jax.predict.serve.server import Server, address
from matnet_jax.predict.serve.service import Allowed, Service

PATIENCE = 60  # seconds, for what takes a moment


class Gated(Brightness):
    """A network that scores only while its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False

    def run(self, images: Any) -> Any:
        assert self.gate.wait(PATIENCE)
        if self.broken:
            raise RuntimeError("the device is gone")
        return super().run(images)


class Running:
    """A service, where it is reached, its network, and a client.

    Attributes:
      shut: whether the network's gate stays as it is when the service ends.
    """

    shut = False

    def __init__(self, service: Service, url: str, network: Gated, client: httpx.Client) -> None:
        self.service, self.url, self.network, self.client = service, url, network, client

    @property
    def places(self) -> int:
        return self.service.jobs.places.taken

    def post(self, data: Any = None, name: str = "a.jpg", **options: Any) -> httpx.Response:
        files = {"file": (name, picture() if data is None else data)}
        return self.client.post("/v1/predict", files=files, **options)

    def job(self, **options: Any) -> str:
        answer = self.post(**options)
        assert answer.status_code == 202, answer.text
        return answer.json()["job"]

    def state(self, job: str) -> Any:
        answer = self.client.get(f"/v1/jobs/{job}")
        answer.raise_for_status()
        return answer.json()

    def done(self, job: str) -> Any:
        until(lambda: self.state(job)["state"] == "done")
        return self.state(job)

    def left(self) -> list[str]:
        return sorted(str(path) for path in self.service.folder.rglob("*"))


def picture(number: int = 40) -> bytes:
    return jpeg(moving_square(number))


def until(true: Callable[[], Any]) -> None:
    """Waits for what takes a moment."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


@contextlib.contextmanager
def served(service: Service) -> Iterator[str]:
    """Uvicorn in a thread: its address."""
    config = uvicorn.Config(
        create_app(service), port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=5
    )
    server = Server(config, service)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield address(server)
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def running(
    patch: pytest.MonkeyPatch, allowed: Allowed | None = None, **fields: Any
) -> Iterator[Running]:
    for module in (worker, predictor_module):
        patch.setattr(module, "create_detector", lambda *_: Squares())
    network = Gated()
    predictor = Predictor(network.network, settings=SETTINGS, workers=2, **fields)
    with (
        Service(predictor, allowed, sweep_every=0.05) as service,
        served(service) as url,
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
    ):
        server = Running(service, url, network, client)
        try:
            yield server
        finally:
            if not server.shut:
                network.gate.set()


def pixels(encoded: bytes) -> np.ndarray:
    """JPEG bytes to uint8 RGB."""
    import cv2

    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded[..., ::-1]


def entry_of(folder: Path) -> Any:
    """The one entry of a folder's predictions.json."""
    [entry] = json.loads((folder / "predictions.json").read_text(encoding="utf-8"))
    return entry
