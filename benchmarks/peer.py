"""The PyTorch peer of the backbone alone: `efficientnet_pytorch`, channels-last.

On a GPU in bfloat16. The whole network's peer is `benchmarks.torch_mat`.
"""

from __future__ import annotations

from collections.abc import Callable


def peer_passes(
    backbone: str, batch_size: int, image_size: int, *, compiled: bool
) -> tuple[Callable[[], None], Callable[[], None]]:
    """One forward pass, and one forward and backward, of random weights on random images.

    Args:
      compiled: by `torch.compile`, which on a CPU needs a C++ compiler.
    """
    import numpy as np
    import torch
    from efficientnet_pytorch import EfficientNet

    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    model = EfficientNet.from_name(backbone, num_classes=2).to(device)
    model = model.to(memory_format=torch.channels_last)
    shape = (batch_size, 3, image_size, image_size)
    pixels = torch.from_numpy(np.random.default_rng(0).standard_normal(shape, np.float32))
    pixels = pixels.to(device, memory_format=torch.channels_last)
    model.set_swish(memory_efficient=not compiled)  # its own autograd function stops the compiler
    network = torch.compile(model) if compiled else model
    half = torch.autocast(device, torch.bfloat16, enabled=on_gpu)

    def forward() -> None:
        model.eval()
        with torch.inference_mode(), half:
            network(pixels).sum().item()  # waits for the device

    def backward() -> None:
        model.train()
        model.zero_grad(set_to_none=True)
        with half:
            loss = network(pixels).square().mean()
        loss.backward()
        loss.item()

    return forward, backward
