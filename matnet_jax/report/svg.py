"""matplotlib figures as SVG that lives inside an HTML page.

Text stays text and takes the page's font; what is black becomes `currentColor`, so that a chart
follows the page into its dark and print styles.
"""

import io
import re
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

# Stands for the page's text colour until the SVG is written; no chart uses it otherwise.
INK = "#010203"
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


def style(name: str):
    """Context in which a chart is drawn and written; `name` tells its ids from other charts'."""
    return matplotlib.rc_context({**_STYLE, "svg.hashsalt": name})


def inline_svg(figure: Figure, description: str) -> Markup:
    """The figure as an `<svg>` element that scales with its container.

    `Figure` is used without pyplot: no global state, no window system. Call within `style`.
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
    return Markup(f'<svg {view_box[0]} role="img" aria-label="{label}"' + _XLINK + ">" + body)


_XLINK = ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
