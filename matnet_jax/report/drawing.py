"""Charts as SVG that lives inside an HTML page, drawn by matplotlib.

Text stays text and takes the page's font; what is black becomes `currentColor`, so that a chart
follows the page into its dark and print styles.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

# Stands for the page's text colour until the SVG is written; no chart uses it otherwise.
INK = "#010203"
# Told apart in every common kind of colour blindness, and on white and near-black alike.
REAL, FAKE = "#2b83ba", "#e0702f"
FRAME, VIDEO = "#8a76c9", "#16a085"
SPLITS = {"train": FRAME, "val": VIDEO, "test": FAKE}
SIZE, SMALL = (4.6, 3.2), (3.3, 2.2)  # inches; text is larger in what is shown smaller

_NAMESPACES = ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "grid.alpha": 0.14,
    "grid.color": INK,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a name is a "$"
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True)
class Chart:
    """A chart, or in its place the reason that there is none."""

    title: str
    svg: Markup | None = None
    message: str | None = None
    note: str | None = None


def drawn(
    description: str, draw: Callable[[Axes], None], size: tuple[float, float] = SIZE
) -> Markup:
    """The chart that `draw` draws, as an `<svg>` element; `description` is unique in a page."""
    with _style(description):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        return _inline_svg(figure, description)


def unit_square(axes: Axes) -> None:
    """Two axes of shares, 0 to 1."""
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def shortened(name: str, length: int = 24) -> str:
    """A name that fits an axis."""
    return name if len(name) <= length else name[: length - 1] + "…"


def _style(name: str) -> Any:
    """Context in which a chart is drawn and written; `name` tells its ids from other charts'."""
    return matplotlib.rc_context({**_STYLE, "svg.hashsalt": name})


def _inline_svg(figure: Figure, description: str) -> Markup:
    """The figure as an `<svg>` element that scales with its container.

    `Figure` is used without pyplot: no global state, no window system. Call within `_style`.
    """
    buffer = io.StringIO()
    nothing = {"Creator": None, "Date": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S)
    used = set(re.findall(r'(?:url\(|href=")#([\w-]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", text)
    text = re.sub(INK, "currentColor", text, flags=re.I)
    head, body = text.split(">", 1)
    view_box = re.search(r'viewBox="[^"]*"', head)
    if view_box is None:
        raise RuntimeError("matplotlib wrote an SVG without a viewBox")
    label = Markup.escape(description)
    return Markup(f'<svg {view_box[0]} role="img" aria-label="{label}"' + _NAMESPACES + ">" + body)
