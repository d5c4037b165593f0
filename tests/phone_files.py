"""What `tools/wheel.sh` tries an installed wheel on: `python tests/phone_files.py FOLDER`.

A phone's picture and film, and a workdir with a calibrated network, untrained; without pytest.
"""

from __future__ import annotations

import sys
from pathlib import Path

from heif import heic
from videos import moving_square, write_clip
from workdirs import tiny_config, workdir

from matnet_jax.checkpoints.operating_point import write_operating_point
from matnet_jax.metrics.operating_point import OperatingPoint


def main(folder: Path) -> None:
    """Writes photo.heic, clip.mov and run/."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "photo.heic").write_bytes(heic(moving_square(9), tile=64))
    write_clip(folder / "clip.mov", 8)
    run = workdir(folder / "run", tiny_config())
    write_operating_point(run, OperatingPoint(0.5, (0.4, 0.6), 0.01, 1.0), step=3)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
