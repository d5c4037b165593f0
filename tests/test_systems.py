"""The other systems of the paper's tables: their configs start, and docs/systems.md has them."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import tiny

from matnet_jax.config.check import validate
from matnet_jax.detectors.registry import FAMILIES
from matnet_jax.train.run import train

pytestmark = pytest.mark.usefixtures("two_devices")

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs" / "systems").glob("*.py"))
_SMALL = {"width_coefficient": 0.05, "depth_coefficient": 0.1}
BACKBONE = {key: value for key, value in tiny.FIELDS.items() if key != "image_size"}
TINY: dict[str, dict[str, Any]] = {
    "f3net": {"width_coefficient": 0.02, "middle_blocks": 0},
    "face_xray": _SMALL,
    "fwa": _SMALL,
    "wm_xception": BACKBONE,
    "selim_b7": {key: value for key, value in BACKBONE.items() if key != "backbone"},
    "dsp_fwa": _SMALL,
    "wsdan": BACKBONE | {"num_attentions": 3},
    "eighteen_years_old": _SMALL,
    "medics": _SMALL,
    "ntechlab": BACKBONE | {"window": (64, 48)},
    "xception_ela": BACKBONE,
    "xception_pafilters": BACKBONE,
    "two_branch": _SMALL | {"memory": 4, "feature": 8},
    "two_stream": BACKBONE | {"patch_size": 32, "patch_stride": 32, "hidden": 16, "embedding": 8},
}
"""By config: fields of the model that make it small, where its images' size alone does not."""

SYSTEMS = sorted(set(FAMILIES) - {"mat", "classifier"})


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_its_config_starts(path: Path, tmp_path: Path) -> None:
    config = runpy.run_path(str(path))["get_config"]()
    validate(config)
    fields = {"model.image_size": tiny.SIZE, "data.source": "synthetic", "data.real_repeat": 1}
    fields |= {"data.synthetic_identities": 4, "train.batch_size": 8, "validation.batch_size": 8}
    fields |= {"train.duration": "1 step", "validation.every": "1 step"}
    if config.data.mixture:  # pairs stay whole on eight devices
        fields |= {"train.batch_size": 16, "validation.batch_size": 16}
    fields |= {"data.crop_margin": None, "face_xray.outline": "five", "fwa.outline": "five"}
    fields |= {f"model.{key}": value for key, value in TINY.get(path.stem, {}).items()}
    config.update_from_flattened_dict(fields)
    assert train(config, tmp_path)["step"] == 1


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_page_has_its_row(name: str) -> None:
    lines = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|") and f"`{name}`" in line]
    assert rows, f"docs/systems.md has no row of `{name}`"
    assert f"| {FAMILIES[name].provenance} |" in rows[0]
    assert f"{name}.py" in {path.name for path in CONFIGS}
