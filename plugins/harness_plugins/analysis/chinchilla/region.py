"""Which laws the points do not reject, and how far a quantity reaches over them.

The region of an F-test (Bates & Watts 1988, ch. 6): all laws whose squared residuals of log L are at most
S_min·(1 + t²/ν), with ν degrees of freedom. The least and the most of a quantity over it are its profile-likelihood
interval. Unlike resampled fits it does not lean on the fit itself: where the best E is none at all, resamples drawn
around it have hardly any E either, but the region still holds every E that the points allow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness_plugins.analysis.chinchilla import law
from harness_plugins.analysis.chinchilla.law import Array, Design

SQUARES = 1e3  #: a δ beyond every residual: Huber's loss is then least squares
LEAST = np.array([-20.0, -20.0, 0.0, 1e-3, 1e-3])  #: of (log A', log B', E, α, β)
MOST = np.array([20.0, 20.0, np.inf, 5.0, 5.0])
STEPS, CORRECTIONS = 12, 3  #: of a walk to the region's edge: ever larger regions, and corrections within each
LAST = 12  #: corrections on the edge
SLACK = 1e-3  #: how far beyond the region's edge an end may lie, as a share of what the squares may rise

#: (…, quantities, 5) laws as (E, A, α, B, β), one for each quantity, to the quantities (…, quantities).
Quantities = Callable[[Array], Array]


@dataclass(frozen=True)
class Region:
    """best: (log A', log B', E, α, β) of least squares; E itself, so that there may be none. squares: of its
    residuals, summed. confidence: of the region, for any one quantity."""

    design: Design
    log_loss: Array
    best: Array
    squares: float
    confidence: float

    @classmethod
    def around(cls, design: Design, log_loss: Array, confidence: float) -> Region:
        ends = law.minimise(design, log_loss, law.starts(design, log_loss), delta=SQUARES)
        squares = ((log_loss - law.value_and_jacobian(ends, *design.centred)[0]) ** 2).sum(axis=1)
        best = ends[np.argmin(squares)]
        best[2] = np.exp(best[2])
        return cls(design, log_loss, best, float(squares.min()), confidence)

    @property
    def scatter(self) -> float:
        """Standard deviation of log L around the law."""
        return float(np.sqrt(self.squares / self._freedom))

    @property
    def _freedom(self) -> int:
        return len(self.log_loss) - len(self.best)

    @functools.cached_property
    def t(self) -> float:
        """Student's, of the confidence."""
        from scipy.stats import t

        return float(t.ppf((1 + self.confidence) / 2, self._freedom))

    @property
    def _rise(self) -> float:
        return self.squares * self.t**2 / self._freedom

    def middle(self, quantities: Quantities, count: int) -> Array:
        """The quantities of the best law: (count,)."""
        return quantities(self._natural(np.repeat(self.best[None], count, axis=0)))

    def reach(self, quantities: Quantities, count: int) -> tuple[Array, Array]:
        """The least and the most of each of `count` quantities over the region: two of (count,).

        From the farthest law that walks to the edge have met, along the edge until the quantity grows no more.
        """
        met = np.repeat(self._met[:, None], count, axis=1)
        values = quantities(self._natural(met))
        ends = []
        for sign in (-1.0, 1.0):
            theta = self._met[np.argmax(sign * values, axis=0)]
            farthest = (sign * values).max(axis=0)
            for _ in range(LAST):
                theta = self._towards_edge(theta, sign * self._gradient(quantities, theta), 1.0)
                now = np.where(self._inside(theta), sign * quantities(self._natural(theta)), -np.inf)
                farthest = np.maximum(farthest, now)
            ends.append(sign * farthest)
        return ends[0], ends[1]

    @functools.cached_property
    def _met(self) -> Array:
        """Laws of the region, on the ways from the best to the least and the most of E, log A, α, log B and β."""
        n, d = self.design.centre
        outwards = np.array([[0, 0, 1, 0, 0], [1, 0, 0, n, 0], [0, 0, 0, 1, 0], [0, 1, 0, 0, d], [0, 0, 0, 0, 1.0]])
        slope = np.concatenate([outwards, -outwards])
        theta, met = np.repeat(self.best[None], len(slope), axis=0), [self.best[None]]
        for step in [*range(1, STEPS + 1), STEPS, STEPS, STEPS]:
            for _ in range(CORRECTIONS):
                theta = self._towards_edge(theta, slope, (step / STEPS) ** 2)
            met.append(theta[self._inside(theta)])
        return np.concatenate(met)

    def _towards_edge(self, theta: Array, slope: Array, share: float) -> Array:
        """To where a quadratic model of the squares has its edge in the direction in which a quantity of this slope
        grows most. theta, slope: (rows, 5). share: of the squares' rise that the region allows."""
        value, jacobian = self._law(theta)
        residual = self.log_loss - value
        free = np.ones_like(theta)
        for _ in range(2):  # again without the parameters that rest on a bound and would leave it
            J = jacobian * free[:, None]
            hessian = J.transpose(0, 2, 1) @ J
            diagonal = np.einsum("fpp->fp", hessian)
            diagonal += 1e-10 * diagonal + 1e-14
            sides = np.stack([np.einsum("fnp,fn->fp", J, residual), slope * free], axis=-1)
            inwards, outwards = np.moveaxis(np.linalg.solve(hessian, sides), -1, 0)
            room = self.squares + share * self._rise - (residual**2).sum(axis=1) + (sides[..., 0] * inwards).sum(axis=1)
            length = (sides[..., 1] * outwards).sum(axis=1)
            far = np.sqrt(np.maximum(room, 0) / np.maximum(length, 1e-300))
            move = inwards + far[:, None] * outwards
            free = 1.0 - (((theta <= LEAST) & (move < 0)) | ((theta >= MOST) & (move > 0)))
        return np.clip(theta + move * free, LEAST, MOST)

    def _law(self, theta: Array) -> tuple[Array, Array]:
        """log L (rows, points) and its derivatives (rows, points, 5)."""
        n, d = self.design.centred
        a, b, E, alpha, beta = (theta[:, i, None] for i in range(5))
        A, B = np.exp(a - alpha * n), np.exp(b - beta * d)
        loss = A + B + E
        return np.log(loss), np.stack([A, B, np.ones_like(loss), -A * n, -B * d], axis=-1) / loss[..., None]

    def _inside(self, theta: Array) -> Array:
        squares = ((self.log_loss - self._law(theta)[0]) ** 2).sum(axis=1)
        return squares <= self.squares + self._rise * (1 + SLACK)

    def _natural(self, theta: Array) -> Array:
        a, b, E, alpha, beta = np.moveaxis(theta, -1, 0)
        n, d = self.design.centre
        return np.stack([E, np.exp(a + alpha * n), alpha, np.exp(b + beta * d), beta], axis=-1)

    def _gradient(self, quantities: Quantities, theta: Array) -> Array:
        """By central differences: (quantities, 5)."""
        moves = 1e-6 * np.concatenate([np.eye(5), -np.eye(5)])
        values = quantities(self._natural(theta + moves[:, None]))
        return (values[:5] - values[5:]).T / 2e-6
