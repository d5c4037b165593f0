"""The house: what stands where, and that no floor but the detectors' knows one network by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from matnet_jax.config.reference import meanings, page
from matnet_jax.config.schema import config_fields
from matnet_jax.config.sections import AFTER, BEFORE, Run
from matnet_jax.detectors.registry import FAMILIES

ROOT = Path(__file__).resolve().parents[1]
KNOW_NAMES = ("matnet_jax/detectors/", "matnet_jax/pretrained/", "matnet_jax/model.py")


def sources() -> Any:
    files = [ROOT / "run_train.py", ROOT / "run_eval.py"]
    for package in ("matnet_jax", "data_pipeline"):
        files += sorted((ROOT / package).rglob("*.py")) + sorted((ROOT / package).rglob("*.j2"))
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}


def test_no_other_floor_names_a_network() -> None:
    found = [
        f"{name}: {line.strip()}"
        for name, text in sources().items()
        if not name.startswith(KNOW_NAMES)
        for line in text.splitlines()
        if re.search(r"\bMAT\b|\bPlainClassifier\b", line)
    ]
    assert found == []


def test_the_package_is_no_flat_corridor() -> None:
    names = [path.name for path in (ROOT / "matnet_jax").iterdir() if path.name != "__pycache__"]
    assert len(names) <= 18, sorted(names)


def test_files_are_short() -> None:
    long = {name: len(text.splitlines()) for name, text in sources().items()}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}


def test_the_reference_of_configs_is_up_to_date() -> None:
    assert (ROOT / "docs" / "config.md").read_text(encoding="utf-8") == page(), (
        "run: python -m matnet_jax.config.reference > docs/config.md"
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_every_field_of_a_config_says_what_it_means(name: Any) -> None:
    family = FAMILIES[name]
    sections = {"": Run, "model": family.model, **BEFORE, **family.sections, **AFTER}
    for field in config_fields(name):
        section, _, last = field.name.rpartition(".")
        if field.name != "model.name":
            assert meanings(sections[section]).get(last), field.name
