"""Several evaluations of the same videos side by side, with paired differences."""

import os
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.files import atomic_file
from matnet_jax.metrics import PairedDifference, paired_bootstrap, video_scores
from matnet_jax.metrics.bootstrap import Resample
from matnet_jax.metrics.scores import Columns, read_metrics, read_scores
from matnet_jax.metrics.summary import named_subsets, subset_rows
from matnet_jax.report import comparison_charts as charts
from matnet_jax.report.render import METRIC_ROWS, environment
from matnet_jax.report.seeds import SeedGroup, seed_groups
from matnet_jax.report.seeds import as_text as spread_text

COMPARED = ("auc", "acc", "eer")
SHOWN = ("auc", "acc", "eer", "ap", "log_loss")


@dataclass(frozen=True)
class Evaluation:
    """One folder that `run_eval.py` wrote.

    Attributes:
      letter: A, B, …; short for the name.
      name: as the folder was given.
      metrics: of `metrics.json`.
      videos: columns of videos, [V].
    """

    letter: str
    name: str
    metrics: Mapping[str, Any]
    videos: Columns

    @property
    def protocol(self) -> dict[str, Any]:
        """How the evaluation gathered its scores."""
        default = {"aggregation": "mean", "threshold": 0.5}
        return {**default, **self.metrics.get("protocol", {})}


@dataclass(frozen=True)
class Comparison:
    """Evaluations, and what each of them but the first has over the first.

    Attributes:
      evaluations: the first is the baseline.
      differences: letter -> metric -> difference over all videos that both have.
      subsets: name of a subset -> letter -> its difference in AUC.
      warnings: what makes the evaluations less than comparable.
      num_resamples, seed, resample: of the bootstrap.
      seeds: evaluations that differ in their seed alone; [] where none do.
    """

    evaluations: list[Evaluation]
    differences: dict[str, dict[str, PairedDifference]]
    subsets: dict[str, dict[str, PairedDifference]]
    warnings: list[str]
    num_resamples: int
    seed: int
    resample: Resample = "video"
    seeds: Sequence[SeedGroup] = ()


def load_evaluations(folders: Sequence[str | os.PathLike]) -> list[Evaluation]:
    """Reads `scores.csv` and `metrics.json` of each folder.

    Raises:
      FileNotFoundError: a folder lacks one of them.
      ValueError: one of them can't be read, or there are fewer than 2 or more than 26 folders.
    """
    if not 2 <= len(folders) <= len(string.ascii_uppercase):
        raise ValueError(f"got {len(folders)} evaluation(s) to compare, wanted 2 to 26")
    evaluations = []
    for letter, folder in zip(string.ascii_uppercase, folders, strict=False):
        metrics = read_metrics(Path(folder) / "metrics.json")
        protocol = metrics.get("protocol", {})
        videos = video_scores(
            read_scores(Path(folder) / "scores.csv"),
            aggregation=protocol.get("aggregation", "mean"),
            top_k=protocol.get("top_k", 10),
        )
        evaluations.append(Evaluation(letter, os.fspath(folder), metrics, videos))
    return evaluations


def compare(
    evaluations: Sequence[Evaluation],
    *,
    num_resamples: int = 1000,
    seed: int = 0,
    resample: Resample = "video",
) -> Comparison:
    """Sets each evaluation against the first, on the videos that both have.

    Args:
      evaluations: the first is the baseline.
      num_resamples, seed, resample: of `paired_bootstrap`.

    Raises:
      ValueError: a video is real in one and fake in the other.
    """
    first, others = evaluations[0], evaluations[1:]
    options: dict[str, Any] = {"num_resamples": num_resamples, "seed": seed, "resample": resample}
    # One rule of decision for all: with a threshold each, accuracies would differ by rule alone.
    options["threshold"] = first.protocol["threshold"]
    differences = {
        other.letter: {
            name: paired_bootstrap(first.videos, other.videos, name, **options) for name in COMPARED
        }
        for other in others
    }
    subsets = {
        name: {
            other.letter: paired_bootstrap(
                _part(first.videos, key), _part(other.videos, key), "auc", **options
            )
            for other in others
        }
        for name, key in named_subsets(first.videos).items()
    }
    return Comparison(
        list(evaluations),
        differences,
        subsets,
        _warnings(evaluations, differences),
        num_resamples,
        seed,
        resample,
        seed_groups(evaluations, SHOWN),
    )


def write_comparison(path: str | os.PathLike, comparison: Comparison) -> None:
    """Writes the comparison as one self-contained HTML page.

    Raises:
      OSError: the file can't be written.
    """
    names = {key: (name, share) for key, name, share, _ in METRIC_ROWS}
    curves = [(f"{e.letter}", e.videos) for e in comparison.evaluations]
    page = (
        environment()
        .get_template("comparison.html.j2")
        .render(
            title="Comparison of evaluations",
            comparison=comparison,
            baseline=comparison.evaluations[0],
            several_datasets=any(e.metrics.get("cross") for e in comparison.evaluations),
            shown=[(key, *names[key]) for key in SHOWN],
            names={key: names[key][0] for key in COMPARED},
            charts=[
                charts.rocs(curves),
                *charts.differences(
                    "Difference in AUC to A",
                    {
                        f"{letter}, all": found["auc"]
                        for letter, found in comparison.differences.items()
                    }
                    | {
                        f"{letter}, {subset}": difference
                        for subset, found in comparison.subsets.items()
                        for letter, difference in found.items()
                        if len(comparison.subsets) > 1
                    },
                ),
            ],
        )
    )
    with atomic_file(path) as file:
        file.write(page)


def as_text(comparison: Comparison) -> str:
    """The comparison's main figures as a table for a terminal."""
    lines = [f"{e.letter}  {e.name}" for e in comparison.evaluations]
    heads = "".join(f"{'video ' + name:>16}" for name in SHOWN)
    lines += ["", f"{'':3}{heads}{'videos':>9}"]
    for e in comparison.evaluations:
        values = "".join(f"{_number(e.metrics['video'].get(name)):>16}" for name in SHOWN)
        lines.append(f"{e.letter:3}{values}{len(e.videos['label']):>9}")
    if comparison.seeds:
        lines += ["", "over seeds: mean ± standard deviation (seeds)"]
    for group in comparison.seeds:
        spreads = "  ".join(f"{name} {spread_text(group.video[name])}" for name in SHOWN)
        lines.append(f"{'+'.join(group.letters)}  {spreads}  {group.name}".rstrip())
    lines += ["", "differences to A on the videos both have, 95 % interval, p"]
    for letter, found in comparison.differences.items():
        for name, d in found.items():
            lines.append(f"{letter:3}{name:8}{_difference(d)}")
    for subset, by_letter in comparison.subsets.items():
        for letter, d in by_letter.items():
            lines.append(f"{letter:3}{'auc':8}{_difference(d)}  {subset}")
    lines += [f"note: {warning}" for warning in comparison.warnings]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _difference(d: PairedDifference) -> str:
    if d.difference is None or d.interval is None:
        return f"undefined: {d.num_videos} videos in common, or one class only"
    low, high = d.interval
    return f"{d.difference:+.4f}  [{low:+.4f}, {high:+.4f}]  p = {d.p_value:.3f}"


def _part(videos: Columns, key: tuple[str, str, str]) -> Columns:
    rows = subset_rows(videos, key)
    return {name: np.asarray(column)[rows] for name, column in videos.items()}


def _warnings(
    evaluations: Sequence[Evaluation], differences: Mapping[str, Mapping[str, PairedDifference]]
) -> list[str]:
    first, *others = evaluations
    found = []
    for other in others:
        pair = f"{first.letter} and {other.letter}"
        d = differences[other.letter]["auc"]
        if d.only_a or d.only_b:
            found.append(
                f"{pair} share {d.num_videos} videos; {d.only_a} are in {first.letter} alone and "
                f"{d.only_b} in {other.letter} alone, and count in no difference"
            )
        for name in ("aggregation", "threshold"):
            ours, theirs = first.protocol[name], other.protocol[name]
            if ours != theirs:
                found.append(f"{pair} differ in their {name}: {ours} and {theirs}")
        if first.metrics.get("checkpoint") and first.metrics.get("checkpoint") == other.metrics.get(
            "checkpoint"
        ):
            found.append(f"{pair} are of the same checkpoint")
    return found
