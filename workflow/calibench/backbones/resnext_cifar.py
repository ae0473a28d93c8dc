"""ResNeXt-29 for 32 px images (Xie et al. 2017, section 5.2)."""

from torch import Tensor, nn
from torch.nn import functional as F

from calibench.backbones.resnet_cifar import convolution


class Block(nn.Module):
    """1×1, grouped 3×3, 1×1, with a 1×1 shortcut where the shape changes."""

    def __init__(self, channels_in: int, inner: int, out: int, stride: int, groups: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *convolution(channels_in, inner, 1),
            nn.ReLU(inplace=True),
            *convolution(inner, inner, 3, stride, groups),
            nn.ReLU(inplace=True),
            *convolution(inner, out, 1),
        )
        same = channels_in == out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*convolution(channels_in, out, 1, stride))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps after the block."""
        return F.relu(self.residual(maps) + self.shortcut(maps), inplace=True)


class ResNeXt29(nn.Module):
    """3×3 stem of 64 channels, three stages of three blocks with 256, 512, 1024 channels, one linear layer.

    Args:
        num_classes: K.
        cardinality: groups C.
        width: channels d of a group in the first stage, doubled with each stage.
    """

    def __init__(self, num_classes: int, cardinality: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*convolution(3, 64, 3), nn.ReLU(inplace=True))
        layers, channels = [], 64
        for stage in range(3):
            inner, out = cardinality * width * 2**stage, 256 * 2**stage
            for i in range(3):
                layers.append(Block(channels, inner, out, 2 if stage and not i else 1, cardinality))
                channels = out
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 3, H, W)."""
        return self.fc(self.features(self.stem(images)).mean(dim=(2, 3)))
