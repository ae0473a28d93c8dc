"""LeNet-5 with ReLU and max pooling, as today's code bases write it."""

from torch import Tensor, nn

from calibench.backbones.pooling import FixedPool


class LeNet(nn.Module):
    """Two 5×5 convolutions and three linear layers; images of 32 px (LeCun et al. 1998, section II-B).

    At 32 px its last map is 16×5×5; for other sizes it is pooled to that. All networks get three channels: with
    ``channels=1`` they are averaged first, which restores the grey image they were copied from, so that the network
    is the one of LS++ for 1×32×32.

    Args:
        num_classes: K.
        channels: 1 (grey) or 3.
    """

    def __init__(self, num_classes: int, channels: int = 1) -> None:
        super().__init__()
        self.channels = channels
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.flatten = nn.Sequential(FixedPool(5), nn.Flatten())
        self.fc1 = nn.Sequential(nn.Linear(400, 120), nn.ReLU(inplace=True))
        self.fc2 = nn.Sequential(nn.Linear(120, 84), nn.ReLU(inplace=True))
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 3, H, W)."""
        if self.channels == 1:
            images = images.mean(dim=1, keepdim=True)
        return self.fc3(self.fc2(self.fc1(self.flatten(self.features(images)))))
