"""Commands start again with glibc's large pages, once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from matnet_jax.runtime import large_pages

pytestmark = pytest.mark.skipif(large_pages._glibc() < (2, 35), reason="for glibc 2.35 and later")

PROGRAM = """
import os, sys
from pathlib import Path
from matnet_jax.runtime import large_pages
large_pages._SETTING = Path({setting!r})
large_pages.restart_with_large_pages()
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), *sys.argv[1:])
"""


def run(tmp_path: Path, setting: str, **environment: str) -> list[str]:
    """The process's number, and what it printed after its own."""
    (tmp_path / "enabled").write_text(setting)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(setting=str(tmp_path / "enabled")))
    kept = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", program, "--a=b c", "d"],
        env=kept | {"PYTHONPATH": os.getcwd()} | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    number, *rest = printed.split(" ", 2)
    assert int(number) == process.pid  # so signals sent to it arrive
    return rest


def test_a_program_starts_again_with_its_arguments(tmp_path: Path) -> None:
    rest = run(tmp_path, "always [madvise] never")
    assert rest == ["glibc.malloc.hugetlb=1", "--a=b c d\n"]


@pytest.mark.parametrize("setting", ["[always] madvise never", "always madvise [never]"])
def test_it_goes_on_where_the_kernel_does_not_ask(tmp_path: Path, setting: Any) -> None:
    assert run(tmp_path, setting)[0] == "None"


def test_what_the_user_has_set_stays(tmp_path: Path) -> None:
    for value in ("glibc.malloc.check=0", ""):
        assert run(tmp_path, "always [madvise] never", GLIBC_TUNABLES=value)[0] == value


def test_it_goes_on_without_such_a_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(large_pages, "_SETTING", tmp_path / "absent")
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("restarted"))
    large_pages.restart_with_large_pages()
