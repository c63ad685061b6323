"""Many L2-penalised logistic regressions on the same features, solved together.

Every column of the problem is one regression (a seed's weights, a penalty, a finding). All of them
share the two products with the feature matrix that an iteration costs, so 280 cost little more than
a few. The features are first rotated to their principal axes, where the Hessian at the start is
nearly diagonal: L-BFGS with that diagonal as its first metric (Nocedal & Wright 2006, algorithm
7.4) then needs some tens of iterations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

MEMORY = 10
TOLERANCE = {torch.float32: 1e-8, torch.float64: 1e-14}


class Step(NamedTuple):
    """A step of L-BFGS, (r + 1, columns), the gradient's change, and 1 / their product or 0."""

    move: Tensor
    change: Tensor
    inverse: Tensor


@dataclass(frozen=True)
class Solution:
    """Coefficients of every regression and how the solver ended.

    weight: (columns, F); bias: (columns,); both of the features' type.
    iterations: (columns,) int64; converged: (columns,) bool; constant: (columns,) bool, true where
    the data held one class only, so that the weight is zero and the bias the log-odds of the
    smoothed prior.
    """

    weight: Tensor
    bias: Tensor
    iterations: Tensor
    converged: Tensor
    constant: Tensor


def solve(
    features: Tensor, targets: Tensor, weights: Tensor, penalties: Tensor, limit: int = 300
) -> Solution:
    """Minimise sum_i w_ik bce(x_i a_k + b_k, y_ik) / sum_i w_ik + penalty_k / 2 |a_k|^2 for each k.

    features: (n, F) float32 or float64, centred (standardised, as a rule); targets: (n, columns), 0
    or 1, anything where the weight is 0; weights: (n, columns), >= 0; penalties: (columns,), > 0.
    The bias is not penalised. A column has converged when the quasi-Newton estimate of what is left
    to gain in its objective is under 1e-8 (float32) or 1e-14 (float64).
    scikit-learn's LogisticRegression has C = 1 / (penalty * sum_i w_ik).
    """
    columns = targets.shape[1]
    total, positive = weights.sum(0), (weights * targets).sum(0)
    constant, bias = class_priors(total, positive)
    weight = features.new_zeros(columns, features.shape[1])
    iterations = torch.zeros(columns, dtype=torch.int64)
    converged = torch.ones(columns, dtype=torch.bool)
    solvable = torch.nonzero(~constant).flatten()
    if len(solvable):
        rotated, basis = principal_axes(features)
        weights = weights[:, solvable] / total[solvable]
        share = positive[solvable] / total[solvable]
        theta, count, reached = _lbfgs(
            rotated, targets[:, solvable], weights, penalties[solvable], share, limit
        )
        weight[solvable] = (basis @ theta[:-1]).T
        bias[solvable] = theta[-1]
        iterations[solvable.cpu()] = count
        converged[solvable.cpu()] = reached
    return Solution(weight, bias, iterations, converged, constant)


def class_priors(total: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Whether each column has one class only, and the log-odds of its smoothed prior, (columns,).

    total, positive: weight of all rows, and of those of class 1.
    """
    constant = (positive <= 0) | (positive >= total)
    return constant, torch.logit((positive + 0.5) / (total + 1))


def principal_axes(features: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (n, r) of centred features (n, F) on their principal axes, the basis (F, r).

    The features are scores @ basis.T. The basis is orthonormal, so an L2 penalty means the same
    before and after. With fewer rows than features only the r <= n directions that the rows span
    are kept, since the penalised solution lies in them.
    """
    n, width = features.shape
    if n >= width:
        basis = torch.linalg.eigh(features.T @ features / n)[1]
        return features @ basis, basis
    wide = features.double()
    values, left = torch.linalg.eigh(wide @ wide.T)
    spanned = values > 1e-10 * values[-1].clamp(min=1e-300)
    left, scale = left[:, spanned], values[spanned].sqrt()
    return (left * scale).to(features.dtype), (wide.T @ left / scale).to(features.dtype)


def _lbfgs(
    scores: Tensor, targets: Tensor, weights: Tensor, penalties: Tensor, share: Tensor, limit: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Coefficients (r + 1, columns), the bias last; iterations and whether each column converged.

    weights: of each column, with sum 1; share: of the weight that is of class 1. Columns that have
    converged are taken out, so that the others cost less.
    """
    scores = torch.cat([scores, scores.new_ones(len(scores), 1)], 1)
    columns = targets.shape[1]
    penalty = penalties.expand(scores.shape[1], columns).clone()
    penalty[-1] = 0
    metric = 1 / (share * (1 - share) * scores.square().mean(0)[:, None] + penalty)
    theta = torch.zeros_like(metric)
    theta[-1] = torch.logit(share)
    result, iterations = theta.clone(), torch.full((columns,), limit)
    converged = torch.zeros(columns, dtype=torch.bool)
    logits = theta[-1].expand(len(scores), -1)
    gradient = scores.T @ (weights * (torch.sigmoid(logits) - targets)) + penalty * theta
    active = torch.arange(columns, device=scores.device)
    steps: list[Step] = []
    for iteration in range(limit):
        direction = -_inverse_hessian(gradient, steps, metric)
        left_to_gain = -(gradient * direction).sum(0) / 2
        going = left_to_gain > TOLERANCE[scores.dtype]
        if not going.all():
            done = active[~going]
            result[:, done] = theta[:, ~going]
            iterations[done.cpu()] = iteration
            converged[done.cpu()] = True
            if not going.any():
                return result, iterations, converged
            state = active, theta, gradient, direction, penalty, metric, logits, targets, weights
            active, theta, gradient, direction, penalty, metric, logits, targets, weights = (
                tensor[..., going] for tensor in state
            )
            steps = [Step(*(tensor[..., going] for tensor in step)) for step in steps]
        length, logits, residual = _line_search(
            logits, scores @ direction, theta, direction, targets, weights, penalty
        )
        move = length * direction
        theta = theta + move
        new_gradient = scores.T @ residual + penalty * theta
        change = new_gradient - gradient
        curvature = (move * change).sum(0)
        inverse = torch.where(curvature > 0, 1 / curvature, 0)
        steps = [*steps[1 - MEMORY :], Step(move, change, inverse)]
        gradient = new_gradient
    result[:, active] = theta
    return result, iterations, converged


def _inverse_hessian(gradient: Tensor, steps: list[Step], metric: Tensor) -> Tensor:
    """L-BFGS's two-loop product of the inverse Hessian with the gradient, for all columns."""
    product, factors = gradient.clone(), []
    for step in reversed(steps):
        factor = step.inverse * (step.move * product).sum(0)
        product -= factor * step.change
        factors.append(factor)
    if steps:
        move, change, inverse = steps[-1]
        stretch = (move * change).sum(0) / (change * metric * change).sum(0)
        product *= torch.where(inverse > 0, stretch, 1)
    product *= metric
    for step, factor in zip(steps, reversed(factors), strict=True):
        product += step.move * (factor - step.inverse * (step.change * product).sum(0))
    return product


def _line_search(
    logits: Tensor,
    slope: Tensor,
    theta: Tensor,
    direction: Tensor,
    targets: Tensor,
    weights: Tensor,
    penalty: Tensor,
    tries: int = 12,
) -> tuple[Tensor, Tensor, Tensor]:
    """Step length at which each column's derivative along the direction has fallen to a tenth.

    Newton's method on the (convex) line, kept within the bracket so far. slope: (n, columns), how
    the logits change along the direction. Returns the lengths (columns,), and the logits and the
    weighted residuals at their ends, (n, columns).
    """
    stretch = (penalty * direction * direction).sum(0)
    pull = (penalty * theta * direction).sum(0)
    start = (weights * (torch.sigmoid(logits) - targets) * slope).sum(0) + pull
    length = torch.ones_like(start)
    low, high = torch.zeros_like(start), torch.full_like(start, torch.inf)
    for attempt in range(tries):
        end = logits + length * slope
        chance = torch.sigmoid(end)
        residual = weights * (chance - targets)
        first = (residual * slope).sum(0) + pull + length * stretch
        enough = first.abs() <= 0.1 * start.abs()
        if enough.all() or attempt == tries - 1:
            break
        second = (weights * chance * (1 - chance) * slope.square()).sum(0) + stretch
        low = torch.where(first < 0, length, low)
        high = torch.where(first < 0, high, length)
        newton = length - first / second
        inside = (newton > low) & (newton < high)
        halfway = torch.where(high.isinf(), 2 * length, (low + high) / 2)
        length = torch.where(enough, length, torch.where(inside, newton, halfway))
    return length, end, residual
