"""Distil Google's CXR Foundation Model into a DenseNet-169 and study what was kept."""

__version__ = "0.1.0"
