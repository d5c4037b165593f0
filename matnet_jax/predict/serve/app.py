"""The HTTP interface of a service."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.requests import ClientDisconnect, Request

import matnet_jax
from matnet_jax.predict.serve.guard import Guard
from matnet_jax.predict.serve.jobs import DONE, Claim, File, FullError, Job, drop_folder
from matnet_jax.predict.serve.report import report_page
from matnet_jax.predict.serve.schema import (
    About,
    Accepted,
    Entry,
    Health,
    JobState,
    Problem,
    entry,
    job_state,
)
from matnet_jax.predict.serve.service import Service
from matnet_jax.predict.serve.uploads import FIELD, UploadError, drain, receive

_PAGE = Path(__file__).parent / "page"
_RETRY_AFTER = 5  # seconds
_CLOSED = 499  # nobody hears it: the client has gone
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "additionalProperties": False,
                    "properties": {
                        FIELD: {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "Pictures and videos.",
                        }
                    },
                }
            }
        },
    }
}
_JPEG: dict[str, Any] = {"content": {"image/jpeg": {"schema": {"type": "string"}}}}
_TEXT: dict[str, Any] = {"content": {"text/plain": {"schema": {"type": "string"}}}}
_HTML: dict[str, Any] = {"content": {"text/html": {"schema": {"type": "string"}}}}


def _problems(**said: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's descriptions of answers by status, as `_404="no such job"`."""
    return {int(k[1:]): {"model": Problem, "description": text} for k, text in said.items()}


_ANY = {"_401": "No token, or a wrong one.", "_421": "Another name than the service answers to."}
_OF_JOB = _problems(_404="No such job, or none any more.", _422="No such parameter.", **_ANY)
_JobId = Annotated[str, InPath(max_length=64)]
_Number = Annotated[int, InPath(ge=0, le=2**31 - 1)]


def create_app(service: Service) -> Any:
    """The ASGI application in front of a service that was entered."""
    app = FastAPI(
        title="matnet serve",
        version=matnet_jax.__version__,
        description="Scores of images and videos: how likely faces in them are forged.",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
    )
    _add_errors(app)
    _add_jobs(app, service)
    _add_results(app, service)
    _add_operations(app, service)
    app.mount("/page", StaticFiles(directory=_PAGE), name="page")

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    return Guard(app, service.allowed, service.meters)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(UploadError)
    async def upload(request: Request, error: UploadError) -> Response:
        await drain(request)
        return JSONResponse({"detail": str(error)}, error.status)

    @app.exception_handler(FullError)
    async def full(request: Request, error: FullError) -> Response:
        await drain(request)
        wait = {"Retry-After": str(_RETRY_AFTER)}
        return JSONResponse({"detail": str(error)}, 429, headers=wait)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        await drain(request)
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return JSONResponse({"detail": said}, 422)


def _add_jobs(app: FastAPI, service: Service) -> None:
    jobs = service.jobs
    problems = _problems(
        _400="The body is no whole multipart form.",
        _403="A browser's page of another origin.",
        _408="The upload was too slow.",
        _410="The job was deleted while it was waited for.",
        _413="The upload is too large.",
        _415="The body is of another type.",
        _422="Other fields, or a parameter out of range.",
        _429="The queue is full; the header Retry-After says when to try again.",
        _503="The service is closing.",
        _507="There is no room for the upload.",
        **_ANY,
    )

    @app.post(
        "/v1/predict",
        status_code=202,
        response_model=None,
        responses={
            200: {
                "model": Entry | list[Entry],
                "description": "With `wait`: what came of the file, or a list of several files'.",
            },
            202: {"model": Accepted, "description": "Queued."},
            **problems,
        },
        openapi_extra=_UPLOAD,
    )
    async def predict(
        request: Request,
        wait: Annotated[
            float,
            Query(
                ge=0,
                le=service.allowed.wait_seconds,
                allow_inf_nan=False,
                description="Seconds to wait for the result, instead of a job's id at once.",
            ),
        ] = 0.0,
    ) -> Response:
        """Scores files."""
        if service.closing:
            await drain(request)
            raise HTTPException(503, _CLOSING)
        claim = Claim(jobs.places)
        folder = jobs.folder_name()
        try:
            uploads = await receive(
                request,
                folder,
                service.allowed,
                take_place=claim.next,
                received=service.meters.received,
            )
        except BaseException as error:
            claim.free()
            drop_folder(folder)
            if isinstance(error, ClientDisconnect):
                return Response(status_code=_CLOSED)
            raise
        job = service.submit(folder, uploads)
        if job.removed:
            raise HTTPException(503, _CLOSING)
        if not wait:
            return JSONResponse({"job": job.id}, 202)
        if not await _wait(request, job, wait):
            jobs.remove(job.id)
            return Response(status_code=_CLOSED)
        if job.removed:
            if service.closing:
                raise HTTPException(503, _CLOSING)
            raise HTTPException(410, "the job was deleted")
        if job.state != DONE:
            return JSONResponse({"job": job.id}, 202)
        entries = [entry(file).model_dump(mode="json") for file in job.files]
        return JSONResponse(entries[0] if len(entries) == 1 else entries)

    @app.get("/v1/jobs/{job}", responses=_OF_JOB)
    async def state(job: _JobId) -> JobState:
        """How far a job is, and what came of its files."""
        return job_state(_job(service, job), jobs)

    @app.delete(
        "/v1/jobs/{job}",
        status_code=204,
        responses=_OF_JOB | _problems(_403="A browser's page of another origin."),
    )
    async def delete(job: _JobId) -> None:
        """Ends a job and deletes all that there is of it."""
        if not jobs.remove(job):
            raise HTTPException(404, _NO_JOB)


def _add_results(app: FastAPI, service: Service) -> None:
    early = _problems(_409="The job is not done yet.")

    @app.get(
        "/v1/jobs/{job}/files/{file}/frames/{frame}",
        response_class=Response,
        responses={200: _JPEG, **_OF_JOB, **early},
    )
    def frame(job: _JobId, file: _Number, frame: _Number, overlay: bool = False) -> Response:
        """A frame that shows faces, with `overlay` their boxes, scores and heat maps."""
        found = _file(_job(service, job), file)
        pictures = found.pictures
        picture = pictures.marked(frame) if overlay else pictures.plain(frame)
        if picture is None:
            raise HTTPException(404, f"no faces were scored in a frame of the number {frame}")
        return Response(picture, media_type="image/jpeg")

    @app.get(
        "/v1/jobs/{job}/report",
        response_class=Response,
        responses={200: _HTML, **_OF_JOB, **early},
    )
    def report(job: _JobId) -> HTMLResponse:
        """A page of the results that needs no other file, to keep."""
        files = _job(service, job).files
        for number in range(len(files)):
            _file(_job(service, job), number)
        return HTMLResponse(
            report_page(files, service.about),
            headers={
                "Content-Disposition": 'attachment; filename="matnet-report.html"',
                # Kept pages carry their style with them; nothing else is let in.
                "Content-Security-Policy": (
                    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
                ),
            },
        )


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/v1/service", responses=_problems(**_ANY))
    async def about() -> About:
        """How this service decides and what it allows."""
        return About.model_validate(service.about)

    @app.get("/healthz", responses={503: {"model": Health, "description": "No jobs are taken."}})
    async def healthz(response: Response) -> Health:
        """Whether jobs are taken; needs no token."""
        if service.ready:
            return Health(status="ok")
        response.status_code = 503
        return Health(status="closing")

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: _TEXT, **_problems(**_ANY)},
    )
    async def metrics() -> Response:
        """What Prometheus reads."""
        return Response(service.meters.text(), media_type="text/plain; version=0.0.4")


_CLOSING = "the service is closing"
_NO_JOB = "no such job: it expired, was deleted, or never was"


def _job(service: Service, name: str) -> Job:
    job = service.jobs.get(name)
    if job is None:
        raise HTTPException(404, _NO_JOB)
    return job


def _file(job: Job, number: int) -> File:
    if number >= len(job.files):
        raise HTTPException(404, f"the job has {len(job.files)} files, and none of number {number}")
    if job.files[number].prediction is None:
        raise HTTPException(409, "the job is not done yet")
    return job.files[number]


async def _wait(request: Request, job: Job, seconds: float) -> bool:
    """Waits for a job, at most so long; False when the client has gone."""
    done = asyncio.wrap_future(job.done)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({done, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return done.done() or not gone.done()
    finally:
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
