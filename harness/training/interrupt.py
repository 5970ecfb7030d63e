"""SIGTERM and SIGINT are heard at the end of a step, when the run can be stopped without loss."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.training.world import World


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop, has written a checkpoint and goes on from there when it is started again."""


class Interrupt:
    """While it is entered, the first SIGTERM or SIGINT is only remembered; a second SIGINT stops at once."""

    def __init__(self) -> None:
        self.heard: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._hear) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.heard == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.heard = number

    def check(self, world: World | None = None) -> None:
        """Raises Interrupted if a signal has come; in a world, on every rank if it has come to any."""
        heard = [number for number in (world.gather(self.heard) if world else [self.heard]) if number is not None]
        if heard:
            raise Interrupted(f"{signal.Signals(heard[0]).name} was received")
