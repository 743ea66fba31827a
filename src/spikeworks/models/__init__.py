"""Networks built of blocks."""

from .network import Block, Network, NetworkState
from .plan import BlockPlan
from .registry import NETWORKS
from .resnet import (
    MSResNet18Config,
    MSResNet34Config,
    ResNet18Config,
    ResNet34Config,
    ResNetConfig,
    SEWResNet18Config,
    SEWResNet34Config,
)
from .stack import ConvConfig, EmbeddingConfig, ModelConfig, StackConfig
from .vgg import Conv8Config, ConvNetConfig, VGG11Config, VGGSNNConfig
from .vision import FrameNetworkConfig

__all__ = [
    "NETWORKS",
    "Block",
    "BlockPlan",
    "Conv8Config",
    "ConvConfig",
    "ConvNetConfig",
    "EmbeddingConfig",
    "FrameNetworkConfig",
    "MSResNet18Config",
    "MSResNet34Config",
    "ModelConfig",
    "Network",
    "NetworkState",
    "ResNet18Config",
    "ResNet34Config",
    "ResNetConfig",
    "SEWResNet18Config",
    "SEWResNet34Config",
    "StackConfig",
    "VGG11Config",
    "VGGSNNConfig",
]
