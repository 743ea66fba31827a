"""Networks built of blocks."""

from .network import Block, Network, NetworkState
from .stack import ConvConfig, EmbeddingConfig, ModelConfig, StackConfig

__all__ = ["Block", "ConvConfig", "EmbeddingConfig", "ModelConfig", "Network", "NetworkState", "StackConfig"]
