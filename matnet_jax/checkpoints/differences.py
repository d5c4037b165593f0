"""What a saved tree of arrays and a wanted one have not in common, in words."""

from __future__ import annotations

from typing import Any

import jax


def differences(found: Any, wanted: Any) -> list[str]:
    """One line for every array that is missing, left over, or of another shape or type."""
    have, want = _signature(getattr(found, "tree", found)), _signature(wanted)
    lines = []
    for path in sorted(have | want):
        if path not in have:
            lines.append(f"+ {path}: {want[path]} is wanted, not in the checkpoint")
        elif path not in want:
            lines.append(f"- {path}: {have[path]} is in the checkpoint, not wanted")
        elif have[path] != want[path]:
            lines.append(f"~ {path}: {have[path]} in the checkpoint, {want[path]} wanted")
    return lines


def _signature(tree: Any) -> dict[str, str]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        "/".join(_name(key) for key in path): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in leaves
    }


def _name(key: Any) -> str:
    # Orbax stores the fields of named tuples as a dict: only the names can be compared.
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)
