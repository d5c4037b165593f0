"""Checkpoints of a training run: saving, choosing, restoring. The only file that knows Orbax.

A checkpoint has three items, so that evaluation can read the network without its optimiser:
``model`` (parameters, averaged parameters, and the network's other collections beside them),
``optimizer`` (the other fields of the train state: step and optimiser state) and ``metadata``
(JSON). Parameters that the metadata's ``frozen`` names, a `Frozen`, are in none of them.
"""

import functools
import math
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from matnet_jax.checkpoints.differences import differences
from matnet_jax.checkpoints.errors import CheckpointError, CheckpointMismatchError
from matnet_jax.checkpoints.frozen import Frozen, ReadFrozen, filled, refuse, without
from matnet_jax.checkpoints.state import TrainState, joined, split

_NAMED_DIFFERENCES = 20  # a message lists so many, then counts the rest


class Checkpoints:
    """The checkpoints under one directory.

    Args:
      directory: holds one folder a checkpoint, named by its step; made when it is not there.
      keep: so many of the newest stay.
      keep_best: so many of the best stay beside them.
      best_metric: name of the validation metric that ranks checkpoints; greater is better. Where it
        is equal, the later checkpoint is the better.
      read_only: nothing is written or cleaned up; for evaluation while a training runs.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keep: int = 2,
        keep_best: int = 1,
        best_metric: str = "video_auc",
        read_only: bool = False,
    ) -> None:
        # Orbax fails on a relative path only later, in its writing thread.
        self.directory = Path(directory).absolute()
        self._read_only = read_only
        self._best_metric = best_metric
        if read_only and not self.directory.is_dir():
            raise CheckpointError(f"no checkpoints: {self.directory} does not exist; train first")
        if not read_only and jax.process_index() == 0:
            for leftover in self.directory.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(leftover)  # what a killed run left half written
        _write_whole_arrays()
        policies = ocp.checkpoint_managers
        kept = [policies.LatestN(keep), policies.BestN(get_metric_fn=self._score, n=keep_best)]
        self._manager = ocp.CheckpointManager(
            self.directory,
            item_handlers={
                "model": ocp.StandardCheckpointHandler(),
                "optimizer": ocp.StandardCheckpointHandler(),
                "metadata": ocp.JsonCheckpointHandler(),
            },
            options=ocp.CheckpointManagerOptions(
                create=not read_only,
                read_only=read_only,
                best_fn=self._score,
                preservation_policy=policies.AnyPreservationPolicy(kept),
            ),
        )

    def _score(self, metrics: Mapping[str, float | None]) -> float:
        score = metrics.get(self._best_metric)
        return -math.inf if score is None else score

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the save under way, then frees the writing threads."""
        try:
            self.wait()
        finally:
            self._manager.close()

    def wait(self) -> None:
        """Waits for the save under way.

        Raises:
          CheckpointError: if it failed.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._write_error(error) from error

    @property
    def steps(self) -> list[int]:
        """Steps of the finished checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    @property
    def best_step(self) -> int | None:
        """Step of the best by validation; None if none has that metric."""
        step = self._manager.best_step()
        if step is None or self._score(self._manager.metrics(step) or {}) == -math.inf:
            return None
        return step

    def save(
        self,
        step: int,
        state: TrainState,
        *,
        metadata: Mapping[str, Any],
        metrics: Mapping[str, float | None] | None = None,
    ) -> None:
        """Starts saving `state`; returns once it is copied from the devices, so it may be donated.

        Args:
          step: names the checkpoint; one that exists already is kept as it is.
          state: the arrays.
          metadata: JSON values: config, preprocessing, versions; ``frozen``: what is left out of
            the parameters, as `Frozen.as_json` has it, or None.
          metrics: validation metrics at this step; None or a null one does not take part in "best".

        Raises:
          CheckpointError: if this save, or the one before it, could not be written.
        """
        if step in self._manager.all_steps():
            return
        model, optimizer = split(state)
        model = without(model, Frozen.from_json(metadata.get("frozen")))
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    model=ocp.args.StandardSave(model),
                    optimizer=ocp.args.StandardSave(optimizer),
                    metadata=ocp.args.JsonSave(dict(metadata)),
                ),
                # Never empty: Orbax warns about every save without the metric it ranks by.
                metrics={self._best_metric: None, **(metrics or {})},
                force=True,
            )
        except Exception as error:
            raise self._write_error(error) from error

    def resolve(self, which: str | int) -> int:
        """Turns ``latest``, ``best`` or a step into the step of a checkpoint that exists.

        Raises:
          CheckpointError: if there is none; the message lists the steps there are.
        """
        steps = self.steps
        if not steps:
            raise CheckpointError(f"no checkpoint in {self.directory}; train first")
        if which == "latest":
            return steps[-1]
        if which == "best":
            best = self.best_step
            if best is None:
                warnings.warn(
                    f"no checkpoint in {self.directory} has a validation {self._best_metric}; "
                    f"taking the latest, step {steps[-1]}, for the best",
                    stacklevel=2,
                )
                return steps[-1]
            return best
        if str(which).isdecimal() and int(which) in steps:
            return int(which)
        raise CheckpointError(
            f"no checkpoint {which!r} in {self.directory}; available: latest, best, "
            + ", ".join(map(str, steps))
        )

    def metadata(self, which: str | int) -> dict[str, Any]:
        """The JSON values saved with a checkpoint.

        Raises:
          CheckpointError: if there is no such checkpoint or it cannot be read.
        """
        step = self.resolve(which)
        try:
            args = ocp.args.Composite(metadata=ocp.args.JsonRestore())
            return self._manager.restore(step, args=args)["metadata"]
        except Exception as error:
            raise self._read_error(step, error) from error

    def restore(
        self, which: str | int, abstract_state: TrainState, *, read_frozen: ReadFrozen = refuse
    ) -> TrainState:
        """Restores a train state.

        Args:
          which: ``latest``, ``best`` or a step.
          abstract_state: the wanted state as `jax.ShapeDtypeStruct`s with shardings; arrays are
            laid out by them, on however many devices, whatever devices wrote the checkpoint.
          read_frozen: gives what the checkpoint left out.

        Raises:
          CheckpointMismatchError: if arrays or their shapes differ; the message lists them. Or what
            was left out cannot be had.
          CheckpointError: if there is no such checkpoint or it cannot be read.
        """
        step = self.resolve(which)
        return self._restore_state(step, self.metadata(step), abstract_state, read_frozen)

    def _restore_state(
        self,
        step: int,
        metadata: Mapping[str, Any],
        abstract_state: TrainState,
        read_frozen: ReadFrozen,
    ) -> TrainState:
        network, optimizer = split(abstract_state)
        frozen = Frozen.from_json(metadata.get("frozen"))
        kept = {"model": without(network, frozen), "optimizer": optimizer}
        restored = self._restore(step, kept)
        if frozen is not None:
            restored["model"] = filled(restored["model"], read_frozen(frozen), network)
        return joined(restored["model"], restored["optimizer"])

    def restore_model(self, which: str | int, abstract_model: Mapping[str, Any]) -> dict[str, Any]:
        """Restores the network alone.

        Arguments and errors are those of `restore`; `abstract_model` has ``params``,
        ``ema_params`` and the collections, by name, and so has what comes back.
        """
        return self._restore(self.resolve(which), {"model": dict(abstract_model)})["model"]

    def read_model(self, which: str | int) -> dict[str, Any]:
        """Reads a network as it was saved, whatever it is: NumPy arrays, keys as `restore_model`.

        What the checkpoint left out is not among them; see `matnet_jax.pretrained.frozen`.

        Raises:
          CheckpointError: if there is no such checkpoint or it cannot be read.
        """
        step = self.resolve(which)
        # Replicated over processes, so that each of them holds all of it.
        devices = jax.devices() if jax.process_count() > 1 else jax.devices()[:1]
        everywhere = NamedSharding(Mesh(np.array(devices), ("data",)), PartitionSpec())
        try:
            found = self._manager.item_metadata(step)
            abstract = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere),
                getattr(found["model"], "tree", found["model"]),
            )
        except Exception as error:
            raise self._read_error(step, error) from error
        return jax.tree.map(np.asarray, self._restore(step, {"model": abstract}, found)["model"])

    def restore_latest(
        self,
        abstract_state: TrainState,
        *,
        check: Callable[[dict[str, Any]], None] = lambda metadata: None,
        read_frozen: ReadFrozen = refuse,
    ) -> tuple[TrainState, dict[str, Any]] | None:
        """Restores the newest checkpoint that is whole, to continue training from it.

        An unreadable one is reported by a warning and moved to ``<directory>_unreadable``, so that
        training can save that step again and nothing is destroyed.

        Args:
          abstract_state: as in `restore`.
          check: is called with the metadata before any array is read, and may refuse it by raising
            `CheckpointMismatchError`.
          read_frozen: as in `restore`.

        Returns:
          ``(state, metadata)``, or None if there is no checkpoint.

        Raises:
          CheckpointMismatchError: as `restore` does; a mismatch is no reason to go further back.
          CheckpointError: if there are checkpoints and none can be read.
        """
        steps = self.steps
        for step in reversed(steps):
            failure: CheckpointError | None = None
            try:
                metadata = self.metadata(step)
                check(metadata)
                state = self._restore_state(step, metadata, abstract_state, read_frozen)
            except CheckpointMismatchError:
                raise
            except CheckpointError as error:
                failure = error
            # One process that cannot read it is enough: all take the same one.
            if not _any_process(failure is not None):
                return state, metadata
            if failure is None:
                failure = CheckpointError(
                    f"another process cannot read checkpoint {self.directory / str(step)}"
                )
            if step == steps[0]:
                raise failure
            warnings.warn(f"{failure}; going back to the one before it", stacklevel=2)
            if not self._read_only:
                self._set_aside(step)
        return None

    def _restore(self, step: int, abstract: dict[str, Any], found: Any = None) -> dict[str, Any]:
        """Arrays of some items; `found` is what the manager says of all, where it was asked."""
        try:
            found = self._manager.item_metadata(step) if found is None else found
            lines = [
                line for item, tree in abstract.items() for line in differences(found[item], tree)
            ]
        except Exception as error:
            raise self._read_error(step, error) from error
        if lines:
            listed = "\n  ".join(lines[:_NAMED_DIFFERENCES])
            rest = len(lines) - _NAMED_DIFFERENCES
            raise CheckpointMismatchError(
                f"checkpoint {self.directory / str(step)} is of another network or optimiser; "
                f"{len(lines)} differences:\n  {listed}"
                + (f"\n  … and {rest} more" if rest > 0 else "")
            )
        try:
            args = {
                # Of a collection that a network has not, version 0.1 saved an empty one.
                item: ocp.args.StandardRestore({**_empty_parts(found[item]), **tree})
                for item, tree in abstract.items()
            }
            restored = self._manager.restore(step, args=ocp.args.Composite(**args))
            return {
                item: {name: restored[item][name] for name in tree}
                for item, tree in abstract.items()
            }
        except Exception as error:
            raise self._read_error(step, error) from error

    def _set_aside(self, step: int) -> None:
        aside = self.directory.with_name(self.directory.name + "_unreadable")
        if jax.process_index() == 0:
            aside.mkdir(exist_ok=True)
            target = aside / str(step)
            number = 1
            while target.exists():
                target = aside / f"{step}.{number}"
                number += 1
            os.replace(self.directory / str(step), target)
        ocp.multihost.sync_global_processes("matnet_checkpoint_set_aside")
        self._manager.reload()

    def _read_error(self, step: int, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"checkpoint {self.directory / str(step)} cannot be read ({_first_line(error)})"
        )

    def _write_error(self, error: Exception) -> CheckpointError:
        self._manager.reload()
        last = f"step {self.steps[-1]}" if self.steps else "none"
        return CheckpointError(
            f"a checkpoint could not be written to {self.directory} ({_first_line(error)}); "
            f"the last whole one: {last}"
        )


@functools.cache
def _write_whole_arrays() -> None:
    """Has each array written by one device.

    Orbax's default, a slice by each device that holds a copy, compiles the slicing of every shape:
    20 s at the first save of a tiny network on 8 devices.
    """
    handler = ocp.type_handlers.ArrayHandler(use_replica_parallel=False)
    ocp.type_handlers.register_type_handler(jax.Array, handler, override=True)


def _any_process(failed: bool) -> bool:
    if jax.process_count() == 1:
        return failed
    return bool(np.any(multihost_utils.process_allgather(np.array(failed))))


def _empty_parts(found: Any) -> dict[str, Any]:
    tree = getattr(found, "tree", found)
    return {name: {} for name, part in dict(tree).items() if isinstance(part, Mapping) and not part}


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__
