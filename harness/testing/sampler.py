"""What every sampler promises: a token of the vocabulary for each row, by its own generator."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from harness.testing.check import sound

ROWS, VOCABULARY = 64, 20


def samples_wrongly(config: Any) -> str | None:
    """Whether what is drawn is no token for each row, falls on one that is impossible, or depends on more than logits
    and generator."""
    sampler = config.build()
    logits_BV = torch.randn(ROWS, VOCABULARY, generator=torch.Generator().manual_seed(0)) * 3
    logits_BV[:, ::2] = -torch.inf
    before = logits_BV.clone()
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        drawn.append(sampler(logits_BV, torch.Generator().manual_seed(0)))
    tokens_B = drawn[0]
    if tuple(tokens_B.shape) != (ROWS,) or tokens_B.dtype != torch.int64:
        return f"Of {ROWS} rows it gives {tokens_B.dtype} of shape {tuple(tokens_B.shape)}, and not one int64 for each."
    if not torch.equal(*drawn):
        return "Drawn twice with one generator, the tokens differ: use no other source of chance."
    if not torch.equal(logits_BV, before):
        return "It changes the logits that it is given."
    if int(tokens_B.min()) < 0 or int(tokens_B.max()) >= VOCABULARY:
        return f"It draws the token {int(tokens_B.max())} of {VOCABULARY}."
    if (tokens_B % 2 == 0).any():
        return "It draws a token whose logit is −∞, which is impossible."
    certain_BV = torch.full((ROWS, VOCABULARY), -30.0).scatter(1, (torch.arange(ROWS) % VOCABULARY)[:, None], 30.0)
    if not torch.equal(sampler(certain_BV, torch.Generator()), torch.arange(ROWS) % VOCABULARY):
        return "Where one token is certain, it draws another one."
    return None


class SamplerKit:
    """Subclass it and give `config`, a `SamplerConfig`.

    class TestMine(SamplerKit):
        config = MyConfig(name="mine")
    """

    config: ClassVar[Any]

    def test_it_draws_possible_tokens_by_its_generator(self) -> None:
        sound(samples_wrongly(self.config))
