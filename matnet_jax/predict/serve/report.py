"""What a job came to, as one HTML page that needs no network, no script and no other file."""

import base64
import dataclasses
import datetime
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

import matnet_jax
from matnet_jax.predict.results import Prediction, Track
from matnet_jax.predict.serve.jobs import File
from matnet_jax.predict.serve.words import meaning, uncertainty
from matnet_jax.report.drawing import drawn
from matnet_jax.report.render import environment

_MOST_FRAMES = 6
_MOST_TRACKS = 10
_DRAWING = threading.Lock()  # matplotlib's settings are the process's


@dataclasses.dataclass(frozen=True)
class _Shown:
    """A frame on the page: its picture as a data URI."""

    number: int
    seconds: float
    score: float
    picture: str


def report_page(files: Sequence[File], about: Mapping[str, Any]) -> str:
    """HTML of files that are done.

    Args:
      files: with their predictions and pictures.
      about: the service, as `Service.about`.
    """
    now = datetime.datetime.now(datetime.UTC)
    parts = []
    for number, file in enumerate(files):
        found = file.prediction
        assert found is not None
        parts.append(
            {
                "found": found,
                "meaning": meaning(found),
                "uncertainty": uncertainty(found),
                "chart": _chart(number, found),
                "frames": _frames(file, found),
            }
        )
    template = environment().get_template("prediction.html.j2")
    return template.render(
        title="What the detector found",
        files=parts,
        about=about,
        made=now.strftime("%Y-%m-%d %H:%M UTC"),
        version=matnet_jax.__version__,
    )


def _chart(number: int, found: Prediction) -> Markup | None:
    """P(fake) over seconds, a line a person; None of a single frame."""
    tracks = [track for track in found.tracks if len(track.faces) > 1][:_MOST_TRACKS]
    if not tracks:
        return None

    def draw(axes: Axes) -> None:
        for track in tracks:
            faces = sorted(track.faces, key=lambda face: face.timestamp)
            axes.plot(
                [face.timestamp for face in faces],
                [face.score for face in faces],
                marker=".",
                linewidth=1.2,
                label=f"face {track.number}",
            )
        axes.axhline(found.threshold, color="grey", linewidth=1, linestyle="--")
        if found.uncertain is not None:
            axes.axhspan(*found.uncertain, color="grey", alpha=0.15, linewidth=0)
        axes.set(ylim=(-0.03, 1.03), xlabel="seconds", ylabel="P(fake)")
        if len(tracks) > 1:
            axes.legend(loc="best")

    with _DRAWING:
        return drawn(f"score over time, file {number + 1}", draw, size=(9.0, 3.0))


def _frames(file: File, found: Prediction) -> list[_Shown]:
    """The highest scores' frames of the person who decides, in order of time."""
    if not found.tracks:
        return []
    deciding: Track = next((t for t in found.tracks if t.score == found.score), found.tracks[0])
    highest = sorted(deciding.faces, key=lambda face: -face.score)[:_MOST_FRAMES]
    shown = []
    for face in sorted(highest, key=lambda face: face.frame):
        picture = file.pictures.marked(face.frame)
        if picture is not None:
            uri = "data:image/jpeg;base64," + base64.b64encode(picture).decode()
            shown.append(_Shown(face.frame, face.timestamp, face.score, uri))
    return shown
