"""What the project's files promise: pins, light imports, the layout of the top level."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return done.stdout.split()


def test_every_dependency_of_the_set_up_is_pinned():
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    extras = config["options.extras_require"]
    lines = [config["options"]["install_requires"], extras["data"], extras["video"], extras["test"]]
    wanted = {
        normalised(_NAME.match(line)[0])
        for line in "\n".join(lines).split("\n")
        if line.strip() and not line.startswith("%")
    }
    pins = (ROOT / "constraints.txt").read_text().split()
    assert all("==" in pin for pin in pins)
    assert wanted <= {normalised(pin.split("==")[0]) for pin in pins}


@pytest.mark.parametrize("module", ["matnet_jax.model", "matnet_jax.train_step"])
def test_the_core_imports_jax_flax_and_numpy_alone(module):
    script = (
        f"import sys, {module}\n"
        "heavy = {'tensorflow', 'cv2', 'sklearn', 'data_pipeline', 'ml_collections'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_data_pipeline_never_imports_matnet_jax():
    for path in (ROOT / "data_pipeline").rglob("*.py"):
        assert "import matnet_jax" not in path.read_text(), path
        assert "from matnet_jax" not in path.read_text(), path


def test_the_top_level_is_as_agreed():
    allowed = {
        *("matnet_jax", "configs", "data_pipeline", "tests", "run_train.py", "run_eval.py"),
        *("setup.cfg", "README.md", "pyproject.toml", "Makefile", ".ci", "benchmarks", "docs"),
        *("constraints.txt", "tools", "LICENSE", "CHANGELOG.md", ".gitignore", "CITATION.cff"),
        "SECURITY.md",
    }
    assert {name.split("/")[0] for name in tracked()} <= allowed
