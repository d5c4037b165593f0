"""The reference page of all fields, docs/config.md, from the dataclasses that declare them.

python -m matnet_jax.config.reference > docs/config.md
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from matnet_jax.config.schema import OWN_MODEL_FIELDS, fields_of
from matnet_jax.config.sections import AFTER, BEFORE, Run
from matnet_jax.detectors.fields import Field
from matnet_jax.detectors.registry import FAMILIES

_HEAD = """# Fields of a config

Made by `python -m matnet_jax.config.reference` from the dataclasses that declare the fields; a test
compares them. A field is set in a config file (`config.train.batch_size = 64`) or on the command
line (`--config.train.batch_size=64`). Where "or none" stands, None is allowed. Durations are texts:
a number, and `steps`, `epochs` or `examples`.
"""

_MODEL_NOTE = (
    "Other than {own}, fields of `config.model` are None unless set: then the network has the "
    "value below, or its recipe's or backbone's own.\n"
)


def page() -> str:
    """The page, as Markdown."""
    parts = [_HEAD, "## Every run\n", _table("", Run)]
    for name, section in (BEFORE | AFTER).items():
        parts += [f"### config.{name}\n", f"{_summary(section)}\n", _table(f"{name}.", section)]
    for name, family in FAMILIES.items():
        parts += [f"## {family.title}: `default_config(name={name!r})`\n", "### config.model\n"]
        own = " and ".join(f"`{field}`" for field in ("name", *OWN_MODEL_FIELDS))
        parts += [_MODEL_NOTE.format(own=own), _table("model.", family.model)]
        for section_name, section in family.sections.items():
            parts += [f"### config.{section_name}\n", f"{_summary(section)}\n"]
            parts.append(_table(f"{section_name}.", section))
        recipes = [recipe for recipe, values in family.recipes.items() if values]
        for recipe in recipes:
            parts += [f"### What the recipe `{recipe}` sets\n", _recipe(name, recipe)]
    return "\n".join(parts)


def _table(prefix: str, kind: type) -> str:
    about = meanings(kind)
    lines = ["| field | type | default | must be | meaning |", "|---|---|---|---|---|"]
    for field in fields_of(kind, prefix):
        name = field.name.removeprefix(prefix)
        wanted = "; ".join(wanted.text for wanted in field.ranges)
        cells = (
            f"`{field.name}`",
            _kind(field),
            f"`{field.default!r}`",
            wanted,
            about.get(name, ""),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _kind(field: Field) -> str:
    names = {int: "whole number", float: "number", str: "text", bool: "boolean", tuple: "tuple"}
    return names[field.kind] + (" or none" if field.optional else "")


def _recipe(name: str, recipe: str) -> str:
    lines = ["| field | value |", "|---|---|"]
    for section, values in FAMILIES[name].recipes[recipe].items():
        lines += [f"| `{section}.{field}` | `{value!r}` |" for field, value in values.items()]
    return "\n".join(lines) + "\n"


def meanings(kind: type) -> dict[str, str]:
    """What each field means, of the ``Attributes:`` in the docstrings of a class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found |= dict(_attributes(base.__doc__ or ""))
    return found


def _attributes(docstring: str) -> Iterator[tuple[str, str]]:
    _, _, listed = inspect.cleandoc(docstring).partition("Attributes:\n")
    for entry in re.split(r"\n(?=  \w)", "\n" + listed.split("\n\n")[0]):
        name, colon, text = entry.strip().partition(": ")
        if colon:
            yield name, " ".join(text.split())


def _summary(kind: type) -> str:
    return inspect.cleandoc(kind.__doc__ or "").splitlines()[0]


if __name__ == "__main__":
    print(page(), end="")
