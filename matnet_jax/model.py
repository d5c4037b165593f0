"""MAT: the multi-attentional deepfake detection network, and its plain baseline.

    model = create_model("paper")
    variables = init_variables(model, seed=0)
    out = model.apply(variables, images, train=False)   # out.logits [B, 2]

Importing this module loads JAX, Flax and NumPy only.
"""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any, Literal

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from matnet_jax.backbones import VARIANTS, EfficientNet, Xception, native_size, resolve_stage
from matnet_jax.detectors.mat.attention import (
    AttentionModule,
    bilinear_attention_pooling,
    standardize,
    weighted_average_pooling,
)
from matnet_jax.detectors.mat.centers import update_centers
from matnet_jax.detectors.mat.head import EnsembleHead
from matnet_jax.detectors.mat.losses import RILVersion
from matnet_jax.detectors.mat.recipes import RECIPES
from matnet_jax.detectors.mat.texture import TextureBlock, TextureVersion
from matnet_jax.nn.initializers import initial_value, kernel_init
from matnet_jax.nn.layers import Dense


@flax.struct.dataclass
class MATOutput:
    """What one forward pass gives. A plain classifier has logits and global_feature only.

    Attributes:
      logits: [B, num_classes] float32; class 1 is fake.
      attention_maps: A, [B, h, w, M], not negative.
      texture_matrix: P, [B, M, C_F].
      global_feature: G, [B, C].
      region_features: V, [B, M, N].
      centers: c^t, [M, N], with its gradient; None unless training with labels.
      ams_centers: learned class centers of the AMS loss, [M, N]; None without them.
    """

    logits: jax.Array
    attention_maps: jax.Array | None = None
    texture_matrix: jax.Array | None = None
    global_feature: jax.Array | None = None
    region_features: jax.Array | None = None
    centers: jax.Array | None = None
    ams_centers: jax.Array | None = None


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """How pixels become the network's input: resize to image_size, /255, minus mean, over std."""

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def normalize(self, pixels_0_255: jax.Array) -> jax.Array:
        """uint8 RGB [..., 3] -> float32."""
        mean, std = (jnp.asarray(v, jnp.float32) for v in (self.mean, self.std))
        return (pixels_0_255.astype(jnp.float32) / 255.0 - mean) / std


class BackboneNetwork(nn.Module):
    """Fields and checks that MAT and the plain classifier share.

    Attributes:
      backbone: "efficientnet-b0" … "efficientnet-b7" or "xception".
      num_classes: logits.
      image_size: side in pixels that images are prepared at; any larger or smaller runs too.
      dtype: of computation; parameters, statistics, centers and losses stay float32.
      padding: "same", or "nominal" as the released code pads (EfficientNet only).
      nominal_size: image size that "nominal" computes with; None for the backbone's native one.
      width_coefficient, depth_coefficient: EfficientNet's scaling; None for the variant's own.
      stochastic_depth_rate: of the last EfficientNet block; earlier ones less, linearly.
      batch_norm_momentum, batch_norm_epsilon: the backbone's; None for its own.
      bn_group_size: images that share batch statistics, in the whole network; None for all of the
        global batch. Groups within a device are not exchanged between devices.
      same_max_pool: Xception's max-pools padded as Keras pads them.
      remat: the backbone's blocks are computed again in the backward pass, instead of kept.
      mean, std: of pixels in [0, 1], for `preprocess`.
    """

    backbone: str = "efficientnet-b4"
    num_classes: int = 2
    image_size: int = 380
    dtype: jnp.dtype = jnp.float32
    padding: Literal["same", "nominal"] = "same"
    nominal_size: int | None = None
    width_coefficient: float | None = None
    depth_coefficient: float | None = None
    stochastic_depth_rate: float = 0.2
    batch_norm_momentum: float | None = None
    batch_norm_epsilon: float | None = None
    bn_group_size: int | None = None
    same_max_pool: bool = False
    remat: bool = False
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    @property
    def preprocess(self) -> Preprocess:
        """How images are made ready for this model."""
        return Preprocess(self.image_size, self.mean, self.std)

    def make_backbone(self) -> EfficientNet | Xception:
        """The feature extractor that the fields describe.

        Raises:
          ValueError: an unknown backbone or padding.
        """
        native = native_size(self.backbone)
        if self.padding not in ("same", "nominal"):
            raise ValueError(f"unknown padding '{self.padding}'; available: same, nominal")
        # Without a parent the backbone can be asked for its channels; `setup` adopts it.
        fields: dict[str, Any] = {
            "dtype": self.dtype,
            "bn_group_size": self.bn_group_size,
            "remat": self.remat,
            "parent": None,
        }
        if self.batch_norm_momentum is not None:
            fields["bn_momentum"] = self.batch_norm_momentum
        if self.batch_norm_epsilon is not None:
            fields["bn_epsilon"] = self.batch_norm_epsilon
        if self.backbone == "xception":
            return Xception(same_max_pool=self.same_max_pool, **fields)
        variant = VARIANTS[self.backbone]
        return EfficientNet(
            width=self.width_coefficient or variant.width,
            depth=self.depth_coefficient or variant.depth,
            nominal_size=(self.nominal_size or native) if self.padding == "nominal" else None,
            stochastic_depth_rate=self.stochastic_depth_rate,
            **fields,
        )

    def check_images(self, images: jax.Array) -> None:
        """Raises ValueError unless images are [B, H, W, 3] floats."""
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"images must be [B, H, W, 3] RGB, not {list(images.shape)}")
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise ValueError(
                f"images must be normalised floats, not {images.dtype}: pass uint8 pixels through "
                "model.preprocess.normalize first"
            )

    def endpoints(self, images: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Every stage of the backbone by name: {"stem": [B, h, w, C], …}."""
        self.check_images(images)
        return self.features(images, train)


class MAT(BackboneNetwork):
    """Multi-attentional network (figure 2 of the paper): wiring only.

    Attributes (besides `BackboneNetwork`'s):
      texture_stage, attention_stage: SL_t and SL_a by the paper's names ("L2"), the code's ("b2")
        or "final".
      num_attentions: M.
      attention_version: see `AttentionModule`.
      texture_version: see `TextureBlock`.
      ril_version: which centers' update; "v2" moves them by real samples only.
      global_pooling: G by "bap" (L2-normalised) or as a "weighted" average.
      standardize_pooled: D is standardised a sample and channel before V.
      mid_dims: width of the classifier.
      dropout_rate: of whole attention maps; one mask for A_sum and P.
      final_dropout_rate: of G.
      ams: adds the learned class centers of the AMS loss.
    """

    texture_stage: str = "L2"
    attention_stage: str = "L5"
    num_attentions: int = 4
    attention_version: Literal["paper", "released"] = "paper"
    texture_version: TextureVersion = "paper"
    ril_version: RILVersion = "paper"
    global_pooling: Literal["bap", "weighted"] = "bap"
    standardize_pooled: bool = False
    mid_dims: int = 256
    dropout_rate: float = 0.0
    final_dropout_rate: float = 0.0
    ams: bool = False

    def setup(self) -> None:
        self.features = self.make_backbone()
        channels = self.features.endpoint_channels
        self._texture_stage = resolve_stage(self.texture_stage, channels)
        self._attention_stage = resolve_stage(self.attention_stage, channels)
        numerics = (self.dtype, self.bn_group_size)
        self.attention = AttentionModule(self.num_attentions, self.attention_version, *numerics)
        self.texture = TextureBlock(self.texture_version, *numerics)
        self.head = EnsembleHead(self.num_classes, self.mid_dims, self.dtype)
        region_shape = (self.num_attentions, channels[self._texture_stage])
        if not self.is_initializing() and not self.has_variable("feature_centers", "centers"):
            # A mutable collection that is absent would silently start again from zeros.
            raise ValueError(
                "variables hold no collection 'feature_centers': pass what init_variables or a "
                "checkpoint gives, with 'params', 'batch_stats' and 'feature_centers'"
            )
        self.centers = self.variable(
            "feature_centers", "centers", jnp.zeros, region_shape, jnp.float32
        )
        if self.ams:
            self.ams_centers = ClassCenters(region_shape)

    def __call__(
        self,
        images: jax.Array,
        *,
        labels: jax.Array | None = None,
        train: bool = False,
        center_rate: jax.Array | float = 0.05,
    ) -> MATOutput:
        """Runs the network.

        Args:
          images: [B, H, W, 3] RGB, normalised floats.
          labels: [B], 0 real, 1 fake; in training they move the feature centers. Without them, or
            where the collection is not mutable, the stored centers stay.
          train: batch statistics instead of running ones, dropout and stochastic depth on.
          center_rate: α of eq. 4.

        Raises:
          ValueError: images of another shape or type, or variables without feature centers.
        """
        stages = self.endpoints(images, train=train)
        maps = self.attention(stages[self._attention_stage], train)
        texture = self.texture(stages[self._texture_stage], maps, train)
        pooled = standardize(texture.pooled) if self.standardize_pooled else texture.pooled
        region_features = bilinear_attention_pooling(pooled, maps)

        keep_maps = self._keep_maps(maps.shape[0], train)
        matrix = bilinear_attention_pooling(texture.features, maps) * keep_maps[:, :, None]
        summed = jnp.sum(maps * keep_maps[:, None, None, :].astype(maps.dtype), -1, keepdims=True)
        pooling = (
            weighted_average_pooling
            if self.global_pooling == "weighted"
            else bilinear_attention_pooling
        )
        global_feature = pooling(stages["final"], summed)[:, 0]
        if train and self.final_dropout_rate > 0:
            global_feature = self._dropout(global_feature, self.final_dropout_rate)
        return MATOutput(
            logits=self.head(matrix, global_feature),
            attention_maps=maps,
            texture_matrix=matrix,
            global_feature=global_feature,
            region_features=region_features,
            centers=self._move_centers(region_features, labels, center_rate) if train else None,
            ams_centers=self.ams_centers() if self.ams else None,
        )

    def _keep_maps(self, batch: int, train: bool) -> jax.Array:
        """[B, M] float32: 1, or a dropout mask over whole maps with survivors scaled."""
        ones = jnp.ones((batch, self.num_attentions), jnp.float32)
        return self._dropout(ones, self.dropout_rate) if train and self.dropout_rate > 0 else ones

    def _dropout(self, x: jax.Array, rate: float) -> jax.Array:
        keep = jax.random.bernoulli(self.make_rng("dropout"), 1.0 - rate, x.shape)
        return jnp.where(keep, x / (1.0 - rate), 0.0)

    def _move_centers(self, region_features, labels, rate) -> jax.Array | None:
        if labels is None:
            return None
        centers = update_centers(
            self.centers.value,
            region_features,
            labels,
            rate,
            real_only=self.ril_version == "v2",
        )
        if not self.is_initializing() and self.is_mutable_collection("feature_centers"):
            self.centers.value = lax.stop_gradient(centers)
        return centers


class ClassCenters(nn.Module):
    """Learned [M, N] vectors, one a class."""

    shape: tuple[int, int]

    @nn.compact
    def __call__(self) -> jax.Array:
        return self.param("kernel", kernel_init, self.shape)


class PlainClassifier(BackboneNetwork):
    """The paper's baseline: backbone, global average pooling, dropout, dense.

    Attributes (besides `BackboneNetwork`'s):
      dropout_rate: before the dense layer; None for the backbone's own.
    """

    dropout_rate: float | None = None

    def setup(self) -> None:
        self.features = self.make_backbone()
        self.head = Dense(self.num_classes, self.dtype)
        rate = self.dropout_rate
        if rate is None:
            is_xception = self.backbone == "xception"
            rate = 0.0 if is_xception else VARIANTS[self.backbone].classifier_dropout
        self.dropout = nn.Dropout(rate)

    def __call__(
        self,
        images: jax.Array,
        *,
        labels: jax.Array | None = None,
        train: bool = False,
        center_rate: jax.Array | float = 0.05,
    ) -> MATOutput:
        """Runs the network; takes MAT's arguments so that one trainer serves both."""
        del labels, center_rate
        pooled = jnp.mean(self.endpoints(images, train=train)["final"].astype(jnp.float32), (1, 2))
        features = self.dropout(pooled, deterministic=not train)
        return MATOutput(logits=self.head(features).astype(jnp.float32), global_feature=pooled)


def create_model(
    recipe: str = "paper",
    *,
    backbone: str = "efficientnet-b4",
    texture_stage: str | None = None,
    attention_stage: str | None = None,
    num_attentions: int = 4,
    num_classes: int = 2,
    image_size: int | None = None,
    dtype: jnp.dtype = jnp.float32,
    **overrides: Any,
) -> MAT:
    """Creates MAT.

    Args:
      recipe: "paper" (what its text says) or "released" (what the authors' code does).
      backbone: see `BackboneNetwork`.
      texture_stage, attention_stage: by default L2 and L5, on Xception b3 and final.
      num_attentions: M.
      num_classes: logits.
      image_size: pixels; by default 380, on Xception 299.
      dtype: of computation.
      **overrides: any other field of `MAT`, in place of the recipe's value.

    Raises:
      ValueError: an unknown recipe, backbone, stage or override, or a value out of range; the
        message lists what there is.
    """
    if recipe not in RECIPES:
        raise ValueError(f"unknown recipe '{recipe}'; available: {', '.join(RECIPES)}")
    is_xception = backbone == "xception"
    if num_attentions < 1:
        raise ValueError(f"num_attentions must be at least 1, not {num_attentions}")
    fields = {
        "backbone": backbone,
        "texture_stage": texture_stage or ("b3" if is_xception else "L2"),
        "attention_stage": attention_stage or ("final" if is_xception else "L5"),
        "num_attentions": num_attentions,
        "num_classes": num_classes,
        "image_size": image_size or (299 if is_xception else 380),
        "dtype": dtype,
    }
    model = _build(MAT, fields, RECIPES[recipe], overrides)
    channels = model.make_backbone().endpoint_channels
    for stage in (model.texture_stage, model.attention_stage):
        resolve_stage(stage, channels)
    return model


def create_classifier(
    backbone: str = "efficientnet-b4",
    *,
    num_classes: int = 2,
    image_size: int | None = None,
    dtype: jnp.dtype = jnp.float32,
    **overrides: Any,
) -> PlainClassifier:
    """Creates the plain baseline: same call and output struct as MAT.

    Arguments and errors as in `create_model`.
    """
    fields = {
        "backbone": backbone,
        "num_classes": num_classes,
        "image_size": image_size or (299 if backbone == "xception" else 380),
        "dtype": dtype,
    }
    model = _build(PlainClassifier, fields, {}, overrides)
    model.make_backbone()
    return model


def _build(kind, fields: dict[str, Any], recipe: dict[str, Any], overrides: dict[str, Any]):
    known = {f.name for f in dataclasses.fields(kind)} - {"parent", "name"}
    for name in overrides:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise ValueError(
                f"{kind.__name__} has no field '{name}'{hint} Available: {', '.join(sorted(known))}"
            )
    return kind(**(fields | recipe | overrides))


def abstract_variables(model: MAT | PlainClassifier) -> dict[str, Any]:
    """Shapes and dtypes of a model's variables, from a trace that computes and compiles nothing.

    Returns:
      {"params", "batch_stats", "feature_centers"} of `jax.ShapeDtypeStruct`.
    """
    images = jax.ShapeDtypeStruct((1, model.image_size, model.image_size, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), images)
    return {"feature_centers": {}, **variables}


def init_variables(model: MAT | PlainClassifier, seed: int) -> dict[str, Any]:
    """Initial variables, deterministic by seed, without compiling the network.

    Shapes come from an abstract trace, values from `matnet_jax.nn.initializers`, leaf by leaf.

    Returns:
      {"params", "batch_stats", "feature_centers"} of float32 NumPy arrays;
      variables["feature_centers"]["centers"] is [M, N] zeros (the classifier has none).
    """

    def value(path, leaf) -> np.ndarray:
        return initial_value("/".join(k.key for k in path), leaf.shape, leaf.dtype, seed)

    return jax.tree_util.tree_map_with_path(value, abstract_variables(model))
