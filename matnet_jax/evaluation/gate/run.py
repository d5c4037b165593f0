"""From the files that evaluations left to an operating point, and to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.files import atomic_file, write_json
from matnet_jax.checkpoints.operating_point import read_operating_point, write_operating_point
from matnet_jax.evaluation.attributes import KEYS, read_attributes
from matnet_jax.metrics.gate import (
    Criteria,
    Verdict,
    compared_by,
    files_of,
    judge,
    num_people,
    real_groups,
)
from matnet_jax.metrics.operating_point import OperatingPoint, fit_operating_point
from matnet_jax.metrics.scores import Columns, read_metrics, read_scores
from matnet_jax.report.gate import as_listing, as_markdown


class GateError(ValueError):
    """Nothing can be calibrated or judged; the message says why."""


def calibrate(
    evaluation: Path,
    attributes: Path,
    workdir: Path | None,
    *,
    false_alarm_rate: float = 0.01,
    other_rates: Sequence[float] = (0.01, 0.05),
    max_risk: float = 0.05,
    min_people: int = Criteria.min_people,
    num_resamples: int = 1000,
) -> OperatingPoint:
    """Fits the operating point on the people to choose by, and keeps it in the workdir.

    Beside the scores `choose.md` says what networks are compared by (`compared_by`).

    The threshold is the lowest at which neither all reals nor any group or quartile of skin tone
    of at least `min_people` has more false alarms than asked for.

    Args:
      evaluation: folder with `scores.csv` and `metrics.json` of the part to choose by.
      attributes: its `attributes.csv`.
      workdir: of the network, which gets `operating-point.json`; None of a baseline without one.
      false_alarm_rate: of the threshold that decides.
      other_rates: of further thresholds that are kept beside it.
      max_risk: of the band of scores that are called uncertain.
      min_people: smaller groups have no say.
      num_resamples: of the intervals in `choose.md`.

    Raises:
      GateError: reals or fakes are missing, or the scores are of another workdir's network.
      ValueError, OSError: a file is missing or damaged.
    """
    scores, known, metrics = _read(evaluation, attributes)
    if workdir is not None:
        _check_network(metrics, evaluation, workdir)
    protocol = _aggregation(metrics)
    files = files_of(scores, known, **protocol)
    large = [
        rows
        for groups in real_groups(files).values()
        for rows in groups.values()
        if num_people(files, rows) >= min_people
    ]
    point = fit_operating_point(
        files,
        false_alarm_rate=false_alarm_rate,
        max_risk=max_risk,
        groups=large,
        other_rates=other_rates,
        fitted_on=_name(evaluation),
        **protocol,
    )
    if point is None:
        raise GateError(
            f"{evaluation} has {int(np.sum(files['label'] == 0))} real and "
            f"{int(np.sum(files['label'] == 1))} fake files; calibration needs both"
        )
    if workdir is not None:
        write_operating_point(workdir, point, step=_step(metrics, evaluation))
    lines = compared_by(files, point, num_resamples=num_resamples)
    title = f"To choose by: {(workdir or evaluation).resolve().name}"
    with atomic_file(evaluation / "choose.md") as file:
        file.write(as_listing(lines, point, title=title))
    return point


def judge_evaluation(
    evaluation: Path,
    attributes: Path,
    workdir: Path,
    out: Path,
    *,
    criteria: Criteria | None = None,
    num_resamples: int = 1000,
) -> Verdict:
    """Judges a network by the people to judge by, and writes `gate.json` and `gate.md`.

    Args:
      evaluation: folder with `scores.csv` and `metrics.json` of that part.
      attributes: its `attributes.csv`.
      workdir: of the network, with the operating point of the same checkpoint.
      out: folder of what is written.
      criteria: what is asked.
      num_resamples: of the intervals.

    Raises:
      GateError: there is no operating point of this checkpoint, it was fitted on what is judged, or
        the scores are of another workdir's network.
      ValueError, OSError: a file is missing or damaged.
    """
    scores, known, metrics = _read(evaluation, attributes)
    _check_network(metrics, evaluation, workdir)
    step = _step(metrics, evaluation)
    point = read_operating_point(workdir, step=step)
    if point is None:
        raise GateError(
            f"no operating point of step {step} in {workdir}: calibrate on the people to choose by "
            "first"
        )
    if point.fitted_on == _name(evaluation):
        raise GateError(
            f"the operating point in {workdir} was fitted on {point.fitted_on}, as {evaluation} is "
            "called: judge by other people, whose scores are in a folder of another name"
        )
    verdict = judge(scores, known, point, criteria, num_resamples=num_resamples)
    write_json(
        out / "gate.json",
        {
            **verdict.as_json(),
            "checkpoint": metrics["checkpoint"],
            "versions": metrics.get("versions"),
            "num_resamples": num_resamples,
        },
    )
    with atomic_file(out / "gate.md") as file:
        file.write(as_markdown(verdict, title=f"Ship gate: {workdir.resolve().name}"))
    return verdict


def _read(
    evaluation: Path, attributes: Path
) -> tuple[Columns, dict[str, np.ndarray], dict[str, Any]]:
    scores = read_scores(evaluation / "scores.csv")
    metrics = read_metrics(evaluation / "metrics.json")
    unknown = np.full(len(scores["label"]), "")
    columns = {name: scores.get(name, unknown) for name in KEYS}
    return {**scores, **columns}, read_attributes(attributes, columns), metrics


def _check_network(metrics: Mapping[str, Any], evaluation: Path, workdir: Path) -> None:
    """Scores in a workdir are of its network; others say whose they are."""
    own, scored = workdir.resolve(), (metrics.get("checkpoint") or {}).get("workdir")
    if scored and Path(scored).name != own.name and not evaluation.resolve().is_relative_to(own):
        raise GateError(
            f"{evaluation} has the scores of the network in {scored}, not of that in {workdir}"
        )


def _step(metrics: Mapping[str, Any], evaluation: Path) -> int:
    if "step" not in (metrics.get("checkpoint") or {}):
        raise GateError(f"{evaluation / 'metrics.json'} names no checkpoint; is it of run_eval.py?")
    return int(metrics["checkpoint"]["step"])


def _name(evaluation: Path) -> str:
    """Short enough for a card: "eval/choose"."""
    return "/".join(evaluation.resolve().parts[-2:])


def _aggregation(metrics: Mapping[str, Any]) -> dict[str, Any]:
    names = ("aggregation", "top_k")
    return {name: metrics["protocol"][name] for name in names if name in metrics["protocol"]}
