"""Training: `train(config, workdir)`, which continues where an earlier call in `workdir` ended."""

import contextlib
import dataclasses
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from data_pipeline.files import write_json
from matnet_jax.checkpoints.crops import check_crops, crops_of
from matnet_jax.checkpoints.frozen import Frozen
from matnet_jax.checkpoints.network import has_checkpoints
from matnet_jax.checkpoints.orbax import CheckpointMismatchError, Checkpoints
from matnet_jax.checkpoints.state import TrainState
from matnet_jax.config.build import build_model, build_objective, comparable
from matnet_jax.config.check import validate
from matnet_jax.config.data import (
    build_sampler,
    examples_together,
    open_source,
    training_batches,
)
from matnet_jax.config.schema import adopt_model_fields, changes
from matnet_jax.detectors.base import Detector
from matnet_jax.detectors.variables import abstract_variables, init_variables
from matnet_jax.evaluation.scorer import Scorer, sample_rows
from matnet_jax.metrics import summarise
from matnet_jax.runtime.preemption import Preemption
from matnet_jax.runtime.sharding import (
    batch_sharded,
    check_divisible,
    data_mesh,
    replicate,
    replicated,
)
from matnet_jax.runtime.workdir import locked, versions
from matnet_jax.train.attention_watch import AttentionWatch
from matnet_jax.train.loop import Loop, Metrics
from matnet_jax.train.metrics_log import Mean, MetricsLog
from matnet_jax.train.plan import (
    build_ascent,
    build_optimizer,
    build_plan,
    build_stop_frozen,
    frozen_in,
)
from matnet_jax.train.profiling import profiler
from matnet_jax.train.state import create_train_state
from matnet_jax.train.step import make_train_step
from matnet_jax.train.watchdog import Watchdog

MAY_CHANGE = (
    "data.dir",
    "data.check_crops",
    "train.duration",
    "train.log_every",
    "train.hang_seconds",
    "train.remat",
    "train.on_nonfinite",
    "optimizer.",
    "validation.",
    "eval.",
    "checkpoint.",
    "init.",
)
"""What a rerun may change: it moves the end, the reports or the rates, not what is trained."""


def train(config: ConfigDict, workdir: str | Path, *, profile_steps: str = "") -> dict[str, Any]:
    """Trains, validates and saves checkpoints; a rerun continues from the newest checkpoint.

    Args:
      config: as `matnet_jax.config.schema.default_config` makes it.
      workdir: made when it is not there. Gets ``config.json``, ``versions.json``, ``metrics.csv``,
        ``tb/`` and ``checkpoints/``.
      profile_steps: such as ``10:15``; see `profiler`.

    Returns:
      ``step`` reached and ``best_step`` by validation (None if no validation had both classes).

    Raises:
      ConfigError: the config cannot be run; said before anything is compiled or written.
      WorkdirError: another run holds the workdir, or it is not writable.
      CheckpointError: the workdir's checkpoints are of another network or config, or unreadable.
      NonFiniteError: a loss or gradient became NaN or infinite; the message has the step.
      Preempted: SIGTERM came, and everything up to the step in the message is saved.
    """
    config = validate(config)
    mesh = data_mesh()
    check_divisible(
        config.train.batch_size,
        mesh.size,
        parts=config.train.accumulate,
        group=examples_together(config),
        name="config.train.batch_size",
    )
    check_divisible(config.validation.batch_size, mesh.size, name="config.validation.batch_size")
    workdir = Path(workdir).absolute()
    config, weights = starting_weights(config, workdir)
    model = build_model(config)
    given = None if weights is None else take_weights(config, model, weights)
    frozen = None if given is None else left_in_file(config, weights, given)
    source, validation_source = (
        open_source(config, split, model.image_size, model.clip_length)
        for split in ("train", "val")
    )
    sampler = build_sampler(config, source)
    plan = build_plan(config, sampler.steps_per_epoch)
    tx = build_optimizer(config, plan.learning_rate)

    train_step = jax.jit(
        make_train_step(
            model,
            build_objective(config, model, plan.steps),
            tx,
            ema_decay=config.train.ema_decay,
            accumulate=config.train.accumulate,
            group=examples_together(config),
            ascent=build_ascent(config),
            skip_nonfinite=config.train.on_nonfinite == "skip",
            stop_frozen=build_stop_frozen(config),
        ),
        donate_argnums=0,
        in_shardings=(replicated(mesh), batch_sharded(mesh), replicated(mesh)),
        out_shardings=replicated(mesh),
    )
    scorer = Scorer(model, mesh, batch_size=config.validation.batch_size)

    attention = AttentionWatch(
        model, scorer, validation_source, sample_rows(validation_source.columns)
    )
    log: MetricsLog | None = None

    def validate_state(state: TrainState) -> Metrics:
        scores, loss = scorer.score(state.eval_variables, validation_source)
        numbers, picture = attention.look(state.eval_variables)
        if log is not None and picture is not None:
            log.picture(int(state.step), "val/attention", picture)
        return {"loss": loss, **headline(summarise(scores)), **numbers}

    def create_state(variables: dict[str, Any]) -> TrainState:
        ema = config.train.ema_decay is not None
        return create_train_state(model, tx, config.seed, variables=variables, ema=ema)

    def initial_state() -> TrainState:
        return create_state(init_variables(model, config.seed) if given is None else given)

    abstract_state = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated(mesh)),
        jax.eval_shape(create_state, abstract_variables(model)),
    )

    is_main = jax.process_index() == 0
    metadata = {
        "config": json.loads(config.to_json_best_effort()),
        "preprocess": dataclasses.asdict(model.preprocess),
        "crops": None if source.crop_protocol is None else source.crop_protocol.as_json(),
        "versions": versions(),
    }
    with contextlib.ExitStack() as stack:
        if is_main:
            stack.enter_context(locked(workdir))
        checkpoints = stack.enter_context(
            Checkpoints(
                workdir / "checkpoints",
                keep=config.checkpoint.keep,
                keep_best=config.checkpoint.keep_best,
            )
        )
        watchdog = stack.enter_context(
            Watchdog(workdir / ".processes", jax.process_index(), seconds=config.train.hang_seconds)
        )
        preemption = stack.enter_context(Preemption())
        restored = restore(checkpoints, abstract_state, metadata)
        if restored is not None:
            state, window, frozen = restored
            frozen = still_left_in_file(config, frozen, abstract_state.params)
        else:
            state, window = replicate(initial_state(), mesh), Mean()
        metadata["frozen"] = None if frozen is None else frozen.as_json()
        step = int(state.step)
        if is_main:
            write_json(workdir / "config.json", metadata["config"])
            write_json(workdir / "versions.json", metadata["versions"])
            log = stack.enter_context(contextlib.closing(MetricsLog(workdir, step=step)))
        batches = stack.enter_context(
            contextlib.closing(training_batches(config, source, sampler, model.image_size, step))
        )
        loop = Loop(
            plan,
            train_step,
            validate_state,
            checkpoints,
            metadata,
            log,
            mesh,
            preemption,
            watchdog,
            stack.enter_context(profiler(profile_steps, workdir / "profile")),
        )
        state = loop.run(state, batches, replicate(jax.random.key(config.seed), mesh), window)
        return {"step": int(state.step), "best_step": checkpoints.best_step}


def starting_weights(config: ConfigDict, workdir: Path) -> tuple[ConfigDict, Any]:
    """The weights of ``config.init``, if any, and the config with what they ask of the network.

    A workdir that has checkpoints needs them no more: then the weights are None, and the config
    gets what they had asked for.

    Raises:
      CheckpointFileError, FileNotFoundError: the weights cannot be read.
    """
    if not config.init.path:
        frozen = ", ".join(config.optimizer.freeze)
        if frozen and config.data.source == "records":
            warnings.warn(
                f"config.optimizer.freeze keeps {frozen} as they start, and without "
                "config.init.path they start from random numbers: give the file that the network "
                "is to start from",
                stacklevel=2,
            )
        return config, None
    if has_checkpoints(workdir) and (workdir / "config.json").exists():
        trained = json.loads((workdir / "config.json").read_text())
        return adopt_model_fields(config, trained), None
    from matnet_jax.pretrained import read_weights
    from matnet_jax.pretrained.convert import with_fields

    weights = read_weights(config.init.path, sha256=config.init.sha256 or None)
    return with_fields(config, weights), weights


def take_weights(config: ConfigDict, model: Detector, weights: Any) -> dict[str, Any]:
    """The network's first variables: what ``config.init`` takes of the weights, the rest random.

    Raises:
      WeightsMismatchError: the weights do not fit the network.
    """
    from matnet_jax.pretrained import initialize

    prefixes = tuple(config.init.prefixes) or None
    strict, seed = config.init.strict, config.seed
    return initialize(model, weights, prefixes=prefixes, strict=strict, seed=seed)


def left_in_file(config: ConfigDict, weights: Any, given: Mapping[str, Any]) -> Frozen | None:
    """What checkpoints leave out of a network of `take_weights`."""
    from matnet_jax.pretrained.frozen import frozen_part

    params = given["params"]
    if config.checkpoint.full:
        return None
    return frozen_part(config.init.path, weights.arrays, params, frozen_in(config, params))


def still_left_in_file(config: ConfigDict, frozen: Frozen | None, params: Any) -> Frozen | None:
    """What checkpoints go on to leave out; nothing where a rerun trains some of it."""
    from matnet_jax.pretrained.frozen import found_at

    if frozen is None or config.checkpoint.full:
        return None
    if not set(frozen.paths) <= set(frozen_in(config, params)):
        return None
    return found_at(frozen, config.init.path)


def restore(
    checkpoints: Checkpoints, abstract_state: TrainState, current: Mapping[str, Any]
) -> tuple[TrainState, Mean, Frozen | None] | None:
    """The newest readable checkpoint's state and running means; None if there is none.

    Beside them, what it left out, which is read from its file.

    Raises:
      CheckpointMismatchError: if it was trained with other values than the `current` metadata's
        config has, apart from those that a rerun may change, or on faces cut otherwise. Or the file
        of what it left out is missing, or another one.
      CheckpointError: if there are checkpoints and none can be read.
    """

    def check(metadata: Mapping[str, Any]) -> None:
        _check_config(metadata["config"], current["config"], checkpoints.directory)
        if current["config"]["data"]["check_crops"]:
            check_crops(
                crops_of(metadata),
                crops_of(current),
                network=f"the network in {checkpoints.directory}",
                faces=f"those in {current['config']['data']['dir']}",
            )

    def read(frozen: Frozen) -> Mapping[str, Any]:
        from matnet_jax.pretrained.frozen import read_frozen

        sources = [current["config"]["init"]["path"]]
        return read_frozen(frozen, checkpoints.directory.parent, sources=sources)

    restored = checkpoints.restore_latest(abstract_state, check=check, read_frozen=read)
    if restored is None:
        return None
    state, metadata = restored
    return state, Mean(**metadata["window"]), Frozen.from_json(metadata.get("frozen"))


def _check_config(before: Mapping[str, Any], now: Mapping[str, Any], directory: Path) -> None:
    allowed: list[str] = []
    refused: list[str] = []
    for field, line in changes(comparable(before), comparable(now)).items():
        (allowed if field.startswith(MAY_CHANGE) else refused).append(line)
    if refused:
        raise CheckpointMismatchError(
            f"the checkpoints in {directory} were trained with another config:\n  "
            + "\n  ".join(refused)
            + "\ncontinue with the old values, or give another --workdir"
        )
    if allowed:
        warnings.warn("continuing with changed values: " + "; ".join(allowed), stacklevel=2)


def headline(summary: Mapping[str, Any]) -> Metrics:
    """The metrics worth a curve, ``frame_auc`` and so on; undefined ones are None."""
    return {
        f"{level}_{name}": summary[level][name]
        for level in ("frame", "video")
        for name in ("acc", "auc", "log_loss")
    }
