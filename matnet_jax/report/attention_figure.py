"""A picture of several networks' attention maps over the same faces."""

import os
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from data_pipeline.files import atomic_path
from matnet_jax.report.overlays import Overlay, laid_over_faces

FORMATS = ("png", "pdf", "svg")
_SIDE = 112  # pixels of a tile
_DOTS = 160  # an inch


def write_attention_figure(
    path: str | os.PathLike, overlays: Mapping[str, Sequence[Overlay]]
) -> None:
    """Writes faces and their maps: a row a face, a block a network, its scores at the left.

    Args:
      path: of a suffix in `FORMATS`; appears whole or not at all, its folder is made.
      overlays: name of a network -> its overlays, of the same faces in the same order.
    """
    faces = next(iter(overlays.values()))
    # Every block begins with the face itself; one column of faces is enough.
    blocks = {name: laid_over_faces(own, _SIDE)[:, _SIDE:] for name, own in overlays.items()}
    column = laid_over_faces(faces, _SIDE)[:, :_SIDE]
    pictures = {"": column, **blocks}
    widths = [picture.shape[1] for picture in pictures.values()]
    figure = Figure(
        figsize=((sum(widths) + 90) / _DOTS * 1.15, (column.shape[0] + 60) / _DOTS * 1.1),
        layout="constrained",
        dpi=_DOTS,
    )
    axes = figure.subplots(1, len(pictures), width_ratios=widths, squeeze=False)[0]
    rows = [_SIDE * (i + 0.5) for i in range(len(faces))]
    for (name, picture), own in zip(pictures.items(), axes, strict=True):
        own.imshow(picture)
        # Beside a face what it is, beside its maps the network's score.
        scores = [f"{overlay.score:.2f}" for overlay in overlays.get(name, ())]
        own.set_yticks(rows, scores or ["fake" if face.label else "real" for face in faces], size=6)
        own.set_xticks([])
        own.tick_params(length=0)
        own.spines[:].set_visible(False)
        own.set_title(name, size=8, parse_math=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
