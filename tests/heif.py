"""HEIC files for tests, made box by box (ISO/IEC 23008-12) around what x265 encodes."""

from __future__ import annotations

import av
import numpy as np
from light import frame, pixel_format


def heic(
    image: np.ndarray, *, tile: int, quarter_turns: int = 0, colour: bytes = b"", bits: int = 8
) -> bytes:
    """A HEIC picture of square tiles, as phones write it.

    Args:
      image: uint8 RGB [H, W, 3]; of more bits a signal of BT.2020, 0 to 1: see `light.frame`.
      tile: pixels, a multiple of 64; the last row and column are padded.
      quarter_turns: anticlockwise, which a reader has to do.
      colour: of the box `colr`: see `nclx`; or b"prof" and an ICC profile.
      bits: 8, 10 or 12.
    """
    height, width = image.shape[:2]
    rows, columns = -(-height // tile), -(-width // tile)
    padded = np.pad(
        image, ((0, rows * tile - height), (0, columns * tile - width), (0, 0)), mode="edge"
    )
    tiles = [
        _encode(padded[r * tile : (r + 1) * tile, c * tile : (c + 1) * tile], bits)
        for r in range(rows)
        for c in range(columns)
    ]
    grid = len(tiles) + 1  # the item that joins them
    layout = bytes([0, 0, rows - 1, columns - 1]) + _number(width, 2) + _number(height, 2)
    payloads = [*(data for _, data in tiles), layout]
    items = [_full(b"infe", 2, _number(i, 2) + bytes(2) + b"hvc1\0") for i in range(1, grid)]
    items.append(_full(b"infe", 2, _number(grid, 2) + bytes(2) + b"grid\0"))
    properties = [
        box(b"hvcC", tiles[0][0]),
        _full(b"ispe", 0, _number(tile, 4) * 2),
        _full(b"ispe", 0, _number(width, 4) + _number(height, 4)),
        box(b"irot", bytes([quarter_turns])),
    ]
    owned = [[1, 2]] * len(tiles) + [[3, 4]]
    if colour:
        properties.append(box(b"colr", colour))
        owned = [[1, 2, 5]] * len(tiles) + [[3, 4, 5]]
    links = b"".join(
        _number(i + 1, 2) + bytes([len(own), *(0x80 | n for n in own)])
        for i, own in enumerate(owned)
    )
    references = _number(grid, 2) + _number(len(tiles), 2)
    references += b"".join(_number(i, 2) for i in range(1, grid))

    def meta(start: int) -> bytes:
        places, at = b"", start
        for i, payload in enumerate(payloads):
            places += _number(i + 1, 2) + bytes(2) + _number(1, 2)
            places += _number(at, 4) + _number(len(payload), 4)
            at += len(payload)
        return _full(
            b"meta",
            0,
            _full(b"hdlr", 0, bytes(4) + b"pict" + bytes(13))
            + _full(b"pitm", 0, _number(grid, 2))
            + _full(b"iloc", 0, b"\x44\0" + _number(len(payloads), 2) + places)
            + _full(b"iinf", 0, _number(len(items), 2) + b"".join(items))
            + _full(b"iref", 0, box(b"dimg", references))
            + box(
                b"iprp",
                box(b"ipco", b"".join(properties))
                + _full(b"ipma", 0, _number(len(owned), 4) + links),
            ),
        )

    head = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + box(b"mdat", b"".join(payloads))


def nclx(primaries: int, transfer: int, *, matrix: int, full_range: bool) -> bytes:
    """The content of a box `colr`, in the numbers of ITU-T H.273."""
    numbers = b"".join(_number(n, 2) for n in (primaries, transfer, matrix))
    return b"nclx" + numbers + bytes([full_range << 7])


def _encode(image: np.ndarray, bits: int) -> tuple[bytes, bytes]:
    """A key frame: the decoder's configuration (hvcC), and its units with their lengths."""
    codec = av.CodecContext.create("libx265", "w")
    codec.height, codec.width = image.shape[:2]
    codec.pix_fmt, codec.framerate = pixel_format(bits), 25
    codec.options = {"crf": "10", "preset": "ultrafast", "x265-params": "log-level=none:info=0"}
    whole = av.VideoFrame.from_ndarray(image, format="rgb24") if bits == 8 else frame(image, bits)
    packets = codec.encode(whole) + codec.encode()
    stream = b"".join(map(bytes, packets)).replace(b"\0\0\0\1", b"\0\0\1")
    units = [unit for unit in stream.split(b"\0\0\1") if unit]
    parameters = {kind: [u for u in units if u[0] >> 1 == kind] for kind in (32, 33, 34)}
    level = parameters[33][0][3:15]  # the profile, tier and level of the sequence's parameters
    config = b"\1" + level + b"\xf0\0\xfc\xfd" + bytes([0xF0 | bits] * 2)
    config += b"\0\0\x0f" + bytes([len(parameters)])
    for kind, found in parameters.items():
        config += bytes([0x80 | kind]) + _number(len(found), 2)
        config += b"".join(_number(len(u), 2) + u for u in found)
    frames = [u for u in units if u[0] >> 1 < 32]
    return config, b"".join(_number(len(u), 4) + u for u in frames)


def _number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def box(kind: bytes, content: bytes) -> bytes:
    return _number(8 + len(content), 4) + kind + content


def _full(kind: bytes, version: int, content: bytes) -> bytes:
    return box(kind, bytes([version, 0, 0, 0]) + content)
