"""Command-line flags that name a data set, its part, and its options, whichever sets have them."""

from __future__ import annotations

import textwrap
from typing import Any

from absl import flags

from data_pipeline.commands import TOLD_ABOVE
from data_pipeline.datasets import DATA_SETS, SPLITS, options_of

_NAMES = sorted({option for name in DATA_SETS for option in options_of(name)})


def define_data_set_flags(values: flags.FlagValues) -> None:
    """Defines `--dataset`, `--root`, `--compression` and `--split`."""
    flags.DEFINE_enum(
        "dataset", None, list(DATA_SETS), "Data set.", required=True, flag_values=values
    )
    flags.DEFINE_string(
        "root", None, "Its folder, or a CSV (folder).", required=True, flag_values=values
    )
    flags.DEFINE_string(
        "compression", "c23", "FaceForensics++: raw, c23 or c40.", flag_values=values
    )
    flags.DEFINE_multi_enum(
        "split", None, list(SPLITS), "Only these splits; repeatable.", flag_values=values
    )


def define_option_flags(values: flags.FlagValues) -> None:
    """Defines `--manipulations`, `--ffpp`, … ; unset ones are None. `option_help` tells of them."""
    for option in _NAMES:
        default = options_of(_owners(option)[0])[option]
        if isinstance(default, bool):
            flags.DEFINE_bool(option, None, TOLD_ABOVE, flag_values=values)
        elif isinstance(default, tuple):
            flags.DEFINE_list(option, None, TOLD_ABOVE, flag_values=values)
        elif isinstance(default, int):
            flags.DEFINE_integer(option, None, TOLD_ABOVE, flag_values=values)
        elif isinstance(default, float):
            flags.DEFINE_float(option, None, TOLD_ABOVE, flag_values=values)
        else:
            flags.DEFINE_string(option, None, TOLD_ABOVE, flag_values=values)


def option_help() -> str:
    """Which options which data sets have: a paragraph for a command's help."""
    shared: dict[str, list[str]] = {}
    for option in _NAMES:
        owners = _owners(option)
        plain = isinstance(options_of(owners[0])[option], bool)
        shared.setdefault(", ".join(owners), []).append(f"--{option}{'' if plain else '='}")
    told = "; ".join(f"{', '.join(names)} ({owners})" for owners, names in shared.items())
    return textwrap.fill(f"Options of single data sets: {told}.", 100, break_on_hyphens=False)


def _owners(option: str) -> list[str]:
    return [name for name in DATA_SETS if option in options_of(name)]


def given_options(values: flags.FlagValues) -> dict[str, Any]:
    """The options that were given, for `open_data_set`."""
    found = {option: values[option].value for option in _NAMES}
    return {
        option: tuple(value) if isinstance(value, list) else value
        for option, value in found.items()
        if value is not None
    }
