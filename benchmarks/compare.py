"""Two files of results side by side, such as of two commits.

    git checkout A; python -m benchmarks.mat > a.json
    git checkout B; python -m benchmarks.mat > b.json
    python -m benchmarks.compare a.json b.json [--tolerance=0.1]

Lines are paired by name and settings. Status 1: something is worse by more than the tolerance. On a
noisy machine, `--by=ratio` compares the ratios to each run's own reference; that says nothing of
benchmarks whose reference is this project's code too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import app, flags

_TOLERANCE = flags.DEFINE_float("tolerance", 0.1, "A share: what counts as noise.")
_BY = flags.DEFINE_enum("by", "figure", ["figure", "ratio"], "What is compared.")
_MORE_IS_BETTER = "/s"  # units of speeds; all others (s, GB, …) are costs


def main(argv: list[str]) -> int:
    """Runs the command."""
    if len(argv) != 3:
        print("give two files: python -m benchmarks.compare A.json B.json", file=sys.stderr)
        return 2
    try:
        lines = list(compare(*(read(Path(path)) for path in argv[1:]), by=_BY.value))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    worse = 0
    for name, unit, before, after, gain in lines:
        is_worse = gain < 1 - _TOLERANCE.value
        worse += is_worse
        numbers = f"{before:10.4g} -> {after:10.4g} {unit:10} {gain:6.2f}×"
        print(f"{name:32} {numbers}{' worse' if is_worse else ''}")
    return 1 if worse else 0


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Result lines by name and settings.

    Raises:
      ValueError: a line is no result.
    """
    found = {}
    for number, text in enumerate(path.read_text().splitlines(), 1):
        try:
            line = json.loads(text)
            found[_identity(line)] = line
        except (json.JSONDecodeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{path}:{number} is not a line that a benchmark prints ({error})"
            ) from error
    return found


def compare(
    before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]], *, by: str = "figure"
) -> Iterator[tuple[str, str, float, float, float]]:
    """Pairs as (name, unit, before, after, gain), gain above 1 for better.

    Args:
      before, after: as `read` gives them.
      by: "figure" or "ratio"; lines without a ratio are left out of the latter.

    Raises:
      ValueError: nothing is in both.
    """
    common = [i for i in before if i in after and by in before[i] and by in after[i]]
    if not common:
        have = (sorted({line["name"] for line in lines.values()}) for lines in (before, after))
        raise ValueError("no {} of equal settings is in both: {} and {}".format(by, *have))
    for identity in common:
        a, b = before[identity], after[identity]
        gain = b[by] / a[by]
        # A ratio says how many times better than the reference; of figures, only speeds do.
        if by == "figure" and not a["unit"].endswith(_MORE_IS_BETTER):
            gain = 1 / gain
        yield a["name"], a["unit"] if by == "figure" else "×", a[by], b[by], gain


def _identity(line: dict[str, Any]) -> str:
    """Name, unit and settings: everything that is not measured."""
    measured = ("figure", "ratio", "versions", "device")
    settings = {
        key: value
        for key, value in line.items()
        if key not in measured and not isinstance(value, float | dict)
    }
    return json.dumps({"name": line["name"], **settings}, sort_keys=True)


if __name__ == "__main__":
    app.run(main)
