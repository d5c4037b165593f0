"""From the scores of a video's frames to the video's score.

A video is (dataset, subset, compression, video_id). Names alone do not tell videos apart: the four
manipulations of FaceForensics++ use the same ones, and merging them changes the video AUC.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.metrics.policies import BY_FACE, POLICIES, video_score
from matnet_jax.metrics.scores import Columns, check_columns

VIDEO_IDENTITY = ("dataset", "subset", "compression", "video_id")


def group_videos(columns: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Finds the videos of rows.

    Args:
      columns: has the columns of `VIDEO_IDENTITY` and `label`, each [N].

    Returns:
      first_row int64 [V], a row of each video, videos sorted by identity; and row_video int64 [N],
      each row's video.

    Raises:
      ValueError: a video has both real and fake rows: two videos go by one name.
    """
    check_columns(columns, (*VIDEO_IDENTITY, "label"))
    # Codes instead of joined strings: no separator can occur in a name.
    codes = [np.unique(np.asarray(columns[k]), return_inverse=True)[1] for k in VIDEO_IDENTITY]
    _, first_row, row_video = np.unique(
        np.stack(codes, axis=1), axis=0, return_index=True, return_inverse=True
    )
    row_video = row_video.reshape(-1)
    labels = np.asarray(columns["label"])
    mixed = labels != labels[first_row][row_video]
    if mixed.any():
        row = int(np.argmax(mixed))
        name = ", ".join(f"{k}={str(columns[k][row])!r}" for k in VIDEO_IDENTITY)
        raise ValueError(
            f"the video ({name}) has both real and fake rows, so two videos share that name; "
            "give them different subsets or video_ids"
        )
    return first_row, row_video


def video_scores(
    scores: Mapping[str, Any], *, aggregation: str = "mean", top_k: int = 10
) -> Columns:
    """Aggregates scores of faces to scores of videos.

    Args:
      scores: columns with `score`, each [N], and `face` and `frame` where the aggregation needs
        them.
      aggregation: one of `policies.POLICIES`.
      top_k: of how many frames `top_k_mean` takes the mean; all, in a video with fewer.

    Returns:
      Columns, each [V], sorted by identity whatever the order of the rows: those of
      `VIDEO_IDENTITY`, `label`, `score` float64, and `num_faces` int32, the rows that made it;
      `source_id` where the rows have it.

    Raises:
      ValueError: the aggregation is unknown, or see `group_videos`.
    """
    if aggregation not in POLICIES:
        known = ", ".join(POLICIES)
        raise ValueError(f"video aggregation is {aggregation!r}, wanted one of {known}")
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}, wanted at least 1")
    first_row, row_video = group_videos(scores)
    by_face = ("face", "frame") if aggregation in BY_FACE else ()
    check_columns(scores, ("label", "score", *by_face))
    values = np.asarray(scores["score"], np.float64)
    faces = np.asarray(scores["face"]) if by_face else np.zeros(len(values), np.int64)
    frames = np.asarray(scores["frame"]) if by_face else faces
    # Equal places go by their score: the order of the rows changes nothing.
    order = np.lexsort((values, frames, faces, row_video))
    counts = np.bincount(row_video, minlength=len(first_row))
    parts = np.split(order, np.cumsum(counts)[:-1]) if len(first_row) else []
    return {
        **{
            name: np.asarray(scores[name])[first_row]
            for name in (*VIDEO_IDENTITY, "label", "source_id")
            if name in scores
        },
        "score": np.array(
            [video_score(aggregation, values[own], faces[own], top_k=top_k) for own in parts],
            np.float64,
        ),
        "num_faces": counts.astype(np.int32),
    }


def most_wrong_videos(videos: Columns, count: int = 8) -> Columns:
    """The videos whose score lies farthest from their label, worst first; at most `count`.

    Only those on the wrong side of 0.5 are wrong, so there may be none.
    """
    error = np.abs(videos["score"] - videos["label"])
    worst = np.argsort(-error, kind="stable")[:count]
    worst = worst[error[worst] > 0.5]
    return {name: column[worst] for name, column in videos.items()}
