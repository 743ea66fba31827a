"""Weights as signed bytes: one scale for each row of a map, that is for each neuron it reaches."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from .program import Dense, Loop, Operation, Part, Program

LARGEST_CODE = 127


def quantized(program: Program) -> Program:
    """The same program with all dense maps in int8; biases, delays, norms and neurons stay as they are.

    Spikes add bytes in int32, exactly; a row's sum is scaled once. Real inputs are multiplied with the bytes.
    """
    return dataclasses.replace(program, operations=tuple(map(_one, program.operations)))


def row_codes(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers of size 127 or less and a scale for each row: ``codes * scale`` differs by half a scale at most."""
    largest = weight.abs().amax(1)
    scale = torch.where(largest > 0, largest / LARGEST_CODE, torch.ones_like(largest))
    return (weight / scale.unsqueeze(1)).round().clamp(-LARGEST_CODE, LARGEST_CODE), scale


def _one(operation: Operation) -> Operation:
    if isinstance(operation, Loop):
        return dataclasses.replace(operation, body=tuple(map(_one, operation.body)))
    if not isinstance(operation, Dense):
        return operation
    codes, scale = row_codes(operation.weight)
    kind = "sum" if operation.source.kind == "spike" else "real"
    sums: Part = dataclasses.replace(
        operation.target.buffer, name=f"{operation.name}_sums", size=operation.target.size, kind=kind, life="scratch"
    ).whole
    return dataclasses.replace(operation, weight=codes, scale=scale, sums=sums)
