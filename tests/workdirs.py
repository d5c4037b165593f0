"""The smallest run: its config, the devices of a process of it, and a workdir as it leaves one."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any

from matnet_jax.checkpoints.orbax import Checkpoints
from matnet_jax.config import default_config
from matnet_jax.config.build import build_model
from matnet_jax.train.plan import build_optimizer, build_plan
from matnet_jax.train.state import create_train_state

GOLDEN = Path(__file__).parent / "golden"

TINY = {
    "data.source": "synthetic",
    "data.real_repeat": 1,
    "model.backbone": "efficientnet-b0",
    "model.width_coefficient": 0.25,
    "model.depth_coefficient": 0.1,
    "model.image_size": 32,
    "model.num_attentions": 2,
    "model.mid_dims": 8,
    "model.batch_norm_momentum": 0.9,
    "agda.kernel_size": 3,
    "train.batch_size": 8,
    "train.duration": "6 steps",
    "train.log_every": "2 steps",
    "validation.every": "3 steps",
    "validation.batch_size": 8,
    "checkpoint.every": "2 steps",
}

_OF_MAT = ("model.num_attentions", "model.mid_dims", "agda.kernel_size")


def tiny_config(name: str = "mat", **overrides: Any) -> Any:
    """MAT's, or another family's: `classifier` where a test is of the run, and compiles sooner."""
    config = default_config(name=name)
    fields = TINY if name == "mat" else {k: v for k, v in TINY.items() if k not in _OF_MAT}
    config.update_from_flattened_dict(fields | overrides)
    return config


def fake_devices(count: int) -> str:
    """This process's XLA_FLAGS, but for so many fake devices: for one that it starts."""
    return re.sub(r"(device_count=)\d+", rf"\g<1>{count}", os.environ["XLA_FLAGS"])


def workdir(folder: Path, config: Any, *, steps: tuple[int, ...] = (3,)) -> Path:
    """A run with checkpoints of the network as it was initialised, the first of them the best."""
    tx = build_optimizer(config, build_plan(config, 3).learning_rate)
    model = build_model(config)
    metadata = {
        "config": json.loads(config.to_json_best_effort()),
        "preprocess": dataclasses.asdict(model.preprocess),
        "window": {},
    }
    with Checkpoints(folder / "checkpoints") as checkpoints:
        state = create_train_state(model, tx, config.seed)
        for step in steps:
            checkpoints.save(step, state, metadata=metadata, metrics={"video_auc": 1 / step})
            checkpoints.wait()
    return folder


def unpack(name: str, folder: Path) -> None:
    """Puts what an archive of `golden` holds into a folder."""
    # Python has had the filter since 3.11.4, and Debian 12 has 3.11.2.
    safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(GOLDEN / name) as archive:
        archive.extractall(folder, **safely)
