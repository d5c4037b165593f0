"""A model card in Markdown, filled with what an evaluation measured."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipeline.files import atomic_file
from matnet_jax.metrics.videos import video_scores
from matnet_jax.report.render import alarms, environment, verdict

# What data sets ask of their users, in brief. Only the publisher's own text counts.
_TERMS = {
    "ffpp": "on agreement, non-commercial research",
    "celeb_df": "on agreement, non-commercial research",
    "deeperforensics": "on agreement",
    "df40": "CC BY-NC 4.0",
    "synthetic": "part of matnet-jax: Apache-2.0",
}
_OTHER_TERMS = "the publisher's: read them before use"


def write_model_card(
    path: str | os.PathLike,
    *,
    title: str,
    split: str,
    training: str,
    metrics: Mapping[str, Any],
    scores: Mapping[str, np.ndarray],
) -> None:
    """Writes a model card.

    Args:
      path: the file; its folder is made.
      title: of the model.
      split: that was scored.
      training: what it was trained on, in words.
      metrics: what ``metrics.json`` holds.
      scores: the columns that the metrics come from, one row a face, [N].

    Raises:
      OSError: the file can't be written.
    """
    config, protocol = metrics["config"], metrics["protocol"]
    videos = video_scores(
        scores, aggregation=protocol["aggregation"], top_k=protocol.get("top_k", 10)
    )
    coverage = metrics["coverage"]
    made = environment(markdown=True)
    made.filters["share"] = _share
    made.filters["number"] = lambda value: "undefined" if value is None else f"{value:.4f}"
    made.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    text = made.get_template("model-card.md.j2").render(
        title=title,
        network=metrics["network"],
        config=config,
        checkpoint=f"step {metrics['checkpoint']['step']} ({metrics['checkpoint']['chosen']})",
        versions=metrics["versions"],
        training=training,
        split=split,
        datasets=[_data_set(name, videos) for name in np.unique(videos["dataset"]).tolist()],
        aggregation=protocol["aggregation"].replace("_", " "),
        threshold=protocol["threshold"],
        intervals=metrics.get("intervals", {}),
        video=metrics["video"],
        frame=metrics["frame"],
        by_subset=metrics["by_subset"],
        lost=coverage.get("videos_without_face"),
        score_without_face=coverage.get("score_without_face"),
        alarms=alarms(verdict(videos, protocol["threshold"])),
        robustness=metrics.get("robustness", {}),
    )
    with atomic_file(path) as file:
        file.write(text + "\n")


def _data_set(name: str, videos: Mapping[str, np.ndarray]) -> dict[str, Any]:
    labels = videos["label"][videos["dataset"] == name]
    terms = [text for prefix, text in _TERMS.items() if name.startswith(prefix)]
    return {
        "name": name or "unnamed",
        "videos": len(labels),
        "real": int(np.sum(labels == 0)),
        "fake": int(np.sum(labels == 1)),
        "terms": terms[0] if terms else _OTHER_TERMS,
    }


def _share(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:.2f} %"
