"""The loss of every classifier: binary cross-entropy over the labels that are known."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits


def masked_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    dim: int | tuple[int, ...] | None = None,
    kind: str = "logits",
) -> Tensor:
    """Weighted mean binary cross-entropy over `dim`, by default over all; 0 where no weight is.

    logits, targets: float, of one shape; weights: of that shape, >= 0. Without weights every target
    counts once but NaN, which is a label that the policy ignores; with them no target may be NaN.
    kind: `logits`, or `probabilities`: after the sigmoid, log terms no lower than -100, as in the
    thesis. Source: thesis method, section 1.2.
    """
    if weights is None:
        weights, targets = ~targets.isnan(), targets.nan_to_num()
    if kind == "probabilities":
        each = binary_cross_entropy(logits.sigmoid(), targets, reduction="none")
    else:
        each = binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (each * weights).sum(dim) / weights.sum(dim).clamp(min=1)
