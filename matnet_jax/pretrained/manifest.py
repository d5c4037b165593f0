"""What is known of a set of weights that is handed out: `NAME.json`, beside `NAME.safetensors`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipeline.fetch import FetchError, check
from matnet_jax.checkpoints.network import TrainedNetwork, network_of
from matnet_jax.metrics.operating_point import OperatingPoint
from matnet_jax.pretrained.files import CheckpointFileError, read_file

FORMAT = 1
EXPERIMENTAL = "-experimental"
"""How the names of weights end that did not pass the ship gate."""
LIMITS = "wholly generated faces are outside what this detector sees"
"""Of detectors of seams, which is what the others have in common."""


class WeightsError(ValueError):
    """Weights cannot be had; the message says which there are and what to do."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A network that is handed out, without its arrays.

    Attributes:
      name: of the weights; it ends in `EXPERIMENTAL` unless they passed the gate.
      file: name of the safetensors file, in the manifest's folder.
      sha256: of that file, 64 hexadecimal digits.
      config: the config's parts that the network is built of.
      preprocess: `image_size`, `mean`, `std`.
      crops: the crop protocol; None where none was known.
      operating_point: JSON values of the `OperatingPoint` that decides, with its temperature, its
        band and the thresholds at other false-alarm rates.
      limits: what no threshold helps against, in words.
      gate: what the ship gate measured, as JSON values; None where it was not asked.
      training: `step`, `seed` and `versions`.
      folder: where the manifest lies.
    """

    name: str
    file: str
    sha256: str
    config: Mapping[str, Any]
    preprocess: Mapping[str, Any]
    crops: Mapping[str, Any] | None
    operating_point: Mapping[str, Any]
    limits: str
    gate: Mapping[str, Any] | None
    training: Mapping[str, Any]
    folder: Path = Path()

    @property
    def is_default(self) -> bool:
        """Whether the ship gate was passed; all others are experimental."""
        return self.gate is not None and bool(self.gate.get("met"))

    @property
    def path(self) -> Path:
        """Of the safetensors file."""
        return self.folder / self.file

    def as_json(self) -> dict[str, Any]:
        """JSON values for `read_manifest`; of the folder nothing."""
        values = {**dataclasses.asdict(self), "format": FORMAT}
        del values["folder"]
        return values

    def point(self) -> OperatingPoint:
        """The operating point.

        Raises:
          ValueError: the manifest's is none.
        """
        return OperatingPoint.from_json(self.operating_point)

    def load(self) -> TrainedNetwork:
        """The network, float32, of a file whose hash is checked first.

        Raises:
          WeightsError: the file is missing, or is another one.
          WeightsMismatchError, ConfigError: this version builds another network of the config.
        """
        if not self.path.is_file():
            raise WeightsError(f"{self.name} has no file {self.path}: install the package again")
        try:
            check(self.path, self.sha256, str(self.path))
            arrays = read_file(self.path)
        except (FetchError, CheckpointFileError) as error:
            raise WeightsError(
                f"{error}; {self.name} is damaged or of another version: install the package "
                "again, or run `matnet pack` again where that made it"
            ) from error
        metadata = {"config": self.config, "preprocess": self.preprocess, "crops": self.crops}
        assert isinstance(arrays, dict)  # a Keras file has another hash
        return network_of(arrays, metadata, step=self.training["step"])


def read_manifest(path: str | Path) -> Manifest:
    """The manifest in a file.

    Raises:
      WeightsError: there is no such file, it is damaged, or of a format that is not known here.
    """
    path = Path(path).expanduser()
    names = [field.name for field in dataclasses.fields(Manifest) if field.name != "folder"]
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise WeightsError(
                f"{path} has format {values['format']}, and this version reads {FORMAT}: update "
                "the package, or make the weights again with `matnet pack`"
            )
        manifest = Manifest(**{name: values[name] for name in names}, folder=path.parent)
        manifest.point()
    except FileNotFoundError as error:
        raise WeightsError(f"no manifest of weights {path}: `matnet pack` writes one") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(
            f"{path} is no manifest of weights ({error}); wanted a JSON object with "
            f"{', '.join(names)}, as `matnet pack` writes it"
        ) from error
    return manifest
