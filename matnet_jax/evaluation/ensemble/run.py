"""Reads the members' scores, blends them, and writes what an evaluation writes of numbers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matnet_jax.evaluation.ensemble.definition import Ensemble
from matnet_jax.metrics import summarise, video_scores
from matnet_jax.metrics.policies import blended, family_blend
from matnet_jax.metrics.scores import Columns, read_scores, write_metrics, write_scores
from matnet_jax.metrics.videos import VIDEO_IDENTITY


def evaluate_ensemble(
    ensemble: Ensemble, workdir: str | Path, *, split: str = "test", **protocol: Any
) -> dict[str, Any]:
    """Scores an ensemble by its members' evaluations, ``<workdir>/<member>/eval/<split>``.

    Writes ``scores.csv``, a row a video, and ``metrics.json`` into ``<workdir>/eval/<split>``.

    Args:
      ensemble: of networks that are evaluated.
      workdir: that has the members' folders.
      split: train, val or test.
      **protocol: of `summarise`, such as `num_resamples`.

    Returns:
      What ``metrics.json`` holds.

    Raises:
      FileNotFoundError: a member has no evaluation of the split; the message lists all of these.
      ValueError: members disagree on the label of a video, or one has none of the others' videos.
    """
    workdir = Path(workdir)
    paths = [workdir / each.name / "eval" / split / "scores.csv" for each in ensemble.members]
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise FileNotFoundError(
            f"no scores at {', '.join(missing)}: train each member by its config "
            f"({', '.join(sorted({m.config for m in ensemble.members}))}) into its folder, and "
            f"evaluate it on the split {split}"
        )
    members = [read_scores(path) for path in paths]
    counts = _coverage({m.name: rows for m, rows in zip(ensemble.members, members, strict=True)})
    videos = blend(members, ensemble)
    metrics = summarise(videos, **protocol)
    metrics["ensemble"] = {
        "title": ensemble.title,
        "blend": ensemble.blend,
        "members": {each.name: each.config for each in ensemble.members},
        "videos": counts,
    }
    out = workdir / "eval" / split
    write_scores(out / "scores.csv", videos)
    write_metrics(out / "metrics.json", metrics)
    return metrics


def _coverage(members: Mapping[str, Columns]) -> dict[str, int]:
    """How many videos each member scored; one may lack those in which it found no face."""
    videos = {name: set(_identities(rows)) for name, rows in members.items()}
    together = set().union(*videos.values())
    for name, own in videos.items():
        others = set().union(*(videos[other] for other in videos if other != name))
        if others and not own & others:
            raise ValueError(
                f"{name} scored {len(own)} videos, and none that another member scored: evaluate "
                "all members on the same data"
            )
        if len(own) < len(together):
            warnings.warn(
                f"{name} scored {len(own)} of {len(together)} videos: the others are blended "
                "without it",
                stacklevel=2,
            )
    return {name: len(own) for name, own in videos.items()}


def blend(members: Sequence[Mapping[str, Any]], ensemble: Ensemble) -> Columns:
    """The ensemble's scores of videos.

    Args:
      members: scores of faces by each member, as columns.
      ensemble: how they become one.

    Returns:
      Columns of `SCORE_COLUMNS`, each [V], one row a video that any member scored.

    Raises:
      ValueError: members disagree on the label of a video.
    """
    if ensemble.blend == "pooled":
        names = set.intersection(*(set(rows) for rows in members))
        rows = {name: np.concatenate([each[name] for each in members]) for name in names}
        return _as_rows(video_scores(rows, aggregation=ensemble.pooled_by))
    tables = [
        video_scores(rows, aggregation=member.aggregation)
        for rows, member in zip(members, ensemble.members, strict=True)
    ]
    # One row a member and video: what they have in common is told by `video_scores` again.
    names = set.intersection(*(set(table) for table in tables))
    rows = {name: np.concatenate([table[name] for table in tables]) for name in names}
    videos = video_scores(rows)
    scores = np.full((len(tables), len(videos["label"])), np.nan)
    place = {identity: i for i, identity in enumerate(_identities(videos))}
    for own, table in zip(scores, tables, strict=True):
        own[[place[identity] for identity in _identities(table)]] = table["score"]
    weights = np.array([member.weight for member in ensemble.members])
    families = [member.family for member in ensemble.members]
    videos["score"] = np.array(
        [
            family_blend(column, weights, families, ensemble.shares)
            if ensemble.blend == "families"
            else blended(column, weights)
            for column in scores.T
        ],
        np.float64,
    )
    videos["score"] = np.clip(videos["score"], ensemble.clip, 1 - ensemble.clip)
    return _as_rows(videos)


def _identities(videos: Columns) -> list[tuple[str, ...]]:
    return list(zip(*(videos[name].tolist() for name in VIDEO_IDENTITY), strict=True))


def _as_rows(videos: Columns) -> Columns:
    """A row a video, as if it had one face in one frame."""
    count = len(videos["label"])
    zeros = np.zeros(count, np.int32)
    videos = {name: column for name, column in videos.items() if name != "num_faces"}
    return {"split": np.full(count, ""), "frame": zeros, "face": zeros} | videos
