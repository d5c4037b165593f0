"""The fields of a config, with each recipe's values.

A field whose default is None takes its value from the recipe or from the backbone.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from matnet_jax.detectors.mat.agda import RELEASED

RECIPES = ("paper", "released")


class ConfigError(ValueError):
    """A config that cannot be run; the message lists everything that is wrong with it."""


def default_config(recipe: str = "paper") -> ConfigDict:
    """All fields, with the recipe's values.

    Args:
      recipe: ``paper``: what the paper's text says; where it is silent (length of training,
        validation, augmentation on the host), ours. ``released``: what the authors' code does.

    Raises:
      ConfigError: for an unknown recipe.
    """
    if recipe not in RECIPES:
        raise ConfigError(f"recipe is one of {', '.join(RECIPES)}; got {recipe!r}")
    config = ConfigDict()
    config.recipe = recipe
    config.seed = 0  # of initialisation, data order, augmentation and dropout

    model = config.model = ConfigDict()
    model.kind = "mat"  # or "classifier": the plain baseline on the same backbone
    model.backbone = "efficientnet-b4"
    model.texture_stage = placeholder(str)
    model.attention_stage = placeholder(str)
    model.num_attentions = 4
    model.image_size = placeholder(int)  # pixels
    model.dtype = "float32"  # of computation; parameters, statistics and losses are float32
    model.padding = placeholder(str)
    model.nominal_size = placeholder(int)  # pixels
    model.width_coefficient = placeholder(float)
    model.depth_coefficient = placeholder(float)
    model.stochastic_depth_rate = placeholder(float)
    model.batch_norm_momentum = placeholder(float)
    model.batch_norm_epsilon = placeholder(float)
    model.bn_group_size = placeholder(int)  # images that share statistics; None: the global batch
    model.attention_version = placeholder(str)
    model.texture_version = placeholder(str)
    model.ril_version = placeholder(str)
    model.global_pooling = placeholder(str)
    model.standardize_pooled = placeholder(bool)
    model.mid_dims = placeholder(int)
    model.dropout_rate = placeholder(float)
    model.final_dropout_rate = placeholder(float)
    model.same_max_pool = placeholder(bool)
    model.mean = placeholder(tuple)  # of pixels in [0, 1], a channel each
    model.std = placeholder(tuple)

    init = config.init = ConfigDict()  # where training starts from; see pretrained.initialize
    init.path = ""  # a run's workdir, one of its checkpoints, or a file of weights; "": at random
    init.prefixes = ()  # parts to take; (): all that the network has in common with them
    init.strict = True  # False: take every array of equal name and shape
    init.sha256 = ""  # of a file of weights; "": not checked

    losses = config.losses = ConfigDict()  # see train_step.LossOptions
    losses.cross_entropy = 1.0  # λ1
    losses.auxiliary = "ril"
    losses.auxiliary_weight = 1.0  # λ2
    losses.augmented = 1.0  # cross entropy of the second pass, on AGDA's images
    losses.match = 0.0
    losses.inner_margin = (0.05, 0.1)  # m_in of real, fake
    losses.outer_margin = 0.2  # m_out
    losses.batch_reduction = "mean"
    losses.label_smoothing = 0.0
    losses.ams_scale = 30.0
    losses.ams_margin = 0.35

    agda = config.agda = ConfigDict()  # see agda.AGDAOptions
    agda.mode = "soft"
    agda.scale = 0.3
    agda.kernel_size = 11  # pixels of the small image
    agda.sigma = 7.0  # pixels of the small image
    agda.noise = 0.0  # normalised units
    agda.threshold = (0.5, 0.5)
    agda.zoom = placeholder(tuple)
    agda.choice = "uniform"

    centers = config.centers = ConfigDict()
    centers.rate = 0.05  # α
    centers.decay_rate = 0.9
    centers.decay_every = "1 epoch"
    centers.move_twice = False  # also in the second pass

    data = config.data = ConfigDict()
    data.source = "records"  # or "synthetic": the embedded data set
    data.dir = ""  # where prepare wrote the records (its --out)
    data.ops = "flip"  # augmentation on the host: none, flip, standard, strong
    data.real_repeat = 4  # times that a real example is seen in one epoch
    data.balance = "repeat"  # or "batch": half of each batch is real, half is fake
    data.frames_per_video = placeholder(int)  # in one epoch, others in the next; None: all
    data.group_weights = ()  # "subset=times in one epoch", such as ("Deepfakes=2", "FaceSwap=0.5")
    data.synthetic_seed = 0  # another one makes other people
    data.synthetic_identities = placeholder(int)  # people a split; None: as many as is usual

    train = config.train = ConfigDict()
    train.batch_size = 48  # global: over all devices of all processes
    train.duration = "10 epochs"  # here and below: epochs, steps or examples
    train.log_every = "50 steps"
    train.remat = False  # computes activations again in the backward pass: less memory
    train.accumulate = 1  # parts of a batch that are computed one after the other
    train.on_nonfinite = "stop"  # or "skip": a step with a NaN changes nothing, and is counted
    train.hang_seconds = 1800.0  # without a step, after which the watchdog complains
    train.ema_decay = placeholder(float)  # a step; None: no averaged parameters

    optimizer = config.optimizer = ConfigDict()
    optimizer.name = "adam"
    optimizer.learning_rate = 1e-3
    optimizer.weight_decay = 1e-6  # coupled (L2) in adam and sgd, decoupled in adamw
    optimizer.b1 = 0.9
    optimizer.b2 = 0.999
    optimizer.eps = 1e-8
    optimizer.momentum = 0.9  # of sgd
    optimizer.clip_norm = placeholder(float)  # None: gradients are not clipped
    optimizer.freeze = ()  # path prefixes of parameters that do not train
    optimizer.schedule = "constant"
    optimizer.warmup = "0 steps"
    optimizer.decay_every = "5 epochs"  # of the step schedule
    optimizer.decay_rate = 0.5  # of the step schedule
    optimizer.final_fraction = 0.0  # of the cosine schedule

    validation = config.validation = ConfigDict()
    validation.every = "1 epoch"
    validation.batch_size = 48  # global

    protocol = config.eval = ConfigDict()  # of evaluation; see metrics.summarise
    protocol.data_dirs = ()  # records of other data sets, scored together; (): data.dir
    protocol.aggregation = "mean"  # of a video's frames
    protocol.top_k = 10  # frames that "top_k_mean" takes
    protocol.threshold = 0.5
    protocol.log_loss_epsilon = 1e-15
    protocol.fit_on_validation = False  # threshold and temperature, on data.dir's split val
    protocol.num_resamples = 0  # bootstrap draws for intervals
    protocol.robustness = ()  # disturbances to score again under, or ("all",); see disturb.py

    checkpoint = config.checkpoint = ConfigDict()
    checkpoint.every = "1 epoch"  # and with every validation
    checkpoint.keep = 2  # so many of the latest
    checkpoint.keep_best = 1  # beside them
    if recipe == "released":
        _set_released(config)
    return config.lock()


def _set_released(config: ConfigDict) -> None:
    """What the released code does outside the network; ``train_config``'s defaults there."""
    config.losses.auxiliary_weight = 0.5
    config.losses.match = 0.1
    config.losses.inner_margin = (0.1, -2.0)
    config.losses.outer_margin = 0.5
    config.agda.update(dataclasses.asdict(RELEASED))
    config.centers.move_twice = True
    config.train.batch_size = 40  # 10 a GPU on four
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.schedule = "step"


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """The fields that differ between two configs (as JSON values), with a line about each."""
    old, new = dict(flatten(before)), dict(flatten(after))
    return {
        field: f"config.{field}: {old.get(field)!r} before, {new.get(field)!r} now"
        for field in sorted(old | new)
        if old.get(field) != new.get(field)
    }


def adopt_model_fields(config: ConfigDict, trained: Mapping[str, Any]) -> ConfigDict:
    """A copy of `config` whose None fields of the model have the values of a `trained` config.

    A run that started from foreign weights has in its config what they brought, such as the mean of
    pixels; whoever reads its checkpoints need not repeat that.
    """
    config = config.copy_and_resolve_references()
    for name, value in trained["model"].items():
        if value is not None and name in config.model and config.model[name] is None:
            config.model[name] = tuple(value) if isinstance(value, list) else value
    return config


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Pairs of a dotted field name and its value, tuples as lists."""
    for name in config:
        value = config[name]
        if isinstance(value, (Mapping, ConfigDict)):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else value
