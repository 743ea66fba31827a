"""Descriptions of networks by the names that the command line knows."""

from __future__ import annotations

from ..core.registry import Registry
from .stack import ModelConfig, StackConfig

NETWORKS: Registry[type[ModelConfig]] = Registry("network", "'spikeworks list networks' shows what each of them is")
"""All networks, by name."""

NETWORKS.register("stack")(StackConfig)
