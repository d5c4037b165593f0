"""Table 3: log loss on the test set of the Deepfake Detection Challenge."""

from configs.sweeps.runs import DFDC, winner
from matnet_jax.sweep import Cell, Row, Run, Sweep

_WINNERS = {
    "Selim Seferbekov": ("selim", 0.1983),
    "WM": ("wm", 0.1787),
    "NTechLab": ("ntechlab", 0.1703),
    "Eighteen Years Old": ("eighteen_years_old", 0.1882),
    "The Medics": ("medics", 0.2157),
}


def _row(name: str, run: str, loss: float, *, other: bool) -> Row:
    return Row(name, (Cell(loss, run, DFDC, "video.log_loss", other=other),))


SWEEP = Sweep(
    title="Table 3: DFDC",
    columns=("log loss",),
    # Reals are not repeated four times here: the paper says that of FaceForensics++ alone. Half of
    # a batch of each class is ours.
    runs=(
        Run("mat-dfdc", DFDC, {"data.balance": "batch", "data.real_repeat": 1}),
        *(run for ensemble, _ in _WINNERS.values() for run in winner(ensemble)),
    ),
    rows=(
        *(_row(name, run, loss, other=True) for name, (run, loss) in _WINNERS.items()),
        _row("MAT", "mat-dfdc", 0.1679, other=False),
    ),
    note="A video is scored by the mean of its frames, as the challenge counts videos; a winner's "
    "by the policies of its ensemble.",
)
