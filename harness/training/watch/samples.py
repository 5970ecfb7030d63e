"""What the model writes, now and then."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from harness.decoding.generate import generate
from harness.rundir import RunDir
from harness.schema import WatchConfig
from harness.stored import opening
from harness.training.job import TrainingJob
from harness.training.noise import keyed
from harness.training.recorder import Recorder
from harness.training.strategies import share_out_again


class Samples(Callback):
    """Every so many steps a row with a text that goes on from the prompt, drawn from the model's own probabilities; the
    noise seed and the step determine it."""

    def __init__(self, watch: WatchConfig, job: TrainingJob, run: RunDir, recorder: Recorder) -> None:
        self.watch, self.job, self.run, self.recorder = watch, job, run, recorder

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        if not pl_module.stepped or step % (self.watch.sample_every or 1):
            return
        tokenizer = self.job.dataset.tokenizer
        prompt = [tokenizer.end, *tokenizer.encode(self.watch.sample_prompt)]
        with self.recorder.aside():
            with torch.no_grad():
                new = pl_module.model(self._continued, prompt, step, tokenizer.end)
            share_out_again(pl_module.model)
        row = {"step": step, "event": "sample", "prompt": self.watch.sample_prompt, "text": tokenizer.decode(new)}
        self.run.append_metrics([row])
        self.recorder.progress.say(f"{self.run.id}: step {step} writes {row['prompt'] + row['text']!r}")

    def _continued(self, model: Any, prompt: list[int], step: int, end: int) -> list[int]:
        _, _, noise = self.job.seeds
        generator = torch.Generator(device=model.device).manual_seed(keyed(noise, step))
        longest = model.maximum_length or len(prompt) + self.watch.sample_tokens
        rows = generate(
            model,
            [prompt],
            sampler=_from_probabilities,
            max_new_tokens=min(self.watch.sample_tokens, longest - 1),
            opening=opening(self.run, model, self.job.dataset.tokenizer, self.job.config),
            stop=(end,),
            generator=generator,
            text=self.job.dataset.tokenizer.size,
        )
        return rows[0]


def _from_probabilities(logits_BV: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    return torch.multinomial(logits_BV.float().softmax(dim=-1), 1, generator=generator).squeeze(-1)
