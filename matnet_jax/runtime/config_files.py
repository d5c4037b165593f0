"""Config files by path, or by name those that come with the project: ``demo``, ``ffpp:meso4``."""

import contextlib
import inspect
import runpy
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections.config_flags import config_flags

import matnet_jax

SHIPPED = Path(matnet_jax.__file__).parents[1] / "configs"
"""Of the checkout, or beside the installed package."""


class ConfigFileError(ValueError):
    """There is no such config, or it takes no argument."""


def find_config(text: str) -> str:
    """A config as `FILE` or `FILE:ARGUMENT`, of which the file is there.

    Args:
      text: a path, or the name of a config that is shipped (``demo``, ``systems/meso4`` or
        ``meso4``, ``configs/demo.py``); after a colon what its `get_config` is given.

    Raises:
      ConfigFileError: there is no such file, or its `get_config` takes no argument.
    """
    name, colon, argument = text.partition(":")
    path = Path(name).expanduser()
    if not path.is_file():
        shipped = _shipped()
        bare = name.removeprefix("configs/").removesuffix(".py").removeprefix("systems/")
        if bare not in shipped:
            raise ConfigFileError(
                f"no config {name!r}: neither a file nor one of {', '.join(sorted(shipped))}"
            )
        path = shipped[bare]
    return f"{path}{colon}{argument}"


def load_config(text: str) -> Any:
    """What the `get_config` of a config gives; see `find_config`.

    Raises:
      ConfigFileError: see `find_config`; or the file has no `get_config`, or Python stops in it.
    """
    path, colon, argument = find_config(text).partition(":")
    with _explained(path):
        made = runpy.run_path(path).get("get_config")
    if made is None:
        raise ConfigFileError(f"{path} is no config: it has no get_config")
    if colon and not inspect.signature(made).parameters:
        raise ConfigFileError(f"{path} is of one network: it takes no :{argument}")
    with _explained(path):
        return made(argument) if colon else made()


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Names the line of a config on which Python stopped; what it says for people stays as it is.

    A missing attribute would else be taken for a field of a config that is missing.
    """
    try:
        yield
    except ValueError:
        raise
    except Exception as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
        line = f", line {lines[-1]}" if lines else ""
        raise ConfigFileError(f"{path}{line}: {type(error).__name__}: {error}") from error


def find_shipped(kind: str, name: str, *, parts: Sequence[str] = ()) -> Path:
    """A file by its path, or by name one of those that are shipped in ``configs/<kind>s``.

    Args:
      kind: "sweep" or "ensemble".
      name: of a shipped one, or a path that ends in ``.py``.
      parts: files there that the others import, and that are none themselves.

    Raises:
      ValueError: there is no such file; the message lists those that are shipped.
    """
    own = SHIPPED / f"{kind}s"
    path = Path(name) if name.endswith(".py") else own / f"{name}.py"
    if not path.is_file():
        known = sorted(file.stem for file in own.glob("*.py") if file.stem not in parts)
        raise ValueError(f"no {kind} {name!r}; there are {', '.join(known)}, or give a .py file")
    return path


def define_config(
    values: flags.FlagValues, text: str = "Config file, or the name of one, such as demo."
) -> None:
    """The flag ``--config``, with ``--config.a.b=c`` for its fields."""
    config_flags.DEFINE_config_file("config", None, text, flag_values=values)
    values["config"].parser = _Parser("config")


class _Parser(config_flags.ConfigFileFlagParser):
    def parse(self, path: str) -> Any:
        config = load_config(path)
        config.lock()
        return config


def _shipped() -> dict[str, Path]:
    """Configs by name; a network's own are in a folder of theirs."""
    files = [*SHIPPED.glob("systems/*.py"), *SHIPPED.glob("*.py")]
    return {path.stem: path for path in files if path.stem != "__init__"}
