"""Command-line flags that name a data set, its part, and its options, whichever sets have them."""

from __future__ import annotations

from typing import Any

from absl import flags

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
    """Defines `--manipulations`, `--ffpp`, … ; unset ones are None."""
    for option in _NAMES:
        owners = {n: options_of(n)[option] for n in DATA_SETS if option in options_of(n)}
        default = next(iter(owners.values()))
        text = f"Option of {', '.join(owners)}."
        if isinstance(default, bool):
            flags.DEFINE_bool(option, None, text, flag_values=values)
        elif isinstance(default, tuple):
            flags.DEFINE_list(option, None, text, flag_values=values)
        elif isinstance(default, int):
            flags.DEFINE_integer(option, None, text, flag_values=values)
        elif isinstance(default, float):
            flags.DEFINE_float(option, None, text, flag_values=values)
        else:
            flags.DEFINE_string(option, None, text, flag_values=values)


def given_options(values: flags.FlagValues) -> dict[str, Any]:
    """The options that were given, for `open_data_set`."""
    found = {option: values[option].value for option in _NAMES}
    return {
        option: tuple(value) if isinstance(value, list) else value
        for option, value in found.items()
        if value is not None
    }
