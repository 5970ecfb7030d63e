"""Numbers as a page shows them."""

from __future__ import annotations

import math
from typing import Any

from harness.reports.style import size

NOTHING = "–"


def si(value: Any) -> str:
    """A count with three digits and its unit: `harness.reports.style.size`, or a dash."""
    return size(value) if is_number(value) else NOTHING


def scientific(value: Any) -> str:
    """
    >>> scientific(3.98e11), scientific(0), scientific(None)
    ('3.98 × 10¹¹', '0', '–')
    """
    if not is_number(value):
        return NOTHING
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.2e}".replace("-", "−", int(value < 0)).split("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(_RAISED)}"


def power_of_ten(value: float) -> str:
    """
    >>> power_of_ten(1e11), power_of_ten(2e-3)
    ('10¹¹', '2×10⁻³')
    """
    mantissa, exponent = f"{value:.0e}".split("e")
    power = f"10{str(int(exponent)).translate(_RAISED)}"
    return power if mantissa == "1" else f"{mantissa}×{power}"


def number(value: Any) -> str:
    """Anything in a table's cell.

    >>> [number(v) for v in (3.58049, 12, 7000.0, 0.00001234, 5e12, True, None, float("nan"), "x")]
    ['3.580', '12', '7,000', '1.23 × 10⁻⁵', '5.00 × 10¹²', 'yes', '–', '–', 'x']
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(number, value))
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NOTHING
    if not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or (abs(value) >= 1000 and value == int(value)):
        return f"{value:,.0f}" if abs(value) < 10**9 else scientific(value)
    if value == 0:
        return "0"
    if abs(value) < 1e-3 or abs(value) >= 1e5:
        return scientific(value)
    return (f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}").replace("-", "−")


def plus_minus(value: Any, stderr: Any, digits: int = 3) -> str:
    """
    >>> plus_minus(2.77412, 0.0081), plus_minus(2.77412, None), plus_minus(None, 0.1)
    ('2.774 ± 0.008', '2.774', '–')
    """
    if not is_number(value):
        return NOTHING
    text = f"{value:.{digits}f}".replace("-", "−")
    return f"{text} ± {stderr:.{digits}f}" if is_number(stderr) else text


def signed(value: float) -> str:
    """
    >>> signed(-0.1234), signed(0.00123)
    ('−0.123', '+0.0012')
    """
    return (f"{value:+.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:+.2g}").replace("-", "−")


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
