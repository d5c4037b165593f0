"""Optimisers and learning-rate schedules, from plain values; steps are the only unit."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, get_args

import jax
import jax.numpy as jnp
import optax
from jax import lax

from matnet_jax.config.sections import OptimizerName, ScheduleName

OPTIMIZERS = get_args(OptimizerName)
SCHEDULES = get_args(ScheduleName)


def create_schedule(
    name: str,
    learning_rate: float,
    *,
    total_steps: int,
    warmup_steps: int = 0,
    decay_steps: int = 0,
    decay_at: Sequence[int] = (),
    decay_rate: float = 0.5,
    hold_steps: int = 0,
    final_fraction: float = 0.0,
    power: float = 1.0,
) -> optax.Schedule:
    """Learning rate as a function of the number of updates done so far.

    Args:
      name: ``constant``; ``step``: times `decay_rate` after every `decay_steps`, or at `decay_at`;
        ``cosine``: half a cosine from `learning_rate` to `final_fraction` of it at `total_steps`;
        ``linear``: a line to there, after `hold_steps` of `learning_rate`.
      learning_rate: the rate after warm-up.
      total_steps: length of the whole training, warm-up included.
      warmup_steps: the rate grows linearly from `learning_rate / warmup_steps` over these steps.
      decay_steps: period of ``step``; counted, as cosine is, from the start of training, so that
        switching warm-up on does not move the later decays.
      decay_at: numbers of updates after which ``step`` falls, counted alike; then `decay_steps`
        is not looked at.
      decay_rate: factor of ``step``.
      hold_steps: of ``linear``; counted from the start of training, too.
      final_fraction: where ``cosine`` and ``linear`` end.
      power: of ``linear``'s fall, a polynomial's where it is not 1.

    Raises:
      ValueError: for an unknown name, or ``step`` without a period.
    """
    if name == "constant":
        base = optax.constant_schedule(learning_rate)
    elif name == "step" and decay_at:
        base = optax.piecewise_constant_schedule(learning_rate, dict.fromkeys(decay_at, decay_rate))
    elif name == "step":
        if decay_steps < 1:
            raise ValueError(f"the step schedule needs decay_steps >= 1, got {decay_steps}")
        base = optax.exponential_decay(
            learning_rate, transition_steps=decay_steps, decay_rate=decay_rate, staircase=True
        )
    elif name == "cosine":
        base = optax.cosine_decay_schedule(
            learning_rate, decay_steps=max(total_steps, 1), alpha=final_fraction
        )
    elif name == "linear":
        base = optax.polynomial_schedule(
            learning_rate,
            final_fraction * learning_rate,
            power=power,
            transition_steps=max(total_steps - hold_steps, 1),
            transition_begin=hold_steps,
        )
    else:
        raise ValueError(f"schedule is one of {', '.join(SCHEDULES)}; got {name!r}")
    if warmup_steps <= 0:
        return base

    def schedule(count: jax.typing.ArrayLike) -> jax.Array:
        # (count + 1): the very first update already learns.
        warmup = jnp.minimum(1.0, (jnp.asarray(count) + 1.0) / warmup_steps)
        return base(count) * warmup

    return schedule


def create_optimizer(
    name: str,
    learning_rate: float | optax.Schedule,
    *,
    weight_decay: float = 0.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    momentum: float = 0.9,
    nesterov: bool = False,
    clip_norm: float | None = None,
    freeze: Sequence[str] = (),
    unfreeze: Sequence[str] = (),
) -> optax.GradientTransformation:
    """Builds the optimiser.

    ``adam`` (the paper's) and ``sgd`` take weight decay as a *coupled* L2 term: it is added to the
    gradient and so passes through Adam's moments, as ``torch.optim.Adam(weight_decay=…)`` does.
    ``adamw`` (the released code's) decouples it: rate · weight_decay · parameter is subtracted
    beside Adam's update.

    Args:
      name: ``adam``, ``adamw`` or ``sgd``.
      learning_rate: a number, or a schedule over updates.
      weight_decay: L2 coefficient; every parameter decays, biases and norms too, as in PyTorch.
      b1, b2, eps: Adam's.
      momentum: of ``sgd``; 0 for none.
      nesterov: Nesterov's form of it, as PyTorch has it.
      clip_norm: gradients are scaled down to this global L2 norm (over trained parameters only)
        before anything else; None for no clipping.
      freeze: path prefixes of parameters that stay as they are, parts joined by ``/``:
        ``("backbone",)`` or ``("backbone/stem", "attention")``. They cost no optimiser state.
      unfreeze: patterns of whole paths under these that train all the same, in which ``*`` stands
        for anything: ``("backbone/*/norm_*",)``.

    Raises:
      ValueError: for an unknown name; at `init`, for a prefix or a pattern that matches no
        parameter.
    """
    decay = optax.add_decayed_weights(weight_decay) if weight_decay else optax.identity()
    adam = optax.scale_by_adam(b1=b1, b2=b2, eps=eps)
    if name == "adam":
        scaled = [decay, adam]
    elif name == "adamw":
        scaled = [adam, decay]
    elif name == "sgd":
        moved = optax.trace(momentum, nesterov) if momentum else optax.identity()
        scaled = [decay, moved]
    else:
        raise ValueError(f"optimiser is one of {', '.join(OPTIMIZERS)}; got {name!r}")
    clip = optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity()
    tx = optax.chain(clip, *scaled, optax.scale_by_learning_rate(learning_rate))
    return _trained(tx, freeze, unfreeze)


def create_ascent(
    rho: float, *, freeze: Sequence[str] = (), unfreeze: Sequence[str] = ()
) -> optax.GradientTransformation:
    """The way uphill of sharpness-aware minimisation, ρ·g / ‖g‖; nowhere for a gradient of 0.

    The gradient is the loss's: neither clipped nor with weight decay, which are of the step.

    Args:
      rho: ρ, the length.
      freeze, unfreeze: as in `create_optimizer`; what is frozen stays, and has no part in ‖g‖.
    """
    return _trained(optax.normalize_by_update_norm(rho, eps=1e-12), freeze, unfreeze)


def _trained(
    tx: optax.GradientTransformation, freeze: Sequence[str], unfreeze: Sequence[str]
) -> optax.GradientTransformation:
    """`tx` of the parameters that are not frozen."""
    if not freeze:
        return tx
    return optax.multi_transform(
        {"train": tx, "freeze": optax.set_to_zero()},
        lambda params: freeze_labels(params, freeze, unfreeze),
    )


def stop_frozen(params: Any, freeze: Sequence[str], unfreeze: Sequence[str] = ()) -> Any:
    """The same parameters, of which those that are frozen have no gradient to be computed."""
    if not freeze:
        return params
    labels = freeze_labels(params, freeze, unfreeze)
    return jax.tree.map(
        lambda label, x: lax.stop_gradient(x) if label == "freeze" else x, labels, params
    )


def freeze_labels(params: Any, prefixes: Sequence[str], patterns: Sequence[str] = ()) -> Any:
    """A tree like `params` of ``"freeze"`` under any of `prefixes` and ``"train"`` elsewhere.

    Under a prefix, what one of `patterns` matches is ``"train"`` too.

    Raises:
      ValueError: if a prefix matches nothing; the message lists what lies at its level. Or a
        pattern matches nothing under the prefixes.
    """
    paths = ["/".join(_names(path)) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    for prefix in prefixes:
        if not any(_under(path, prefix) for path in paths):
            available = ", ".join(_siblings(paths, prefix))
            raise ValueError(f"no parameter lies under {prefix!r}; available: {available}")

    def is_frozen(path: str) -> bool:
        return any(_under(path, prefix) for prefix in prefixes)

    for pattern in patterns:
        if not any(is_frozen(path) and fnmatchcase(path, pattern) for path in paths):
            frozen = [path for path in paths if is_frozen(path)]
            shown = ", ".join(frozen[:5]) or "nothing"
            raise ValueError(
                f"no frozen parameter's path is like {pattern!r}; {len(frozen)} are frozen: "
                f"{shown}{', …' if len(frozen) > 5 else ''}"
            )

    def label(path: Any, _: Any) -> str:
        joined = "/".join(_names(path))
        trains = any(fnmatchcase(joined, pattern) for pattern in patterns)
        return "freeze" if is_frozen(joined) and not trains else "train"

    return jax.tree_util.tree_map_with_path(label, params)


def frozen_paths(params: Any, freeze: Sequence[str], unfreeze: Sequence[str] = ()) -> list[str]:
    """Paths of the parameters that stay, parts joined by ``/``."""
    labels = freeze_labels(params, freeze, unfreeze)
    flat = jax.tree_util.tree_leaves_with_path(labels)
    return ["/".join(_names(path)) for path, label in flat if label == "freeze"]


def _names(path: Sequence[Any]) -> list[str]:
    return [str(getattr(key, "key", getattr(key, "name", key))) for key in path]


def _under(path: str, prefix: str) -> bool:
    prefix = prefix.strip("/")
    return path == prefix or path.startswith(prefix + "/")


def _siblings(paths: Sequence[str], prefix: str) -> list[str]:
    """What exists beside the first part of `prefix` that does not."""
    parent = prefix.strip("/").split("/")[:-1]
    while parent and not any(_under(path, "/".join(parent)) for path in paths):
        parent.pop()
    depth = len(parent) + 1
    inside = [path for path in paths if not parent or _under(path, "/".join(parent))]
    return sorted({"/".join(path.split("/")[:depth]) for path in inside})
