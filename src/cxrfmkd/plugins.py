"""What a user's own file imports to add a piece to a study (see docs/extending.md)."""

from cxrfmkd.runtime.plugins import adapter, backbone, encoder, load, loss, metric

__all__ = ["adapter", "backbone", "encoder", "load", "loss", "metric"]
