"""What came of files as one page that needs no other file: `predictions.html`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from data_pipeline.files import atomic_file
from matnet_jax.predict.inputs import shown
from matnet_jax.predict.results import NO_SEAM, Prediction
from matnet_jax.report.overlays import data_uri

_MOST_PICTURES = 100
_WIDTH = 480  # pixels


def write_page(
    path: Path, predictions: Sequence[Prediction], pictures: Mapping[str, Path], title: str
) -> None:
    """Writes the page.

    Args:
      path: of the page.
      predictions: of media; what was left out is not on it.
      pictures: where an input's annotated copy or plot is; the first 100 are shown, but
        for those that cannot be read.
      title: the network's name.

    Raises:
      OSError: the page can't be written.
    """
    from matnet_jax.report.render import environment  # with what draws charts: seconds to import

    media = [prediction for prediction in predictions if not prediction.skipped]
    drawn = [p.input for p in media if p.score is not None and p.input in pictures]
    here = set(drawn[:_MOST_PICTURES])
    thresholds = {prediction.threshold for prediction in media}
    page = (
        environment()
        .get_template("predictions.html.j2")
        .render(
            title="What the detector found",
            shown=shown,
            about=title,
            threshold=thresholds.pop() if len(thresholds) == 1 else None,
            files=[
                {"found": p, "picture": _small(pictures[p.input]) if p.input in here else ""}
                for p in media
            ],
            limits=list(dict.fromkeys(p.limits for p in media if p.finding == NO_SEAM)),
            without=len(drawn) - len(here),
        )
    )
    with atomic_file(path) as file:
        file.write(page)


def _small(path: Path) -> str:
    """The picture as a data URI; "" where it cannot be read: the row is there without it."""
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except OSError:
        return ""
    picture.thumbnail((_WIDTH, 4 * _WIDTH))
    return data_uri(picture)
