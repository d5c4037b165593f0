"""What a still picture says of its colours in the numbers of ITU-T H.273: primaries and transfer.

They are in an AVIF's box `colr` (ISO/IEC 14496-12), in a PNG's chunk `cICP`, and in the tag `cicp`
of an ICC profile (ICC.1:2022). Pillow tells none of them. HEIC's are told by its decoder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import IO

from PIL import Image

from data_pipeline.extract.hdr import HLG, PQ


@dataclasses.dataclass(frozen=True)
class CodePoints:
    """Numbers of H.273's tables 2 and 3; 2 is "unspecified"."""

    primaries: int
    transfer: int


def code_points(picture: Image.Image, file: IO[bytes]) -> CodePoints | None:
    """Those that decide, as browsers read them; None where an ICC profile does, or nothing.

    A PNG's come before its ICC profile (PNG, third edition), which comes before those of other
    files, unless it says itself that it is of high dynamic range. What is damaged says nothing.

    Args:
      picture: opened by Pillow.
      file: that it was opened from; its position stays.
    """
    position = file.tell()
    try:
        return _code_points(picture, file)
    finally:
        file.seek(position)


def _code_points(picture: Image.Image, file: IO[bytes]) -> CodePoints | None:
    if picture.format == "PNG" and (found := _of_png(file)):
        return found
    if profile := picture.info.get("icc_profile"):
        return _of_profile(profile)
    if picture.format == "AVIF":
        return _of_avif(file)
    if nclx := picture.info.get("nclx_profile"):  # pi-heif's
        return CodePoints(int(nclx["color_primaries"]), int(nclx["transfer_characteristics"]))
    return None


def _of_png(file: IO[bytes]) -> CodePoints | None:
    """Chunks up to the pixels: length, kind, content, check sum."""
    at = 8
    while True:
        file.seek(at)
        head = file.read(12)
        if len(head) < 12 or head[4:8] in (b"IDAT", b"IEND"):
            return None
        if head[4:8] == b"cICP":
            return CodePoints(head[8], head[9])
        at += 12 + _number(head[:4])


def _of_profile(profile: bytes) -> CodePoints | None:
    """The tag table after 128 bytes of header: a count, then name, offset and size of each."""
    for i in range(min(_number(profile[128:132]), 100)):
        entry = profile[132 + 12 * i : 144 + 12 * i]
        if entry[:4] == b"cicp":
            tag = profile[_number(entry[4:8]) :][:12]
            high = len(tag) == 12 and tag[9] in (PQ, HLG)
            return CodePoints(tag[8], tag[9]) if high else None
    return None


def _of_avif(file: IO[bytes]) -> CodePoints | None:
    """Those of the primary item; where it has none, as a grid of tiles may, the first there are.

    An image of high dynamic range that a gain map would make of it has a `colr` of its own.
    """
    file.seek(0)
    meta = _first(file.read(), b"meta")[4:]
    properties = _first(meta, b"iprp")
    boxes = list(_boxes(_first(properties, b"ipco")))
    colours = {
        number: CodePoints(_number(content[4:6]), _number(content[6:8]))
        for number, (kind, content) in enumerate(boxes, 1)
        if kind == b"colr" and content[:4] == b"nclx"
    }
    own = _associations(_first(properties, b"ipma"), _primary(_first(meta, b"pitm")))
    return next((colours[n] for n in (*own, *colours) if n in colours), None)


def _primary(pitm: bytes) -> int:
    return _number(pitm[4:] if pitm[:1] != b"\0" else pitm[4:6])


def _associations(ipma: bytes, item: int) -> list[int]:
    """The properties of an item, counted from 1."""
    version, wide = ipma[:1], bool(_number(ipma[3:4]) & 1)
    id_size, size = 2 if version == b"\0" else 4, 2 if wide else 1
    mask = (1 << (8 * size - 1)) - 1  # without the highest bit: a reader has to know it
    at = 8
    while at < len(ipma):
        count = _number(ipma[at + id_size : at + id_size + 1])
        end = at + id_size + 1 + count * size
        if _number(ipma[at : at + id_size]) == item:
            return [
                _number(ipma[i : i + size]) & mask for i in range(end - count * size, end, size)
            ]
        at = end
    return []


def _first(data: bytes, kind: bytes) -> bytes:
    return next((content for found, content in _boxes(data) if found == kind), b"")


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each: a size of 0 reaches to the end, one of 1 is told in 64 bits."""
    at = 0
    while at + 8 <= len(data):
        size, head = _number(data[at : at + 4]), 8
        if size == 1:
            size, head = _number(data[at + 8 : at + 16]), 16
        size = size or len(data) - at
        if size < head:
            return
        yield data[at + 4 : at + 8], data[at + head : at + size]
        at += size


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
