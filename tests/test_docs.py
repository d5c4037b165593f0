"""What the documentation shows: its Python runs, its commands and files exist."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from workdirs import unpack

from matnet_jax.metrics.scores import write_scores

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks/README.md"])
NEED_FILES = {
    "docs/data.md": "records",
    "docs/export.md": "an exported network",
    "docs/from-pytorch.md": "the authors' and ImageNet's checkpoints",
    "CONTRIBUTING.md": "nothing: these are outlines of tests/example_detector.py",
}


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, text) of each fenced block."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for indent, block in re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.M | re.S):
            lines = [line.removeprefix(indent) for line in block.splitlines()]
            found.append((str(page.relative_to(ROOT)), "\n".join(lines)))
    return found


PYTHON = [
    pytest.param(page, code, id=f"{page}-{i}") for i, (page, code) in enumerate(blocks("python"))
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what the pages' examples read."""
    monkeypatch.chdir(tmp_path)
    unpack("workdir_0_1.tar.gz", tmp_path / "runs" / "ffpp")
    columns: dict[str, Any] = {
        name: np.array(["a", "b"]) for name in ("dataset", "subset", "compression", "split")
    }
    columns |= {name: np.arange(2, dtype=np.int32) for name in ("frame", "face", "label")}
    columns |= {"video_id": np.array(["1", "2"]), "score": np.array([0.1, 0.9], np.float32)}
    write_scores(tmp_path / "runs/demo/eval/test/scores.csv", columns)
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((64, 64, 3), np.uint8))
    return tmp_path


@pytest.mark.parametrize(("page", "code"), PYTHON)
def test_python_imports_what_there_is(page: str, code: str) -> None:
    if page == "CONTRIBUTING.md":
        assert compile(code, page, "exec")
        return
    imports = [n for n in ast.parse(code).body if isinstance(n, (ast.Import, ast.ImportFrom))]
    exec(compile(ast.Module(imports, []), page, "exec"), {})


@pytest.mark.parametrize(("page", "code"), [p for p in PYTHON if p.values[0] not in NEED_FILES])
def test_python_runs(page: str, code: str, folder: Path) -> None:
    names: dict[str, Any] = {"paths": ["photo.png"]}
    exec(compile(code.replace("video.mp4", "photo.png"), page, "exec"), names)
    assert set(names) > {"paths", "__builtins__"}


def test_commands_exist() -> None:
    text = "\n".join(code for _, code in blocks("sh"))
    modules = set(re.findall(r"python -m ((?:matnet_jax|data_pipeline|benchmarks)[\w.]*)", text))
    assert len(modules) > 5
    for module in modules:
        assert importlib.util.find_spec(module) is not None, module
    for config in set(re.findall(r"--config=(configs/[\w/]+\.py)", text)):
        assert (ROOT / config).is_file(), config


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_modules_that_are_named_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return  # tells of names that are gone
    text = page.read_text(encoding="utf-8")
    for path in re.findall(
        r"`((?:matnet_jax|data_pipeline|tests|configs|docs|tools)/[\w./-]+)", text
    ):
        assert "NAME" in path or (ROOT / path.rstrip("/.")).exists(), path
    for module in re.findall(r"`((?:matnet_jax|data_pipeline)(?:\.[a-z_]\w*)+)`", text):
        assert _exists(module), module


def _exists(dotted: str) -> bool:
    """Whether a module is there, or a name in one."""
    module, _, name = dotted.rpartition(".")
    if module in ("matnet_jax", "data_pipeline"):
        return importlib.util.find_spec(dotted) is not None
    owner = importlib.import_module(module)
    return hasattr(owner, name) or importlib.util.find_spec(dotted) is not None
