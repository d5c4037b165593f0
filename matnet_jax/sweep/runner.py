"""Runs a sweep: trains what is not trained, scores what is not scored."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from data_pipeline.files import write_json
from matnet_jax.config.build import comparable
from matnet_jax.config.check import validate
from matnet_jax.config.legacy import upgraded, with_family
from matnet_jax.config.schema import ConfigError, changes
from matnet_jax.evaluation.costs import measure_costs
from matnet_jax.evaluation.ensemble.run import evaluate_ensemble
from matnet_jax.evaluation.run import evaluate
from matnet_jax.metrics.scores import read_metrics
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.runtime.config_files import load_config
from matnet_jax.runtime.preemption import Preempted
from matnet_jax.sweep.data import DataSets
from matnet_jax.sweep.definition import Blended, Fitted, Released, Run, Sweep
from matnet_jax.sweep.networks import NOTE, checkpoint_of, make_network
from matnet_jax.train.run import MAY_CHANGE

_COSTS = "costs.json"

Metrics = dict[tuple[str, str], dict[str, Any]]


def run_config(
    base: ConfigDict,
    run: Run,
    datasets: DataSets,
    workdir: Path,
    overrides: Mapping[str, Any] | None = None,
) -> ConfigDict:
    """The config that a run trains with.

    Args:
      base: that it changes, unless it has one of its own.
      run: what it changes.
      datasets: where its data are.
      workdir: of all runs.
      overrides: fields by dotted name, for a config of its own; `base` has them already.

    Raises:
      ConfigError: the base and the run's changes do not make a config that can be run.
    """
    fields = dict(run.changes)
    if run.config is None:
        config = upgraded(base)
    else:
        config = upgraded(load_config(run.config))
        small = run.small if datasets.drawn else {}
        fields = {**small, **(overrides or {}), **fields}
    family, kind = fields.pop("model.name", None), fields.pop("model.kind", None)
    if family or kind:
        config = with_family(config, family or kind)
    if kind:  # of version 0.1, whose plain runs also unset what only other networks have
        fields = {name: value for name, value in fields.items() if value is not None}
    datasets.select(config, run.data)
    try:
        config.update_from_flattened_dict(fields)
    except (KeyError, AttributeError, TypeError) as error:
        text = str(error).strip("\"'")
        raise ConfigError(f"run {run.name} of a {config.model.name}: {text}") from error
    if run.starts_from is not None:
        config.init.path = str(workdir / run.starts_from)
    try:
        validate(config)
    except ConfigError as error:
        raise ConfigError(f"run {run.name}: {error}") from error
    return config


def run_sweep(
    sweep: Sweep,
    workdir: str | Path,
    *,
    base: ConfigDict,
    datasets: DataSets,
    only: Collection[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    released: Path | None = None,
    progress: Callable[[str], None] = print,
) -> dict[str, str]:
    """Trains and evaluates the runs of a sweep, each in ``<workdir>/<its name>``.

    A run that ended is not trained again, one that was interrupted continues, and an evaluation
    whose files are there is kept, unless its config was another. Runs that fail do not keep the
    others from running, whatever they fail of.

    Args:
      sweep: what to run.
      workdir: of all runs; several sweeps share one, and the runs they have in common.
      base: the config that runs change.
      datasets: where the data are.
      only: names of the runs to do now; None: all. One that starts from another needs it trained.
      overrides: fields that change in runs with a config of their own.
      released: folder of the files of networks as released; None: these are left out.
      progress: is told what begins.

    Returns:
      The error of each run that failed, by name.

    Raises:
      ConfigError: a run's config cannot be run, or `only` has an unknown name; before any training.
      DataError: a data set is not there; before any training.
      Preempted: SIGTERM came, and everything up to then is saved.
    """
    workdir = Path(workdir).absolute()
    names = [run.name for run in sweep.runs]
    unknown = sorted(set(only or ()) - set(names))
    if unknown:
        raise ConfigError(f"no runs {', '.join(unknown)}; this sweep has {', '.join(names)}")
    runs = [run for run in sweep.runs if only is None or run.name in only]
    if released is None and only is None:
        runs = [run for run in runs if not isinstance(run, Released)]
    needed = [name for run in runs for name in (run.data, *sweep.scored_on(run.name))]
    datasets.check(list(dict.fromkeys(needed)))
    configs = {
        run.name: run_config(base, run, datasets, workdir, overrides)
        for run in runs
        if not isinstance(run, Blended)
    }
    failed: dict[str, str] = {}
    for number, run in enumerate(runs, start=1):
        progress(f"run {number} of {len(runs)}: {run.name}")
        if run.starts_from is not None and not (workdir / run.starts_from / NOTE).exists():
            failed[run.name] = f"starts from {run.starts_from}, which is not trained"
            continue
        try:
            if isinstance(run, Blended):
                _blend(sweep, run, workdir)
            else:
                _make_and_evaluate(sweep, run, configs[run.name], workdir, datasets, released)
        except Preempted:
            raise
        except (ValueError, OSError) as error:  # what a user can put right; see commands.py
            failed[run.name] = str(error)
        except Exception as error:  # whatever it is, such as a device that ran out of memory
            failed[run.name] = f"{type(error).__name__}: {error}"
    return failed


def read_sweep(sweep: Sweep, workdir: str | Path) -> Metrics:
    """The metrics that are there, by (run, data set)."""
    found: Metrics = {}
    for run in sweep.runs:
        for data in sweep.scored_on(run.name):
            path = _evaluation(Path(workdir), run.name, data) / "metrics.json"
            if path.exists():
                costs = Path(workdir) / run.name / _COSTS
                more = {"costs": read_metrics(costs)} if costs.exists() else {}
                found[run.name, data] = read_metrics(path) | more
    return found


def _make_and_evaluate(
    sweep: Sweep,
    run: Run,
    config: ConfigDict,
    workdir: Path,
    datasets: DataSets,
    released: Path | None,
) -> None:
    folder = workdir / run.name
    # A training goes on where its end was moved; what was fitted or read has no end.
    kept = MAY_CHANGE if isinstance(run, (Fitted, Released)) else ()
    if not _is_done(folder / NOTE, config, but_for=kept):
        make_network(run, config, folder, released=released)
    checkpoint = checkpoint_of(run)
    for data in sweep.scored_on(run.name):
        scored = config.copy_and_resolve_references()
        datasets.select(scored, data)
        out = _evaluation(workdir, run.name, data)
        if not _is_done(out / "metrics.json", scored):
            evaluate(scored, folder, out=out, checkpoint=checkpoint)
    if sweep.needs_costs and not (folder / _COSTS).exists() and jax.process_index() == 0:
        trained = load_trained(folder, checkpoint)
        batch_size = config.validation.batch_size
        costs = measure_costs(trained.model, trained.variables, batch_size=batch_size)
        write_json(folder / _COSTS, dataclasses.asdict(costs))


def _blend(sweep: Sweep, run: Blended, workdir: Path) -> None:
    for data in sweep.scored_on(run.name):
        if jax.process_index() == 0:  # of files, in seconds, and so again each time
            evaluate_ensemble(run.ensemble, workdir / run.name, split=data)


def _evaluation(workdir: Path, run: str, data: str) -> Path:
    return workdir / run / "eval" / data


def _is_done(path: Path, config: ConfigDict, *, but_for: tuple[str, ...] = ()) -> bool:
    """Whether a file is of this config; fields that begin with `but_for` may be others."""
    try:
        made_by = read_metrics(path)["config"]
    except (OSError, ValueError, KeyError):  # not there, or cut off
        return False
    changed = changes(comparable(made_by), comparable(config))
    return all(field.startswith(but_for) for field in changed)
