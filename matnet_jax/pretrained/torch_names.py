"""Names of the authors' PyTorch checkpoints, as ordered renaming rules to our module paths.

A rule is a pattern for the whole module path (the key less its last name) and our path. The
EfficientNet names are those of `efficientnet_pytorch`, the Xception names those of Cadene's port.
"""

from __future__ import annotations

import re

Rule = tuple[str, str]

EFFICIENTNET: tuple[Rule, ...] = (
    (r"_conv_stem", "stem_conv"),
    (r"_bn0", "stem_bn"),
    (r"_blocks\.(\d+)\._expand_conv", r"block_\1/expand_conv"),
    (r"_blocks\.(\d+)\._bn0", r"block_\1/expand_bn"),
    (r"_blocks\.(\d+)\._depthwise_conv", r"block_\1/depthwise_conv"),
    (r"_blocks\.(\d+)\._bn1", r"block_\1/depthwise_bn"),
    (r"_blocks\.(\d+)\._se_reduce", r"block_\1/se/reduce"),
    (r"_blocks\.(\d+)\._se_expand", r"block_\1/se/expand"),
    (r"_blocks\.(\d+)\._project_conv", r"block_\1/project_conv"),
    (r"_blocks\.(\d+)\._bn2", r"block_\1/project_bn"),
    (r"_conv_head", "head_conv"),
    (r"_bn1", "head_bn"),
)

# The layers of a block are numbered in its Sequential: one separable convolution and one batch
# norm to every three entries, whether a ReLU comes first or not.
_XCEPTION_REPEATS: tuple[Rule, ...] = tuple(
    rule
    for j in range(9)
    for rule in (
        (rf"block(\d+)\.rep\.{j}\.conv1", rf"block\1/conv_{j // 3}/depthwise"),
        (rf"block(\d+)\.rep\.{j}\.pointwise", rf"block\1/conv_{j // 3}/pointwise"),
        (rf"block(\d+)\.rep\.{j}", rf"block\1/bn_{j // 3}"),
    )
)
XCEPTION: tuple[Rule, ...] = (
    (r"(conv[12]|bn[1-4])", r"\1"),
    (r"(conv[34])\.conv1", r"\1/depthwise"),
    (r"(conv[34])\.pointwise", r"\1/pointwise"),
    (r"block(\d+)\.skip", r"block\1/skip_conv"),
    (r"block(\d+)\.skipbn", r"block\1/skip_bn"),
    *_XCEPTION_REPEATS,
)

MAT_PARTS: tuple[Rule, ...] = (
    (r"attentions\.conv_extract", "attention/extract_conv"),
    (r"attentions\.bn1", "attention/extract_bn"),
    (r"attentions\.conv2", "attention/project_conv"),
    (r"attentions\.bn2", "attention/project_bn"),
    (r"texture_enhance\.conv_extract", "texture/extract_conv"),
    (r"texture_enhance\.conv0", "texture/input_conv"),
    (r"texture_enhance\.(conv|bn)([123])", r"texture/dense/\1\2"),
    (r"texture_enhance\.bn4", "texture/dense_bn"),
    (r"texture_enhance\.conv_last", "texture/output_conv"),
    (r"texture_enhance\.bn_last", "texture/output_bn"),
    (r"projection_local\.0", "head/local_1"),
    (r"projection_local\.2", "head/local_2"),
    (r"project_final", "head/global"),
    (r"ensemble_classifier_fc\.0", "head/ensemble"),
    (r"ensemble_classifier_fc\.2", "head/logits"),
)

CLASSIFIER_HEAD: tuple[Rule, ...] = ((r"(_fc|last_linear|fc)", "head"),)


def rename(module: str, rules: tuple[Rule, ...]) -> str | None:
    """Our path of a PyTorch module path, or None where no rule knows it."""
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, module)
        if match:
            return match.expand(replacement)
    return None
