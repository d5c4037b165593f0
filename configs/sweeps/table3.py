"""Table 3: log loss on the test set of the Deepfake Detection Challenge."""

from configs.sweeps.runs import DFDC
from matnet_jax.sweep import Cell, Row, Run, Sweep

_WINNERS = {
    "Selim Seferbekov": 0.1983,
    "WM": 0.1787,
    "NTechLab": 0.1703,
    "Eighteen Years Old": 0.1882,
    "The Medics": 0.2157,
}

SWEEP = Sweep(
    title="Table 3: DFDC",
    columns=("log loss",),
    # Reals are not repeated four times here: the paper says that of FaceForensics++ alone. Half of
    # a batch of each class is ours.
    runs=(Run("mat-dfdc", DFDC, {"data.balance": "batch", "data.real_repeat": 1}),),
    rows=(
        *(Row(name, (Cell(loss),)) for name, loss in _WINNERS.items()),
        Row("MAT", (Cell(0.1679, "mat-dfdc", DFDC, "video.log_loss"),)),
    ),
    note="A video is scored by the mean of its frames, as the challenge counts videos.",
)
