"""The ship gate's verdict, and what networks are compared by, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from matnet_jax.metrics.gate import Line, Verdict
from matnet_jax.metrics.operating_point import OperatingPoint

_SIGNS = {True: "met", False: "**not met**", None: "listed"}


def as_markdown(verdict: Verdict, *, title: str) -> str:
    """A heading, the verdict in a sentence, and a row a line; those that are judged come first.

    Args:
      verdict: of a detector.
      title: of the heading.
    """
    judged = [line for line in verdict.lines if line.passed is not None]
    listed = [line for line in verdict.lines if line.passed is None]
    failed = sum(not line.passed for line in judged)
    said = "The gate is met." if verdict.met else f"The gate is not met: {failed} of {len(judged)}."
    point = verdict.point
    rate = (
        ""
        if point.false_alarm_rate is None
        else f", fitted to {point.false_alarm_rate:g} false alarms"
    )
    lines = [
        f"# {title}",
        "",
        f"{said} Threshold {point.threshold:.4f}{rate} on {point.fitted_on or 'other people'} "
        f"({point.num_real} reals).",
        "",
        *_table([*judged, *listed]),
        "",
    ]
    return "\n".join(lines)


def as_listing(lines: Sequence[Line], point: OperatingPoint, *, title: str) -> str:
    """A heading, the threshold, and a row a line, of which nothing is asked."""
    said = f"Threshold {point.threshold:.4f}, fitted on the same people ({point.num_real} reals)."
    return "\n".join([f"# {title}", "", said, "", *_table(lines), ""])


def _table(lines: Sequence[Line]) -> list[str]:
    return [
        "| measured | of | people | files | figure | 95 % interval | wanted | |",
        "|---|---|--:|--:|--:|---|---|---|",
        *map(_row, lines),
    ]


def _row(line: Line) -> str:
    figure = "undefined" if line.value is None else f"{line.value:.3f}"
    span = "" if line.interval is None else f"[{line.interval[0]:.3f}, {line.interval[1]:.3f}]"
    cells = (
        *(line.criterion, line.of, line.people or "", line.files or "", figure, span),
        *(line.wanted, _SIGNS[line.passed]),
    )
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
