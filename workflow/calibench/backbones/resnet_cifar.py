"""ResNets for 32 px images (He et al. 2016, section 4.2): 16, 32 and 64 channels, global average pooling.

Depth 6n+2 has n basic blocks per stage (the paper's 20, 32, 44, 56, 110; 74 in Zhang et al. 2021). Depth 29 is not
6n+2 but 9n+2, with n = 3 bottleneck blocks per stage, as in He et al.'s second paper (arXiv 1603.05027, there
164 = 9·18+2). Depths 56, 74 and 110 fit both; here they have basic blocks, since Zhang et al. cite the first paper
and their 26.8 % error of ResNet-56 on CIFAR-100 is that of basic blocks.

Shortcuts that change the shape are 1×1 convolutions with batch norm (option B) in bottlenecks, and without
parameters (option A), as He et al. used on CIFAR, in basic blocks.
"""

from torch import Tensor, nn
from torch.nn import functional as F

DEPTHS = (8, 20, 29, 32, 44, 56, 74, 110)


class Pad(nn.Module):
    """Option A: every second pixel, zeros for the missing channels on both sides; no parameters."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.stride, self.extra = stride, channels_out - channels_in

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C_in, H, W) → (B, C_out, H/stride, W/stride)."""
        before = self.extra // 2
        return F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.extra - before))


def convolution(
    channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution without bias, initialised as in He et al. 2015 (fan out), and its batch norm."""
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return [conv, nn.BatchNorm2d(channels_out)]


class Block(nn.Module):
    """A residual block: two 3×3 convolutions, or 1×1, 3×3, 1×1 with four times the channels at the end."""

    def __init__(self, channels_in: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        out = 4 * width if bottleneck else width
        if bottleneck:
            middle = [nn.ReLU(inplace=True), *convolution(width, width, 3, stride), nn.ReLU(inplace=True)]
            self.residual = nn.Sequential(
                *convolution(channels_in, width, 1), *middle, *convolution(width, out, 1)
            )
        else:
            self.residual = nn.Sequential(
                *convolution(channels_in, width, 3, stride),
                nn.ReLU(inplace=True),
                *convolution(width, width, 3),
            )
        self.shortcut: nn.Module = nn.Identity()
        if channels_in != out or stride != 1:
            option_b = nn.Sequential(*convolution(channels_in, out, 1, stride))
            self.shortcut = option_b if bottleneck else Pad(channels_in, out, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps after the block."""
        return F.relu(self.residual(maps) + self.shortcut(maps), inplace=True)


class ResNetCifar(nn.Module):
    """Stem of 16 channels, three stages of ``blocks`` blocks, global average pooling, one linear layer."""

    def __init__(self, num_classes: int, blocks: int, bottleneck: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(*convolution(3, 16, 3), nn.ReLU(inplace=True))
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
