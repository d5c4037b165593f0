"""Configs by path and by name, for every command that takes one."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from absl import flags

from matnet_jax.config import ConfigError
from matnet_jax.runtime.config_files import (
    ConfigFileError,
    define_config,
    find_config,
    load_config,
)

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["demo", "configs/demo.py", "demo.py"])
def test_by_name_wherever_one_is(
    name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(name) == str(ROOT / "configs" / "demo.py")
    assert load_config(name).model.width_coefficient == 0.5


def test_a_path_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").write_text("def get_config(size='4'):\n    return int(size)\n")
    assert load_config("demo") == 4 and load_config("demo:5") == 5
    assert load_config(f"{tmp_path}/demo:6") == 6


def test_an_argument_and_a_network_s_own() -> None:
    assert load_config("ffpp:classifier").model.name == "classifier"
    assert load_config("meso4").model.name == load_config("systems/meso4").model.name == "meso4"
    with pytest.raises(ConfigFileError, match=r"ffpp_c40.py is of one network: it takes no :x"):
        load_config("ffpp_c40:x")
    with pytest.raises(ConfigFileError, match=r"no config 'dmo': neither a file nor one of base"):
        load_config("dmo")


def test_base_takes_a_family_a_recipe_or_both() -> None:
    for argument, recipe, name in (
        ("released", "released", "mat"),
        ("f3net,public", "public", "f3net"),
        ("i3d_cutmix,medics", "i3d_cutmix", "medics"),
    ):
        config = load_config(f"base:{argument}")
        assert (config.recipe, config.model.name) == (recipe, name)
    with pytest.raises(ConfigError, match="f3nett"):
        load_config("base:f3nett")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return math.foo", r"own.py, line 3: AttributeError: .*no attribute 'foo'"),
        ("return {}['b']", r"own.py, line 3: KeyError: 'b'"),
        ("return 1 / 0", r"own.py, line 3: ZeroDivisionError"),
        ("return (", r"own.py.*: SyntaxError"),
    ],
)
def test_a_mistake_in_a_config_is_named_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str
) -> None:
    path = tmp_path / "own.py"
    path.write_text(f"import math\ndef get_config():\n    {body}\n")
    values = flags.FlagValues()
    define_config(values)
    argv = ["train", f"--config={path}"]
    monkeypatch.setattr("sys.argv", argv)
    with pytest.raises(flags.IllegalFlagValueError, match=message):
        values(argv)


def test_as_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ["train", "--config=demo", "--config.train.batch_size=3"]
    monkeypatch.setattr("sys.argv", argv)
    values = flags.FlagValues()
    define_config(values)
    values(argv)
    assert values.config.train.batch_size == 3 and values.config.is_locked
    other = flags.FlagValues()
    define_config(other)
    monkeypatch.setattr("sys.argv", ["train"])
    with pytest.raises(flags.IllegalFlagValueError, match="it takes no :x"):
        other(["train", "--config=ffpp_c40:x"])


def test_convert_takes_a_config_s_argument() -> None:
    from matnet_jax.pretrained import command

    values = flags.FlagValues()
    command.CONVERT.define(values)
    values(["convert", "--config=ffpp:classifier"])
    assert command._config(values).model.name == "classifier"


@pytest.mark.parametrize("module", ["train", "evaluation", "evaluation.probe", "sweep"])
def test_every_command_takes_names(module: str) -> None:
    values = flags.FlagValues()
    importlib.import_module(f"matnet_jax.{module}.command").COMMAND.define(values)
    assert values["config"].parser.parse("ffpp:meso4").model.name == "meso4"
