"""L = A/x^α or L = E + A/x^α by least squares on log L, one curve for each budget, their scatter pooled.

With three sizes at a budget two parameters leave one degree of freedom; pooled over the budgets that is enough for
an honest interval, by Student's t. What is left over may be noise, or a bend that the law does not have. Noise
averages out and a bend grows with the distance, so a value beyond the sizes seen gets the wider of both readings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

LEAST_POINTS = 3  #: of one curve: two parameters and one degree of freedom
LEAST_FOR_OFFSET = 5
SIGNIFICANCE = 0.05


def value_and_jacobian(theta: Array, x: Array) -> tuple[Array, Array]:
    """log L and its derivatives (points, parameters). theta: (log A, α) or (log A, α, log E); x: log sizes."""
    power = theta[0] - theta[1] * x
    if len(theta) == 2:
        return power, np.stack([np.ones_like(x), -x], axis=1)
    value = np.logaddexp(power, theta[2])
    share = np.exp(power - value)
    return value, np.stack([share, -share * x, 1 - share], axis=1)


@dataclass(frozen=True)
class Curve:
    """One budget's law. x: log sizes about `centre`. theta: (log A', α) or (log A', α, log E), A' at the centre."""

    x: Array
    y: Array  #: log losses
    centre: float
    theta: Array

    @classmethod
    def to(cls, sizes: Sequence[float], losses: Sequence[float], offset: bool) -> Curve:
        log_sizes = np.log(np.asarray(sizes, dtype=float))
        x, y, centre = log_sizes - log_sizes.mean(), np.log(np.asarray(losses, dtype=float)), float(log_sizes.mean())
        slope, level = np.polyfit(x, y, 1)
        power = np.array([level, -slope])
        return cls(x, y, centre, _offset(x, y) if offset else power)

    @property
    def residual(self) -> Array:
        return self.y - value_and_jacobian(self.theta, self.x)[0]

    @property
    def squares(self) -> float:
        return float((self.residual**2).sum())

    @property
    def freedom(self) -> int:
        return len(self.x) - len(self.theta)

    @property
    def covariance(self) -> Array:
        """Of theta, for residuals of variance 1."""
        jacobian = value_and_jacobian(self.theta, self.x)[1]
        return np.linalg.pinv(jacobian.T @ jacobian)

    @property
    def A(self) -> float:
        return float(np.exp(self.theta[0] + self.theta[1] * self.centre))

    @property
    def alpha(self) -> float:
        return float(self.theta[1])

    @property
    def E(self) -> float:
        return float(np.exp(self.theta[2])) if len(self.theta) == 3 else 0.0

    def log_loss(self, sizes: Array) -> Array:
        return value_and_jacobian(self.theta, np.log(sizes) - self.centre)[0]

    def bend(self) -> tuple[float, float]:
        """What x² explains of the residuals: its coefficient times its own length, squared, and that length squared."""
        rest = self._beyond_law(self.x**2, self.x**2, self.x)
        length = float(rest @ rest)
        return float(self.residual @ rest) ** 2 / length, length

    def reach(self, sizes: Array) -> Array:
        """By how much a bend of 1·x² moves log L at these sizes, after the law has taken its share of it."""
        x = np.log(sizes) - self.centre
        return self._beyond_law(self.x**2, x**2, x)

    def _beyond_law(self, seen: Array, wanted: Array, x: Array) -> Array:
        jacobian = value_and_jacobian(self.theta, self.x)[1]
        share = np.linalg.lstsq(jacobian, seen, rcond=None)[0]
        return wanted - value_and_jacobian(self.theta, x)[1] @ share


def _offset(x: Array, y: Array) -> Array:
    """E + A/x^α: for each α of a grid E and A ≥ 0 by linear least squares, then all three from the best of these."""
    from scipy.optimize import least_squares, nnls

    level = np.exp(y)
    least, most = np.array([-np.inf, 1e-3, np.log(1e-3 * level.min())]), np.array([np.inf, 5.0, float(y.min())])
    starts = []
    for alpha in np.geomspace(0.02, 2.0, 24):
        columns = np.stack([np.exp(-alpha * x), np.ones_like(x)], axis=1) / level[:, None]
        scales, distance = nnls(columns, np.ones_like(x))
        A, E = np.log(np.maximum(scales, 2e-3 * level.min()))
        starts.append((distance, [A, alpha, min(E, most[2] - 1e-6)]))
    return least_squares(
        lambda theta: value_and_jacobian(theta, x)[0] - y,
        min(starts)[1],
        jac=lambda theta: value_and_jacobian(theta, x)[1],
        bounds=(least, most),
        x_scale="jac",
        ftol=1e-10,
    ).x


@dataclass(frozen=True)
class Pooled:
    """Curves that share one scatter."""

    curves: list[Curve]
    confidence: float

    @classmethod
    def to(cls, groups: Sequence[tuple[Sequence[float], Sequence[float]]], law: str, confidence: float) -> Pooled:
        """groups: sizes and losses of each curve. law: power, offset or auto."""
        power = cls([Curve.to(*group, offset=False) for group in groups], confidence)
        if law == "power" or min(len(sizes) for sizes, _ in groups) < LEAST_FOR_OFFSET:
            return power
        offset = cls([Curve.to(*group, offset=True) for group in groups], confidence)
        return offset if law == "offset" or _better(power, offset) else power

    @property
    def law(self) -> str:
        return "offset" if len(self.curves[0].theta) == 3 else "power"

    @property
    def freedom(self) -> int:
        return sum(curve.freedom for curve in self.curves)

    @property
    def squares(self) -> float:
        return sum(curve.squares for curve in self.curves)

    @property
    def scatter(self) -> float:
        """Standard deviation of log L around the curves."""
        return float(np.sqrt(self.squares / self.freedom))

    @property
    def bend(self) -> float:
        """The coefficient of x² that would explain the bends left in the residuals (root mean square)."""
        found = [curve.bend() for curve in self.curves]
        return float(np.sqrt(sum(square for square, _ in found) / sum(length for _, length in found)))

    @property
    def bend_chance(self) -> float | None:
        """p-value of an F-test for an x² of its own in every curve; None for an offset law, which may bend, or where
        too few points are left to test with."""
        more, squares = len(self.curves), sum(curve.bend()[0] for curve in self.curves)
        left = self.freedom - more
        return _f_tail(squares, more, self.squares - squares, left) if self.law == "power" and left > 0 else None

    @property
    def t(self) -> float:
        from scipy.stats import t

        return float(t.ppf((1 + self.confidence) / 2, self.freedom))

    def band(self, curve: Curve, sizes: Array, point: bool = False, extra: float = 0.0) -> tuple[Array, Array]:
        """Interval for the curve at these sizes; with `point` for a loss that is yet to be seen there, and perhaps
        bends away.

        extra: variance of log L that such a loss has beyond the scatter (fewer seeds behind it).
        """
        jacobian = value_and_jacobian(curve.theta, np.log(sizes) - curve.centre)[1]
        leverage = np.einsum("ip,pq,iq->i", jacobian, curve.covariance, jacobian)
        noise = self.scatter**2 * (leverage + point) + extra
        if point and self.law == "power":
            noise = np.maximum(noise, (self.bend * curve.reach(sizes)) ** 2)
        half = self.t * np.sqrt(noise)
        middle = curve.log_loss(sizes)
        return np.exp(middle - half), np.exp(middle + half)

    def exponent(self, curve: Curve) -> tuple[float, float]:
        half = self.t * self.scatter * float(np.sqrt(curve.covariance[1, 1]))
        return curve.alpha - half, curve.alpha + half


def _better(power: Pooled, offset: Pooled) -> bool:
    """Whether the offsets lower the squares by more than chance does."""
    more = power.freedom - offset.freedom
    return _f_tail(power.squares - offset.squares, more, offset.squares, offset.freedom) < SIGNIFICANCE


def _f_tail(explained: float, more: int, rest: float, left: int) -> float:
    """The chance that `more` parameters explain as much where there is nothing, with `left` degrees of freedom left."""
    from scipy.stats import f

    if rest <= 0:
        return float(explained <= 0)
    return float(f.sf(explained / more / (rest / left), more, left))
