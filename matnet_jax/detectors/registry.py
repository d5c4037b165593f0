"""All families by name: a new detector is one file, and one line here."""

from __future__ import annotations

from typing import Any

from matnet_jax.detectors import (
    capsule,
    classifier,
    clip_classifier,
    effort,
    f3net,
    face_xray,
    fwa,
    gend,
    ld_cnn,
    mesonet,
    multi_task,
    ntechlab,
    qtfp,
    steg_features,
    two_branch,
    two_stream,
    wsdan,
    xception_ela,
    xception_pafilters,
)
from matnet_jax.detectors.base import Detector, Family
from matnet_jax.detectors.mat import family as mat

FAMILIES: dict[str, Family] = {
    "mat": mat.FAMILY,
    "classifier": classifier.FAMILY,
    "steg_features": steg_features.FAMILY,
    "ld_cnn": ld_cnn.FAMILY,
    "f3net": f3net.FAMILY,
    "face_xray": face_xray.FAMILY,
    "fwa": fwa.FWA_FAMILY,
    "dsp_fwa": fwa.DSP_FWA_FAMILY,
    "meso4": mesonet.MESO4,
    "mesoinception4": mesonet.MESOINCEPTION4,
    "two_branch": two_branch.FAMILY,
    "two_stream": two_stream.FAMILY,
    "multi_task": multi_task.FAMILY,
    "capsule_v1": capsule.V1,
    "capsule_v2": capsule.V2,
    "wsdan": wsdan.FAMILY,
    "eighteen_years_old": clip_classifier.EIGHTEEN_YEARS_OLD,
    "medics": clip_classifier.MEDICS,
    "ntechlab": ntechlab.FAMILY,
    "xception_ela": xception_ela.FAMILY,
    "xception_pafilters": xception_pafilters.FAMILY,
    "gend": gend.FAMILY,
    "effort": effort.FAMILY,
    "qtfp": qtfp.FAMILY,
}


def family(name: str) -> Family:
    """A family by its name.

    Raises:
      ValueError: there is none; the message lists those there are.
    """
    if name not in FAMILIES:
        raise ValueError(f"unknown detector '{name}'; available: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def detectors() -> tuple[str, ...]:
    """Names of all families."""
    return tuple(FAMILIES)


def create_detector(name: str, *, recipe: str = "paper", **fields: Any) -> Detector:
    """A detector of any family.

    Args:
      name: of the family, one of `detectors`.
      recipe: one of the family's.
      **fields: of the family's module.

    Raises:
      ValueError: an unknown name, recipe or field, or a value out of range; the message lists what
        there is.
    """
    return family(name).make(recipe, **fields)
