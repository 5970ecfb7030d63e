"""The coordinate check of μP (Yang et al. 2022, appendix D.1): whether training moves a model as far at every width.

Small LLaMAs of two heads, whose channels grow, learn one batch of random tokens by heart for a few steps of AdamW, at
one rate for all widths: in the standard parametrization, and in μP with the narrowest as its base. The figure is the
slope of log over log of each quantity's change over width, averaged as `harness.testing.coordinates` says. Logits at
the start fall with the root of the width in μP, as the theory has it.

    python bench/coordinates.py [--widest 512] [--svg bench/results/coordinates.svg]
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from harness.config import plugin_config
from harness.reports.style import INK, label, legend, log_sizes, ramp, style
from harness.reports.svg import to_svg
from harness.testing.coordinates import coordinates, exponent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BOUND = 0.1  #: of μP's slopes, to either side; the standard parametrization's are above
BASE, HEADS, LAYERS, SEEDS, STEPS, RATE = 32, 2, 2, 8, 4, 0.01
PARTS = {"position": "rotary", "feedforward": "gated", "norm": "rmsnorm", "head": "language_model"}
MUP = {"base_width": BASE, "base_channels": BASE // HEADS}

#: By quantity and moment, the size at each width.
Sizes = dict[tuple[str, str], dict[int, float]]


def measured(base: dict[str, Any], widths: list[int]) -> Sizes:
    def at(width: int) -> Any:
        attention = {"name": "multi_head", "heads": HEADS}
        options = {"name": "transformer", "width": width, "layers": LAYERS, "attention": attention, **PARTS, **base}
        return plugin_config("architecture", options, "architecture")

    adamw = plugin_config("optimizer", {"name": "adamw", "lr": RATE}, "optimizer")
    return coordinates(at, widths, adamw, STEPS, SEEDS)


def drawn(of: dict[str, Sizes]) -> Figure:
    """What training changed, over width: the two parametrizations side by side, on one scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.0), dpi=100, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (name, sizes) in zip(panels, of.items(), strict=True):
        style(axes)
        axes.set_title(name, loc="left", fontsize=11, color=INK)
        changes = {quantity: by_width for (quantity, when), by_width in sizes.items() if when == "change"}
        for colour, (quantity, by_width) in zip(ramp(len(changes)), sorted(changes.items()), strict=True):
            axes.plot(list(by_width), list(by_width.values()), "o-", markersize=4, color=colour, label=quantity)
        label(axes, "width", "" if axes is panels[1] else f"change after {STEPS} steps")
        log_sizes(axes.xaxis, list(next(iter(changes.values()))))
        axes.set_yscale("log")
    legend(panels[1])
    return figure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widest", type=int, default=512, help="channels of the widest model")
    parser.add_argument("--svg", type=Path, help="where the figure is drawn")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    widths = [BASE]
    while widths[-1] < asked.widest:
        widths.append(2 * widths[-1])
    of = {"standard": measured({}, widths), "μP": measured(MUP, widths)}
    print(f"| slopes, width {widths[0]} to {widths[-1]} | standard: start, change | μP: start, change |")
    print("| --- | --- | --- |")
    missed = []
    for quantity in sorted({name for name, _ in of["μP"]}):
        slopes = {n: [exponent(sizes[quantity, when]) for when in ("start", "change")] for n, sizes in of.items()}
        print(
            f"| {quantity} | {' | '.join(', '.join(f'{slope:+.2f}' for slope in both) for both in slopes.values())} |"
        )
        if abs(slopes["μP"][1]) > BOUND or slopes["standard"][1] <= BOUND:
            missed.append(f"{quantity}: μP {slopes['μP'][1]:+.3f}, standard {slopes['standard'][1]:+.3f}.")
    if asked.svg:
        asked.svg.write_text(to_svg(lambda: drawn(of)), encoding="utf-8")
    print("\n".join(missed) or f"What training changes is flat in μP (± {BOUND}), and grows in the standard one.")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
