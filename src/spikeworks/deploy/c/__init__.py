"""Networks as C99 without heap or operating system, for small devices; and the same, compiled, on this machine."""

from . import spectra  # registers its lowerings
from .export import Export, export_c, write_c
from .layers import lower
from .lowering import Builder, CExportError, lowers
from .native import CompiledNetwork, compiled
from .program import Part, Program

__all__ = [
    "Builder",
    "CExportError",
    "CompiledNetwork",
    "Export",
    "Part",
    "Program",
    "compiled",
    "export_c",
    "lower",
    "lowers",
    "spectra",
    "write_c",
]
