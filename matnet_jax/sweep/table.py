"""A sweep's table: our figures beside the published ones."""

from collections.abc import Mapping
from typing import Any

from data_pipeline.files import csv_line
from matnet_jax.sweep.definition import Cell, Sweep

# Metrics that are no shares, and so are not printed in percent.
_NOT_SHARES = ("log_loss", "overlap", "entropy", "parameters", "gflop", "images_per_second")

NOT_RUN, FAILED, UNDEFINED = "not run", "failed", "undefined"

Metrics = Mapping[tuple[str, str], Mapping[str, Any]]


def our_figure(
    cell: Cell, metrics: Metrics, failed: Mapping[str, str] | None = None
) -> float | str:
    """A cell's own figure as the paper prints it, or why there is none.

    Args:
      cell: one with a run.
      metrics: what ``metrics.json`` holds, by (run, data set).
      failed: errors by run.
    """
    assert cell.run is not None
    if (cell.run, cell.data) not in metrics:
        return FAILED if failed and cell.run in failed else NOT_RUN
    value = _at(metrics[cell.run, cell.data], cell.metric)
    if value is None:
        return UNDEFINED
    return value if _is_no_share(cell) else 100 * value


def as_markdown(
    sweep: Sweep,
    metrics: Metrics,
    *,
    description: str,
    drawn: bool = False,
    failed: Mapping[str, str] | None = None,
) -> str:
    """The table: a column of the paper's figures, if it has any, and one of ours for each column.

    Ours have their intervals where the evaluation has (``config.eval.num_resamples``).

    Args:
      sweep: its rows and columns.
      metrics: what ``metrics.json`` holds, by (run, data set).
      description: of the data.
      drawn: whether they are drawn faces, beside whose figures published ones stay as they are.
      failed: errors by run, listed below the table.
    """
    published = [
        any(cell is not None and cell.published is not None for cell in cells)
        for cells in zip(*(row.cells for row in sweep.rows), strict=True)
    ]
    header = [""]
    for name, printed in zip(sweep.columns, published, strict=True):
        header += [f"{name}, paper", f"{name}, ours"] if printed else [name]
    lines = [f"# {sweep.title}", "", f"Data: {description}.", ""]
    lines += [_line(header), _line(["---", *["---:"] * (len(header) - 1)])]
    others = False
    for row in sweep.rows:
        fields = []
        for cell, printed in zip(row.cells, published, strict=True):
            if cell is None:
                fields += ["–", "–"] if printed else ["–"]
                continue
            own = "–" if cell.run is None else _with_interval(cell, metrics, failed)
            theirs = "–"
            if cell.published is not None:
                theirs = _number(cell, cell.published) + cell.mark
                is_run = (cell.run or "", cell.data) in metrics and not drawn
                if (cell.run is None or cell.other) and not is_run:
                    others, theirs = True, f"{theirs} †"
            fields += [theirs, own] if printed else [own]
        lines.append(_line([row.name, *fields]))
    notes = [sweep.note] if sweep.note else []
    if others:
        notes.append("† Published figures of other systems, not run on that data here.")
    if any(cell.metric.startswith("frame.") for cell in sweep.cells):
        notes.append("Figures are of frames; table.csv has those of videos too.")
    notes += [f"{run} failed: {error}" for run, error in (failed or {}).items()]
    return "\n".join(lines + [f"\n{note}" for note in notes]) + "\n"


def as_csv(sweep: Sweep, metrics: Metrics, failed: Mapping[str, str] | None = None) -> str:
    """One line a cell: row, column, published, ours, ours_video, run, data, metric, step.

    `ours_video` is the same metric of videos where `ours` is of frames. Undefined and missing
    figures are words.
    """
    header = ("row", "column", "published", "ours", "ours_video", "run", "data", "metric", "step")
    rows: list[tuple[Any, ...]] = [header]
    for row in sweep.rows:
        for column, cell in zip(sweep.columns, row.cells, strict=True):
            if cell is None:
                continue
            ours: Any = ""
            videos: Any = ""
            if cell.run is not None:
                ours = our_figure(cell, metrics, failed)
                level, _, metric = cell.metric.partition(".")
                if level == "frame":
                    of_videos = Cell(None, cell.run, cell.data, f"video.{metric}")
                    videos = our_figure(of_videos, metrics, failed)
            checkpoint = metrics.get((cell.run or "", cell.data), {}).get("checkpoint", {})
            rows.append(
                (
                    row.name,
                    column,
                    "" if cell.published is None else cell.published,
                    ours,
                    videos,
                    cell.run or "published, of another system",
                    cell.data,
                    cell.metric,
                    checkpoint.get("step", ""),
                )
            )
    return "".join(map(csv_line, rows))


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def _with_interval(cell: Cell, metrics: Metrics, failed: Mapping[str, str] | None) -> str:
    figure = our_figure(cell, metrics, failed)
    if isinstance(figure, str):
        return figure
    whose, _, metric = cell.metric.rpartition(".")
    whose, _, level = whose.rpartition(".")
    where = ".".join(filter(None, (whose, "intervals", level, metric)))
    interval = _at(metrics[cell.run or "", cell.data], where)
    if not interval:
        return _number(cell, figure)
    low, high = (_number(cell, end if _is_no_share(cell) else 100 * end) for end in interval)
    return f"{_number(cell, figure)} [{low}, {high}]"


def _is_no_share(cell: Cell) -> bool:
    return cell.metric.rpartition(".")[2] in _NOT_SHARES


def _number(cell: Cell, figure: float) -> str:
    if cell.metric == "costs.parameters":
        return f"{figure:,.0f}"
    if cell.metric == "costs.images_per_second":
        return f"{figure:.3g}" if figure < 100 else f"{figure:.0f}"
    # A published figure of another system has no metric: the paper prints log losses below 1.
    return f"{figure:.4f}" if _is_no_share(cell) or figure < 1 else f"{figure:.2f}"


def _line(fields: list[str]) -> str:
    return "| " + " | ".join(field.replace("|", "\\|") for field in fields) + " |"
