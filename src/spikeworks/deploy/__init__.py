"""Networks for elsewhere: NIR files, and neurons in the terms of other libraries."""

from .denoise import Denoiser
from .nir_common import Clock, NIRError
from .nir_export import export_nir, write_nir
from .nir_import import import_nir

__all__ = ["Clock", "Denoiser", "NIRError", "export_nir", "import_nir", "write_nir"]
