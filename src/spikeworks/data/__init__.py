"""Readers of raw formats, data sets in memory, and where files lie."""

from __future__ import annotations

from .check import check_arrays, check_labels
from .dataset import ArrayDataset, Dataset, RaggedDataset
from .download import download, fetch
from .files import FileSet, Source, WantedFile, data_root, locate
from .idx import read_idx
from .mel import LogMel
from .scale import Standardizer
from .series import Series, read_series
from .splits import fixed_permutation, stratified_parts, stratified_split, stratified_subset
from .text import Corpus, read_corpus, read_words
from .wav import read_wav
from .windows import TextWindows, Window

__all__ = [
    "ArrayDataset",
    "Corpus",
    "Dataset",
    "FileSet",
    "LogMel",
    "RaggedDataset",
    "Series",
    "Source",
    "Standardizer",
    "TextWindows",
    "WantedFile",
    "Window",
    "check_arrays",
    "check_labels",
    "data_root",
    "download",
    "fetch",
    "fixed_permutation",
    "locate",
    "read_corpus",
    "read_idx",
    "read_series",
    "read_wav",
    "read_words",
    "stratified_parts",
    "stratified_split",
    "stratified_subset",
]
