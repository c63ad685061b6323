"""How far a regression's coefficients can be from the optimum: a bound that holds on any CPU.

The penalised log-loss f is convex and generalised self-concordant (Bach 2010): near the optimum its
Hessian changes by at most a factor 2, so that coefficients with gradient g and Hessian H are no
farther from it than 2 d in the norm of H, with d = sqrt(g' H^-1 g) the Newton decrement, and
d^2 / 2 is what is left to gain in f. A logit x' theta is then within 2 d sqrt(x' H^-1 x) of the
optimum's.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit


class Regression:
    """One weighted, penalised logistic regression on standardised inputs, in float64.

    inputs: (n, F) raw, of training; targets: (n,), NaN where ignored; counts: (n,), or 1.
    """

    def __init__(self, inputs, targets, penalty, counts=1.0):
        inputs = inputs.astype(float)
        self.mean, self.deviation = inputs.mean(0), inputs.std(0)
        self.inputs = self.with_ones(inputs)
        known = ~np.isnan(targets)
        self.targets = np.where(known, targets, 0)
        self.weights = counts * known / (counts * known).sum()
        self.penalties = np.append(np.full(inputs.shape[1], penalty), 0)

    def with_ones(self, raw):
        """Standardised inputs and a column of ones for the bias."""
        x = (raw.astype(float) - self.mean) / self.deviation
        return np.column_stack([x, np.ones(len(x))])

    def coefficients(self, weight, bias):
        """Those of a head on raw inputs, for standardised ones."""
        weight = weight.astype(float)
        return np.append(weight * self.deviation, bias + weight @ self.mean)

    def decrement(self, theta):
        """Newton decrement at `theta` and the Hessian there."""
        chance = expit(self.inputs @ theta)
        gradient = self.inputs.T @ (self.weights * (chance - self.targets)) + self.penalties * theta
        curvature = self.weights * chance * (1 - chance)
        hessian = self.inputs.T @ (self.inputs * curvature[:, None]) + np.diag(self.penalties)
        return np.sqrt(gradient @ np.linalg.solve(hessian, gradient)), hessian

    def logit_bound(self, raw, *thetas):
        """(rows,): farthest that the logits of two near-optimal coefficients can be apart."""
        x = self.with_ones(raw)
        decrements, hessians = zip(*(self.decrement(theta) for theta in thetas), strict=True)
        spread = np.sqrt((x * np.linalg.solve(hessians[0], x.T).T).sum(1))
        return 2 * sum(decrements) * spread


def rounding(inputs, weight, bias):
    """(n, T): how far rounding to float32 can move inputs @ weight.T + bias, term by term.

    Each of the F products and sums, and the storage of the weights, is off by 2^-24 of its size.
    """
    terms = np.abs(inputs.astype(float)) @ np.abs(weight.T.astype(float)) + np.abs(bias)
    return (weight.shape[1] + 3) * 2.0**-24 * terms
