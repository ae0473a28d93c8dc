"""ResNets for 32 px images (He et al. 2016, section 4.2): 16, 32 and 64 channels, global average pooling.

Depth 6n+2 is made of n basic blocks a stage (the paper's 20, 32, 44, 56, 110; 74 in Zhang et al. 2021). Depth 29 is
no 6n+2; it is 9n+2 with n = 3 bottleneck blocks a stage, as in He et al.'s second paper (arXiv 1603.05027, there
164 = 9·18+2). Depths 56, 74 and 110 are both: they are basic here, since Zhang et al. cite the first paper and their
26.8 % error of ResNet-56 on CIFAR-100 is that of basic blocks.

Shortcuts that change the shape are 1×1 convolutions with batch norm (option B), for bottlenecks from the first
stage on; He et al. used option A (no parameters) on CIFAR, which is the default of ``resnet`` for basic blocks.
"""

from torch import Tensor, nn
from torch.nn import functional as F

DEPTHS = (20, 29, 32, 44, 56, 74, 110)


class Pad(nn.Module):
    """Option A: every second pixel, missing channels are zeros on both sides; no parameters."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.stride, self.extra = stride, channels_out - channels_in

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C_in, H, W) → (B, C_out, H/stride, W/stride)."""
        before = self.extra // 2
        return F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.extra - before))


def _conv(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return [convolution, nn.BatchNorm2d(channels_out)]


class Block(nn.Module):
    """A residual block: two 3×3 convolutions, or 1×1, 3×3, 1×1 with four times the channels at its end."""

    def __init__(self, channels_in: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        out = 4 * width if bottleneck else width
        if bottleneck:
            middle = [nn.ReLU(inplace=True), *_conv(width, width, 3, stride), nn.ReLU(inplace=True)]
            self.residual = nn.Sequential(*_conv(channels_in, width, 1), *middle, *_conv(width, out, 1))
        else:
            self.residual = nn.Sequential(
                *_conv(channels_in, width, 3, stride), nn.ReLU(inplace=True), *_conv(width, width, 3)
            )
        self.shortcut: nn.Module = nn.Identity()
        if channels_in != out or stride != 1:
            option_b = nn.Sequential(*_conv(channels_in, out, 1, stride))
            self.shortcut = option_b if bottleneck else Pad(channels_in, out, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps after the block."""
        return F.relu(self.residual(maps) + self.shortcut(maps), inplace=True)


class ResNetCifar(nn.Module):
    """Stem of 16 channels, three stages, global average pooling, one linear layer.

    Args:
        num_classes: K.
        blocks: blocks per stage, n.
        bottleneck: which kind of block.
    """

    def __init__(self, num_classes: int, blocks: int, bottleneck: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv(3, 16, 3), nn.ReLU(inplace=True))
        layers, channels = [], 16
        for stage, width in enumerate((16, 32, 64)):
            for i in range(blocks):
                layers.append(Block(channels, width, 2 if stage and not i else 1, bottleneck))
                channels = 4 * width if bottleneck else width
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 3, H, W)."""
        return self.fc(self.features(self.stem(images)).mean(dim=(2, 3)))


def resnet(depth: int, num_classes: int) -> ResNetCifar:
    """The CIFAR ResNet of a depth of :data:`DEPTHS`."""
    bottleneck = (depth - 2) % 6 != 0
    return ResNetCifar(num_classes, (depth - 2) // (9 if bottleneck else 6), bottleneck)
