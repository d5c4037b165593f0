"""What every command is made of: flags of its own, errors as one message, an exit status."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import inspect
import os
import re
import shutil
import signal
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

from absl import flags, logging

from data_pipeline.extras import what_brings

TOLD_ABOVE = "See the text above."  # of a flag that a command's text tells of
_HELP = ("--help", "-h", "-help", "--helpfull")


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


@contextlib.contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Raises `Terminated` in the block when SIGTERM comes, so that it ends in good order."""

    def end(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _UsageError(Exception):
    """What was typed is no call of the command."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """A command with absl flags, which are defined when it runs and are nobody else's.

    Call it with what follows its name; the result is the exit status.

    Attributes:
      program: as a user calls it.
      about: its help: what it does, and how it is called.
      define: defines its flags in the given `flag_values`.
      run: gets the flags and what is left of the command line; its result is the exit status, None
        for 0.
      arguments: names of what is left, such as "IN OUT"; after a last "…" any number more.
      errors: what a user can put right; it ends in one message, anything else in a traceback.
      status: of such an error.
      usage_status: of a wrong flag or argument.
    """

    program: str
    about: str
    define: Callable[[flags.FlagValues], None]
    run: Callable[[flags.FlagValues, list[str]], int | None]
    arguments: str = ""
    errors: tuple[type[Exception], ...] = (ValueError, OSError)
    status: int = 1
    usage_status: int = 1

    def __call__(self, argv: Sequence[str] | None = None, *, program: str | None = None) -> int:
        """See the class."""
        argv = list(sys.argv[1:] if argv is None else argv)
        values = flags.FlagValues()
        self.define(values)
        flags.DEFINE_bool("traceback", False, "Show where an error comes from.", flag_values=values)
        own = argv[: argv.index("--")] if "--" in argv else argv
        if any(word in _HELP for word in own):
            print(help_text(self.about, values))
            return 0
        with _plainly():
            return self._run(values, argv, program or self.program)

    def _run(self, values: flags.FlagValues, argv: list[str], program: str) -> int:
        try:
            rest = self._parse(values, [program, *argv])
        except _UsageError as error:
            return _complain(f"{error} (see {program} --help)", self.usage_status)
        except OSError as error:  # of a config file
            return _complain(str(error), self.usage_status)
        try:
            return self.run(values, rest) or 0
        except KeyboardInterrupt as interrupt:
            number = signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT
            return _complain(
                "interrupted; what is done is kept, and the same command continues from there",
                128 + number,
            )
        except ModuleNotFoundError as error:
            if values.traceback or not what_brings(error.name):
                raise
            return _complain(what_brings(error.name), self.status)
        except self.errors as error:
            if values.traceback:
                raise
            hint = "" if type(error) is not ValueError else "\n(--traceback shows where this arose)"
            return _complain(f"{error}{hint}", self.status)

    def _parse(self, values: flags.FlagValues, argv: list[str]) -> list[str]:
        try:
            with _as_sys_argv(argv):
                rest = values(argv)[1:]
        except flags.Error as error:
            lines = str(error).strip().splitlines()
            # An error inside a config file is the text of its traceback: its last line counts.
            raise _UsageError(
                lines[-1] if "Traceback" in str(error) else "\n".join(lines)
            ) from None
        except (AttributeError, KeyError) as error:
            # How ml_collections reports an override of a field that does not exist.
            text = str(error).strip("\"'").replace("\\n", "\n").replace("\\'", "'")
            first, *more = text.splitlines()
            raise _UsageError(f"the config has no field {first}. " + " ".join(more)) from None
        names = self.arguments.split()
        wanted = [name for name in names if name != "…"]
        if len(rest) < len(wanted):
            raise _UsageError(f"{wanted[len(rest)]} is missing; wanted {self.arguments}")
        if len(rest) > len(wanted) and "…" not in names:
            left = " ".join(rest[len(wanted) :])
            raise _UsageError(f"not a flag: {left}; flags are written --name=value")
        return rest


@dataclasses.dataclass(frozen=True)
class Commands:
    """Several commands under one name, each imported when it is called.

    Attributes:
      program: as a user calls it.
      about: what it is for.
      table: name → (help in a line, "module:attribute" of a `Command` or of other `Commands`).
    """

    program: str
    about: str
    table: Mapping[str, tuple[str, str]]

    def __call__(self, argv: Sequence[str] | None = None, *, program: str | None = None) -> int:
        """See the class."""
        name, *rest = list(sys.argv[1:] if argv is None else argv) or ["--help"]
        program = program or self.program
        if name in _HELP:
            print(self._help(program))
            return 0
        if name not in self.table:
            close = difflib.get_close_matches(name, self.table, n=1, cutoff=0.5)
            guess = f"did you mean {close[0]}? " if close else ""
            known = ", ".join(self.table)
            return _complain(f"no command {name!r}; {guess}available: {known}", 2)
        module, _, attribute = self.table[name][1].partition(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if not what_brings(error.name):
                raise
            return _complain(what_brings(error.name), 1)
        return command(rest, program=f"{program} {name}")

    def _help(self, program: str) -> str:
        width = max(map(len, self.table))
        listed = [f"  {name:{width}}  {text}" for name, (text, _) in self.table.items()]
        last = f"{program} COMMAND --help shows a command's flags."
        return "\n".join([f"usage: {program} COMMAND …", "", self.about, "", *listed, "", last])


def help_text(about: str, values: flags.FlagValues) -> str:
    """A command's help: what it is about, and its flags; those of one meaning share their lines.

    Of flags whose help is `TOLD_ABOVE`, `about` tells.
    """
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    meant: dict[str, list[str]] = {}
    for flag in (values[name] for name in values if values[name].help != TOLD_ABOVE):
        meant.setdefault(_meaning(flag), []).append(_head(flag))
    heads = {text: ", ".join(names) for text, names in meant.items()}
    column = min(max(map(len, heads.values())) + 4, 28)
    lines = [inspect.cleandoc(about), ""]
    for meaning, names in heads.items():
        text = textwrap.wrap(meaning, width - column)
        head = f"  {names}".ljust(column)
        if len(names) + 4 > column:
            lines.append(head.rstrip())
            head = " " * column
        lines += [head + line if i == 0 else " " * column + line for i, line in enumerate(text)]
    return "\n".join(lines)


def _meaning(flag: flags.Flag) -> str:
    # absl puts a flag's choices first, <a|b>: text, and says of every list that it is one.
    parts = re.fullmatch(r"(?:<(.*)>: )?(.*)", flag.help or "", re.DOTALL)
    assert parts is not None  # it fits any text
    choices, said = parts.groups()
    said = re.sub(r";\s+repeat this option to specify a list of values", "", said)
    said += f" ({choices.replace('|', ', ')})" if choices else ""
    return " ".join(said.split())


def _head(flag: flags.Flag) -> str:
    if flag.boolean:
        return f"--[no]{flag.name}" if flag.default else f"--{flag.name}"
    default = (flag.default_as_str or "").strip("'") if flag.default not in (None, [], "") else ""
    return f"--{flag.name}={default}"


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """Warnings in a line, and no libraries' talk; as before when the block ends."""
    # TensorFlow looks at it when it is imported: 2 leaves its errors.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # Orbax tells every phase of a save
    shown = warnings.showwarning
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    try:
        yield
    finally:
        warnings.showwarning = shown
        logging.set_verbosity(verbosity)


@contextlib.contextmanager
def _as_sys_argv(argv: list[str]) -> Iterator[None]:
    """Where ml_collections looks for a config's overrides."""
    before, sys.argv = sys.argv, argv
    try:
        yield
    finally:
        sys.argv = before


def _complain(message: str, status: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status
