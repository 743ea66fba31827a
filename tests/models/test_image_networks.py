"""Networks for frames: counts of parameters, shapes, plans, and blocks against their definitions."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from spikeworks.core.config import from_dict, to_dict
from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.core.state import leaves
from spikeworks.layers import BatchNorm, ReadoutConfig, ThresholdBatchNorm
from spikeworks.measure.memory import memory, predict
from spikeworks.models import (
    NETWORKS,
    BlockPlan,
    Conv8Config,
    ConvNetConfig,
    FrameNetworkConfig,
    ModelConfig,
    MSResNet18Config,
    ResNet18Config,
    ResNet34Config,
    ResNetConfig,
    SEWResNet18Config,
    SEWResNet34Config,
    VGG11Config,
    VGGSNNConfig,
)
from spikeworks.models.resnet import ResidualPlan
from spikeworks.models.vision import ConvPlan
from spikeworks.neurons import LIF, Neuron, Surrogate, config_for

FRAMES = [name for name in NETWORKS if issubclass(NETWORKS.get(name), FrameNetworkConfig)]
SMOOTH = config_for("lif", threshold=0.5, surrogate=Surrogate(kind="sigmoid", width=0.5))


@pytest.fixture(scope="module", autouse=True)
def shared_traces() -> Iterator[None]:
    """Neurons of one description are traced once for this file: it builds some thousand of them."""
    trace, kept = Neuron._trace, {}

    def shared(self: Neuron, dtype: torch.dtype):
        key = (type(self), self.config, dtype)
        if key in kept:
            self._traced[dtype] = kept[key]
        kept[key] = trace(self, dtype)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Neuron, "_trace", shared)
        yield


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rand(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=source(seed), dtype=dtype)


def parameters(config: ModelConfig, shape: tuple[int, int, int], outputs: int) -> int:
    network = config.build(shape, outputs, source())  # type: ignore[arg-type]
    return sum(p.numel() for p in network.parameters())


# -- counts and shapes -------------------------------------------------------------------------


def chain(channels: list[int], *, normalised: bool, outputs: int) -> int:
    """Weights of convolutions of 3 x 3, two numbers (or a bias) a channel, and the linear readout."""
    convolutions = sum(9 * a * b for a, b in itertools.pairwise(channels))
    return convolutions + (2 if normalised else 1) * sum(channels[1:]) + channels[-1] * outputs + outputs


CONV8 = [16, 16, 32, 32, 32, 64, 64, 64]
VGG = [3, 64, 128, 256, 256, 512, 512, 512, 512]


@pytest.mark.parametrize(
    ("config", "shape", "outputs", "count"),
    [
        # the widely used CIFAR variant, and torchvision's counts for ImageNet
        (ResNet18Config(), (3, 32, 32), 10, 11_173_962),
        (ResNet34Config(), (3, 32, 32), 10, 21_282_122),
        (ResNet18Config(stem="pooled"), (3, 64, 64), 1000, 11_689_512),
        (SEWResNet18Config(stem="pooled"), (3, 64, 64), 1000, 11_689_512),
        (SEWResNet34Config(stem="pooled"), (3, 64, 64), 1000, 21_797_672),
        # the first stage shrinks as well: one more convolution of 1 x 1 with its normalisation
        (MSResNet18Config(stem="strided"), (3, 64, 64), 1000, 11_689_512 + 64 * 64 + 128),
        # torchvision's vgg11 has 132 863 336 parameters, 123 642 856 of them in its dense classifier
        (VGG11Config(norm="none"), (3, 32, 32), 10, 132_863_336 - 123_642_856 + 512 * 10 + 10),
        (VGG11Config(), (3, 32, 32), 10, chain(VGG, normalised=True, outputs=10)),
        (VGGSNNConfig(), (2, 48, 48), 10, chain([2, *VGG[1:]], normalised=True, outputs=10)),
        (Conv8Config(), (1, 14, 14), 10, chain([1, *CONV8], normalised=True, outputs=10)),
        (Conv8Config(width=0.5), (1, 14, 14), 10, chain([1, *(c // 2 for c in CONV8)], normalised=True, outputs=10)),
    ],
    ids=lambda value: value.label if isinstance(value, ModelConfig) else None,
)
def test_parameters_are_those_of_the_published_networks(config, shape, outputs, count):
    assert parameters(config, shape, outputs) == count


@pytest.mark.parametrize(
    ("config", "side", "sides"),
    [
        (VGG11Config(), 32, [32, 16, 8, 8, 4, 4, 2, 2]),
        (VGGSNNConfig(), 48, [48, 48, 24, 24, 12, 12, 6, 6]),
        (VGGSNNConfig(), 34, [34, 34, 17, 17, 8, 8, 4, 4]),  # what fills no window is left out
        (Conv8Config(), 14, [14, 14, 7, 7, 7, 4, 4, 4]),
        (ResNet18Config(), 32, [32, 32, 32, 16, 16, 8, 8, 4, 4]),
        (ResNet18Config(stem="pooled"), 224, [56, 56, 56, 28, 28, 14, 14, 7, 7]),
        (ResNet18Config(stem="strided"), 224, [112, 56, 56, 28, 28, 14, 14, 7, 7]),
    ],
    ids=lambda value: value.label if isinstance(value, ModelConfig) else None,
)
def test_resolutions(config, side, sides):
    shape = (2, side, side)
    for plan, expected in zip(config.plans(), sides, strict=True):
        shape = plan.shape_after(shape, plan.stride)
        assert shape[1:] == (expected, expected)


def small(name: str, **fields) -> FrameNetworkConfig:
    """A narrow network with the first blocks of each kind."""
    kind = NETWORKS.get(name)
    if issubclass(kind, ResNetConfig):
        fields["depths"] = (2, 1)
    return kind(width=0.07, neuron=LIF.Config(threshold=0.5), **fields)  # type: ignore[return-value, call-arg]


@pytest.fixture(params=FRAMES)
def config(request) -> FrameNetworkConfig:
    return small(request.param)


def test_every_network_runs_learns_and_knows_its_blocks(config):
    network = config.build((2, 18, 21), 5, source())
    x = rand(3, 2, 2, 18, 21)
    shape, seen = (2, 18, 21), x
    for block in network.blocks:
        assert isinstance(block.plan, BlockPlan) and block.shape_in == shape
        seen, _ = block(seen)
        assert seen.shape == (3, 2, *block.shape_out)
        assert block.plan.shape_after(block.shape_in, block.plan.stride) == block.shape_out
        assert block.plan.outputs == block.shape_out[0]
        if block.plan.emits == "spikes":
            assert set(seen.unique().tolist()) <= {0.0, 1.0}
        elif block.plan.emits == "counts":
            assert torch.equal(seen, seen.round()) and seen.min() >= 0
        shape = block.shape_out
    output, state = network(x)
    assert output.shape == (2, 5) and len(state.blocks) == len(network.blocks)
    output.square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert network.blocks[-1].plan.emits != "currents"  # the readout sees what neurons fire


def test_chunks_with_state_equal_the_whole(config):
    network = config.build((1, 16, 16), 3, source()).eval()
    x = rand(5, 2, 1, 16, 16)
    whole, end = network(x)
    _, state = network(x[:2])
    parts, after = network(x[2:], state)
    assert_close(parts, whole)
    for (name, a), (other, b) in zip(leaves(end), leaves(after), strict=True):
        assert name == other
        assert_close(a, b)


def test_memory_packed_gives_the_same_gradients(config):
    x = rand(3, 4, 2, 16, 16)
    gradients, saved = [], []
    for memory_kind in ("full", "packed"):
        network = dataclasses.replace(config, memory=memory_kind).build((2, 16, 16), 3, source())
        saved.append(memory(network, x).saved_bytes)
        network(x)[0].square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    for full, packed in zip(*gradients, strict=True):
        assert_close(packed, full)
    assert saved[1] < 0.5 * saved[0]


def test_descriptions_survive_json(config):
    assert from_dict(ModelConfig, to_dict(config)) == config
    assert config.label == f"{to_dict(config)['kind']}-lif"


def test_binary_cuts_wait_as_bits_and_others_do_not():
    """What is kept between blocks, known from shapes alone: 32 times less where spikes cross the cuts."""
    shape = (4, 2, 3, 16, 16)

    def kept(kind: type[ResNetConfig]) -> dict[str, int]:
        network = kind(width=0.125, memory="packed").build((3, 16, 16), 10, source())
        return {name: predict(network, shape).parts[name] for name in ("blocks.1", "blocks.2", "blocks.8")}

    spikes, counts, currents = kept(ResNet18Config), kept(SEWResNet18Config), kept(MSResNet18Config)
    assert counts["blocks.1"] == spikes["blocks.1"]  # the stem puts out spikes
    assert counts["blocks.2"] == currents["blocks.2"] == 32 * spikes["blocks.2"]
    assert currents["blocks.8"] == 32 * spikes["blocks.8"]


@pytest.mark.parametrize(
    ("config", "shape", "elements", "states"),
    [
        # inputs, twice the outputs for the normalisation and the surrogate; the first input exists anyway
        (Conv8Config(), (1, 14, 14), 41_316 - 196, 14_048),
        (
            ResNet18Config(width=0.25),
            (3, 16, 16),
            # stem, and n_in + 5 n_out for each block, one n_out more where the way around convolves
            2 * 4096 + 12 * 4096 + (4096 + 12 * 2048) + (2048 + 12 * 1024) + (1024 + 12 * 512),
            4096 + 4 * 4096 + 4 * 2048 + 4 * 1024 + 4 * 512,
        ),
    ],
    ids=["conv8", "resnet18"],
)
def test_bytes_of_training_follow_the_published_costs(config, shape, elements, states):
    network = config.build(shape, 10, source())
    steps, batch = 4, 8
    saved = predict(network, (steps, batch, *shape)).saved_bytes
    assert saved / (4 * batch * (steps * elements + states)) == pytest.approx(1.0, abs=0.01)


# -- blocks against their definitions ----------------------------------------------------------


def fired(neuron: LIF, x: Tensor) -> Tensor:
    """Neurons one step at a time."""
    state, outputs = None, []
    for now in x.unbind(0):
        y, state = neuron.advance(now, state)
        outputs.append(y)
    return torch.stack(outputs)


def convolved(conv, norm, x: Tensor) -> Tensor:
    """Convolution and batch normalisation by torch, over all steps as one batch."""
    flat = functional.conv2d(x.flatten(0, 1), conv.weight, conv.bias, conv.stride, conv.padding)
    gain = norm.alpha * norm.threshold if isinstance(norm, ThresholdBatchNorm) else 1.0
    if norm is not None:
        flat = functional.batch_norm(flat, None, None, gain * norm.weight, norm.bias, training=True, eps=norm.epsilon)
    return flat.reshape(*x.shape[:2], *flat.shape[1:])


def around(block, x: Tensor) -> Tensor:
    return x if block.around is None else convolved(block.around, block.around_norm, x)


def spiking(block, x: Tensor) -> Tensor:
    y = fired(block.first_neuron, convolved(block.first, block.first_norm, x))
    return fired(block.second_neuron, convolved(block.second, block.second_norm, y) + around(block, x))


def sew(block, x: Tensor) -> Tensor:
    y = fired(block.first_neuron, convolved(block.first, block.first_norm, x))
    y = fired(block.second_neuron, convolved(block.second, block.second_norm, y))
    return y + (x if block.around is None else fired(block.around_neuron, around(block, x)))


def membrane(block, x: Tensor) -> Tensor:
    y = convolved(block.first, block.first_norm, fired(block.first_neuron, x))
    y = convolved(block.second, block.second_norm, fired(block.second_neuron, y)) + around(block, x)
    return y if block.closing_neuron is None else fired(block.closing_neuron, y)


def agree(block, x: Tensor, reference) -> None:
    """Values and all gradients, in double."""
    block.double()
    x = x.double().requires_grad_()
    found, expected = block(x)[0], reference(block, x)
    assert_close(found, expected)
    weights = rand(*found.shape, seed=5, dtype=torch.float64)
    wanted = [x, *block.parameters()]
    ours = torch.autograd.grad(found, wanted, weights)
    theirs = torch.autograd.grad(expected, wanted, weights)
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a, b)
    assert all(bool(g.any()) for g in ours)


@pytest.mark.parametrize("norm", ["batch", "none", "tdbn"])
@pytest.mark.parametrize(("channels", "stride"), [(4, 1), (3, 1), (4, 2)])
@pytest.mark.parametrize(
    ("form", "closing", "reference"),
    [("spiking", False, spiking), ("sew", False, sew), ("membrane", False, membrane), ("membrane", True, membrane)],
)
def test_residual_blocks(form, closing, reference, channels, stride, norm):
    plan = ResidualPlan(outputs=4, neuron=SMOOTH, norm=norm, form=form, closing=closing)
    block = plan.build((channels, 7, 6), stride, source())
    assert (block.around is None) == (channels == 4 and stride == 1)
    agree(block, (rand(3, 2, channels, 7, 6) < 0.5).float(), reference)


@pytest.mark.parametrize("downsample", ["max", "average", "stride"])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_convolutional_blocks(downsample, kernel):
    plan = ConvPlan(outputs=4, neuron=SMOOTH, downsample=downsample, kernel=kernel)
    block = plan.build((3, 7, 6), 2, source())

    def reference(block, x: Tensor) -> Tensor:
        pool = {"max": functional.max_pool2d, "average": functional.avg_pool2d}.get(downsample)
        if pool is not None:
            x = pool(x.flatten(0, 1), 2).unflatten(0, x.shape[:2])
        return fired(block.neuron, convolved(block.synapse, block.norm, x))

    agree(block, (rand(3, 2, 3, 7, 6) < 0.5).float(), reference)


def test_stem_for_large_frames():
    plan = ResNet18Config(stem="pooled", width=0.1, neuron=SMOOTH, norm="batch").plans()[0]
    block = plan.build((3, 21, 18), plan.stride, source())
    assert block.shape_out == (6, 6, 5)

    def reference(block, x: Tensor) -> Tensor:
        y = fired(block.neuron, convolved(block.synapse, block.norm, x))
        return functional.max_pool2d(y.flatten(0, 1), 3, 2, 1).unflatten(0, x.shape[:2])

    agree(block, rand(3, 2, 3, 21, 18), reference)


@pytest.mark.parametrize("norm", ["batch", "batch-step", "none"])
@pytest.mark.parametrize("downsample", ["max", "stride"])
def test_a_repeated_frame_is_convolved_once_with_the_same_result(norm, downsample):
    plan = ConvPlan(outputs=4, stride=2, neuron=SMOOTH, norm=norm, downsample=downsample)
    block = plan.build((2, 6, 6), 2, source()).double()
    frame = rand(3, 2, 6, 6, dtype=torch.float64)
    rows: list[int] = []
    block.synapse.register_forward_hook(lambda module, args, y: rows.append(len(y)))
    results = []
    for steps in (lambda x: x.expand(5, *x.shape), lambda x: x.repeat(5, 1, 1, 1, 1)):
        leaf = frame.clone().requires_grad_()
        y, _ = block(steps(leaf))
        results.append((y, *torch.autograd.grad(y.square().sum(), [leaf, *block.parameters()])))
    assert rows == [1, 5]
    for a, b in zip(*results, strict=True):
        assert_close(a, b)


def test_a_repeated_frame_costs_the_memory_of_one():
    network = Conv8Config().build((1, 14, 14), 10, source())
    frame = rand(8, 1, 14, 14)
    saved = [memory(network, x).parts["blocks.0"] for x in (frame.expand(4, *frame.shape), frame.repeat(4, 1, 1, 1, 1))]
    one = 4 * 8 * 16 * 14 * 14  # a map of currents
    assert saved[1] - saved[0] == pytest.approx(3 * one, rel=1e-3)  # but for a few moments of each channel


def test_normalisation_per_step_makes_chunks_equal_the_whole_in_training():
    config = ConvNetConfig(norm="batch-step", neuron=SMOOTH)
    whole, chunked = (config.build((1, 6, 6), 3, source()).double() for _ in range(2))
    x = rand(4, 3, 1, 6, 6, dtype=torch.float64)
    expected, _ = whole(x)
    state = None
    for now in x:
        found, state = chunked(now.unsqueeze(0), state)
    assert_close(found, expected)
    expected.square().sum().backward()
    found.square().sum().backward()
    for a, b in zip(whole.parameters(), chunked.parameters(), strict=True):
        assert_close(a.grad, b.grad)
    for a, b in zip(whole.buffers(), chunked.buffers(), strict=True):
        assert_close(a, b)


def test_scale_of_summed_currents():
    """With tdBN the two currents that meet before neurons have together the variance of one."""
    block = ResidualPlan(outputs=4, form="spiking", norm="tdbn").build((3, 6, 6), 2, source())
    scales = [m.alpha for m in block.modules() if isinstance(m, ThresholdBatchNorm)]
    assert scales == pytest.approx([1.0, math.sqrt(0.5), math.sqrt(0.5)])
    plain = ResidualPlan(outputs=4, form="sew", norm="tdbn").build((3, 6, 6), 2, source())
    assert [m.alpha for m in plain.modules() if isinstance(m, ThresholdBatchNorm)] == [1.0, 1.0, 1.0]


# -- plans -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FRAMES)
def test_plans_make_fresh_blocks_for_other_inputs(name):
    network = small(name).build((3, 32, 32), 10, source())
    for block in list(network.blocks)[1:]:
        for stride in (1, 2, 3):
            copy = block.plan.build((5, 12, 9), stride, source(3))
            y, state = copy((rand(2, 3, 5, 12, 9) < 0.4).float())
            assert y.shape[2:] == copy.shape_out == block.plan.shape_after((5, 12, 9), stride)
            assert copy.shape_in == (5, 12, 9) and copy.shape_out[0] == block.plan.outputs
            assert copy.plan == block.plan and state is not None
        again, other = (block.plan.build(block.shape_in, block.plan.stride, source(s)) for s in (7, 7))
        assert all(torch.equal(a, b) for a, b in zip(again.parameters(), other.parameters(), strict=True))
        fresh = {id(p) for p in again.parameters()}
        assert not fresh & {id(p) for p in network.parameters()}
        norms = [sum(isinstance(m, BatchNorm) for m in b.modules()) for b in (block, again)]
        assert norms[0] == norms[1] > 0


def test_shapes_that_no_block_fits():
    plan = ConvPlan(outputs=4)
    with pytest.raises(ConfigError, match=r"shape \(C, H, W\), got \(100,\)"):
        plan.build((100,), 1, None)
    with pytest.raises(ConfigError, match="Frames of 1 x 3 are too small for a block with a stride of 2"):
        ResidualPlan(outputs=4).shape_after((4, 1, 3), 2)
    with pytest.raises(ConfigError, match="a stride of at least 1, got 0"):
        plan.build((4, 4, 4), 0, None)


# -- bad input ---------------------------------------------------------------------------------


def test_wrong_frames():
    network = Conv8Config(width=0.25).build((3, 8, 8), 10, source())
    with pytest.raises(ShapeError, match=r"expected x of shape \[T, B, 3, \.\.\.\], got \[2, 4, 1, 8, 8\]"):
        network(torch.zeros(2, 4, 1, 8, 8))
    with pytest.raises(ShapeError, match=r"\[T, B, 3, H, W\], got \[2, 4, 3\]"):
        network(torch.zeros(2, 4, 3))
    with pytest.raises(ShapeError, match="floating-point"):
        network(torch.zeros(2, 4, 3, 8, 8, dtype=torch.uint8))
    _, state = network(torch.zeros(2, 4, 3, 8, 8))
    with pytest.raises(ShapeError, match="a state belongs to one batch"):
        network(torch.zeros(2, 5, 3, 8, 8), state)


def test_too_small_for_the_strides():
    message = r"vgg11 shrinks frames 16 times .* at least 16 x 16 pixels .*got \(C, H, W\) = \(1, 14, 14\)"
    with pytest.raises(ConfigError, match=message):
        VGG11Config().build((1, 14, 14), 10, source())
    Conv8Config().build((1, 4, 4), 10, source())
    with pytest.raises(ConfigError, match="conv8 shrinks frames 4 times"):
        Conv8Config().build((1, 4, 3), 10, source())


def test_vectors_and_tokens_are_refused():
    with pytest.raises(ConfigError, match=r"conv8 takes frames \(C, H, W\), and the input is 64 values a step"):
        Conv8Config().build(64, 10, source())
    with pytest.raises(ConfigError, match="the input is tokens"):
        Conv8Config().build(64, 10, source(), tokens=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv8Config(width=0.0), "width must be above 0"),
        (lambda: Conv8Config(norm="layer"), "norm is one of none, batch, batch-step, tdbn; got 'layer'"),
        (lambda: Conv8Config(memory="little"), "memory is one of full, packed"),
        (lambda: ConvNetConfig(channels=(4, 4), strides=(1,)), "one stride for each block"),
        (lambda: ConvNetConfig(strides=(1, 0)), "Strides are at least 1"),
        (lambda: ConvNetConfig(kernel=2), "kernel must be odd, got 2"),
        (lambda: ConvNetConfig(downsample="mean"), "downsample is average, max or stride"),
        (lambda: ResNet18Config(depths=()), "stages of at least one block"),
        (lambda: ResNet18Config(stem="large"), "stem is one of small, pooled, strided"),
        (
            lambda: Conv8Config(neuron=config_for("dh-lif")).build((1, 8, 8), 10, source()),
            r"DHLIF has \d inputs and needs dense blocks",
        ),
        (
            lambda: Conv8Config(norm="tdbn", neuron=config_for("gsn")).build((1, 8, 8), 10, source()),
            "norm tdbn scales currents",
        ),
    ],
)
def test_values_that_make_no_network(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_class_may_stand_for_its_description():
    assert Conv8Config(neuron=LIF).neuron == LIF.Config()  # type: ignore[arg-type]


def test_dropout_and_readout_reach_the_network():
    network = Conv8Config(width=0.25, dropout=0.3, readout=ReadoutConfig(kind="every")).build((1, 8, 8), 10, source())
    assert network.readout.dropout.rate == 0.3
    assert network(torch.zeros(3, 2, 1, 8, 8))[0].shape == (3, 2, 10)
