"""What the project's files promise: pins, dependencies, light imports, the layout, the wheel."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import matnet_jax

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("matnet_jax", "data_pipeline", "configs")


def requirements(extras: set[str] | None = None) -> list[Requirement]:
    """Those of the core and of the named extras of setup.cfg; None: of all extras."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].split("\n")
    for extra, text in config["options.extras_require"].items():
        if extras is None or extra in extras:
            lines += text.split("\n")
    return [Requirement(line) for line in lines if line.strip()]


def pins() -> dict[str, str]:
    """Canonical name -> version, of constraints.txt, for this Python."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        requirement = Requirement(line)
        (pin,) = requirement.specifier  # every line is name==version, some with a marker
        assert pin.operator == "=="
        if requirement.marker is None or requirement.marker.evaluate():
            assert found.setdefault(canonicalize_name(requirement.name), pin.version) == pin.version
    return found


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def imported(package: str) -> dict[str, str]:
    """Top-level name of every module that files of the package import -> one such file."""
    names = {}
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                modules = [node.module]
            else:
                continue
            names.update({module.split(".")[0]: str(path) for module in modules})
    return names


@pytest.mark.parametrize("package", ["matnet_jax", "data_pipeline"])
def test_no_module_defines_flags_on_import(package: Any) -> None:
    """Two modules that one program imports would clash; `__main__` is nobody's to import."""
    modules = [path for path in (ROOT / package).rglob("*.py") if path.name != "__main__.py"]
    top_level = [
        (path, statement)
        for path in modules
        for statement in ast.parse(path.read_text()).body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.If)
    ]
    assert top_level
    assert [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, statement in top_level
        for node in ast.walk(statement)
        if isinstance(node, ast.Attribute) and node.attr.startswith("DEFINE_")
    ] == []


def test_every_dependency_is_pinned() -> None:
    wanted = {canonicalize_name(requirement.name) for requirement in requirements()}
    assert wanted - pins().keys() == set()


def test_what_the_dependencies_bring_is_pinned_at_the_version_that_is_tested() -> None:
    """Over everything installed that `make setup` asks for, directly or not."""
    known = pins()
    queue = requirements({"data", "video", "test"})
    seen: set[str] = set()
    wrong = {}
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        if known.get(name) != found.version.partition("+")[0]:
            wrong[name] = f"{found.version} installed, {known.get(name)} pinned"
        for line in found.requires or ():
            inner = Requirement(line)
            extras = {"", *requirement.extras}
            marker = inner.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                queue.append(inner)
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("another environment than `make setup` makes: its versions are its own")
    assert not wrong


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_imported_is_declared(package: Any) -> None:
    declared = {canonicalize_name(requirement.name) for requirement in requirements()}
    providers = packages_distributions()
    for module, path in imported(package).items():
        if module in sys.stdlib_module_names or module in PACKAGES:
            continue
        names = {canonicalize_name(name) for name in providers.get(module, [module])}
        assert names & declared, f"{path} imports {module}, which setup.cfg does not name"


def test_the_core_imports_jax_flax_and_numpy_alone() -> None:
    modules = [
        "model",
        "detectors.mat.losses",
        "detectors.mat.centers",
        "detectors.mat.agda",
        "detectors.registry",
        "detectors.inference",
        "nn.losses",
        "train.accumulate",
        "runtime.sharding",
        "checkpoints.state",
        "train.state",
        "train.step",
        "evaluation.step",
    ]
    script = (
        "import importlib, sys\n"
        "heavy = {'tensorflow', 'tensorflow_datasets', 'cv2', 'sklearn', 'matplotlib', 'torch',\n"
        "         'data_pipeline', 'ml_collections', 'h5py'}\n"
        f"for module in {modules}:\n"
        "    importlib.import_module('matnet_jax.' + module)\n"
        "    assert not heavy & set(sys.modules), (module, heavy & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_data_pipeline_never_imports_matnet_jax() -> None:
    assert "matnet_jax" not in imported("data_pipeline")
    assert "jax" not in imported("data_pipeline")


def test_the_top_level_is_as_agreed() -> None:
    allowed = {
        *("matnet_jax", "configs", "data_pipeline", "tests", "run_train.py", "run_eval.py"),
        *("setup.cfg", "README.md", "pyproject.toml", "Makefile", ".ci", "benchmarks", "docs"),
        *("constraints.txt", "tools", "LICENSE", "CHANGELOG.md", ".gitignore", "CITATION.cff"),
        *("SECURITY.md", "CONTRIBUTING.md", "THIRD_PARTY_NOTICES.md", "mkdocs.yml"),
        *("Dockerfile", ".dockerignore"),
    }
    assert {name.split("/")[0] for name in tracked()} - allowed == set()


def test_the_version_is_the_same_everywhere() -> None:
    """Between releases the changelog's newest heading is `Unreleased`, and the citation undated."""
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    cited = dict(re.findall(r"^(version|date-released): (\S+)$", citation, re.M))
    assert cited["version"] == matnet_jax.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", changelog, re.M)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert released == [h for h in released if re.fullmatch(r"\d+\.\d+\.\d+ – \d{4}-\d\d-\d\d", h)]
    if "date-released" in cited:
        assert f"{cited['version']} – {cited['date-released']}" == released[0]


def test_no_file_names_a_package_registry_or_a_place_of_one_machine() -> None:
    hosts = ("py" + "pi.org", "python" + "hosted", "index" + "-url", "find" + "-links")
    places = ("/" + "root/", "/" + "work/", "file" + ":///")
    wrong = []
    for name in tracked():
        text = (ROOT / name).read_bytes().decode(errors="replace")
        wrong += [(name, word) for word in hosts + places if word in text]
    assert not wrong


def build_wheel(folder: Path) -> Path:
    """What `pip install .` makes of the tracked files, in a new folder."""
    for name in tracked():
        if name.split("/")[0] in {*PACKAGES, "tests", "setup.cfg", "pyproject.toml"} or (
            name in {"README.md", "LICENSE", "THIRD_PARTY_NOTICES.md"}
        ):
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    script = "import sys, setuptools.build_meta as backend; backend.build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        cwd=folder / "source",
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr
    [wheel] = folder.glob("*.whl")
    return wheel


def test_the_wheel_holds_the_packages_and_their_data_and_nothing_else(tmp_path: Path) -> None:
    """Every tracked file of the packages, no tests."""
    wheel = build_wheel(tmp_path)
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {name for name in tracked() if name.split("/")[0] in PACKAGES}
    assert held == wanted
    assert any(re.search(r"\.(j2|css)$", name) for name in held)
    with zipfile.ZipFile(wheel) as archive:
        [entries] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        scripts = configparser.ConfigParser()
        scripts.read_string(archive.read(entries).decode())
    assert dict(scripts["console_scripts"]) == {"matnet": "matnet_jax.cli:main"}
