"""How Triton computes the primitives of a graph.

Only from operations that Triton's compiler and its interpreter both know. Arithmetic, division and square
root round as on a CPU; the others are within a few units in the last place. ``one`` and ``zero`` are tensors
of the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .graph import INFIX

_INFIX = {name: sign for name, sign in INFIX.items() if name != "div"}

_SIMPLE = {
    "neg": "-{a}",
    "not": "{a} == False",
    "cast": "tl.where({a}, one, zero)",
    "where": "tl.where({a}, {b}, {c})",
    "minimum": "tl.minimum({a}, {b}, propagate_nan=tl.PropagateNan.ALL)",
    "maximum": "tl.maximum({a}, {b}, propagate_nan=tl.PropagateNan.ALL)",
    "trunc": "tl.where({a} < 0, tl.ceil({a}), tl.floor({a}))",
    **{name: f"tl.{name}({{a}})" for name in ("abs", "floor", "ceil", "log", "sin", "cos", "erf")},
}
"""Primitives that are one expression of their operands ``a, b, c``."""

_ROUND = """\
{v}_m = (tl.abs({a}) + {whole}) - {whole}
{v} = tl.where(tl.abs({a}) < {whole}, tl.where({a} < 0, -{v}_m, {v}_m), {a})"""
"""Beside a number whose last place is 1 a sum is rounded to an integer, half to even."""

_EXP_SINGLE = """\
{v}_a = tl.maximum(tl.minimum({a}, 200.0, propagate_nan=tl.PropagateNan.ALL), -200.0, propagate_nan=tl.PropagateNan.ALL)
{v}_p = {v}_a * 1.44269502
{v}_r = tl.fma({v}_a, 1.92596299e-8, tl.fma({v}_a, 1.44269502, -{v}_p))
{v} = tl.exp2({v}_p) * ({v}_r * 0.693147181 + 1.0)"""
"""The device has a power of two. What the product with log2(e) loses, r, would cost digits at large arguments."""

_EXPM1 = """\
{exp}
{v}_w = {v}_u - 1.0
{v}_q = {v}_w * ({a} / tl.log({v}_u))
{v} = tl.where({v}_u == 1.0, {a}, tl.where(({v}_w == -1.0) | ({v}_w == {v}_u), {v}_w, {v}_q))"""
"""Errors of ``u = exp(a)`` cancel in ``(u - 1) a / log(u)``, since ``(u - 1) / log(u)`` is smooth."""

_LOG1P = """\
{v}_u = {a} + 1.0
{v}_w = {v}_u - 1.0
{v}_q = tl.log({v}_u) * ({a} / {v}_w)
{v} = tl.where({v}_w == 0.0, {a}, tl.where({v}_w == {v}_u, tl.log({v}_u), {v}_q))"""

_POW = """\
{v}_a = {a}.to(tl.float64)
{v}_b = {b}.to(tl.float64)
{v}_whole = tl.floor({v}_b) == {v}_b
{v}_odd = {v}_whole & (tl.floor({v}_b * 0.5) != {v}_b * 0.5)
{v}_p = tl.exp({v}_b * tl.log(tl.abs({v}_a)))
{v}_one = ({v}_b == 0.0) | ((tl.abs({v}_a) == 1.0) & (({v}_a == 1.0) | {v}_whole))
{v}_p = tl.where({v}_one, 1.0, {v}_p)
{v}_p = tl.where(({v}_a < 0.0) & {v}_odd, -{v}_p, {v}_p)
{v}_none = ({v}_a < 0.0) & ({v}_whole == False) & (tl.abs({v}_a) < float("inf"))
{v} = tl.where({v}_none, float("nan"), {v}_p).to({real})"""
"""In float64 in either case: the error of a logarithm is multiplied by the exponent."""

_ATAN_TERMS = 13
"""Odd powers of a number below 0.2 after which the series of atan has the digits of float64."""


class TritonForms:
    """Statements for float32 (``single``) or float64.

    Args:
        single: whether the kernel computes in float32.
        constant: from a number to the name that the kernel has for it.
    """

    def __init__(self, single: bool, constant: Callable[[float], str]) -> None:
        self.single, self.constant = single, constant

    def statements(self, op: str, v: str, operands: list[str]) -> list[str]:
        """Lines that compute ``v = op(operands)``; what else they name begins with ``v``."""
        return self._text(op, v, operands).split("\n")

    def _text(self, op: str, v: str, operands: list[str]) -> str:
        if op in _INFIX:
            return f"{v} = {operands[0]} {_INFIX[op]} {operands[1]}"
        if op in _SIMPLE:
            return f"{v} = {_SIMPLE[op].format(**dict(zip('abc', operands, strict=False)))}"
        return getattr(self, f"_{op}")(v, *operands)

    # what differs between the dtypes or takes several statements

    def _div(self, v: str, a: str, b: str) -> str:
        return f"{v} = tl.div_rn({a}, {b})" if self.single else f"{v} = {a} / {b}"

    def _sqrt(self, v: str, a: str) -> str:
        return f"{v} = tl.sqrt_rn({a})" if self.single else f"{v} = tl.sqrt({a})"

    def _exp(self, v: str, a: str) -> str:
        return _EXP_SINGLE.format(v=v, a=a) if self.single else f"{v} = tl.exp({a})"

    def _sigmoid(self, v: str, a: str) -> str:
        return f"{self._exp(f'{v}_e', f'(-{a})')}\n{self._div(v, 'one', f'({v}_e + 1.0)')}"

    def _expm1(self, v: str, a: str) -> str:
        return _EXPM1.format(v=v, a=a, exp=self._exp(f"{v}_u", a))

    def _log1p(self, v: str, a: str) -> str:
        return _LOG1P.format(v=v, a=a)

    def _tanh(self, v: str, a: str) -> str:
        below = f"{v}_d = -2.0 * tl.abs({a})\n{self._expm1(f'{v}_t', f'{v}_d')}"
        return f"{below}\n{v}_q = -{v}_t / ({v}_t + 2.0)\n{v} = tl.where({a} < 0, -{v}_q, {v}_q)"

    def _atan(self, v: str, a: str) -> str:
        lines = [f"{v}_s = tl.abs({a})", f"{v}_z = tl.where({v}_s > 1.0, 1.0 / {v}_s, {v}_s)"]
        # atan(z) = 2 atan(z / (1 + sqrt(1 + z z))), twice, from 1 down to 0.199
        for _ in range(2):
            lines += [self._sqrt(f"{v}_w", f"({v}_z * {v}_z + 1.0)"), f"{v}_z = {v}_z / ({v}_w + 1.0)"]
        lines += [f"{v}_q = {v}_z * {v}_z", f"{v}_r = {self.constant(1 / (2 * _ATAN_TERMS - 1))}"]
        lines += [f"{v}_r = {self.constant(1 / (2 * k - 1))} - {v}_q * {v}_r" for k in range(_ATAN_TERMS - 1, 0, -1)]
        lines += [f"{v}_r = 4.0 * {v}_z * {v}_r"]
        lines += [f"{v}_r = tl.where({v}_s > 1.0, {self.constant(math.pi / 2)} - {v}_r, {v}_r)"]
        return "\n".join([*lines, f"{v} = tl.where({a} < 0, -{v}_r, {v}_r)"])

    def _round(self, v: str, a: str) -> str:
        return _ROUND.format(v=v, a=a, whole=2.0**23 if self.single else 2.0**52)

    def _pow(self, v: str, a: str, b: str) -> str:
        return _POW.format(v=v, a=a, b=b, real="tl.float32" if self.single else "tl.float64")
