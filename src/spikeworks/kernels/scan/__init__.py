"""Recurrences over time in closed form, for neurons that are linear up to their threshold."""

from .diagonal import diagonal_scan
from .forms import FAMILIES, choose_form, planned_form, planned_forms, use_forms
from .lanes import powers
from .linear import linear_scan
from .modulo import modulo_scan, whole_thresholds
from .window import causal_filter

__all__ = [
    "FAMILIES",
    "causal_filter",
    "choose_form",
    "diagonal_scan",
    "linear_scan",
    "modulo_scan",
    "planned_form",
    "planned_forms",
    "powers",
    "use_forms",
    "whole_thresholds",
]
