"""How faces were cut: what records, a trained network and prediction have to agree on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipeline.files import write_json

FILE = "crops.json"
"""In a build's folder, beside the records."""


@dataclasses.dataclass(frozen=True)
class CropProtocol:
    """What decides how a face lies in its crop.

    `Settings.protocol` gives that of some settings, and `Settings.from_protocol` the reverse.

    Attributes:
      alignment: "similarity", "box", or "none" for images that were crops before.
      margin: the crop's side in sides of the face; 1 where nothing was cut.
      crop_size: pixels.
      crop_version: of the way to cut, as each record carries it.
      detector: that found the faces.
    """

    alignment: str
    margin: float
    crop_size: int
    crop_version: str
    detector: str

    def as_json(self) -> dict[str, str | float | int]:
        """Its fields as JSON values, for `from_json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CropProtocol:
        """What `as_json` gave.

        Raises:
          ValueError: fields are missing, unknown or of another type; the message names them.
        """
        types = {"alignment": str, "margin": float, "crop_size": int}
        types |= {"crop_version": str, "detector": str}
        if set(values) != set(types):
            raise ValueError(
                f"a crop protocol has {', '.join(types)}; got {', '.join(values) or 'nothing'}"
            )
        for name, wanted in types.items():
            value = values[name]
            whole = wanted is float and isinstance(value, int)
            if isinstance(value, bool) or not (isinstance(value, wanted) or whole):
                raise ValueError(f"{name} of a crop protocol is a {wanted.__name__}, not {value!r}")
        return cls(**{name: wanted(values[name]) for name, wanted in types.items()})

    def differences(self, other: CropProtocol) -> list[str]:
        """A line for each field that differs, with this one's value and the other's."""
        own, others = self.as_json(), other.as_json()
        return [
            f"{name}: {own[name]} against {others[name]}"
            for name in own
            if own[name] != others[name]
        ]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.as_json().items())


def read_crop_protocol(build: Path) -> CropProtocol | None:
    """Of the records in a folder; None where they are older than protocols.

    Raises:
      ValueError: the file there is damaged.
    """
    path = build / FILE
    try:
        return CropProtocol.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): delete it, and the same prepare command writes it again"
        ) from error


def write_crop_protocol(build: Path, protocol: CropProtocol) -> None:
    """Beside the records, whole or not at all."""
    write_json(build / FILE, protocol.as_json())
