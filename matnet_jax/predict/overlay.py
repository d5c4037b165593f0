"""An annotated copy of a file: boxes with scores, the score over time, the attention maps."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from data_pipeline.extract.images import is_moving
from data_pipeline.extract.kinds import kind_of
from data_pipeline.extract.limits import Limits
from data_pipeline.extract.locate import Boxes
from data_pipeline.extract.video import every_frame, open_frames
from data_pipeline.files import atomic_file, atomic_path
from matnet_jax.predict.results import LABELS, UNCERTAIN, FaceScore, Prediction, Track
from matnet_jax.report.overlays import laid_over

_PANEL = 128  # pixels, of the strip below the picture
_MIN_WIDTH, _MIN_PLOT = 640, 192
_REAL = (60, 160, 90)
_COLOURS = {LABELS[1]: (205, 50, 50), UNCERTAIN: (110, 110, 120)}


def write_overlay(prediction: Prediction, out: Path, *, limits: Limits | None = None) -> Path:
    """Writes the annotated copy of a scored file, whole or not at all.

    Args:
      prediction: made with ``keep_attention`` for the maps to be there.
      out: without its ending, which is ``.jpg`` for an image and ``.mp4`` (H.264) for a video; a
        video's plot of the score over time is beside it as ``.png``.
      limits: of the decoder's work, as in scoring; None for those of `Limits`. A copy of a video
        ends where decoding it has taken too long.

    Raises:
      ValueError: the file can no longer be read.
      OSError: the copy can't be written.
    """
    source = Path(prediction.input)
    still = kind_of(source) == "image" and not is_moving(source, limits)
    artist = _Artist(prediction, plot=not still)
    if still:
        [frame] = open_frames(source, 1, limits=limits)
        target = out.with_name(out.name + ".jpg")
        _write_picture(artist.draw(frame.image, frame.number), target, "JPEG", quality=92)
        return target
    target = out.with_name(out.name + ".mp4")
    with atomic_path(target) as temporary:
        _write_video(artist, source, temporary, limits)
    _write_picture(score_plot(prediction, 960, 320), out.with_name(out.name + ".png"), "PNG")
    return target


def score_plot(prediction: Prediction, width: int, height: int) -> np.ndarray:
    """P(fake) over seconds, a line a person: uint8 RGB [height, width, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # nothing else here needs it
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    axes = figure.add_axes(_plot_area(width, height))
    for track in prediction.tracks:
        axes.plot(
            [face.timestamp for face in track.faces],
            [face.score for face in track.faces],
            marker=".",
            linewidth=1,
            label=f"face {track.number}",
        )
    axes.axhline(prediction.threshold, color="grey", linewidth=0.8, linestyle="--")
    axes.set(ylim=(-0.03, 1.03), xlim=_seconds(prediction))
    axes.tick_params(labelsize=7)
    if height >= 200:
        axes.set(xlabel="seconds", ylabel="P(fake)")
        if 1 < len(prediction.tracks) <= 10:
            axes.legend(fontsize=7)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


class _Artist:
    """Draws on a video's frames what was found in them."""

    def __init__(self, prediction: Prediction, *, plot: bool) -> None:
        self._prediction, self._plot = prediction, plot
        self._tracks = {track.number: track for track in prediction.tracks}
        self._boxes = _boxes(prediction)
        self._maps = _MapStrips(prediction.tracks[0] if prediction.tracks else None)
        self._plots: dict[int, np.ndarray] = {}

    def draw(self, image: np.ndarray, number: int, seconds: float = 0.0) -> np.ndarray:
        """The frame with its panel: uint8 RGB, even height and width."""
        image = image.copy()
        for track, face in self._boxes.at(number) if self._boxes is not None else []:
            self._draw_box(image, face.box, self._tracks[track])
        height, width = image.shape[:2]
        full = max(width, _MIN_WIDTH) // 2 * 2
        canvas = np.zeros((height // 2 * 2 + _PANEL, full, 3), np.uint8)
        picture = image[: height // 2 * 2, :full]
        left = (full - picture.shape[1]) // 2
        canvas[: picture.shape[0], left : left + picture.shape[1]] = picture
        self._draw_panel(canvas[-_PANEL:], number, seconds)
        return canvas

    def _draw_box(self, image: np.ndarray, box: np.ndarray, track: Track) -> None:
        finding = self._prediction.finding_of(track.score)
        colour = _COLOURS.get(finding, _REAL)
        x0, y0, x1, y1 = (round(float(v)) for v in box)
        thick = max(1, round(image.shape[0] / 240))
        cv2.rectangle(image, (x0, y0), (x1, y1), colour, thick)
        text = f"{finding} {track.score:.2f}"
        scale = max(0.4, image.shape[0] / 900)
        (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
        top = max(y0 - h - 6, 0)
        cv2.rectangle(image, (x0, top), (x0 + w + 6, top + h + 6), colour, -1)
        place = (x0 + 3, top + h + 2)
        cv2.putText(
            image, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), thick, cv2.LINE_AA
        )

    def _draw_panel(self, panel: np.ndarray, number: int, seconds: float) -> None:
        room = panel.shape[1] - (_MIN_PLOT if self._plot else 0)
        strip = self._maps.at(number, room)
        panel[: strip.shape[0], : strip.shape[1]] = strip
        width = panel.shape[1] - strip.shape[1]
        if not self._plot:
            return
        if width not in self._plots:
            self._plots[width] = score_plot(self._prediction, width, _PANEL)
        plot = self._plots[width].copy()
        x, _, w, _ = _plot_area(width, _PANEL)
        first, last = _seconds(self._prediction)
        share = min(max((seconds - first) / (last - first), 0.0), 1.0)
        column = round((x + w * share) * width)
        cv2.line(plot, (column, 0), (column, _PANEL), (30, 30, 30), 1)
        panel[:, strip.shape[1] :] = plot


class _MapStrips:
    """The attention maps on the last scored face of a track, side by side."""

    def __init__(self, track: Track | None) -> None:
        faces = track.faces if track is not None else ()
        self._faces = [face for face in faces if face.attention is not None]
        self._numbers = [face.frame for face in self._faces]
        self._last: tuple[int, int, np.ndarray] | None = None

    def at(self, number: int, room: int) -> np.ndarray:
        """uint8 RGB [h, w, 3], w at most `room`."""
        if not self._faces:
            return np.zeros((0, 0, 3), np.uint8)
        index = max(int(np.searchsorted(self._numbers, number, side="right")) - 1, 0)
        if self._last is None or self._last[:2] != (index, room):
            self._last = (index, room, _strip(self._faces[index], room))
        return self._last[2]


def _strip(face: FaceScore, room: int) -> np.ndarray:
    assert face.attention is not None and face.thumbnail is not None
    attention = np.asarray(face.attention, np.float32)
    side = min(_PANEL, room // attention.shape[-1])
    picture = Image.fromarray(face.thumbnail).resize((side, side))
    peak = float(attention.max(initial=0.0)) or 1.0
    tiles = [laid_over(picture, attention[..., k] / peak) for k in range(attention.shape[-1])]
    return np.concatenate([np.asarray(tile) for tile in tiles], axis=1)


def _boxes(prediction: Prediction) -> Boxes | None:
    rows = [(track.number, face) for track in prediction.tracks for face in track.faces]
    if not rows:
        return None
    return Boxes(
        frame=np.array([face.frame for _, face in rows]),
        face=np.array([number for number, _ in rows]),
        box=np.array([face.box for _, face in rows], np.float32),
        landmarks=np.zeros((len(rows), 5, 2), np.float32),
        score=np.array([face.score for _, face in rows], np.float32),
        size=(0, 0),
    )


def _seconds(prediction: Prediction) -> tuple[float, float]:
    times = [face.timestamp for track in prediction.tracks for face in track.faces] or [0.0]
    return min(times), max(max(times), min(times) + 0.1)


def _plot_area(width: int, height: int) -> tuple[float, float, float, float]:
    """Left, bottom, width, height of the axes, as shares of the figure."""
    left, below = 36 / width, (44 if height >= 200 else 20) / height
    return left, below, 1 - left - 8 / width, 1 - below - 8 / height


def _write_picture(image: np.ndarray, target: Path, kind: str, **options: Any) -> None:
    """Writes uint8 RGB [H, W, 3], encoded before: on a full disk Pillow cuts off, and is silent."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, kind, **options)
    with atomic_file(target, "wb") as file:
        file.write(encoded.getvalue())


def _write_video(artist: _Artist, source: Path, target: Path, limits: Limits | None) -> None:
    """Encodes frame by frame; times are the source's own, to a millisecond."""
    import av  # of the extra `predict`

    with av.open(str(target), "w", format="mp4") as container:
        stream = None
        last = -1
        for frame in every_frame(source, limits):
            picture = artist.draw(frame.image, frame.number, frame.timestamp)
            if stream is None:
                stream = container.add_stream("libx264", rate=30)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = Fraction(1, 1000)
                stream.options = {"crf": "21", "preset": "veryfast"}
            image = av.VideoFrame.from_ndarray(picture, format="rgb24")
            last = max(round(frame.timestamp * 1000), last + 1)
            image.pts, image.time_base = last, Fraction(1, 1000)
            container.mux(stream.encode(image))
        if stream is None:
            raise ValueError(f"{source}: no frame decodes")
        container.mux(stream.encode())
