"""What a sweep is: runs to train, and a table whose cells are metrics of their evaluations."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from matnet_jax.evaluation.ensemble.definition import Ensemble


@dataclasses.dataclass(frozen=True)
class Run:
    """One network to train.

    Attributes:
      name: of its workdir; runs of several sweeps that have the same name are the same run.
      data: name of the data set that it trains on.
      changes: fields of the config that differ from the base, by dotted name.
      starts_from: name of the run whose best checkpoint it starts from; None: the base's `init`.
      config: name of a config of its own, such as ``systems/meso4``; None: the base.
      small: fields that differ besides where faces are drawn, so that all of a sweep can be seen
        to work; for runs with a config of their own.
    """

    name: str
    data: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    starts_from: str | None = None
    config: str | None = None
    small: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Fitted(Run):
    """A line through features that do not learn: fitted, as by `matnet probe --save`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Released(Run):
    """A network as its authors released it: read, and scored.

    Attributes:
      files: that hold it, below the folder of released files.
    """

    files: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Blended(Run):
    """An ensemble of runs before it, which are called ``<its name>/<member>``.

    Attributes:
      ensemble: which blends their scores.
    """

    ensemble: Ensemble


@dataclasses.dataclass(frozen=True)
class Cell:
    """A figure of a table.

    Attributes:
      published: what the paper prints; None where it prints nothing.
      run: name of the run that gives our figure; None: the published figure of another system.
      data: name of the data set whose test split is scored.
      metric: where the figure is in ``metrics.json``, such as ``frame.auc``; or ``costs.`` and a
        field of `matnet_jax.evaluation.costs.Costs`.
      other: whether the published figure is of another system than the paper's own.
      mark: after the published figure, for what the sweep's note says of it.
    """

    published: float | None
    run: str | None = None
    data: str = ""
    metric: str = ""
    other: bool = False
    mark: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table; a cell of None is empty."""

    name: str
    cells: tuple[Cell | None, ...]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A table of the paper.

    Attributes:
      title: of the table.
      columns: names; shares are in percent, as the paper prints them.
      runs: each after the run that it starts from.
      rows: of the table.
      pictures: names of runs whose attention maps are drawn side by side.
      note: what a reader has to know about the figures.
    """

    title: str
    columns: tuple[str, ...]
    runs: tuple[Run, ...]
    rows: tuple[Row, ...]
    pictures: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        names = [run.name for run in self.runs]
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise ValueError(f"{self.title}: several runs are called {', '.join(sorted(repeated))}")
        for i, run in enumerate(self.runs):
            if run.starts_from is not None and run.starts_from not in names[:i]:
                raise ValueError(
                    f"{run.name} starts from {run.starts_from}, which is not before it"
                )
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(
                    f"the row {row.name!r} has {len(row.cells)} cells for {len(self.columns)} "
                    "columns"
                )
        unknown = ({cell.run for cell in self.cells} | set(self.pictures)) - {None, *names}
        if unknown:
            raise ValueError(f"no runs {sorted(map(str, unknown))}; there are {', '.join(names)}")

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells that hold something."""
        return tuple(cell for row in self.rows for cell in row.cells if cell is not None)

    @property
    def needs_costs(self) -> bool:
        """Whether the table says what networks cost."""
        return any(cell.metric.startswith("costs.") for cell in self.cells)

    @property
    def data(self) -> tuple[str, ...]:
        """Names of the data sets that are trained on or scored."""
        named = [run.data for run in self.runs] + [cell.data for cell in self.cells if cell.run]
        return tuple(dict.fromkeys(named))

    def scored_on(self, run: str) -> tuple[str, ...]:
        """Names of the data sets that a run's cells need; its own where it has no cells."""
        named = [cell.data for cell in self.cells if cell.run == run]
        own = [each.data for each in self.runs if each.name == run]
        return tuple(dict.fromkeys(named or own))
