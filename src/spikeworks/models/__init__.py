"""Networks built of blocks."""

from .context import ContextStackConfig
from .fullsubnet import (
    FullSubNetConfig,
    FullSubNetLConfig,
    FullSubNetMConfig,
    FullSubNetSConfig,
    FullSubNetXLConfig,
)
from .gated import GatedConfig
from .gru import GRUConfig
from .lstm import LSTMConfig
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
from .sequence import SequenceNetworkConfig, SpikingSequenceConfig
from .ssm import BinaryS4DConfig, GSUSSMConfig
from .stack import ConvConfig, EmbeddingConfig, ModelConfig, StackConfig
from .tcn import SpikingTCNConfig, TCNConfig
from .transformer import SpikeTransformerConfig, TransformerConfig
from .vgg import Conv8Config, ConvNetConfig, VGG11Config, VGGSNNConfig
from .vision import FrameNetworkConfig

__all__ = [
    "NETWORKS",
    "BinaryS4DConfig",
    "Block",
    "BlockPlan",
    "ContextStackConfig",
    "Conv8Config",
    "ConvConfig",
    "ConvNetConfig",
    "EmbeddingConfig",
    "FrameNetworkConfig",
    "FullSubNetConfig",
    "FullSubNetLConfig",
    "FullSubNetMConfig",
    "FullSubNetSConfig",
    "FullSubNetXLConfig",
    "GRUConfig",
    "GSUSSMConfig",
    "GatedConfig",
    "LSTMConfig",
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
    "SequenceNetworkConfig",
    "SpikeTransformerConfig",
    "SpikingSequenceConfig",
    "SpikingTCNConfig",
    "StackConfig",
    "TCNConfig",
    "TransformerConfig",
    "VGG11Config",
    "VGGSNNConfig",
]
