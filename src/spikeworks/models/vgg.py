"""Chains of convolutions: VGG-11, the VGG of event frames and of OTTT, and a small one of eight blocks."""

from __future__ import annotations

import dataclasses

from ..core.config import config_kind
from ..core.errors import ConfigError
from .registry import NETWORKS
from .vision import ConvPlan, Downsample, FrameNetworkConfig


@NETWORKS.register("conv")
@config_kind("model", "conv")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvNetConfig(FrameNetworkConfig):
    """A chain of convolutional blocks, as many as there are ``channels``, and a pooled readout.

    Args:
        channels: of each block, before ``width``.
        strides: of each block.
        downsample: how strides above 1 shrink a frame: ``average``, ``max`` or ``stride``.
        kernel: side of the convolutions, odd.

    Example:
        >>> import torch
        >>> network = ConvNetConfig(channels=(4, 8), strides=(1, 2)).build((1, 6, 6), 3, torch.Generator())
        >>> network(torch.rand(2, 5, 1, 6, 6))[0].shape
        torch.Size([5, 3])
    """

    channels: tuple[int, ...] = (32, 64)
    strides: tuple[int, ...] = (1, 2)
    downsample: Downsample = "max"
    kernel: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.channels or min(self.channels) < 1 or len(self.channels) != len(self.strides):
            raise ConfigError(
                f"Give one stride for each block of at least one channel, got channels={self.channels} and "
                f"strides={self.strides}."
            )
        if min(self.strides) < 1:
            raise ConfigError(f"Strides are at least 1, got {self.strides}.")
        if self.downsample not in ("average", "max", "stride"):
            raise ConfigError(f"downsample is average, max or stride; got {self.downsample!r}.")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(f"kernel must be odd, got {self.kernel}.")

    def plans(self) -> tuple[ConvPlan, ...]:
        return tuple(
            ConvPlan(
                outputs=self.scaled(channels),
                stride=stride,
                neuron=self.neuron,
                norm=self.norm,
                memory=self.memory,
                downsample=self.downsample,
                kernel=self.kernel,
            )
            for channels, stride in zip(self.channels, self.strides, strict=True)
        )


@NETWORKS.register("conv8")
@config_kind("model", "conv8")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Conv8Config(ConvNetConfig):
    """Eight blocks of 16, 16, 32, 32, 32, 64, 64 and 64 channels, shrinking twice by strides.

    Small enough to train on a CPU, deep enough to cut. Frames of at least 4 x 4 pixels.
    """

    channels: tuple[int, ...] = (16, 16, 32, 32, 32, 64, 64, 64)
    strides: tuple[int, ...] = (1, 1, 2, 1, 1, 2, 1, 1)
    downsample: Downsample = "stride"


@NETWORKS.register("vgg11")
@config_kind("model", "vgg11")
@dataclasses.dataclass(frozen=True, kw_only=True)
class VGG11Config(ConvNetConfig):
    """The eight convolutions of VGG-11 (arXiv 1409.1556), maxima between them, a pooled linear readout.

    Channels 64-M-128-M-256-256-M-512-512-M-512-512. Frames of at least 16 x 16 pixels.
    """

    channels: tuple[int, ...] = (64, 128, 256, 256, 512, 512, 512, 512)
    strides: tuple[int, ...] = (1, 2, 2, 1, 2, 1, 2, 1)


@NETWORKS.register("vgg-snn")
@config_kind("model", "vgg-snn")
@dataclasses.dataclass(frozen=True, kw_only=True)
class VGGSNNConfig(ConvNetConfig):
    """The VGG of spiking papers, with means between its convolutions, for images and event frames.

    Channels 64-128-A-256-256-A-512-512-A-512-512: of OTTT (arXiv 2210.04195; it standardises weights
    where this network normalises batches) for three channels, and of TET (arXiv 2202.11946) for the two
    polarities of CIFAR10-DVS at 48 x 48, whose last pooling is the readout's. Frames of at least 8 x 8 pixels.
    """

    channels: tuple[int, ...] = (64, 128, 256, 256, 512, 512, 512, 512)
    strides: tuple[int, ...] = (1, 1, 2, 1, 2, 1, 2, 1)
    downsample: Downsample = "average"
