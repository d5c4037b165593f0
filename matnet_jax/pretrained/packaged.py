"""The weights in the package: which there are, and which of them are the default."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matnet_jax.pretrained.manifest import Manifest, WeightsError, read_manifest

FOLDER = Path(__file__).with_name("weights")


class NoDefaultError(WeightsError):
    """No weights passed the ship gate; the message names those that may be asked for."""


def names() -> tuple[str, ...]:
    """Of the weights in the package, in order."""
    return tuple(manifest.name for manifest in manifests())


def manifests() -> list[Manifest]:
    """Of the weights in the package, by name.

    Raises:
      WeightsError: one is damaged.
    """
    return [read_manifest(path) for path in sorted(FOLDER.glob("*.json"))]


def find(name: str | Path | None = None) -> Manifest:
    """The manifest of some weights.

    Args:
      name: of weights in the package, or a manifest's path (``….json``); None for the default: the
        first that passed the ship gate.

    Raises:
      NoDefaultError: None is asked for, and none passed.
      WeightsError: there are none of that name, or the manifest is damaged.
    """
    if name is not None and Path(name).suffix == ".json":
        return read_manifest(name)
    known = manifests()
    for manifest in known:
        if manifest.is_default if name is None else manifest.name == name:
            return manifest
    if name is None:
        raise NoDefaultError(f"no weights are the default: {_what_to_do(known)}")
    raise WeightsError(f"no weights '{name}': {_what_to_do(known)}")


def _what_to_do(known: Sequence[Manifest]) -> str:
    if not known:
        return (
            "this package has none; give --workdir=DIR of a training, or --weights=FILE.json that "
            "`matnet pack` wrote"
        )
    passed = [f"--weights={manifest.name}" for manifest in known if manifest.is_default]
    others = [f"--weights={manifest.name}" for manifest in known if not manifest.is_default]
    parts = [", ".join(passed)] if passed else []
    if others:
        parts.append(f"{', '.join(others)} (did not pass the ship gate: docs/weights.md)")
    return f"available: {'; '.join(parts)}; or give --workdir=DIR of a training"
