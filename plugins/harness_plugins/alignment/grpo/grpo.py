"""Rollouts, the advantages of a group, and the loss of one update."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from harness.data.examples import ends
from harness.decoding.generate import generate
from harness.errors import RunFailed
from harness.interfaces.batch import PADDING, Batch, Randomness, Sequences
from harness.interfaces.corpus import Example
from harness.interfaces.method import Setting
from harness.interfaces.visibility import Causal
from harness.models.visibility import padded_behind

if TYPE_CHECKING:
    from harness_plugins.alignment.grpo import GrpoConfig

#: Added to a group's standard deviation, as in TRL.
SMALL = 1e-4


class GroupRelative:
    """−Σ advantage · π(token) / π_old(token) + beta · KL, over the tokens of completions (Shao et al. 2024,
    "DeepSeekMath", equations 3 and 4, with one update for each rollout).

    With one update π_old is π: the ratio is 1 and its gradient that of log π(token), and a clip would change nothing.
    Probabilities are those that are sampled with: at that temperature, of the tokenizer's tokens alone.
    """

    def __init__(self, config: GrpoConfig, setting: Setting) -> None:
        assert setting.frozen is not None
        assert setting.examples is not None
        self.config, self.sequence_length, self.examples = config, setting.sequence_length, setting.examples
        self.tokenizer, self._frozen = setting.tokenizer, setting.frozen
        self.ends = ends(setting.tokenizer, setting.template)
        self.sampler, self.reward = config.sampler().build(), config.reward.build(setting.tokenizer)
        self.told = ("reward", *(["kl"] if config.beta else []), "length", "ended", "no_spread", "entropy")
        if config.beta:
            self.reference  # noqa: B018  # whether it can be read is known before the first step

    @functools.cached_property
    def reference(self) -> Any:
        return self._frozen("reference")

    # ------------------------------------------------------------------------------------- rollouts

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        """Prompts: inputs_BT, of which those with a weight are theirs."""
        assert sequences.parts_BS is not None
        assert sequences.sources_B is not None
        assert sequences.numbers_B is not None
        tokens_BS = torch.from_numpy(sequences.tokens_BS)
        origin = {"sources_B": sequences.sources_B, "numbers_B": sequences.numbers_B}
        return Batch(
            inputs_BT=tokens_BS,
            targets_BT=tokens_BS,
            weights_BT=torch.from_numpy(sequences.parts_BS != PADDING).float(),
            places_B=torch.from_numpy(sequences.places_B),
            extra={name: torch.from_numpy(values) for name, values in origin.items()},
        )

    def collect(self, model: Any, batch: Batch, generators: Sequence[torch.Generator]) -> Batch:
        """`group` completions of each prompt, one after the other, in rows of sequence_length.

        weights_BT: 1 at the targets that were generated. extra: rewards_B and advantages_B, float32; learned_B, 0 for
        completions that are left out of the loss; ended_B; reference_N, the reference's log-probabilities of what was
        generated, in nats, where beta asks for them.
        """
        config, prompts = self.config, _rows(batch)
        repeated = [prompt for prompt in prompts for _ in range(config.group)]
        completions = generate(
            model, repeated, sampler=self.sampler, max_new_tokens=config.max_new_tokens,
            stop=self.ends, generator=generators, text=self.tokenizer.size,
        )  # fmt: skip
        made = self._rollouts(repeated, completions, self._rewards(batch, completions))
        made.places_B = batch.places_B.cpu().repeat_interleave(config.group)
        made = made.to(model.device)
        if config.beta:
            made.extra["reference_N"] = self._log_probabilities(self.reference, made)
        return made

    def _rewards(self, batch: Batch, completions: Sequence[Sequence[int]]) -> list[float]:
        examples = self.examples(batch.extra["sources_B"].tolist(), batch.extra["numbers_B"].tolist())
        repeated = [example for example in examples for _ in range(self.config.group)]
        decode = self.tokenizer.decode
        texts = [decode([token for token in completion if token not in self.ends]) for completion in completions]
        return [self._reward(e, text) for e, text in zip(repeated, texts, strict=True)]

    def _reward(self, example: Example, completion: str) -> float:
        reward = self.reward(example.asked, completion, example.fields)
        if not (isinstance(reward, (int, float)) and math.isfinite(reward)):
            raise RunFailed(
                f"alignment/reward={self.config.reward.name} gives {reward!r} for what was generated behind "
                f"{example.name} ({completion!r:.100}): a reward is a finite number."
            )
        return reward

    def _rollouts(
        self, prompts: Sequence[list[int]], completions: Sequence[list[int]], rewards: Sequence[float]
    ) -> Batch:
        rows, width = len(prompts), self.sequence_length + 1
        tokens_BS, weights_BS = (
            torch.zeros(rows, width, dtype=torch.int64),
            torch.zeros(rows, width, dtype=torch.float32),
        )
        for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            end = len(prompt) + len(completion)
            tokens_BS[row, :end] = torch.tensor([*prompt, *completion])
            weights_BS[row, len(prompt) : end] = 1.0
        rewards_B = torch.tensor(rewards, dtype=torch.float64)
        ended_B = torch.tensor([row[-1] in self.ends for row in completions]).float()
        extra = {
            "rewards_B": rewards_B.float(),
            "advantages_B": advantages(rewards_B, self.config.group, self.config.scale_by_std).float(),
            "ended_B": ended_B,
            "learned_B": ended_B if self.config.mask_truncated else torch.ones_like(ended_B),
        }
        places_B = torch.zeros(rows, dtype=torch.int64)
        return Batch(tokens_BS[:, :-1], tokens_BS[:, 1:], weights_BS[:, 1:], places_B, extra=extra)

    # ----------------------------------------------------------------------------------------- loss

    def counts(self, batch: Batch) -> dict[str, float]:
        rows, lengths_B = len(batch.weights_BT), batch.weights_BT.sum(1)
        tokens = float(lengths_B.sum())
        over = {
            "completion": float(rows),
            "token": float((lengths_B * batch.extra["learned_B"]).sum()),
            "constant": float(rows * self.config.max_new_tokens),
        }
        by_name = {"no_spread": rows / self.config.group, "entropy": tokens, "kl": tokens}
        return {"grpo": over[self.config.normalize], **{name: by_name.get(name, float(rows)) for name in self.told}}

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        """The loss, and what is told: reward; no_spread, the share of groups whose rewards are all equal, which teach
        nothing; length, tokens of a completion; ended, the share that max_new_tokens has not cut; entropy of a token
        and kl to the reference, in nats per token."""
        output, logp_NV = self._distributions(model, batch)
        rows_N, chosen_N = batch.weights_BT.nonzero()[:, 0], _of_targets(logp_NV, batch)
        advantages_B, learned_B = batch.extra["advantages_B"], batch.extra["learned_B"]
        lengths_B, rewards_PG = batch.weights_BT.sum(1), batch.extra["rewards_B"].view(-1, self.config.group)
        told = {
            "reward": rewards_PG.sum(),
            "no_spread": (rewards_PG.amax(1) == rewards_PG.amin(1)).sum(),
            "length": lengths_B.sum(),
            "ended": batch.extra["ended_B"].sum(),
            "entropy": -(logp_NV.detach().exp() * logp_NV.detach()).nansum(),
        }
        losses_N = -advantages_B[rows_N] * (chosen_N - chosen_N.detach()).exp()
        if self.config.beta:
            kl_N = k3(batch.extra["reference_N"], chosen_N)
            losses_N = losses_N + self.config.beta * kl_N
            told["kl"] = kl_N.sum()
        if self.config.normalize == "completion":
            losses_N = losses_N / lengths_B[rows_N]
        auxiliary = {name: total / count for name, (total, count) in output.auxiliary.items()}
        return {"grpo": (losses_N * learned_B[rows_N]).sum(), **told, **auxiliary}

    def measures(self, model: Any, batch: Batch) -> dict[str, tuple[float, float]]:
        """kl, where it is no part of the loss."""
        if self.config.beta:
            return {}
        own_N, reference_N = (self._log_probabilities(one, batch) for one in (model, self.reference))
        return {"kl": (float(k3(reference_N, own_N).sum()), float(len(own_N)))}

    def _log_probabilities(self, model: Any, batch: Batch) -> torch.Tensor:
        return _of_targets(self._distributions(model, batch)[1], batch)

    def _distributions(self, model: Any, batch: Batch) -> tuple[Any, torch.Tensor]:
        """The body's output, and logp_NV of every token that was generated, in nats, at least float32."""
        output = model.body(batch.inputs_BT, visibility=Causal() & padded_behind(batch.weights_BT))
        hidden_NC = output.hidden_BTC[batch.weights_BT > 0]
        logits_NV = model.heads["language_model"](hidden_NC)[:, : self.tokenizer.size]
        logits_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32))
        return output, (logits_NV / self.config.temperature).log_softmax(-1)


def advantages(rewards_B: torch.Tensor, group: int, scale_by_std: bool) -> torch.Tensor:
    """By how much each reward is better than its group's mean, (r − mean) / (std + ε), or not divided; exactly 0 where
    a group's rewards are all equal. float64. The standard deviation is that of a sample, as in TRL."""
    rewards_PG = rewards_B.double().view(-1, group)
    above_PG = rewards_PG - rewards_PG.mean(1, keepdim=True)
    if scale_by_std:
        above_PG = above_PG / (rewards_PG.std(1, keepdim=True) + SMALL)
    differ_P1 = rewards_PG.amax(1, keepdim=True) > rewards_PG.amin(1, keepdim=True)
    return torch.where(differ_P1, above_PG, 0.0).flatten()


def k3(reference_N: torch.Tensor, own_N: torch.Tensor) -> torch.Tensor:
    """An estimate of KL(own ‖ reference) for each token drawn from own: never negative, without bias, of little
    variance (Schulman 2020; Shao et al. 2024, equation 4)."""
    return (reference_N - own_N).exp() - (reference_N - own_N) - 1


def _of_targets(logp_NV: torch.Tensor, batch: Batch) -> torch.Tensor:
    targets_N = batch.targets_BT[batch.weights_BT > 0]
    return logp_NV.gather(1, targets_N[:, None])[:, 0]


def _rows(batch: Batch) -> list[list[int]]:
    """The prompts without their padding."""
    lengths = batch.weights_BT.sum(1).long().tolist()
    return [row[:length] for row, length in zip(batch.inputs_BT.tolist(), lengths, strict=True)]
