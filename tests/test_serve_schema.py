"""The HTTP interface against its OpenAPI description, by requests that schemathesis makes up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from PIL import Image
from serving import Running, picture, running

from matnet_jax.predict.serve.service import Allowed

OPERATIONS = [
    ("POST", "/v1/predict"),
    ("GET", "/v1/jobs/{job}"),
    ("DELETE", "/v1/jobs/{job}"),
    ("GET", "/v1/jobs/{job}/files/{file}/frames/{frame}"),
    ("GET", "/v1/jobs/{job}/report"),
    ("GET", "/v1/service"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
]
PLAIN = ("/v1/service", "/healthz", "/metrics")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with (
        pytest.MonkeyPatch.context() as patch,
        running(patch, Allowed(wait_seconds=2.0)) as made,
    ):
        # Hypothesis looks through the modules while no thread may import: all that the server's
        # threads will, and Pillow's formats, which it imports for bytes that it does not know.
        made.done(made.job())
        Image.init()
        yield made


@pytest.fixture(scope="module")
def api(server: Running) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}openapi.json")


# Not by schemathesis's own marks, which pytest 9.2 has moved on from.
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_made_up_requests_get_described_answers(
    api: Any, server: Running, method: str, path: str
) -> None:
    operation = api[path][method]
    modes = list(schemathesis.GenerationMode)
    if path in PLAIN:  # nothing can be wrong about them
        modes.remove(schemathesis.GenerationMode.NEGATIVE)
    made = [operation.as_strategy(generation_mode=mode) for mode in modes]

    @given(case=strategies.one_of(made))
    @settings(
        max_examples=15,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        case.call_and_validate()

    ask()


def test_real_jobs_get_described_answers(server: Running, api: Any) -> None:
    job = server.job()
    server.done(job)
    for path, options in (
        ("/v1/jobs/{job}", {}),
        ("/v1/jobs/{job}/report", {}),
        ("/v1/jobs/{job}/files/{file}/frames/{frame}", {"file": 0, "frame": 0}),
    ):
        case = api[path]["GET"].Case(path_parameters={"job": job, **options})
        assert case.call_and_validate().status_code == 200
    files = {"file": ("a.jpg", picture())}
    for count in (1, 2):
        answer = server.client.post(
            "/v1/predict", files=[*files.items()] * count, params={"wait": 2}
        )
        answer.request.read()
        api["/v1/predict"]["POST"].validate_response(answer)
        assert answer.status_code == 200


def test_the_description_names_what_there_is(server: Running) -> None:
    described = server.client.get("/openapi.json").json()
    found = {
        (method.upper(), path) for path, methods in described["paths"].items() for method in methods
    }
    assert found == set(OPERATIONS)
