"""What an ensemble is: its members and how their scores become one."""

from __future__ import annotations

import dataclasses
import runpy
from collections.abc import Mapping
from typing import Literal

from matnet_jax.metrics.policies import POLICIES
from matnet_jax.runtime.config_files import find_shipped

Blend = Literal["mean", "pooled", "families"]


@dataclasses.dataclass(frozen=True)
class Member:
    """One network.

    Attributes:
      name: of its folder in the ensemble's workdir.
      config: name of the config it is trained by.
      weight: in its ensemble, or its family there.
      aggregation: from its scores of faces to those of videos.
      family: that it belongs to, for the blend "families".
      starts_from: the member before it whose weights it starts from.
    """

    name: str
    config: str
    weight: float = 1.0
    aggregation: str = "mean"
    family: str = ""
    starts_from: str = ""


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Several networks.

    Attributes:
      title: for people to read.
      members: they.
      blend: "mean": the weighted mean of their scores of a video; "pooled": one policy over all
        their scores of faces; "families": `metrics.policies.family_blend`.
      pooled_by: that policy.
      shares: of the families.
      clip: least distance of a video's score from 0 and 1.

    Raises:
      ValueError: an unknown policy, two members of one name, or a family without a share.
    """

    title: str
    members: tuple[Member, ...]
    blend: Blend = "mean"
    pooled_by: str = "mean"
    shares: Mapping[str, float] = dataclasses.field(default_factory=dict)
    clip: float = 0.0

    def __post_init__(self) -> None:
        names = [member.name for member in self.members]
        if len(set(names)) < len(names) or not names:
            raise ValueError(f"members need names of their own; they are {names}")
        policies = {self.pooled_by, *(member.aggregation for member in self.members)}
        if unknown := sorted(policies - set(POLICIES)):
            raise ValueError(f"unknown policies {unknown}; available: {', '.join(POLICIES)}")
        families = {member.family for member in self.members}
        if self.blend == "families" and families != set(self.shares):
            raise ValueError(f"families {sorted(families)} have shares {dict(self.shares)}")


def load_ensemble(name: str) -> Ensemble:
    """`ENSEMBLE` of a file, or of one of those that are shipped.

    Raises:
      ValueError: there is no such file, or it has no `ENSEMBLE`.
    """
    path = find_shipped("ensemble", name)
    found = runpy.run_path(str(path)).get("ENSEMBLE")
    if not isinstance(found, Ensemble):
        raise ValueError(f"{path} has no ENSEMBLE (see matnet_jax/evaluation/ensemble)")
    return found
