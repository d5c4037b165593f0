"""Multipart uploads, written to disk as they come, within limits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from matnet_jax.predict.inputs import shown
from matnet_jax.predict.serve.service import Allowed

FIELD = "file"
_LONGEST_NAME = 255  # characters that are shown
_LONGEST_BOUNDARY = 256  # bytes that the parser takes; RFC 2046 allows 70


class UploadError(Exception):
    """An upload that is not taken.

    Args:
      status: of HTTP.
      message: what came, and what was wanted.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Upload:
    """Takes the body of a request apart and writes its files into a folder.

    Files get names of the service's own; what the client calls them is kept to be shown.

    Args:
      folder: private to this upload.
      boundary: between parts.
      take_place: called once a file; raises where there is none.
    """

    def __init__(self, folder: Path, boundary: bytes, take_place: Callable[[], None]) -> None:
        self._folder, self._take_place = folder, take_place
        self.files: list[tuple[str, Path]] = []
        self._open: IO[bytes] | None = None
        self._header, self._value, self._disposition = b"", b"", b""
        self._whole = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_header,
                "on_header_value": self._on_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._begin_file,
                "on_part_data": self._on_data,
                "on_part_end": self.close,
                "on_end": self._end,
            },
        )

    def write(self, data: bytes) -> None:
        """Takes the next bytes of the body.

        Raises:
          UploadError: it is no multipart form, or has other fields than `FIELD`.
          FullError: there is no place for one more file.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise UploadError(400, f"the body is no multipart form: {error}") from error

    def finish(self) -> list[tuple[str, Path]]:
        """The files (name, path), once the body has ended.

        Raises:
          UploadError: it ended early, or holds none.
        """
        if not self._whole:
            raise UploadError(400, "the body ends before its last boundary")
        if not self.files:
            raise UploadError(422, f"no file; wanted: one or more parts of the name '{FIELD}'")
        return self.files

    def close(self) -> None:
        """Closes the file that is being written."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _begin(self) -> None:
        self._header, self._value, self._disposition = b"", b"", b""

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _begin_file(self) -> None:
        _, options = parse_options_header(self._disposition)
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if field != FIELD:
            raise UploadError(422, f"a field '{shown(field[:80])}'; wanted: '{FIELD}' alone")
        if b"filename" not in options:
            raise UploadError(422, f"the field '{FIELD}' is no file: it has no filename")
        name = options[b"filename"].decode("utf-8", "replace")
        self._take_place()
        path = self._folder / str(len(self.files))
        self.files.append((shown(name[:_LONGEST_NAME]) or "unnamed", path))
        # Closed at the part's end.
        self._open = open(path, "xb")  # noqa: SIM115

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        assert self._open is not None
        self._open.write(data[start:end])

    def _end(self) -> None:
        self._whole = True


async def receive(
    request: Request,
    folder: Path,
    allowed: Allowed,
    *,
    take_place: Callable[[], None],
    received: Callable[[int], None],
) -> list[tuple[str, Path]]:
    """Writes a request's files into a folder, which whoever calls this deletes.

    Args:
      request: its body is read.
      folder: is made, for this user alone.
      allowed: bytes and seconds.
      take_place: see `Upload`.
      received: told of bytes as they come.

    Returns:
      (name, path) of at least one file.

    Raises:
      UploadError: it is too large, too slow, or no form of files.
      FullError: there are too many.
      starlette.requests.ClientDisconnect: the client has gone.
    """
    upload = Upload(folder, _boundary(request), take_place)
    most = allowed.upload_bytes
    too_large = UploadError(413, f"more than the {most:,} bytes that a request may have")
    if int(request.headers.get("content-length") or 0) > most:
        raise too_large
    size = 0
    try:
        folder.mkdir(mode=0o700)
        async with asyncio.timeout(allowed.upload_seconds):
            async for data in _in_time(request.stream(), allowed.idle_seconds):
                size += len(data)
                received(len(data))
                if size > most:
                    raise too_large
                upload.write(data)
    except TimeoutError as error:
        raise UploadError(
            408,
            f"the upload took more than {allowed.upload_seconds:g} seconds, or paused for "
            f"{allowed.idle_seconds:g}",
        ) from error
    except OSError as error:
        raise UploadError(507, f"the upload cannot be kept: {error.strerror}") from error
    finally:
        upload.close()
    return upload.finish()


async def drain(request: Request, *, most: int = 2**26, seconds: float = 3.0) -> None:
    """Reads what a client is still sending, within limits, so that it hears the answer."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(seconds):
            async for data in request.stream():
                most -= len(data)
                if most < 0:
                    return


async def _in_time(stream: AsyncIterator[bytes], seconds: float) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(seconds):
                data = await anext(stream)
        except StopAsyncIteration:
            return
        yield data


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        raise UploadError(
            415, f"a body of type '{shown(kind.decode('latin-1'))}'; wanted: multipart/form-data"
        )
    boundary = options.get(b"boundary")
    if not boundary:
        raise UploadError(400, "multipart/form-data without a boundary")
    if len(boundary) > _LONGEST_BOUNDARY:
        raise UploadError(
            400, f"a boundary of {len(boundary)} bytes; wanted: at most {_LONGEST_BOUNDARY}"
        )
    return boundary
