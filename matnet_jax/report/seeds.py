"""Evaluations that differ in their seed alone, as one row: mean, standard deviation and count."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from matnet_jax.metrics.scores import Columns
from matnet_jax.metrics.videos import VIDEO_IDENTITY
from matnet_jax.report.render import flattened

_OF_PROBE = ("features", "of", "weights", "classifier", "folds", "frames_per_video")


class Evaluated(Protocol):
    """What is read of an evaluation; see `comparison.Evaluation`."""

    @property
    def letter(self) -> str: ...  # noqa: D102
    @property
    def metrics(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def videos(self) -> Columns: ...  # noqa: D102


@dataclass(frozen=True)
class Spread:
    """A metric over seeds.

    Attributes:
      mean: None where it is undefined for any of the seeds.
      deviation: the sample's standard deviation; None of fewer than two.
      count: seeds.
    """

    mean: float | None
    deviation: float | None
    count: int


@dataclass(frozen=True)
class SeedGroup:
    """Evaluations of one configuration.

    Attributes:
      letters: of the evaluations.
      seeds: of each.
      name: what tells its configuration from the other groups', such as "model.name=meso4".
      video: metric -> its spread, of videos.
      frame: the same of frames.
    """

    letters: tuple[str, ...]
    seeds: tuple[int, ...]
    name: str
    video: dict[str, Spread]
    frame: dict[str, Spread]


def seed_groups(evaluations: Sequence[Evaluated], metrics: Sequence[str]) -> list[SeedGroup]:
    """Puts evaluations together that have the same configuration and videos, but for the seed.

    Args:
      evaluations: those without a config in their metrics stand alone.
      metrics: names, of frames and videos.

    Returns:
      The groups in the order of their first evaluation; [] if no two have the same configuration.
      A seed that comes twice counts once, with its first evaluation: it is no draw of its own.
    """
    groups: dict[str, list[Evaluated]] = {}
    for evaluation in evaluations:
        members = groups.setdefault(_key(evaluation), [])
        if _seed(evaluation) not in [_seed(member) for member in members]:
            members.append(evaluation)
    if all(len(members) < 2 for members in groups.values()):
        return []
    settings = [_settings(members[0]) for members in groups.values()]
    names = dict.fromkeys(name for one in settings for name in one)
    differing = [name for name in names if len({one.get(name) for one in settings}) > 1]
    return [
        SeedGroup(
            letters=tuple(member.letter for member in members),
            seeds=tuple(_seed(member) for member in members),
            name=", ".join(f"{name}={own[name]}" for name in differing if name in own),
            video={name: _spread(members, "video", name) for name in metrics},
            frame={name: _spread(members, "frame", name) for name in metrics},
        )
        for members, own in zip(groups.values(), settings, strict=True)
    ]


def as_text(spread: Spread) -> str:
    """Mean ± deviation (count), in the metric's own unit."""
    if spread.mean is None:
        return f"- ({spread.count})"
    more = "" if spread.deviation is None else f" ± {spread.deviation:.4f}"
    return f"{spread.mean:.4f}{more} ({spread.count})"


def _settings(evaluation: Evaluated) -> dict[str, str]:
    """The configuration by dotted field, without the seed; the probe's as `probe.…`."""
    metrics = evaluation.metrics
    own = dict(flattened(metrics.get("config") or {}))
    own.pop("seed", None)
    found = metrics.get("probe") or {}
    own |= {f"probe.{name}": str(found[name]) for name in _OF_PROBE if name in found}
    # Initial values are others with each seed, which is in what is said of them.
    if own.get("probe.weights", "").startswith("initial values"):
        del own["probe.weights"]
    return own


def _key(evaluation: Evaluated) -> str:
    if not evaluation.metrics.get("config"):
        return evaluation.letter
    videos = np.stack([evaluation.videos[name].astype(str) for name in (*VIDEO_IDENTITY, "label")])
    return json.dumps([_settings(evaluation), videos.tolist()], sort_keys=True)


def _seed(evaluation: Evaluated) -> int:
    return int((evaluation.metrics.get("config") or {}).get("seed", 0))


def _spread(members: Sequence[Evaluated], level: str, name: str) -> Spread:
    values = [member.metrics[level].get(name) for member in members]
    if any(value is None for value in values):
        return Spread(None, None, len(values))
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), deviation, len(values))
