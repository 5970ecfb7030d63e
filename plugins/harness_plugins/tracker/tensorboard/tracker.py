"""Rows to event files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from harness.interfaces.tracker import figures, texts


class TensorBoard:
    """Each number is a scalar, each text a text; the config is the text of step 0, the result stands at the last."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.folder, self.config = folder, config
        self.writer: SummaryWriter | None = None
        self.step = 0

    def log(self, row: Mapping[str, Any]) -> None:
        writer, self.step = self._writer(row["step"]), row["step"]
        for name, value in figures(row).items():
            writer.add_scalar(name, value, self.step)
        for name, text in texts(row).items():
            writer.add_text(name, text, self.step)
        writer.flush()

    def close(self, result: Mapping[str, Any] | None) -> None:
        if self.writer is None:
            return
        for name, value in figures(result or {}).items():
            self.writer.add_scalar(f"result/{name}", value, self.step)
        self.writer.close()

    def _writer(self, step: int) -> SummaryWriter:
        """From its first row on an attempt takes the place of what earlier ones have written."""
        if self.writer is None:
            self.writer = SummaryWriter(str(self.folder), purge_step=step)
            self.writer.add_text("config", f"```\n{json.dumps(self.config, indent=1)}\n```", 0)
        return self.writer
