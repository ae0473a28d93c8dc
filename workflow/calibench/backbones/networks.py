"""Backbones that are not in torchvision: the small networks of the CIFAR and MNIST literature, by name.

``NETWORKS`` maps a name (as in the published tables) to a function of K that returns a network whose last linear
layer is its classifier. torchvision uses none of these names.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from calibench.backbones.lenet import LeNet
from calibench.backbones.resnet_cifar import DEPTHS, resnet
from calibench.backbones.resnext_cifar import ResNeXt29

NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "lenet": partial(LeNet, channels=1),
    "lenet_colour": partial(LeNet, channels=3),
    **{f"resnet{depth}": partial(resnet, depth) for depth in DEPTHS},
    "resnext29_2x64d": partial(ResNeXt29, cardinality=2, width=64),
    "resnext29_8x64d": partial(ResNeXt29, cardinality=8, width=64),
    "resnext29_32x4d": partial(ResNeXt29, cardinality=32, width=4),
}
