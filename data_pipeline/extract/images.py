"""Pictures of any kind (JPEG, PNG, TIFF, WebP, AVIF, HEIC, GIF, …) to uint8 sRGB, upright."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from data_pipeline.extract.code_points import code_points
from data_pipeline.extract.colours import to_srgb
from data_pipeline.extract.frames import Broken, Choice, Frame, FrameStream, VideoError
from data_pipeline.extract.kinds import is_heif
from data_pipeline.extract.limits import Limits, Stopwatch

# `Limits.max_pixels` stands in for Pillow's own limit, which warns first and cannot be set a call.
Image.MAX_IMAGE_PIXELS = None

_MOVING = ("GIF", "WEBP", "PNG", "AVIF")  # several pages of a TIFF, or an MPO, are no film
_LEAST, _USUAL = 0.02, 0.1  # seconds a frame: browsers show faster ones as the latter
_ORIENTATION = 0x0112
_TURNS: dict[Any, Any] = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: image.swapaxes(0, 1)[:, ::-1],
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: image.swapaxes(0, 1)[::-1],
}


def decode_still(encoded: bytes, limits: Limits) -> np.ndarray:
    """The bytes of a picture, of a moving one its first frame, to uint8 RGB [H, W, 3], upright.

    Raises:
      VideoError: they are no picture, damaged, or too large.
    """
    if not encoded:
        raise VideoError("empty (0 bytes)")
    file = io.BytesIO(encoded)
    with _opened(file, limits) as picture:
        return _upright(to_srgb(picture, file, code_points(picture, file)), picture)


def open_image(path: Path, choose: Choice, limits: Limits) -> FrameStream:
    """The frame of an image file, or chosen ones of a moving one: GIF, WebP, PNG, AVIF.

    Raises:
      VideoError: it is no picture, or too large.
    """
    with _named(path), open(path, "rb") as file, _opened(file, limits) as picture:
        wanted = choose(range(_count(picture)))

    def read() -> Iterator[Frame]:
        watch = Stopwatch(limits.max_seconds)
        try:
            for frame in watch.over(_frames(path, wanted, limits)):
                if frame is not None:
                    yield frame
        except VideoError as error:
            raise Broken(str(error)) from error

    return FrameStream(path, wanted, read)


def is_moving(path: Path, limits: Limits | None = None) -> bool:
    """Whether an image file has several frames to be shown after one another.

    Args:
      path: of the file.
      limits: of the decoder's work; None for those of `Limits`.

    Raises:
      VideoError: it is no picture, or one that is too large.
    """
    with _named(path), open(path, "rb") as file, _opened(file, limits or Limits()) as picture:
        return _count(picture) > 1


def _count(picture: Image.Image) -> int:
    return getattr(picture, "n_frames", 1) if picture.format in _MOVING else 1


def _frames(path: Path, wanted: list[int], limits: Limits) -> Iterator[Frame | None]:
    """The frames up to the last that is wanted, those between as None."""
    with open(path, "rb") as file, _opened(file, limits) as picture:
        seconds = 0.0
        points = code_points(picture, file)
        for number in range(max(wanted, default=-1) + 1):
            if number:
                picture.seek(number)
                limits.check_size(*picture.size)
            picture.load()  # a WebP's and an AVIF's duration comes with the pixels
            if number in wanted:
                image = _upright(to_srgb(picture, file, points), picture)
                yield Frame(number, seconds, image)
            else:
                yield None
            shown = float(picture.info.get("duration", 0)) / 1000
            seconds += shown if shown >= _LEAST else _USUAL


@contextlib.contextmanager
def _opened(file: IO[bytes], limits: Limits) -> Iterator[Image.Image]:
    """A picture whose pixels are not read yet; whatever its decoder raises is a VideoError."""
    head = file.read(512)
    file.seek(0)
    if is_heif(head):
        _learn_heif()
    try:
        with Image.open(file) as picture:
            limits.check_size(*picture.size)
            yield picture
    except (VideoError, MemoryError):
        raise
    except Exception as error:  # of damaged files decoders raise anything: SyntaxError, struct's …
        raise VideoError(f"no picture that can be read, or damaged ({_said(error)})") from error


def _learn_heif() -> None:
    if importlib.util.find_spec("pi_heif") is None:
        raise VideoError(
            "HEIC pictures need the package pi-heif: pip install 'matnet-jax[predict]'"
        )
    import pi_heif

    pi_heif.register_heif_opener(thumbnails=False)


def _upright(image: np.ndarray, picture: Image.Image) -> np.ndarray:
    turn = _TURNS.get(_orientation(picture))
    return np.ascontiguousarray(image if turn is None else turn(image))


def _orientation(picture: Image.Image) -> Any:
    try:
        return picture.getexif().get(_ORIENTATION)
    except Exception:  # damaged EXIF data of a whole picture
        return None


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except VideoError as error:
        raise VideoError(f"{path}: {error}") from error


def _said(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
