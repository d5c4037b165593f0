"""Frames that somebody has extracted: a folder of images, or an archive of them."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath, PurePosixPath

from data_pipeline.datasets.files import IMAGE_SUFFIXES
from data_pipeline.extract.frames import Broken, Choice, Frame, FrameStream, VideoError
from data_pipeline.extract.images import decode_still
from data_pipeline.extract.limits import Limits, Stopwatch

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar")
_LARGEST = 2**31 - 1  # number of a frame that records hold: others are times, or hashes
_RATE = 25.0  # frames a second: stills do not tell


def open_folder(path: Path, choose: Choice, limits: Limits) -> FrameStream:
    """Chosen frames of the images in and below a folder, in the order of their numbers.

    Raises:
      VideoError: there are none.
      OSError: the folder cannot be read.
    """
    os.scandir(path).close()  # rglob says nothing of a folder that may not be read
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    images = _numbered(_in_order(files, path))
    wanted = choose(list(images))

    def read() -> Iterator[Frame]:
        there = [(number, images[number]) for number in wanted if number in images]
        encoded = ((number, files[name].read_bytes()) for number, name in there)
        return _decode(path.name, encoded, limits)

    return FrameStream(path, wanted, read)


def open_archive(path: Path, choose: Choice, limits: Limits) -> FrameStream:
    """As `open_folder`, of a tar file; only the chosen images are decoded.

    Raises:
      VideoError: it is no readable archive, or holds no images.
    """
    try:
        with tarfile.open(path) as archive:
            names = _in_order([member.name for member in archive if member.isfile()], path)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise VideoError(f"{path} is not a whole tar archive: {error}") from error
    images = _numbered(names)
    wanted = choose(list(images))

    def read() -> Iterator[Frame]:
        there = {number: images[number] for number in wanted if number in images}
        names = set(there.values())
        with tarfile.open(path) as archive:
            data = {m.name: _content(archive, m) for m in archive if m.name in names}
        encoded = [(number, data[name]) for number, name in there.items()]
        return _decode(path.name, encoded, limits)

    return FrameStream(path, wanted, read)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file is not None else b""


def _in_order(names: Iterable[str], path: Path) -> list[str]:
    images = [name for name in names if PurePath(name).suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        raise VideoError(f"{path} holds no images ({known})")
    return sorted(images, key=_natural)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Sorts img2 before img10, however long the numbers are."""
    parts = [part.lstrip("0") if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]
    return [(part.isdecimal(), len(part) if part.isdecimal() else 0, part) for part in parts]


def _numbered(names: list[str]) -> dict[int, str]:
    """Names by the numbers in them, where each image has one of its own; else by position."""
    found = [re.findall(r"[0-9]+", PurePosixPath(name).stem) for name in names]
    numbers = [int(digits[-1][-20:]) if digits else -1 for digits in found]
    if len(set(numbers)) < len(names) or min(numbers) < 0 or max(numbers) > _LARGEST:
        numbers = list(range(len(names)))
    return dict(zip(numbers, names, strict=True))


def _decode(where: str, files: Iterable[tuple[int, bytes]], limits: Limits) -> Iterator[Frame]:
    bad: dict[int, str] = {}

    def decoded() -> Iterator[Frame]:
        for number, data in files:
            try:
                image = decode_still(data, limits)
            except VideoError as error:
                bad[number] = str(error)
            else:
                yield Frame(number, number / _RATE, image)

    yield from Stopwatch(limits.max_seconds).over(decoded())
    if bad:
        shown = ", ".join(map(str, list(bad)[:5]))
        raise Broken(f"damaged images in {where}: frame {shown} ({next(iter(bad.values()))})")
