"""A foreign checkpoint as a workdir of ours, which evaluation and fine-tuning take."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from matnet_jax.checkpoints.network import check_empty, save_network
from matnet_jax.config.build import build_model
from matnet_jax.config.legacy import upgraded
from matnet_jax.detectors.base import Detector
from matnet_jax.pretrained.load import (
    default_prefixes,
    differing_fields,
    initialize,
    left_at_random,
    read_weights,
)
from matnet_jax.pretrained.weights import Weights, join
from matnet_jax.runtime.workdir import versions


@dataclasses.dataclass(frozen=True)
class Converted:
    """What `convert` made.

    Attributes:
      family: of the source.
      model: with the fields that the weights were made for.
      checkpoint: folder of the one checkpoint.
      left_at_random: parts of the model that the source does not hold.
    """

    family: str
    model: Detector
    checkpoint: Path
    left_at_random: tuple[str, ...]


def convert(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    config: ConfigDict,
    *,
    prefixes: Sequence[str] | None = None,
    strict: bool = True,
    sha256: str | Sequence[str] | None = None,
    cache_dir: str | Path | None = None,
) -> Converted:
    """Writes a checkpoint, step 0 of the workdir `out`, with a source's weights.

    Args:
      source: as in `read_weights`; or several, that hold one network's parts.
      out: a workdir without checkpoints; made when it is not there.
      config: its recipe and model are the network's. Fields of `config.model` that the weights ask
        for (mean, std, batch norm's epsilon) are set where they are None.
      prefixes, strict: as in `initialize`.
      sha256: that the source must have; of several, one each.
      cache_dir: as in `read_weights`.

    Raises:
      WeightsMismatchError, CheckpointFileError: as in `initialize`; or two sources have the same
        array.
      ValueError: there are more or fewer hashes than sources.
      ConfigError: the config has no such network.
      FileExistsError: `out` has checkpoints already.
      CheckpointError: the checkpoint could not be written.
    """
    check_empty(out)
    sources = [source] if isinstance(source, (str, Path)) else list(source)
    hashes: Sequence[str | None]
    hashes = [sha256] if isinstance(sha256, str) else sha256 or [None] * len(sources)
    if len(hashes) != len(sources):
        raise ValueError(f"{len(hashes)} sha256 for {len(sources)} files; give one a file")
    weights = join(
        [
            read_weights(part, sha256=wanted, cache_dir=cache_dir)
            for part, wanted in zip(sources, hashes, strict=True)
        ]
    )
    config = with_fields(config, weights)
    model = build_model(config)
    if prefixes is None and strict:
        prefixes = default_prefixes(weights, model)
    variables = initialize(model, weights, prefixes=prefixes, strict=strict, seed=config.seed)
    metadata = {
        "versions": versions(),
        "converted_from": {
            "source": ", ".join(map(str, sources)),
            "family": weights.family,
            "sha256": sha256,
        },
    }
    checkpoint = save_network(out, config, model, variables, metadata=metadata)
    rest = left_at_random(model, prefixes)
    return Converted(weights.family, model, checkpoint, rest)


def with_fields(config: ConfigDict, weights: Weights) -> ConfigDict:
    """A copy of `config` whose model has the fields that weights were made for.

    A field that `config.model` sets stays; the others are set only where the model's own value
    differs, so that the config stays as short as it was.
    """
    config = upgraded(config)
    with config.unlocked():
        for name, value in differing_fields(weights.fields, build_model(config)).items():
            if config.model.get(name) is None:
                config.model[name] = value
    return config
