"""Detectors on transformers: what trains, that they learn, and the way from a user's file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import foreign
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from records import write_records
from safetensors.numpy import save_file
from test_vit import state_dict

from matnet_jax.checkpoints.frozen import Frozen, without
from matnet_jax.config.build import build_model, build_objective
from matnet_jax.config.check import validate
from matnet_jax.config.data import open_source
from matnet_jax.detectors.assembly import assemble, flatten, variable_shapes
from matnet_jax.detectors.gend import alignment, uniformity
from matnet_jax.detectors.inference import infer
from matnet_jax.detectors.variables import abstract_variables
from matnet_jax.evaluation.run import evaluate
from matnet_jax.model import create_classifier, create_detector, create_model
from matnet_jax.nn.singular import merge, triplets
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.runtime.config_files import load_config
from matnet_jax.train.optim import freeze_labels
from matnet_jax.train.plan import build_optimizer, build_stop_frozen, frozen_in
from matnet_jax.train.run import train
from matnet_jax.train.state import create_train_state
from matnet_jax.train.step import make_train_step

SIZE = 64
CONFIGS = ("gend_clip_l", "gend_dinov2_s", "effort_clip_l", "qtfp_clip_l", "mat_clip_l")
TINY: dict[str, Any] = {
    "model.width_coefficient": 0.1,
    "model.depth_coefficient": 0.05,
    "model.image_size": SIZE,
    "data.source": "synthetic",
    "data.synthetic_identities": 2,
    "train.batch_size": 8,
    "validation.batch_size": 8,
    "train.duration": "2 steps",
    "validation.every": "2 steps",
}
TINY_MAT = {
    "model.attention_stage": "block2",
    "model.texture_stage": "block1",
    "model.texture_dims": 8,
    "model.mid_dims": 8,
    "model.num_attentions": 2,
    "agda.kernel_size": 3,
}


def tiny_of(name: str, **overrides: Any) -> Any:
    """A config that comes with the project, on a transformer of one or two blocks."""
    config = load_config(name)
    own = TINY_MAT if config.model.name == "mat" else {}
    config.update_from_flattened_dict(TINY | own | overrides)
    validate(config)
    return config


def file_of(config: Any, path: Path) -> dict[str, np.ndarray]:
    """Writes random weights as `transformers` names them; our arrays, by our path."""
    names = ("backbone", "width_coefficient", "depth_coefficient", "image_size")
    plain = create_classifier(**{name: config.model[name] for name in names})
    drawn = foreign.random_variables(plain)
    arrays = {path: value for path, value in drawn.items() if path.startswith("params/features/")}
    is_clip = "clip" in config.model.backbone
    state = state_dict(arrays, f"transformers' {'CLIP' if is_clip else 'DINOv2'}")
    save_file({f"vision_model.{k}" if is_clip else k: v for k, v in state.items()}, path)
    return arrays


def numbers(shapes: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def trained_numbers(params: Any, config: Any) -> tuple[int, int]:
    """Of the backbone, and of the whole network."""
    labels = flatten(freeze_labels(params, config.optimizer.freeze, config.optimizer.unfreeze))
    shapes = {
        "/".join(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    sizes = {path: math.prod(s) for path, s in shapes.items() if labels[path] == "train"}
    return sum(n for path, n in sizes.items() if path.startswith("features/")), sum(sizes.values())


@pytest.mark.parametrize(
    ("name", "backbone", "whole", "saved", "everything"),
    [
        # 24 blocks of two norms, and two more, of 1024 scales and biases; 2050 of the dense layer.
        ("gend_clip_l", 50 * 2 * 1024, 104_450, 104_450, 303_181_826),
        ("gend_dinov2_s", 25 * 2 * 384, 19_970, 19_970, 22_056_962),
        # 24 blocks of four layers, a triplet of 1024 + 1 + 1024 numbers each: 0.19 M; and as many
        # that stay, for what the kernels came with, which are in no file.
        ("effort_clip_l", 24 * 4 * 2049, 198_754, 198_754 + 24 * 4 * 2049, 303_575_234),
        # The same, and four queries of 1024.
        ("qtfp_clip_l", 24 * 4 * 2049, 202_850, 202_850 + 24 * 4 * 2049, 303_579_330),
        ("mat_clip_l", 50 * 2 * 1024, 1_116_682, 1_116_682, 304_194_058),
    ],
)
def test_little_trains_and_the_optimiser_and_checkpoints_have_that_alone(
    name: str, backbone: int, whole: int, saved: int, everything: int
) -> None:
    """At full size, from shapes."""
    config = load_config(name)
    params = abstract_variables(build_model(config))["params"]
    assert trained_numbers(params, config) == (backbone, whole)
    assert numbers(params) == everything
    tx = build_optimizer(config, lambda step: 1e-3)
    state = jax.eval_shape(tx.init, params)
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state) if leaf.shape) == 2 * whole
    plain = create_classifier(config.model.backbone, image_size=224)
    in_file = {path.removeprefix("params/") for path in variable_shapes(plain)}
    left_out = Frozen("", "", tuple(in_file & set(frozen_in(config, params))))
    assert numbers(without({"params": params}, left_out)) == saved


def embedded(config: Any) -> dict[str, np.ndarray]:
    """All faces of the embedded training set as one batch."""
    source = open_source(config, "train", SIZE)
    examples = source.read(np.arange(len(source)))
    side = len(examples[0].image) // SIZE
    images = np.stack([x.image[: side * SIZE, : side * SIZE] for x in examples])
    images = images.reshape(len(images), SIZE, side, SIZE, side, 3).mean((2, 4))
    labels = np.asarray(source.columns["label"], np.int32)
    assert {0, 1} == set(labels.tolist())
    weight = np.ones(len(labels), np.float32)
    return {"image": images.astype(np.uint8), "label": labels, "weight": weight}


@pytest.mark.parametrize(
    ("name", "steps"),
    [("gend_clip_l", 40), ("effort_clip_l", 40), ("qtfp_clip_l", 40), ("mat_clip_l", 15)],
)
def test_a_tiny_one_learns_the_embedded_faces(name: str, steps: int) -> None:
    """From random weights, of which the same share trains as at full size."""
    config = tiny_of(name, **{"model.dtype": "float32", "train.remat": False})
    config.optimizer.name = "adamw"
    model = build_model(config)
    names = ("backbone", "width_coefficient", "depth_coefficient", "image_size")
    plain = create_classifier(**{field: config.model[field] for field in names})
    drawn = model.adopt(foreign.random_variables(plain))
    variables = assemble(model, drawn, prefixes=["features"])
    tx = build_optimizer(config, lambda step: 1e-2)
    step = jax.jit(
        make_train_step(
            model,
            build_objective(config, model, lambda duration: 100),
            tx,
            stop_frozen=build_stop_frozen(config),
        )
    )
    state, losses = create_train_state(model, tx, 0, variables=variables), []
    batch = embedded(config)
    for _ in range(steps):
        state, metrics = step(state, batch, jax.random.key(0))
        losses.append(float(metrics["cross_entropy"]))
    assert losses[-1] < 0.6 * losses[0] and metrics["accuracy"] >= 0.75

    labels = flatten(
        freeze_labels(variables["params"], config.optimizer.freeze, config.optimizer.unfreeze)
    )
    before, after = flatten(variables["params"]), flatten(jax.device_get(state.params))
    moved = {path for path in before if not np.array_equal(before[path], after[path])}
    trained = {path for path, label in labels.items() if label == "train"}
    # What is frozen stays to the bit. A bias before a batch norm has no gradient.
    assert moved <= trained and len(moved) >= 0.8 * len(trained)


def test_a_kernel_stays_and_the_triplets_beside_it_are_its_smallest() -> None:
    kernel = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    leaves = {"kernel": kernel, **triplets(kernel, 2)}
    np.testing.assert_array_equal(merge(leaves), kernel)
    values = np.linalg.svd(kernel, compute_uv=False)
    np.testing.assert_allclose(leaves["given_values"], values[2:], rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(leaves["given_left"], axis=0), 1, rtol=1e-5)
    # Without what trains, the rest of the singular values is left.
    rest = merge({**leaves, "residual_values": np.zeros(2)})
    np.testing.assert_allclose(
        np.linalg.svd(rest, compute_uv=False), [*values[:2], 0, 0], atol=1e-5
    )
    with pytest.raises(ValueError, match="has 4 singular values; rank = 5"):
        triplets(kernel, 5)


@pytest.mark.parametrize("rank", [1, 3])
def test_effort_starts_as_the_plain_network_and_ends_as_one(rank: int) -> None:
    fields = {"backbone": "clip-vit-l-14", "width_coefficient": 0.1, "depth_coefficient": 0.05}
    model = create_detector("effort", image_size=SIZE, rank=rank, **fields)
    plain = create_detector("effort", image_size=SIZE, rank=0, **fields)
    arrays = foreign.random_variables(plain)
    images = np.random.default_rng(0).standard_normal((3, SIZE, SIZE, 3)).astype(np.float32)

    def run(model: Any, variables: Any) -> Any:
        return jax.jit(lambda v, x: infer(model, v, x))(variables, images).arrays()

    start = assemble(model, model.adopt(arrays))
    want = run(plain, assemble(plain, arrays))
    for name, value in run(model, start).items():
        np.testing.assert_allclose(value, want[name], atol=1e-5, err_msg=name)

    trained = assemble(model, foreign.random_variables(model, seed=1))
    merged, variables = model.merged(trained)
    assert merged == plain and flatten(variables).keys() == arrays.keys()
    own, other = run(model, trained), run(merged, variables)
    for name, value in other.items():
        np.testing.assert_allclose(value, own[name], atol=1e-5, err_msg=name)
    assert merged.merged(variables)[1].keys() == variables.keys()


def test_losses_on_the_sphere() -> None:
    """Pair by pair; an example of weight 0 is in none."""
    draw = np.random.default_rng(0)
    features = draw.standard_normal((5, 3))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labels, weight = np.array([0, 1, 0, 1, 1]), np.array([1.0, 1.0, 1.0, 0.0, 1.0])
    near, same = [], []
    for i in range(5):
        for j in range(i):
            if weight[i] and weight[j]:
                apart = np.sum((features[i] - features[j]) ** 2)
                near.append(np.exp(-2 * apart))
                same += [apart] if labels[i] == labels[j] else []
    given = jnp.asarray(features, jnp.float32), jnp.asarray(weight, jnp.float32)
    assert float(uniformity(*given)) == pytest.approx(np.log(np.mean(near)), rel=1e-5)
    got = float(alignment(given[0], jnp.asarray(labels), given[1]))
    assert got == pytest.approx(np.mean(same), rel=1e-5)
    alone = jnp.array([1.0, 0, 0, 0, 0])
    assert float(uniformity(given[0], alone)) == 0
    assert float(alignment(given[0], jnp.asarray(labels), alone)) == 0
    gradient = jax.grad(uniformity)(given[0], alone)
    np.testing.assert_array_equal(gradient, 0)


def test_a_backbone_without_a_class_token_is_refused() -> None:
    config = load_config("gend_clip_l")
    config.model.backbone = "resnet-50"
    with pytest.raises(ValueError, match=r"resnet-50 is no transformer.*clip-vit-l-14"):
        build_model(config)


def test_textures_of_one_grid_have_a_residual_by_a_coarser_mean() -> None:
    fields = {"width_coefficient": 0.1, "depth_coefficient": 0.05, "image_size": SIZE}
    stages = {"attention_stage": "block2", "texture_stage": "block1"}
    fields |= {"backbone": "clip-vit-l-14", "mid_dims": 8, "texture_dims": 8, **stages}
    model = create_model(texture_pool=2, **fields)
    images = jax.ShapeDtypeStruct((2, SIZE, SIZE, 3), jnp.float32)
    variables = abstract_variables(model)
    out = jax.eval_shape(lambda v, x: model.apply(v, x), variables, images)
    assert out.attention_maps.shape == (2, 4, 4, 4)
    assert out.texture_matrix.shape == (2, 4, 4 * 8) and out.region_features.shape == (2, 4, 8)
    assert variables["feature_centers"]["centers"].shape == (4, 8)
    with pytest.raises(ValueError, match=r"no stage 'block9'.*block2, class_attention"):
        create_model(**fields | {"texture_stage": "block9"})


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As prepare writes them; a fake's source has a real video."""
    folder = tmp_path_factory.mktemp("records")
    write_records(folder, paired=True)
    return folder


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.usefixtures("two_devices")
def test_from_a_users_file_and_records_to_heat_maps(
    name: str, records: Path, tmp_path: Path
) -> None:
    """The sequence of docs/transformers.md, in bfloat16 where the config has it."""
    weights = tmp_path / "weights.safetensors"
    own = {"init.path": str(weights), "data.source": "records", "data.dir": str(records)}
    config = tiny_of(name, **own)
    given = file_of(config, weights)
    assert train(config, tmp_path / "run")["step"] == 2
    loaded = load_trained(tmp_path / "run")
    assert loaded.model.mean == tuple(config.model.mean or loaded.model.mean)
    assert loaded.metadata["frozen"]["source"] == str(weights)
    plain = flatten(loaded.model.merged(loaded.variables)[1])
    path = "params/features/block_0/expand/kernel"
    np.testing.assert_array_equal(plain[path], given[path])
    scale = "params/features/block_0/norm_2/scale"
    stays = name in ("effort_clip_l", "qtfp_clip_l")
    assert np.array_equal(plain[scale], given[scale]) == stays

    metrics = evaluate(config, tmp_path / "run")
    assert np.isfinite(metrics["loss"]) and metrics["video"]["n_fake"] == 2
    # What the class's token, the queries or MAT's maps look at, in overlays and as numbers.
    assert "alt=" in (tmp_path / "run" / "eval" / "test" / "report.html").read_text()
    assert metrics["attention"]["all"]["entropy"] > 0
