"""MAT and the plain classifier: construction, variables, collections, the whole forward pass."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import reference_losses
import tiny
from random_weights import random_leaf, random_variables

from matnet_jax.model import create_classifier, create_detector, create_model, init_variables
from matnet_jax.nn.initializers import VarianceScaling

LABELS = np.arange(4) % 2
MUTABLE = ["batch_stats", "feature_centers"]


def shapes(tree: Any) -> Any:
    return jax.tree.map(lambda x: (x.shape, jnp.dtype(x.dtype)), tree)


def trace(model: Any, size: Any = None, **options: Any) -> Any:
    """The output struct as shapes, with no parameters drawn."""
    size = size or model.image_size
    x = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    return jax.eval_shape(lambda x: model.init_with_output(keys, x, **options)[0], x)


@pytest.mark.parametrize("recipe", ["paper", "released"])
def test_everything_behind_the_backbone_matches_numpy(recipe: Any) -> None:
    """Given stage features, in evaluation and in training with labels."""
    stages, model = tiny.stage_features(), tiny.stage_model(recipe)
    variables = random_variables(model, stages)

    @jax.jit
    def run(variables: Any, stages: Any) -> Any:
        training, new = model.apply(
            variables, stages, labels=LABELS, train=True, center_rate=0.05, mutable=MUTABLE
        )
        return model.apply(variables, stages), training, new

    evaluation, training, new = run(variables, stages)
    parts = {"texture": stages["L2"], "attention": stages["L5"], "final": stages["final"]}
    for got, train in ((evaluation, False), (training, True)):
        want = reference.forward(parts, variables, recipe, train=train)
        for name, value in want.items():
            if name in ("texture_features", "pooled"):
                continue
            np.testing.assert_allclose(
                getattr(got, name), value, rtol=1e-3, atol=1e-3 * np.abs(value).max(), err_msg=name
            )
    want = reference_losses.update_centers(
        variables["feature_centers"]["centers"],
        want["region_features"],
        LABELS,
        0.05,
        real_only=recipe == "released",
    )
    np.testing.assert_allclose(training.centers, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(new["feature_centers"]["centers"], training.centers)
    assert evaluation.centers is None


@pytest.fixture(scope="module")
def paper() -> Any:
    model = tiny.tiny_model()
    return model, init_variables(model, 0), jax.jit(model.apply)


def test_evaluation_changes_nothing(paper: Any) -> None:
    """Neither the given variables nor, were they mutable, the collections."""
    model, variables, _ = paper
    before = jax.tree.map(np.copy, variables)

    @jax.jit
    def evaluate(variables: Any, x: Any) -> Any:
        _, new = model.apply(variables, x, labels=LABELS, train=False, mutable=MUTABLE)
        return new

    new = evaluate(variables, tiny.images(model, 4))
    jax.tree.map(np.testing.assert_array_equal, dict(new), {k: before[k] for k in MUTABLE})


def test_output_struct(paper: Any) -> None:
    model, variables, apply = paper
    out = apply(variables, tiny.images(model, 4))
    assert out.logits.shape == (4, 2) and out.logits.dtype == jnp.float32
    assert out.attention_maps.shape == (4, 4, 4, 4) and out.attention_maps.min() >= 0
    assert out.texture_matrix.shape == (4, 4, 4 * 8)
    assert out.global_feature.shape == (4, 320)
    assert out.region_features.shape == (4, 4, 8)
    assert out.centers is None and out.ams_centers is None


def test_training_without_labels_leaves_the_centers(paper: Any) -> None:
    model, variables, _ = paper

    def run(x: Any) -> Any:
        return model.apply(variables, x, train=True, mutable=MUTABLE, rngs=jax.random.key(0))

    out, new = jax.eval_shape(run, tiny.images(model, 2))
    assert out.centers is None and "batch_stats" in new


def test_init_variables_has_the_tree_of_model_init(paper: Any) -> None:
    model, variables, _ = paper
    x = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32)
    for options in ({}, {"train": True, "labels": np.array([0, 1])}):
        keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
        want = jax.eval_shape(lambda x, k=keys, o=options: model.init(k, x, **o), x)
        assert shapes(want) == shapes(variables)


def test_init_variables_is_a_function_of_the_seed(paper: Any) -> None:
    model, variables, _ = paper
    jax.tree.map(np.testing.assert_array_equal, variables, init_variables(model, 0))
    other = init_variables(model, 1)
    kernels = [
        (a, b)
        for a, b in zip(jax.tree.leaves(variables), jax.tree.leaves(other), strict=True)
        if a.ndim >= 2 and a.any()
    ]
    assert len(kernels) > 30 and not any(np.array_equal(a, b) for a, b in kernels)
    centers = variables["feature_centers"]["centers"]
    assert centers.shape == (4, 8) and centers.dtype == np.float32 and not centers.any()


def test_initial_kernels_have_their_scale() -> None:
    """√(2 / fan-out) of convolutions, √(2 / k²) of depthwise ones, √(1 / fan-in) of dense ones."""
    params = init_variables(create_model(backbone="efficientnet-b0", image_size=64), 0)["params"]
    block = params["features"]["block_12"]
    for kernel, variance in (
        (block["expand_conv"]["kernel"], 2 / 1152),
        (block["depthwise_conv"]["kernel"], 2 / 25),
        (params["texture"]["dense"]["conv1"]["kernel"], 2 / (9 * 24)),
        (params["head"]["local_1"]["kernel"], 1 / (4 * 96)),
    ):
        assert kernel.var() == pytest.approx(variance, rel=0.1)


def test_no_initialisation_moves_centers_or_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """`init` in training mode with labels; no backbone and NumPy's draws spare the compiler."""
    monkeypatch.setattr(
        VarianceScaling,
        "sample",
        lambda self, key, shape, dtype: jnp.asarray(random_leaf("kernel", shape)),
    )
    model, keys = tiny.stage_model("paper"), {"params": jax.random.key(0)}

    @jax.jit
    def run(x: Any) -> Any:
        variables = model.init(keys, x, labels=LABELS, train=True)
        return variables, model.apply(variables, x, labels=LABELS, train=True, mutable=MUTABLE)[1]

    variables, new = run(tiny.stage_features())
    np.testing.assert_array_equal(variables["feature_centers"]["centers"], 0)
    np.testing.assert_array_equal(variables["batch_stats"]["attention"]["project_bn"]["mean"], 0)
    assert np.abs(new["feature_centers"]["centers"]).max() > 1e-3


@pytest.mark.parametrize("stage", ["stem", "b0", *(f"L{i}" for i in range(1, 8)), "b2", "final"])
def test_any_efficientnet_stage_feeds_either_part(stage: Any) -> None:
    recipe = "released" if stage in ("b2", "final") else "paper"
    check_stage(tiny.tiny_model(recipe, texture_stage=stage), "texture")
    check_stage(tiny.tiny_model(recipe, attention_stage=stage), "attention")


@pytest.mark.parametrize("stage", ["b0", "stem", "L1", *(f"b{i}" for i in range(2, 13)), "final"])
def test_any_xception_stage_feeds_either_part(stage: Any) -> None:
    model = create_model(
        backbone="xception", image_size=75, texture_stage=stage, attention_stage=stage, mid_dims=4
    )
    check_stage(model, "both")


def check_stage(model: Any, part: Any) -> None:
    out = trace(model)
    assert out.logits.shape == (2, 2) and out.attention_maps.shape[-1] == 4
    height = out.attention_maps.shape[1]
    if part == "attention" and model.attention_stage in ("stem", "L1"):
        assert height == 32
    if part == "texture":
        assert height == 4


@pytest.mark.parametrize(
    ("fields", "maps", "texture", "regions"),
    [
        ({}, (24, 24, 4), (4, 128), (4, 32)),
        ({"recipe": "released"}, (23, 23, 4), (4, 32), (4, 32)),
        ({"recipe": "released", "texture_version": "v1"}, (23, 23, 4), (4, 128), (4, 32)),
        ({"padding": "nominal", "num_attentions": 1}, (23, 23, 1), (1, 128), (1, 32)),
        ({"backbone": "xception"}, (10, 10, 4), (4, 2912), (4, 728)),
    ],
    ids=str,
)
def test_shapes_at_full_size(fields: Any, maps: Any, texture: Any, regions: Any) -> None:
    model = create_model(**fields)
    assert model.image_size == (299 if model.backbone == "xception" else 380)
    out = trace(model)
    assert out.attention_maps.shape == (2, *maps)
    assert out.texture_matrix.shape == (2, *texture)
    assert out.region_features.shape == (2, *regions)
    assert out.global_feature.shape == (2, 2048 if model.backbone == "xception" else 1792)


def test_bfloat16_keeps_parameters_statistics_centers_and_logits_float32() -> None:
    model = tiny.tiny_model(dtype=jnp.bfloat16)

    def run(x: Any) -> Any:
        keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
        variables = model.init(keys, x)
        out, new = model.apply(variables, x, labels=LABELS, train=True, mutable=MUTABLE, rngs=keys)
        return variables, new, out

    variables, new, out = jax.eval_shape(run, tiny.images(model, 4))
    dtypes = {leaf.dtype for leaf in jax.tree.leaves((variables, new))}
    assert dtypes == {jnp.dtype("float32")}
    assert out.centers.dtype == out.logits.dtype == out.region_features.dtype == jnp.float32
    assert out.attention_maps.dtype == jnp.bfloat16


def test_dropout_is_of_whole_maps_with_one_mask_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Survivors are scaled by 1/(1 − p); V and the maps themselves are not dropped."""
    model = tiny.tiny_model(
        "released", dropout_rate=0.5, final_dropout_rate=0.0, stochastic_depth_rate=0.0
    )
    sums = []
    from matnet_jax.detectors.mat import network as module

    pool = module.weighted_average_pooling
    monkeypatch.setattr(
        module, "weighted_average_pooling", lambda f, a: (sums.append(a), pool(f, a))[1]
    )
    variables = init_variables(model, 0)

    @jax.jit
    def run(x: Any, key: Any) -> Any:
        sums.clear()
        out, _ = model.apply(variables, x, train=True, mutable=MUTABLE, rngs={"dropout": key})
        return out, sums[0]

    out, summed = run(tiny.images(model, 8), jax.random.key(0))
    norms = np.linalg.norm(out.texture_matrix, axis=-1)
    dropped = norms == 0
    assert 4 < dropped.sum() < 28
    np.testing.assert_allclose(norms[~dropped], 2, rtol=1e-5)
    want = (np.asarray(out.attention_maps) * np.where(dropped, 0, 2)[:, None, None]).sum(-1)
    np.testing.assert_allclose(summed[..., 0], want, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(out.region_features, axis=-1), 1, rtol=1e-5)
    assert (np.asarray(out.attention_maps).max((1, 2)) > 0).all()


def test_classifier_is_pooling_and_dense() -> None:
    model = tiny.tiny_classifier(dropout_rate=0.0)
    variables = random_variables(model, tiny.images(model, 2))
    x = tiny.images(model, 2)

    @jax.jit
    def run(variables: Any, x: Any) -> Any:
        return model.apply(variables, x), model.apply(variables, x, method="endpoints")["final"]

    out, final = run(variables, x)
    head = variables["params"]["head"]
    want = np.asarray(final).mean((1, 2)) @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(out.logits, want, rtol=1e-4, atol=1e-5)
    absent = (out.attention_maps, out.texture_matrix, out.region_features, out.centers)
    assert absent == (None,) * 4
    # Each place's part of the verdict; heat maps are what of it says fake.
    evidence = np.asarray(out.class_activation)
    margin = out.logits[:, 1] - out.logits[:, 0]
    np.testing.assert_allclose(evidence.mean((1, 2, 3)), margin, rtol=1e-4, atol=1e-5)
    heat = model.heatmaps(out)["class_activation"]
    np.testing.assert_array_equal(heat, np.maximum(evidence, 0))
    assert "feature_centers" not in init_variables(model, 0)


@pytest.mark.parametrize(
    ("fields", "rate"),
    [
        ({"backbone": "efficientnet-b0"}, 0.2),
        ({"backbone": "efficientnet-b3"}, 0.3),
        ({}, 0.0),
        ({"backbone": "efficientnet-b6"}, 0.5),
        ({"backbone": "xception"}, 0.0),
        ({"dropout_rate": 0.4}, 0.4),
    ],
    ids=str,
)
def test_dropout_of_the_classifier_is_its_backbones(fields: Any, rate: Any) -> None:
    assert create_classifier(**fields).bind({}).dropout.rate == rate


def test_dropout_of_the_classifier_acts_in_training_only() -> None:
    model = tiny.tiny_classifier(dropout_rate=0.5, stochastic_depth_rate=0.0)
    variables = init_variables(model, 0)
    x = tiny.images(model, 2)

    @jax.jit
    def run(variables: Any, x: Any) -> Any:
        keys = [{"dropout": jax.random.key(seed)} for seed in (0, 0, 1)]
        return [
            model.apply(variables, x, train=True, rngs=key, mutable=["batch_stats"])[0].logits
            for key in keys
        ], model.apply(variables, x).logits

    (first, again, other), _ = run(variables, x)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_preprocessing() -> None:
    model = create_model(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    got = model.preprocess.normalize(np.array([[0, 128, 255]], np.uint8))
    want = (np.array([0, 128, 255]) / 255 - model.mean) / model.std
    np.testing.assert_allclose(got[0], want, rtol=1e-5)
    default = create_model().preprocess
    assert default.image_size == 380
    np.testing.assert_allclose(default.normalize(np.array([0, 255, 255])), [-1, 1, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": "papper"}, "unknown recipe 'papper'; available: paper, released"),
        ({"mid_dim": 3}, "no field 'mid_dim'; did you mean 'mid_dims'.*Available: .*ams"),
        ({"qqq": 3}, "no field 'qqq' Available"),
        ({"texture_stage": "L8"}, "no stage 'L8'.*stem, L1"),
        ({"attention_stage": "b13", "backbone": "xception"}, "no stage 'b13'.*b0, b1"),
        ({"backbone": "efficientnet-b9"}, "unknown backbone 'efficientnet-b9'.*xception"),
        ({"padding": "valid"}, "padding must be one of same, nominal; got 'valid'"),
        ({"num_attentions": 0}, "num_attentions must be at least 1; got 0"),
        ({"attention_version": "relased"}, "must be one of paper, released; got 'relased'"),
        ({"dropout_rate": 2.0, "mid_dims": 0}, "mid_dims must be (?s:.*)dropout_rate must be"),
        ({"std": (0, 0, 0)}, "std must be three numbers above 0"),
        ({"image_size": 64.5}, "image_size must be a whole number; got 64.5"),
    ],
    ids=str,
)
def test_wrong_arguments(arguments: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        create_model(**arguments)


def test_lists_are_as_good_as_tuples() -> None:
    model = create_detector("meso4", mean=[0.5, 0.4, 0.3], std=np.ones(3), image_size=64)
    assert model.mean == (0.5, 0.4, 0.3) and hash(model)
    assert init_variables(model, 0)["params"]


@pytest.mark.parametrize("name", ["two_stream", "face_xray", "dsp_fwa"])
def test_classes_are_a_field_where_they_make_a_difference(name: str) -> None:
    with pytest.raises(ValueError, match="no field 'num_classes'"):
        create_detector(name, num_classes=5)


def test_wrong_classifier_arguments() -> None:
    with pytest.raises(ValueError, match="no field 'num_attentions'"):
        create_classifier("efficientnet-b0", num_attentions=4)
    with pytest.raises(ValueError, match="unknown backbone 'resnet'"):
        create_classifier("resnet")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 64, 64, 3), np.uint8), "normalised floats, not uint8.*preprocess"),
        (np.zeros((64, 64, 3), np.float32), r"must be \[B, H, W, 3\] RGB, not \[64, 64, 3\]"),
        (np.zeros((1, 3, 64, 64), np.float32), r"must be \[B, H, W, 3\] RGB"),
    ],
)
def test_wrong_images(paper: Any, images: Any, message: Any) -> None:
    model, variables, _ = paper
    with pytest.raises(ValueError, match=message):
        model.apply(variables, images)


@pytest.mark.parametrize("mutable", [False, MUTABLE])
def test_absent_centers_are_an_error(paper: Any, mutable: Any) -> None:
    model, variables, _ = paper
    partial = {k: v for k, v in variables.items() if k != "feature_centers"}
    with pytest.raises(ValueError, match="no collection 'feature_centers'"):
        model.apply(partial, tiny.images(model, 2), mutable=mutable)


def test_importing_the_model_loads_no_data_libraries() -> None:
    code = (
        "import sys, matnet_jax.model, matnet_jax.train.step; "
        "print(sorted({'tensorflow', 'cv2', 'data_pipeline', 'orbax', 'tensorflow_datasets'} "
        "& set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
