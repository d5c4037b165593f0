"""Table 1: which stages give textures (SL_t) and attention (SL_a), with one attention map."""

from configs.sweeps.runs import FFPP, ONE_MAP
from matnet_jax.sweep import Cell, Row, Run, Sweep

_PUBLISHED = {("L2", "L4"): 96.38, ("L2", "L5"): 97.26, ("L3", "L4"): 96.14, ("L3", "L5"): 96.81}


def _name(texture: str, attention: str) -> str:
    # The best pair is also the first row of Table 5.
    both = f"-{texture}-{attention}"
    return "maps-1" + ("" if (texture, attention) == ("L2", "L5") else both)


SWEEP = Sweep(
    title="Table 1: accuracy by the stages of textures and attention, one map",
    columns=("FF++ HQ ACC",),
    runs=tuple(
        Run(
            _name(texture, attention),
            FFPP,
            {**ONE_MAP, "model.texture_stage": texture, "model.attention_stage": attention},
        )
        for texture, attention in _PUBLISHED
    ),
    rows=tuple(
        Row(
            f"SL_t = {texture}, SL_a = {attention}",
            (Cell(accuracy, _name(texture, attention), FFPP, "frame.acc"),),
        )
        for (texture, attention), accuracy in _PUBLISHED.items()
    ),
)
