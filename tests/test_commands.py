"""Commands: flags of their own, help on one screen, errors as one message, statuses."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from absl import flags, logging

import matnet_jax.predict.info
from data_pipeline.commands import Command, Commands
from matnet_jax import cli
from matnet_jax.runtime import launch

ROOT = Path(__file__).parents[1]
SCREEN = 50  # lines


def define(values: Any) -> None:
    flags.DEFINE_integer("size", 4, "Pixels.", lower_bound=1, flag_values=values)
    flags.DEFINE_string("workdir", None, "A folder.", required=True, flag_values=values)
    flags.DEFINE_enum("kind", "a", ["a", "b"], "Which one.", flag_values=values)


def run(values: Any, arguments: Any) -> Any:
    if values.size == 13:
        raise ValueError("13 is no size")
    if values.size == 14:
        raise KeyboardInterrupt
    print(values.size, values.workdir, values.kind, *arguments)
    return 3 if values.size == 3 else None


COMMAND = Command(program="draw", about="Draws.", define=define, run=run, arguments="IN …")
COMMANDS = Commands("tool", "Tools.", {"draw": ("draw a picture", f"{__name__}:COMMAND")})


def test_flags_and_arguments_reach_the_command_and_its_result_is_the_status(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert COMMAND(["in", "--workdir=w", "more", "--kind", "b", "--", "--other"]) == 0
    assert capsys.readouterr().out == "4 w b in more --other\n"
    assert COMMAND(["--workdir=w", "in", "--size=3"]) == 3
    assert "size" not in flags.FLAGS and "workdir" not in flags.FLAGS


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        (["--workdr=w", "in"], 1, "'workdr'. Did you mean: workdir"),
        (["in"], 1, "workdir must have a value"),
        (["--workdir=w"], 1, "IN is missing; wanted IN …"),
        (["--workdir=w", "--size=0", "in"], 1, "not a positive integer"),
        (["--workdir=w", "--kind=c", "in"], 1, "<a|b>"),
        (["--workdir=w", "--size=13", "in"], 1, "13 is no size"),
        (["--workdir=w", "--size=14", "in"], 130, "interrupted"),
    ],
)
def test_errors_are_one_message_and_a_status(
    argv: Any, status: Any, message: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert COMMAND(argv) == status
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and message in printed.err and not printed.out
    assert "Traceback" not in printed.err


def test_an_error_is_shown_where_it_arose_when_asked() -> None:
    with pytest.raises(ValueError, match="13 is no size"):
        COMMAND(["--workdir=w", "--size=13", "in", "--traceback"])


def test_a_command_leaves_warnings_and_logging_as_they_were() -> None:
    before = warnings.showwarning, logging.get_verbosity()
    COMMAND(["--workdir=w", "in"])
    COMMAND(["--workdir=w", "in", "--size=13"])
    assert (warnings.showwarning, logging.get_verbosity()) == before


def test_a_missing_package_s_extra_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def lacks(name: str) -> Command:
        def run(values: Any, arguments: Any) -> None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        return dataclasses.replace(COMMAND, run=run)

    assert lacks("av.codec")(["--workdir=w", "in"]) == 1
    assert "this needs the package av.codec: pip install 'matnet-jax[predict]'" in (
        capsys.readouterr().err
    )
    with pytest.raises(ModuleNotFoundError):  # of no extra: a mistake of ours
        lacks("nonsense")(["--workdir=w", "in"])


@pytest.mark.parametrize("name", ["predict", "serve", "prepare", "check", "train", "eval"])
def test_help_needs_no_extra(name: Any) -> None:
    script = (
        "import sys\n"
        "lacking = 'av apache_beam mtcnn pi_heif psutil tensorflow array_record torch'.split()\n"
        "lacking += 'fastapi prometheus_client python_multipart starlette uvicorn'.split()\n"
        "sys.modules.update(dict.fromkeys(lacking))\n"
        "from matnet_jax.cli import COMMANDS\n"
        f"sys.exit(COMMANDS([{name!r}, '--help']))\n"
    )
    done = in_process("-c", script)
    assert done.returncode == 0 and "--" in done.stdout, done.stderr


def test_help_lists_own_flags_with_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Draws.\n") and "--size=4" in shown and "Which one. (a, b)" in shown
    assert "helpfull" not in shown and "verbosity" not in shown


def test_commands_are_found_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMANDS(["draw", "in", "--workdir=w"]) == 0
    assert COMMANDS(["drw"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "no command 'drw'; did you mean draw?" in message
    assert COMMANDS([]) == 0 and "draw  draw a picture" in capsys.readouterr().out
    assert COMMANDS(["draw"], program="tool") == 1
    assert "(see tool draw --help)" in capsys.readouterr().err


@pytest.mark.parametrize("name", cli.COMMANDS.table)
def test_every_command_shows_its_help_on_one_screen(
    name: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.COMMANDS([name, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert 3 <= len(lines) <= SCREEN and max(map(len, lines)) <= 110
    assert not any("absl" in line for line in lines)


@pytest.mark.parametrize("name", sorted(set(cli.COMMANDS.table) - {"report", "info"}))
def test_every_command_refuses_a_flag_that_it_has_not(
    name: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.COMMANDS([name, "--no_such_flag=1"]) in (1, 2)
    assert "no_such_flag" in capsys.readouterr().err


def test_info_never_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.COMMANDS(["info"]) == 0
    shown = capsys.readouterr().out
    assert version("jax") in shown and "face detectors" in shown and "cpu" in shown

    def broken() -> None:
        raise RuntimeError("no driver\nat all")

    monkeypatch.setattr("jax.devices", broken)
    assert matnet_jax.predict.info.info()["devices"] == "none that JAX can use (no driver)"


def test_the_launcher_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert launch.COMMAND(["--processes=0", "--", "x"]) == 2
    assert launch.COMMAND(["--processes=1"]) == 2
    assert "COMMAND is missing" in capsys.readouterr().err


def in_process(*command: Any) -> Any:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_config_s_fields_are_overridden_and_wrong_ones_named(tmp_path: Path) -> None:
    done = in_process(
        "run_train.py", "--config=configs/demo.py", f"--workdir={tmp_path}", "--config.trian.x=1"
    )
    assert done.returncode == 1 and "the config has no field" in done.stderr
    assert "Traceback" not in done.stderr and not any(tmp_path.iterdir())


def test_the_console_command_and_the_scripts_have_the_same_flags() -> None:
    done = in_process("-m", "matnet_jax", "predict", "--help")
    script = in_process("run_eval.py", "--help")
    assert done.returncode == script.returncode == 0 and not done.stderr

    def names(text: Any) -> Any:
        return {line.split()[0] for line in text.splitlines() if line.startswith("  --")}

    assert {"--weights=", "--aggregation="} <= names(done.stdout) <= names(script.stdout)
    assert "--inputs=" in names(script.stdout) and "--config=" in names(script.stdout)
