"""Adaptive average pooling with a deterministic backward pass on a GPU."""

import torch
from torch import Tensor, nn


class FixedPool(nn.AdaptiveAvgPool2d):
    """``nn.AdaptiveAvgPool2d``, whose backward pass is not deterministic on CUDA (pytorch issue 50198).

    Does nothing if the map has the output size already, as in VGG at 224 px. For other sizes torch's own kernel on
    the CPU, and on other devices the same means bin by bin, with a deterministic backward pass.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, h, w) of any size to (B, C, H, W)."""
        size = self.output_size if isinstance(self.output_size, tuple) else (self.output_size,) * 2
        if maps.shape[-2:] == size:
            return maps
        if maps.device.type == "cpu":
            return super().forward(maps)
        pooled = _means(_means(maps.float(), -2, size[0]), -1, size[1])
        return pooled.to(maps.dtype)


def _means(maps: Tensor, dim: int, size: int) -> Tensor:
    """Means of torch's adaptive bins along one dimension of length n: from floor(i·n/m) to ceil((i+1)·n/m)."""
    n = maps.shape[dim]
    bins = [(i * n // size, -((-(i + 1) * n) // size)) for i in range(size)]
    return torch.stack([maps.narrow(dim, a, b - a).mean(dim) for a, b in bins], dim)


def make_deterministic(network: nn.Module) -> None:
    """Replace adaptive average pooling to more than one pixel (to one pixel it is a mean) in a network."""
    for parent in list(network.modules()):
        for name, module in parent.named_children():
            if type(module) is nn.AdaptiveAvgPool2d and module.output_size not in (1, (1, 1)):
                setattr(parent, name, FixedPool(module.output_size))
