"""The table of faults: each injected once, what the person saw, what was lost. Some need root, to mount a small disk.

python bench/faults.py [part of a fault's name]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faults"))

from faults import FAULTS, NEED_ROOT, ROOT, carry_out


def main() -> None:
    print("| fault | what the person saw | exit code | what was lost |")
    print("| --- | --- | --- | --- |")
    for name in FAULTS:
        if not all(part in name for part in sys.argv[1:]):
            continue
        if name in NEED_ROOT and not ROOT:
            print(f"| {name} | not injected: this needs root | | |")
            continue
        seen = carry_out(name)
        print(f"| {name} | {seen.said.removeprefix('harness: ')} | {seen.code} | {seen.lost} |", flush=True)


if __name__ == "__main__":
    main()
