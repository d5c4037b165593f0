"""The multi-attentional network (figure 2 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from matnet_jax.backbones import find_backbone, resolve_stage
from matnet_jax.detectors import fine_map as fine_map_lib
from matnet_jax.detectors.backboned import BackboneDetector, known_options
from matnet_jax.detectors.base import build
from matnet_jax.detectors.fields import COUNT, RATE, Derived, NumClasses
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
from matnet_jax.detectors.output import MATOutput
from matnet_jax.nn.initializers import DENSE, ZEROS, Init
from matnet_jax.nn.layers import Dense


class MAT(BackboneDetector):
    """Multi-attentional network (figure 2 of the paper): wiring only.

    Attributes:
      texture_stage: SL_t by the paper's name ("L2"), the code's ("b2") or "final".
      attention_stage: SL_a, likewise.
      num_attentions: M.
      attention_version: see `AttentionModule`.
      texture_version: see `TextureBlock`.
      texture_dims: channels that features are brought to before the texture block, whose size grows
        with their square; None: as the stage has them.
      texture_pool: times that D is coarser than the attention maps. A transformer's stages are all
        of one size: only from 2 on is there a residual of them.
      ril_version: which centers' update; "v2" moves them by real samples only.
      global_pooling: G by "bap" (L2-normalised) or as a "weighted" average.
      standardize_pooled: D is standardised a sample and channel before V.
      mid_dims: width of the classifier.
      dropout_rate: of whole attention maps; one mask for A_sum and P.
      final_dropout_rate: of G.
      num_classes: logits.
      ams: adds the learned class centers of the AMS loss.
      boundary_stage: that a fine map is made of, "" for the backbone's own; None for no map.
    """

    texture_stage: str = "L2"
    attention_stage: str = "L5"
    num_attentions: Annotated[int, COUNT] = 4
    attention_version: Literal["paper", "released"] = "paper"
    texture_version: TextureVersion = "paper"
    texture_dims: Annotated[int | None, COUNT] = None
    texture_pool: Annotated[int, COUNT] = 1
    ril_version: RILVersion = "paper"
    global_pooling: Literal["bap", "weighted"] = "bap"
    standardize_pooled: bool = False
    mid_dims: Annotated[int, COUNT] = 256
    dropout_rate: Annotated[float, RATE] = 0.0
    final_dropout_rate: Annotated[float, RATE] = 0.0
    num_classes: NumClasses = 2
    ams: Annotated[bool, Derived("config.losses.auxiliary")] = False
    boundary_stage: Annotated[str | None, Derived("config.fine_map")] = None

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return (
            f"MAT on {self.backbone} (M = {self.num_attentions}, texture {self.texture_stage} "
            f"{self.texture_version}, attention {self.attention_stage} {self.attention_version})"
        )

    def setup(self) -> None:
        """Makes the submodules."""
        self.features = self.make_backbone()
        channels = self.features.endpoint_channels
        self._texture_stage = resolve_stage(self.texture_stage, channels)
        self._attention_stage = resolve_stage(self.attention_stage, channels)
        numerics = (self.dtype, self.bn_group_size)
        self.attention = AttentionModule(self.num_attentions, self.attention_version, *numerics)
        self.texture = TextureBlock(self.texture_version, *numerics, self.texture_pool)
        if self.texture_dims is not None:
            self.texture_project = Dense(self.texture_dims, self.dtype)
        self.head = EnsembleHead(self.num_classes, self.mid_dims, self.dtype)
        self.boundary = fine_map_lib.make_head(
            self.boundary_stage, self.backbone, channels, self.dtype
        )
        dims = self.texture_dims or channels[self._texture_stage]
        region_shape = (self.num_attentions, dims)
        if not self.is_initializing() and not self.has_variable("feature_centers", "centers"):
            # A mutable collection that is absent would silently start again from zeros.
            raise ValueError(
                "variables hold no collection 'feature_centers': pass what init_variables or a "
                "checkpoint gives, with 'params', 'batch_stats' and 'feature_centers'"
            )
        self.centers = self.variable("feature_centers", "centers", ZEROS, None, region_shape)
        if self.ams:
            self.ams_centers = ClassCenters(region_shape)

    def __call__(
        self,
        images: jax.Array,
        *,
        labels: jax.Array | None = None,
        train: bool = False,
        center_rate: jax.Array | float = 0.05,
        weight: jax.Array | None = None,
    ) -> MATOutput:
        """Runs the network.

        Args:
          images: [B, H, W, 3] RGB, normalised floats.
          labels: [B], 0 real, 1 fake; in training they move the feature centers. Without them, or
            where the collection is not mutable, the stored centers stay.
          train: batch statistics instead of running ones, dropout and stochastic depth on.
          center_rate: α of eq. 4.
          weight: [B], 0 for examples that neither batch statistics nor centers see; None for all.

        Raises:
          ValueError: images of another shape or type, or variables without feature centers.
        """
        stages = self.endpoints(images, train=train, weight=weight)
        maps = self.attention(stages[self._attention_stage], train, weight)
        shallow = stages[self._texture_stage]
        if self.texture_dims is not None:
            shallow = self.texture_project(shallow)
        texture = self.texture(shallow, maps, train, weight)
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
        logits = self.head(matrix, global_feature)
        centers = None
        if train and labels is not None:
            centers = self._move_centers(region_features, labels, center_rate, weight)
        ams_centers = self.ams_centers() if self.ams else None
        return MATOutput(
            logits=logits,
            attention_maps=maps,
            texture_matrix=matrix,
            global_feature=global_feature,
            region_features=region_features,
            centers=centers,
            ams_centers=ams_centers if train else None,
            boundary_logits=None if self.boundary is None else self.boundary(stages),
        )

    def heatmaps(self, out: Any) -> dict[str, jax.Array]:
        """The attention maps, and the fine map if there is one."""
        return {"attention_maps": out["attention_maps"], **fine_map_lib.heatmap(out)}

    def watch(self, variables: Mapping[str, Any]) -> dict[str, float | None]:
        """``center_distance``: the mean distance between two feature centers; None for one."""
        centers = jax.device_get(variables["feature_centers"]["centers"])
        if len(centers) < 2:
            return {"center_distance": None}
        apart = np.linalg.norm(centers[:, None] - centers[None], axis=-1)
        return {"center_distance": float(apart[np.triu_indices(len(centers), 1)].mean())}

    def _keep_maps(self, batch: int, train: bool) -> jax.Array:
        """[B, M] float32: 1, or a dropout mask over whole maps with survivors scaled."""
        ones = jnp.ones((batch, self.num_attentions), jnp.float32)
        return self._dropout(ones, self.dropout_rate) if train and self.dropout_rate > 0 else ones

    def _dropout(self, x: jax.Array, rate: float) -> jax.Array:
        keep = jax.random.bernoulli(self.make_rng("dropout"), 1.0 - rate, x.shape)
        return jnp.where(keep, x / (1.0 - rate), 0.0)

    def _move_centers(
        self,
        region_features: jax.Array,
        labels: jax.Array,
        rate: jax.Array | float,
        weight: jax.Array | None,
    ) -> jax.Array:
        centers = update_centers(
            self.centers.value,
            region_features,
            labels,
            rate,
            real_only=self.ril_version == "v2",
            weight=weight,
        )
        if not self.is_initializing() and self.is_mutable_collection("feature_centers"):
            self.centers.value = lax.stop_gradient(centers)
        return centers


class ClassCenters(nn.Module):
    """Learned [M, N] vectors, one a class."""

    shape: tuple[int, int]
    kernel_init: Init = DENSE  # a center is a direction: any scale would do

    @nn.compact
    def __call__(self) -> jax.Array:
        """See the class."""
        return self.param("kernel", self.kernel_init, self.shape)


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
      backbone: see `BackboneDetector`.
      texture_stage, attention_stage: by default the backbone's own: L2 and L5 on EfficientNets, b3
        and final on Xception, L1 and L3 on ConvNeXts, block6 and block18 on large transformers.
      num_attentions: M.
      num_classes: logits.
      image_size: pixels; by default the backbone's: 380, on Xception 299, on ConvNeXts 224.
      dtype: of computation.
      **overrides: any other field of `MAT`, in place of the recipe's value.

    Raises:
      ValueError: an unknown recipe, backbone, stage or override, or a value out of range; the
        message lists what there is.
    """
    if recipe not in RECIPES:
        raise ValueError(f"unknown recipe '{recipe}'; available: {', '.join(RECIPES)}")
    entry = find_backbone(backbone)
    fields = {
        "backbone": backbone,
        "texture_stage": texture_stage or entry.texture_stage,
        "attention_stage": attention_stage or entry.attention_stage,
        "num_attentions": num_attentions,
        "num_classes": num_classes,
        "image_size": image_size or entry.image_size,
        "dtype": dtype,
    }
    model = build(MAT, fields, known_options(backbone, RECIPES[recipe]), overrides)
    channels = model.make_backbone().endpoint_channels
    for stage in (model.texture_stage, model.attention_stage):
        resolve_stage(stage, channels)
    fine_map_lib.make_head(model.boundary_stage, backbone, channels, dtype)  # or says what is wrong
    return model
