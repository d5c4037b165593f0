"""The fields that every run has, by section: defaults, types, ranges and meaning stand here alone.

Durations are in epochs, steps or examples: "10 epochs".
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any, Literal

from data_pipeline.training.blend import CHANGES, PAIRS
from data_pipeline.training.disturb import DISTURBANCES
from data_pipeline.training.mixture import RECORDS, Share, check_shares
from data_pipeline.training.ops import PRESETS
from data_pipeline.training.sampler import BALANCES
from matnet_jax.detectors.durations import DURATION, POSITIVE_DURATION, POSITIVE_DURATIONS
from matnet_jax.detectors.fields import (
    COUNT,
    DECAY,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    RATE,
    Range,
    one_of,
)
from matnet_jax.metrics.bootstrap import RESAMPLES
from matnet_jax.metrics.policies import POLICIES

OptimizerName = Literal["adam", "adamw", "sgd"]
ScheduleName = Literal["constant", "step", "cosine", "linear"]


def _is_weight(text: Any) -> bool:
    try:
        subset, _, weight = text.rpartition("=")
        return bool(subset) and 0 <= float(weight) < math.inf
    except (AttributeError, ValueError):
        return False


_GROUP_WEIGHTS = Range(
    lambda v: all(_is_weight(text) for text in v),
    "of texts such as 'Deepfakes=2': a subset and a number, at least 0",
)
_OPEN_SHARE = Range(lambda v: 0 < v < 1, "above 0, below 1")


def _is_mixture(texts: Any) -> bool:
    try:
        shares = [Share.parse(text) for text in texts]
        check_shares(dict(shares)) if shares else None
    except (AttributeError, ValueError):
        return False
    kinds = [kind for kind, _ in shares]
    return len(set(kinds)) == len(kinds) and set(kinds) <= {RECORDS, *PAIRS}


_MIXTURE = Range(
    _is_mixture,
    "of texts such as 'self_blended=0.5', or 'self_blended=1:0.5' for a change from 1 to 0.5; each "
    f"of {', '.join((RECORDS, *PAIRS))} at most once, their shares 1 in sum at the start and at "
    "the end",
)
_DISTURBANCES = Range(
    lambda v: all(name in (*DISTURBANCES, "all") for name in v),
    f"of {', '.join(DISTURBANCES)}, or ('all',)",
)


@dataclasses.dataclass(frozen=True)
class Run:
    """The run as a whole.

    Attributes:
      recipe: whose values fields have that are not set: "paper" (what its text says; where it is
        silent, ours) or "released" (what the authors' code does).
      seed: of initialisation, data order, augmentation and dropout.
    """

    recipe: str = "paper"
    seed: Annotated[int, Range(lambda v: 0 <= v < 2**32, "from 0 to 4294967295")] = 0


@dataclasses.dataclass(frozen=True)
class Init:
    """Where training starts from.

    Attributes:
      path: a run's workdir, one of its checkpoints, or a file of weights; "": at random.
      prefixes: parts to take; (): all that the network has in common with them.
      strict: False: take every array of equal name and shape.
      sha256: of a file of weights; "": not checked.
    """

    path: str = ""
    prefixes: tuple[str, ...] = ()
    strict: bool = True
    sha256: str = ""


@dataclasses.dataclass(frozen=True)
class Data:
    """What is trained on, and how often.

    Attributes:
      source: "records", or "synthetic": the embedded data set.
      dir: where prepare wrote the records (its --out).
      crop_margin: side of the network's own crop in sides of the face's box, cut out of wider
        records of alignment "box"; None: the records' crop as it is.
      check_crops: refuse records whose faces were cut otherwise than those of a checkpoint.
      ops: augmentation on the host: none, flip, standard, strong; part_removed: standard, of faces
        with eyes, mouth or nose painted over, by their landmarks.
      real_repeat: times that a real example is seen in one epoch, where balance is "repeat".
      balance: "repeat"; "batch": half of each batch is real, half is fake; "rarer": and an epoch
        is as long as the rarer class makes it; "source": as "batch", and beside each fake is a real
        example of its source.
      frames_per_video: in one epoch, others in the next; None: all.
      group_weights: "subset=times in one epoch", such as ("Deepfakes=2", "FaceSwap=0.5").
      mixture: shares of a batch that are records, or pairs of a real example and a fake made of it,
        such as ("records=0:0.5", "self_blended=1:0.5"); (): records alone.
      mixture_over: duration in which shares change from their start to their end.
      pair_ops: augmentation of pairs in place of ops, the same of both; most kinds have their own.
      synthetic_seed: another one makes other people.
      synthetic_identities: people a split; None: as many as is usual.
    """

    source: Literal["records", "synthetic"] = "records"
    dir: str = ""
    crop_margin: Annotated[float | None, POSITIVE] = None
    check_crops: bool = True
    ops: Annotated[str, one_of(*PRESETS)] = "flip"
    real_repeat: Annotated[int, COUNT] = 4
    balance: Annotated[str, one_of(*BALANCES)] = "repeat"
    frames_per_video: Annotated[int | None, COUNT] = None
    group_weights: Annotated[tuple[str, ...], _GROUP_WEIGHTS] = ()
    mixture: Annotated[tuple[str, ...], _MIXTURE] = ()
    mixture_over: Annotated[str, DURATION] = "10 epochs"
    pair_ops: Annotated[str, one_of(*PRESETS)] = "none"
    synthetic_seed: Annotated[int, NOT_NEGATIVE] = 0
    synthetic_identities: Annotated[int | None, COUNT] = None


@dataclasses.dataclass(frozen=True)
class Train:
    """The training loop.

    Attributes:
      batch_size: global: over all devices of all processes.
      duration: of the whole training.
      log_every: between two lines of metrics.
      remat: computes activations again in the backward pass: less memory.
      accumulate: parts of a batch that are computed one after the other.
      on_nonfinite: "stop", or "skip": a step with a NaN changes nothing, and is counted.
      hang_seconds: without a step, after which the watchdog complains.
      ema_decay: of averaged parameters, a step; None: none are kept.
    """

    batch_size: Annotated[int, COUNT] = 48
    duration: Annotated[str, POSITIVE_DURATION] = "10 epochs"
    log_every: Annotated[str, POSITIVE_DURATION] = "50 steps"
    remat: bool = False
    accumulate: Annotated[int, COUNT] = 1
    on_nonfinite: Literal["stop", "skip"] = "stop"
    hang_seconds: Annotated[float, POSITIVE] = 1800.0
    ema_decay: Annotated[float | None, RATE] = None


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """The optimiser and its learning rate.

    Attributes:
      name: adam, adamw or sgd.
      learning_rate: after warm-up.
      weight_decay: coupled (L2) in adam and sgd, decoupled in adamw.
      b1: of adam and adamw.
      b2: of adam and adamw.
      eps: of adam and adamw.
      momentum: of sgd.
      nesterov: Nesterov's form of sgd's momentum.
      clip_norm: of all gradients together; None: they are not clipped.
      freeze: path prefixes of parameters that do not train.
      unfreeze: patterns of whole paths under these that do, such as "features/*norm_*".
      sam_rho: radius of sharpness-aware minimisation, two passes a step; 0: off.
      schedule: constant, step, cosine or linear.
      warmup: duration of a linear rise from 0.
      decay_every: period of the step schedule.
      decay_at: since the start, when the step schedule falls in place of every `decay_every`.
      decay_rate: factor of the step schedule.
      hold: duration at the full rate, before the linear schedule falls.
      final_fraction: of the rate, where the cosine and linear schedules end.
      power: of the linear schedule's fall; other than 1, a polynomial's.
    """

    name: OptimizerName = "adam"
    learning_rate: Annotated[float, POSITIVE] = 1e-3
    weight_decay: Annotated[float, NOT_NEGATIVE] = 1e-6
    b1: Annotated[float, RATE] = 0.9
    b2: Annotated[float, RATE] = 0.999
    eps: Annotated[float, POSITIVE] = 1e-8
    momentum: Annotated[float, RATE] = 0.9
    nesterov: bool = False
    clip_norm: Annotated[float | None, POSITIVE] = None
    freeze: tuple[str, ...] = ()
    unfreeze: tuple[str, ...] = ()
    sam_rho: Annotated[float, NOT_NEGATIVE] = 0.0
    schedule: ScheduleName = "constant"
    warmup: Annotated[str, DURATION] = "0 steps"
    decay_every: Annotated[str, POSITIVE_DURATION] = "5 epochs"
    decay_at: Annotated[tuple[str, ...], POSITIVE_DURATIONS] = ()
    decay_rate: Annotated[float, DECAY] = 0.5
    hold: Annotated[str, DURATION] = "0 steps"
    final_fraction: Annotated[float, FRACTION] = 0.0
    power: Annotated[float, POSITIVE] = 1.0


@dataclasses.dataclass(frozen=True)
class Validation:
    """Scores of the split val during training.

    Attributes:
      every: between two validations.
      batch_size: global; of evaluation too.
      fakes: "records", or a kind of pairs: the real examples of val, and fakes made of them.
    """

    every: Annotated[str, POSITIVE_DURATION] = "1 epoch"
    batch_size: Annotated[int, COUNT] = 48
    fakes: Annotated[str, one_of(RECORDS, *PAIRS)] = RECORDS


@dataclasses.dataclass(frozen=True)
class Eval:
    """The protocol of evaluation; see `metrics.summarise`.

    Attributes:
      data_dirs: records of other data sets, scored together; (): data.dir.
      aggregation: of a video's frames.
      top_k: frames that "top_k_mean" takes.
      threshold: scores over it are fake.
      log_loss_epsilon: scores are kept so far from 0 and 1.
      fit_on_validation: threshold and temperature, on data.dir's split val; the operating point
        that comes of it is kept in the workdir, and prediction decides by it.
      false_alarm_rate: share of validation's real videos that may be over the operating point's
        threshold; it is then fitted. None: the threshold of the best balanced accuracy.
      max_risk: share of wrong decisions, outside of a band of scores that are called uncertain;
        it is then fitted. None: there is no band.
      attributes: CSV file with groups of videos or people, to evaluate apart; "": none.
      num_resamples: bootstrap draws for intervals.
      resample: what is drawn: "video", or "identity": people with all their videos.
      robustness: disturbances to score again under, or ("all",).
    """

    data_dirs: tuple[str, ...] = ()
    aggregation: Annotated[str, one_of(*POLICIES)] = "mean"
    top_k: Annotated[int, COUNT] = 10
    threshold: Annotated[float, FRACTION] = 0.5
    log_loss_epsilon: Annotated[float, Range(lambda v: 0 < v < 0.5, "above 0, below 0.5")] = 1e-15
    fit_on_validation: bool = False
    false_alarm_rate: Annotated[float | None, _OPEN_SHARE] = None
    max_risk: Annotated[float | None, _OPEN_SHARE] = None
    attributes: str = ""
    num_resamples: Annotated[int, NOT_NEGATIVE] = 0
    resample: Annotated[str, one_of(*RESAMPLES)] = "video"
    robustness: Annotated[tuple[str, ...], _DISTURBANCES] = ()


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What is saved.

    Attributes:
      every: between two checkpoints; one comes with every validation, too.
      keep: so many of the latest.
      keep_best: so many of the best beside them.
      full: False: of frozen parameters that a file of weights has, `init.path`, only their hash is
        saved, and the file is read again with a checkpoint. True: they are saved like the others.
    """

    every: Annotated[str, POSITIVE_DURATION] = "1 epoch"
    keep: Annotated[int, COUNT] = 2
    keep_best: Annotated[int, COUNT] = 1
    full: bool = False


BEFORE: dict[str, type] = {"init": Init}
"""Sections that stand before the family's in a config."""

AFTER: dict[str, type] = {
    "data": Data,
    **PAIRS,
    **CHANGES,
    "train": Train,
    "optimizer": Optimizer,
    "validation": Validation,
    "eval": Eval,
    "checkpoint": Checkpoint,
}
"""Sections that stand after them."""
