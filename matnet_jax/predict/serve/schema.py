"""What the HTTP interface answers with, as its OpenAPI description says it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from matnet_jax.predict.serve.jobs import File, Job, Jobs
from matnet_jax.predict.serve.words import meaning, uncertainty

State = Literal["queued", "running", "done"]
# No tuples: OpenAPI's description of them is not one that all readers take.
_Two = Annotated[list[float], Field(min_length=2, max_length=2)]
_Four = Annotated[list[float], Field(min_length=4, max_length=4)]


class Problem(BaseModel):
    """Why there is no other answer."""

    detail: str


class Accepted(BaseModel):
    """A job that was queued."""

    job: str = Field(description="Its id, for /v1/jobs/ID.")


class FaceEntry(BaseModel):
    """A face of a frame."""

    frame: int
    timestamp: float = Field(description="Seconds.")
    box: _Four = Field(description="x0, y0, x1, y1, pixels.")
    score: float = Field(description="P(fake).")


class TrackEntry(BaseModel):
    """A person in view."""

    track: int
    score: float
    faces: list[FaceEntry]


class Entry(BaseModel):
    """What came of a file: an entry of predictions.json."""

    input: str = Field(description="The file as the client called it.")
    score: float | None = Field(description="P(fake); null where no face was scored.")
    label: Literal["real", "fake", "uncertain", ""]
    verdict: str
    limits: str
    threshold: float
    frames: int
    faces: int
    error: str
    skipped: str
    abstained: bool
    uncertain: _Two | None
    tracks: list[TrackEntry]


class FileState(BaseModel):
    """A file of a job."""

    name: str
    state: State
    progress: float = Field(ge=0, le=1)
    result: Entry | None
    meaning: str = Field(description="Of the result, in sentences.")
    uncertainty: str = Field(description="Of its score, in a sentence.")


class JobState(BaseModel):
    """A job."""

    job: str
    state: State
    progress: float = Field(ge=0, le=1)
    expires_in: float | None = Field(description="Seconds; null before it is done.")
    files: list[FileState]


class About(BaseModel):
    """The service: how it decides and what it allows."""

    network: str
    threshold: float
    uncertain: _Two | None
    limits: str
    max_upload_bytes: int
    queue: int = Field(description="Places: files that may be on their way at once.")
    free: int = Field(description="Of these.")
    kept_seconds: float


class Health(BaseModel):
    """Whether jobs are taken."""

    status: Literal["ok", "closing"]


def entry(file: File) -> Entry:
    """The result of a file that is done."""
    assert file.prediction is not None
    return Entry.model_validate(file.prediction.as_json())


def job_state(job: Job, jobs: Jobs) -> JobState:
    """A job as it is now."""
    return JobState(
        job=job.id,
        state=job.state,  # type: ignore[arg-type]
        progress=job.progress,
        expires_in=jobs.expires_in(job),
        files=[_file_state(file) for file in job.files],
    )


def _file_state(file: File) -> FileState:
    found = file.prediction
    return FileState(
        name=file.name,
        state=file.state,  # type: ignore[arg-type]
        progress=file.progress,
        result=None if found is None else entry(file),
        meaning="" if found is None else meaning(found),
        uncertainty="" if found is None else uncertainty(found),
    )
