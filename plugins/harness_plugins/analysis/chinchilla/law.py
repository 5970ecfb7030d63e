"""L(N, D) = E + A/N^α + B/D^β and its fit, many fits at a time.

Hoffmann et al. 2022, approach 3 (§3.3 and its appendix): the sum of Huber losses of the residuals of log L, with
the law as a log-sum-exp. Besiroglu et al. 2024 show what goes wrong: where the losses are averaged instead of
summed the optimiser stops early, and the intervals come out far too narrow.

The residuals are larger than δ for most points, so the objective is nearly the sum of their magnitudes. Newton's
method sees only the points inside δ; reweighted least squares sees all but creeps. Here the second
damps the first: near the minimum the damping vanishes and convergence is quadratic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

PARAMETERS = ("E", "A", "alpha", "B", "beta")
DELTA = 1e-3  #: Huber's δ, in log L
_LEAST_E = 1e-3  #: the least E that the fit can tell from none, as a share of the smallest loss
_EXPONENTS = (1e-3, 5.0)
_FARTHEST = 200.0  #: log N of an optimum that two exponents of nearly 0 put anywhere


@dataclass(frozen=True)
class Design:
    """The sizes at which losses were seen. N, D: shape (points,)."""

    N: Array
    D: Array

    @property
    def centre(self) -> tuple[float, float]:
        return float(np.log(self.N).mean()), float(np.log(self.D).mean())

    @property
    def centred(self) -> tuple[Array, Array]:
        return np.log(self.N) - self.centre[0], np.log(self.D) - self.centre[1]


def natural(theta: Array, design: Design) -> Array:
    """(…, 5) of (log A', log B', log E, α, β), with A' and B' at the design's centre, to (E, A, α, B, β)."""
    a, b, e, alpha, beta = np.moveaxis(theta, -1, 0)
    n, d = design.centre
    return np.stack([np.exp(e), np.exp(a + alpha * n), alpha, np.exp(b + beta * d), beta], axis=-1)


def loss(law: Array, N: Array, D: Array) -> Array:
    """Losses in nats. law: (…, 5) as `natural` gives it; N, D: (points,). Returns (…, points)."""
    return each(law[..., None, :], N, D)


def each(laws: Array, N: Array, D: Array) -> Array:
    """Losses in nats, each law at a size of its own: laws (…, points, 5) with N, D (points,) to (…, points)."""
    E, A, alpha, B, beta = np.moveaxis(laws, -1, 0)
    return E + A * N**-alpha + B * D**-beta


def value_and_jacobian(theta: Array, n: Array, d: Array) -> tuple[Array, Array]:
    """log L of shape (fits, points) and its derivatives (fits, points, 5). theta: (fits, 5)."""
    a, b, e, alpha, beta = (theta[:, i, None] for i in range(5))
    terms = np.stack([a - alpha * n, b - beta * d, np.broadcast_to(e, (len(theta), len(n)))])
    largest = terms.max(axis=0)
    shares = np.exp(terms - largest)
    total = shares.sum(axis=0)
    shares /= total
    jacobian = np.stack([*shares, -shares[0] * n, -shares[1] * d], axis=-1)
    return largest + np.log(total), jacobian


def huber(residual: Array, delta: float = DELTA) -> Array:
    """Summed over the points: r²/2 inside δ, δ(|r| − δ/2) outside. (fits, points) to (fits,)."""
    size = np.abs(residual)
    inside = np.minimum(size, delta)
    return (inside * (size - inside / 2)).sum(axis=-1)


def minimise(
    design: Design, log_loss: Array, theta: Array, steps: int = 100, tolerance: float = 1e-7, delta: float = DELTA
) -> Array:
    """From each start to the nearest minimum. log_loss: (points,) or (fits, points). Returns (fits, 5).

    A fit ends when a step that was not held back lowers its objective by less than `tolerance` of it.
    """
    n, d = design.centred
    y = np.broadcast_to(log_loss, (len(theta), len(n)))
    lower = np.array([-np.inf, -np.inf, y.min() + np.log(_LEAST_E), _EXPONENTS[0], _EXPONENTS[0]])
    upper = np.array([np.inf, np.inf, y.min(), _EXPONENTS[1], _EXPONENTS[1]])
    theta = np.clip(theta, lower, upper)
    value, jacobian = value_and_jacobian(theta, n, d)
    residual = y - value
    objective = huber(residual, delta)
    damping = np.ones(len(theta))
    going = np.arange(len(theta))
    for _ in range(steps):
        trial = np.clip(theta[going] + _step(residual[going], jacobian[going], damping[going], delta), lower, upper)
        value, slopes = value_and_jacobian(trial, n, d)
        left = y[going] - value
        now = huber(left, delta)
        better = now < objective[going]
        gain = np.where(better & (damping[going] <= 1), 1 - now / objective[going], np.inf)
        accepted = going[better]
        theta[accepted], residual[accepted], jacobian[accepted] = trial[better], left[better], slopes[better]
        objective[accepted] = now[better]
        damping[going] *= np.where(better, 0.2, 5.0)
        going = going[(gain > tolerance) & (damping[going] < 1e8)]
        if not len(going):
            break
    return theta


def _step(residual: Array, jacobian: Array, damping: Array, delta: float) -> Array:
    weight = delta / np.maximum(np.abs(residual), delta)
    curvature = (np.abs(residual) < delta) + damping[:, None] * weight
    transposed = jacobian.transpose(0, 2, 1)
    hessian = transposed @ (jacobian * curvature[..., None])
    slope = transposed @ (weight * residual)[..., None]
    diagonal = np.einsum("fpp->fp", hessian)
    diagonal += 1e-9 * diagonal.max(axis=1, keepdims=True) + 1e-12
    return np.linalg.solve(hessian, slope)[..., 0]


def starts(design: Design, log_loss: Array, exponents: Array | None = None) -> Array:
    """A grid of α and β; for each the E, A', B' ≥ 0 that least squares gives (the law is linear in them)."""
    from scipy.optimize import nnls

    n, d = design.centred
    grid = np.geomspace(0.05, 2.0, 7) if exponents is None else exponents
    level = np.exp(log_loss)
    found = []
    for alpha in grid:
        for beta in grid:
            columns = np.stack([np.exp(-alpha * n), np.exp(-beta * d), np.ones_like(n)], axis=1) / level[:, None]
            scales = nnls(columns, np.ones_like(n))[0]
            found.append([*np.log(np.maximum(scales, 1e-2 * level.min())), alpha, beta])
    return np.array(found)


def fit(design: Design, log_loss: Array) -> Array:
    """The best of many starts: (5,)."""
    ends = minimise(design, log_loss, starts(design, log_loss), steps=300)
    values = huber(log_loss - value_and_jacobian(ends, *design.centred)[0])
    return ends[np.argmin(values)]


@dataclass(frozen=True)
class Scatter:
    """What a fit leaves over, to be drawn from again."""

    centred: Array  #: residuals of log L less their median, widened for the parameters that were fitted
    scale: float  #: their standard deviation, with the fit's degrees of freedom

    @classmethod
    def of(cls, residual: Array) -> Scatter:
        freedom = len(residual) - len(PARAMETERS)
        widened = (residual - np.median(residual)) * np.sqrt(len(residual) / freedom)
        return cls(widened, float(np.sqrt((residual**2).sum() / freedom)))

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Smoothed, at the same variance: a fit by magnitudes passes through five points, and resamples of so lumpy
        a set vary too little (De Angelis, Hall & Young 1993). The bandwidth is Silverman's."""
        share = (4 / 3 / len(self.centred)) ** 0.2
        lumpy = rng.choice(self.centred, shape)
        return (lumpy + share * self.scale * rng.standard_normal(shape)) / np.sqrt(1 + share**2)


def bootstrap(design: Design, theta: Array, log_loss: Array, count: int, rng: np.random.Generator) -> Array:
    """Fits to `count` ladders drawn around the fit, each started from it: (count, 5).

    Residuals are resampled and the design stays: a ladder is planned, not drawn, and resampled pairs lose whole
    rungs.
    """
    fitted = value_and_jacobian(theta[None], *design.centred)[0][0]
    noise = Scatter.of(log_loss - fitted).draw(rng, (count, len(log_loss)))
    return minimise(design, fitted + noise, np.repeat(theta[None], count, axis=0))


def interval(samples: Array, confidence: float, freedom: int) -> tuple[Array, Array]:
    """Percentiles over the first axis, expanded as Student's t is over the normal (Hesterberg 2015): few points say
    less about their own scatter."""
    from scipy.stats import norm, t

    tail = float(norm.cdf(t.ppf((1 - confidence) / 2, freedom)))
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    return low, high


def optimum(law: Array, compute: Array | float) -> tuple[Array, Array]:
    """N and D that reach the least loss with C = 6ND FLOPs (Hoffmann et al. 2022, eq. 4). law: (…, 5)."""
    _, A, alpha, B, beta = np.moveaxis(law, -1, 0)
    log_ND = np.log(np.asarray(compute) / 6)
    log_N = (np.log(alpha) + np.log(A) - np.log(beta) - np.log(B) + beta * log_ND) / (alpha + beta)
    N = np.exp(np.clip(log_N, -_FARTHEST, _FARTHEST))
    return N, np.asarray(compute) / 6 / N


def condition(theta: Array, design: Design) -> float:
    """The condition number of the Jacobian of log L, its columns scaled to length 1, at the design's centre."""
    jacobian = value_and_jacobian(theta[None], *design.centred)[1][0]
    lengths = np.linalg.norm(jacobian, axis=0)
    return float(np.linalg.cond(jacobian / lengths)) if lengths.all() else float("inf")
