"""One layer of neurons with its synapses, as online learning sees it: traces forward, gradients of the past.

Autograd gives the gradient of every step with the state before it held fixed. A cell adds what the
same loss owes to earlier steps: its traces times the learning signal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from ..core.errors import ConfigError, TraceError
from ..layers import BranchedDense, Dense, Recurrent
from ..neurons import Neuron
from .jacobian import Filter, FilterForm, Point, Spikes, StepJacobian, coefficients_of, filter_form, jacobian_of
from .traces import Bundle, weight_gradient
from .traces_watch import LayerCall, SynapseCall

Traces = Literal["none", "filter", "exact", "auto"]


def check_traces(traces: str, spikes: str) -> None:
    """Raise ConfigError where these are no kinds of traces."""
    for name, value, known in (
        ("traces", traces, ("none", "filter", "exact", "auto")),
        ("spikes", spikes, ("neuron", "cut")),
    ):
        if value not in known:
            raise ConfigError(f"{name} is one of {', '.join(known)}; got {value!r}.")


class Cell:
    """Traces of one layer.

    Args:
        name: for messages.
        module: neurons, or a recurrent layer of them.
        traces: ``filter``: one trace for each input, where the neuron's memory is a filter; ``exact``:
            one for each weight; ``auto``: the first where it is possible; ``none``.
        spikes: see :class:`~spikeworks.learning.jacobian.StepJacobian`.
        dtype: of the parameters.

    Attributes:
        above: the next layer's memory, to be counted in as well: the filter of ``above_neuron``, or the decay of a
            readout. Set by whoever knows it.

    Raises:
        ConfigError: the neuron cannot have these traces; says why.
    """

    def __init__(self, name: str, module: Any, traces: Traces, spikes: Spikes, dtype: torch.dtype) -> None:
        self.name = name
        self.recurrent = module if isinstance(module, Recurrent) else None
        inner: Any = module if self.recurrent is None else self.recurrent.neuron
        self.neuron: Neuron = inner
        self.traces, self.spikes = traces, spikes
        self.above: FilterForm | float | None = None
        self.above_neuron: Neuron | None = None
        self._form: FilterForm | None = None
        self._why = ""
        self._open = traces == "auto", dtype
        if traces in ("filter", "auto"):
            form = filter_form(self.neuron, spikes, dtype)
            if traces == "filter" and isinstance(form, str):
                raise ConfigError(
                    f"Layer '{name}' cannot have one trace for each input: {form}.",
                    "set traces exact, as the method eprop has it, or let spikes be cut",
                )
            self._form = form if isinstance(form, FilterForm) else None
            self.traces = "exact" if self._form is None else "filter"
            self._why = f", because {form}" if isinstance(form, str) else ""
        self._jacobian: StepJacobian | None = None
        if self.traces != "none":
            try:
                self._jacobian = jacobian_of(self.neuron, spikes, dtype)
            except TraceError as error:
                raise ConfigError(
                    f"Layer '{name}' cannot have traces: {error}.", "use the method sltt or bptt"
                ) from error
        self._filtered: dict[str, Tensor] = {}
        self._bundle: Bundle | None = None
        self._beyond: dict[tuple[str, int], Tensor] = {}

    @property
    def about(self) -> str:
        """What traces the layer has, for people."""
        kept = {"none": "no trace", "filter": "one trace for each input", "exact": "one trace for each weight"}
        tables = [n for n, p in self.neuron.parameters_declared.items() if p.per == "step"]
        alone = f"; {', '.join(tables)} learn from their own step alone" if tables and self.traces != "none" else ""
        return f"{self.name}: {kept[self.traces]}{self._why}{alone}"

    def begin(self) -> None:
        """Forget all traces: a sequence starts."""
        self._filtered, self._bundle, self._beyond = {}, None, {}

    def held(self) -> list[Tensor]:
        """The traces that it carries to the next step, each once."""
        bundle = [] if self._bundle is None else [trace.values for trace in self._bundle.traces.values()]
        leaves = tree_leaves([self._filtered, self._beyond, bundle])
        return list({id(t): t for t in leaves if isinstance(t, Tensor)}.values())

    def check(self, call: LayerCall) -> None:
        """Raise ConfigError where what stands before the neurons cannot have these traces."""
        simple = not call.synapses or (
            call.direct and all(isinstance(s.module, Dense | BranchedDense) for s in call.synapses)
        )
        if self.traces != "exact" or simple or self._filters_instead():
            return
        if any(not isinstance(s.module, Dense | BranchedDense) for s in call.synapses):
            raise ConfigError(
                f"Layer '{self.name}' has a convolution, whose exact traces would need a copy of the kernel for "
                "every place.",
                "take one trace for each input: neurons whose reset is detached or cut, and the method ottt",
            )
        if call.synapses and not call.direct:
            raise ConfigError(
                f"Layer '{self.name}' has more than one dense synapse before its neurons, such as a normalisation; "
                "exact traces of its weights are not elementwise.",
                "take norm none, or one trace for each input (method ottt)",
            )

    def _filters_instead(self) -> bool:
        """Where the choice is open: one trace for each input, with spikes cut, in place of exact ones."""
        chosen, dtype = self._open
        form = filter_form(self.neuron, "cut", dtype) if chosen else ""
        if isinstance(form, str):
            return False
        self.traces, self.spikes, self._form = "filter", "cut", form
        self._jacobian = jacobian_of(self.neuron, "cut", dtype)
        self._why = ", spikes cut, because its synapse has no exact ones"
        return True

    @torch.no_grad()
    def learn(self, call: LayerCall, signal: Tensor | None) -> None:
        """Take some steps in and add to the gradients what their loss owes to earlier steps.

        Args:
            call: the steps, after their backward pass.
            signal: derivative of the loss by the output, ``[T, B, ...]``; ``None`` where there is none.
        """
        if self.traces == "none":
            return
        if self._bundle is None:
            self.check(call)
        heard = self._heard(call)
        with torch.enable_grad():
            coefficients = coefficients_of(self.neuron, call.drives[0])
        if self.traces == "filter":
            self._filter(call, heard, coefficients)
        wanted = tuple(i for i, c in enumerate(coefficients) if c.requires_grad)
        with torch.enable_grad():
            rest = self.neuron.rest(call.drives[0])
        if self._bundle is None:
            self._bundle = self._traces_for(call, wanted, any(r.requires_grad for r in rest))
            self._bundle.start(call.drives[0][0])
        if self._bundle.traces:
            self._run(call, heard, coefficients, wanted, rest, signal)

    # -- one trace for each input ------------------------------------------------------------------

    def _filter(self, call: LayerCall, heard: Tensor | None, coefficients: Sequence[Tensor]) -> None:
        assert self._form is not None
        memory = self._form.at(coefficients)
        ones, self._filtered["ones"] = memory.run(call.y.new_ones(len(call.y), 1), self._filtered.get("ones"))
        for synapse in call.synapses:
            past, after = memory.run(synapse.x, self._filtered.get(synapse.name))
            self._filtered[synapse.name] = after
            gradient = synapse.currents[0].grad
            if gradient is not None:
                _give_weight(synapse, past, gradient)
                _give_bias(synapse.module.bias, ones, gradient)
        if self.recurrent is not None and heard is not None:
            past, self._filtered["heard"] = memory.run(heard, self._filtered.get("heard"))
            found = [drive.grad for drive in call.drives if drive.grad is not None]
            if len(found) == len(call.drives):
                gradient = torch.cat(found, -1)
                _give((_weight(self.recurrent), gradient.flatten(0, 1).t() @ past.flatten(0, 1)))
                _give_bias(self.recurrent.synapse.bias, ones, gradient)

    # -- traces from the Jacobian, step by step ----------------------------------------------------

    def _traces_for(self, call: LayerCall, wanted: Sequence[int], rest: bool) -> Bundle:
        assert self._jacobian is not None
        states = self._jacobian.states
        if self.traces == "filter":
            return Bundle(states, wanted=wanted, rest=rest)
        weights = [i for synapse in call.synapses for i in range(len(synapse.currents))]
        heard = 0 if self.recurrent is None else len(call.drives)
        bias = weights or range(heard)
        return Bundle(states, weights=weights, recurrent=heard, bias=bias, wanted=wanted, rest=rest)

    def _run(
        self,
        call: LayerCall,
        heard: Tensor | None,
        coefficients: Sequence[Tensor],
        wanted: tuple[int, ...],
        rest: Sequence[Tensor],
        signal: Tensor | None,
    ) -> None:
        assert self._jacobian is not None and self._bundle is not None
        signals = [d.detach() for d in call.drives]
        own = self.neuron.drive(signals[0], self._before(call))
        states = [s.detach() for s in (rest if call.state is None else self._before(call))]
        if heard is not None and self.recurrent is not None:
            weight, bias = self.recurrent.weight, self.recurrent.synapse.bias
            fed_back = functional.linear(heard, weight, bias).chunk(len(signals), -1)
            signals = [s + f for s, f in zip(signals, fed_back, strict=True)]
        dense = call.synapses[0].x.flatten(2) if call.synapses and self.traces == "exact" else None
        plain = [c.detach() for c in coefficients]
        beyond = self._above_filter(signals[0])
        sums: dict[tuple[str, int], Tensor] = {}
        for t in range(len(signals[0])):
            point = self._jacobian.at([x[t] for x in (*signals, *own)], states, plain, wanted)
            pre = None if dense is None else dense[t]
            last = None if heard is None else heard[t]
            felt = self._bundle.past(point)
            if beyond is not None:
                felt = self._through(beyond, felt, point, pre, last)
            if signal is not None:
                for (kind, i), value in felt.items():
                    inner = kind in ("weight", "recurrent")
                    found = weight_gradient(signal[t], value) if inner else None if value is None else signal[t] * value
                    if found is not None:
                        known = sums.get((kind, i))
                        sums[kind, i] = found if known is None else known + found
            self._bundle.advance(point, pre, last)
            states = point.next_states
        self._give_all(call, sums, coefficients, rest)

    def _give_all(
        self,
        call: LayerCall,
        sums: dict[tuple[str, int], Tensor],
        coefficients: Sequence[Tensor],
        rest: Sequence[Tensor],
    ) -> None:
        pairs: list[tuple[Tensor | None, Tensor]] = []
        dense: dict[str, dict[int, Tensor]] = {"weight": {}, "bias": {}, "recurrent": {}}
        for (kind, i), total in sums.items():
            match kind:
                case "parameter":
                    pairs.append((coefficients[i], total.sum_to_size(coefficients[i].shape)))
                case "rest":
                    pairs.append((rest[i], total))
                case "bias":
                    dense["bias"][i] = total.sum(0)
                case _:
                    dense[kind][i] = total
        if self.recurrent is not None and dense["recurrent"]:
            count = len(call.drives)
            pairs.append((_weight(self.recurrent), torch.cat(_by_input(dense["recurrent"], count))))
            pairs.append((self.recurrent.synapse.bias, torch.cat(_by_input(dense["bias"], count))))
        if call.synapses and dense["weight"]:
            module = call.synapses[0].module
            several = isinstance(module, BranchedDense)
            found = [_by_input(dense[name], len(call.drives)) for name in ("weight", "bias")]
            weight, bias = (torch.stack(each) if several else each[0] for each in found)
            if several and module.mask is not None:
                weight = weight * module.mask
            pairs += [(_weight(module), weight), (module.bias, bias)]
        _give(*pairs)

    # -- the memory of the layer above -------------------------------------------------------------

    def _above_filter(self, like: Tensor) -> Filter | None:
        if self.above is None:
            return None
        if isinstance(self.above, FilterForm):
            assert self.above_neuron is not None  # set together
            return self.above.at(coefficients_of(self.above_neuron))
        decay = like.new_tensor([self.above])
        return Filter(transition=decay.reshape(1, 1), entry=torch.ones_like(decay), weight=decay)

    def _through(
        self,
        above: Filter,
        felt: dict[tuple[str, int], Tensor | None],
        point: Point,
        pre: Tensor | None,
        last: Tensor | None,
    ) -> dict[tuple[str, int], Tensor | None]:
        """What the layer above feels of all earlier outputs, added to what the output feels of earlier steps."""
        assert self._bundle is not None
        size = point.next_states[0].shape
        for key, now in self._bundle.now(point, pre, last).items():
            terms = [term for term in (felt[key], now) if term is not None]
            if not terms:
                continue
            whole = torch.stack([*torch.broadcast_tensors(*terms)]).sum(0)
            inner = pre if key[0] == "weight" else last
            full = (*size, inner.shape[1]) if key[0] in ("weight", "recurrent") and inner is not None else size
            past, self._beyond[key] = above.run(whole.expand(full).unsqueeze(0), self._beyond.get(key))
            earlier = felt[key]
            felt[key] = past[0] if earlier is None else past[0] + earlier
        return felt

    # -- the call ----------------------------------------------------------------------------------

    def _before(self, call: LayerCall) -> Any:
        if call.state is None or self.recurrent is None:
            return call.state
        return call.state.neuron

    def _heard(self, call: LayerCall) -> Tensor | None:
        """The output of the step before, ``[T, B, N]``, for recurrent layers."""
        if self.recurrent is None:
            return None
        first = torch.zeros_like(call.y[:1]) if call.state is None else call.state.output.unsqueeze(0)
        return torch.cat([first, call.y[:-1]]).detach()


def _by_input(found: dict[int, Tensor], count: int) -> list[Tensor]:
    """Sums by the index of the input; zero for inputs that no earlier step was felt through."""
    like = next(iter(found.values()))
    return [found.get(i, torch.zeros_like(like)) for i in range(count)]


def _give(*pairs: tuple[Tensor | None, Tensor]) -> None:
    """Add gradients to what is behind tensors: parameters, or what was computed from some."""
    learning = [(t, g.to(t.dtype).expand(t.shape)) for t, g in pairs if t is not None and t.requires_grad]
    if learning:
        torch.autograd.backward([t for t, _ in learning], [g for _, g in learning])


def _give_bias(bias: Tensor | None, ones: Tensor, gradient: Tensor) -> None:
    if bias is not None:
        weighted = gradient * ones.reshape(-1, *(1,) * (gradient.dim() - 1))
        _give((bias, weighted.sum([k for k in range(gradient.dim()) if k != 2])))


def _give_weight(synapse: SynapseCall, past: Tensor, gradient: Tensor) -> None:
    module = synapse.module
    if isinstance(module, Dense):
        _give((_weight(module), gradient.flatten(0, 1).t() @ past.flatten(2).flatten(0, 1)))
    elif module.weight.requires_grad:
        with torch.enable_grad():
            (found,) = torch.autograd.grad(module(past), [module.weight], gradient)
        _give((module.weight, found))


def _weight(module: Any) -> Tensor:
    """The weights as they act, which can be computed from others."""
    with torch.enable_grad():
        return module.weight
