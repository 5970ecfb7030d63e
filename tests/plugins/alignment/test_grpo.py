"""GRPO, against plain loops in float64 over one token at a time, and against TRL."""

import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.composition import run_config
from harness.config import ConfigError, plugin_config
from harness.data.examples import Renderer
from harness.errors import RunFailed
from harness.interfaces.batch import PADDING, Batch, Sequences
from harness.interfaces.corpus import Turn, example
from harness.interfaces.method import Setting
from harness.planning.plan import resolve
from harness_plugins.alignment.grpo.grpo import SMALL, advantages
from tests import prompts

LENGTH, NEW, GROUP = 40, 6, 4
BYTES = plugin_config("tokenizer", {"name": "bytes"}, "tokenizer").train(())
CORPUS = prompts.Asks()


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts.register(monkeypatch)


def grpo(reference: Any = None, reward: str = "letters", tokenizer: Any = BYTES, **options: Any) -> Any:
    values = {"name": "grpo", "reward": reward, "group": GROUP, "max_new_tokens": NEW, **options}
    return plugin_config("method", values, "method").build(
        Setting(
            tokenizer=tokenizer,
            template="plain" if tokenizer is BYTES else "tokenizer",
            sequence_length=LENGTH,
            frozen=lambda role: {"reference": reference}[role],
            examples=lambda sources, numbers: [next(CORPUS.read(number, number + 1)) for number in numbers],
        )
    )


def model(transformer: Any, seed: int = 0, end: float = 0.0, token: int = BYTES.end) -> Any:
    """Far from even in what it writes, in float64. end: added to the logit of the token that ends a completion."""
    torch.manual_seed(seed)
    made = transformer(init_std=0.3, init_scale_residual=False).build(BYTES.size).double().eval()
    if end:
        made.heads["language_model"].register_forward_hook(lambda head, inputs, logits: logits + end * one(token))
    return made


def one(token: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(token), BYTES.size).double()


def sequences(numbers: list[int]) -> Sequences:
    rows = [tokens for tokens, _ in Renderer(BYTES, "plain")([next(CORPUS.read(n, n + 1)) for n in numbers])]
    width = max(map(len, rows))
    tokens_BS = np.stack([np.pad(row, (0, width - len(row))) for row in rows])
    parts_BS = np.stack(
        [np.pad(np.zeros(len(r), np.uint8), (0, width - len(r)), constant_values=PADDING) for r in rows]
    )
    places_B = np.array(numbers) + 1000
    return Sequences(
        tokens_BS, np.zeros_like(tokens_BS), places_B, parts_BS, np.array(numbers), np.zeros(len(rows), int)
    )


@torch.no_grad()
def rollouts(method: Any, policy: Any, numbers: list[int]) -> Batch:
    batch = method.prepare(sequences(numbers), None)
    return method.collect(policy, batch, [torch.Generator().manual_seed(place) for place in batch.places_B.tolist()])


def completions(batch: Batch) -> list[tuple[list[int], list[int]]]:
    """Prompt and completion of each row, read off its tensors."""
    found = []
    for inputs_T, targets_T, weights_T in zip(batch.inputs_BT, batch.targets_BT, batch.weights_BT, strict=True):
        first, length = int(weights_T.argmax()), int(weights_T.sum())
        found.append((inputs_T[: first + 1].tolist(), targets_T[first : first + length].tolist()))
    return found


# ------------------------------------------------------------------------------------- rollouts


def test_rollouts_are_the_prompts_with_what_was_generated(transformer):
    policy = model(transformer, end=3.0)
    method, numbers = grpo(policy), [3, 8, 5]
    batch = rollouts(method, policy, numbers)
    assert batch.inputs_BT.shape == (3 * GROUP, LENGTH)
    expected = [list(next(CORPUS.read(n, n + 1)).text.encode()) for n in numbers for _ in range(GROUP)]
    found = completions(batch)
    assert [prompt for prompt, _ in found] == expected
    lengths = [len(new) for _, new in found]
    assert max(lengths) == NEW > min(lengths), "some have ended, some were cut"
    for (_, new), ended in zip(found, batch.extra["ended_B"].tolist(), strict=True):
        assert BYTES.end not in new[:-1]
        assert (new[-1] == BYTES.end) == bool(ended)
        assert ended or len(new) == NEW
    assert batch.places_B.tolist() == [place + 1000 for place in numbers for _ in range(GROUP)]


def test_rollouts_are_text_where_the_model_knows_more_tokens_than_the_tokenizer(transformer):
    """Behind the tokenizer's stand tokens of a method, and padding: neither is drawn, nor has it a probability that
    the loss could move."""
    torch.manual_seed(0)
    policy = transformer(init_std=0.3).build(2 * BYTES.size).double().eval()
    method = grpo(policy, beta=0.1)
    batch = rollouts(method, policy, [3, 8])
    assert all(token < BYTES.size for _, new in completions(batch) for token in new)
    method.losses(policy, batch)["grpo"].backward()
    moved_V = policy.body.embedding_VC.grad.abs().sum(1) > 0
    assert moved_V[: BYTES.size].all()
    assert not moved_V[BYTES.size :].any()


def test_rewards_are_told_of_the_prompts_text_the_completion_without_its_end_and_the_fields(transformer):
    policy = model(transformer, end=3.0)
    batch = rollouts(grpo(policy), policy, [3, 8])
    for (prompt, new), given_reward in zip(completions(batch), batch.extra["rewards_B"].tolist(), strict=True):
        text, said = bytes(prompt).decode(), BYTES.decode([token for token in new if token != BYTES.end])
        assert given_reward == pytest.approx(prompts.letters(text, said, {"wanted": text[0]}))


class Chatty(type(BYTES)):
    """Its template ends answers by a mark that is not the end token."""

    def chat(self, turns: Any, asks: bool) -> str:
        return "".join(f"{turn.text}~\n" for turn in turns)


def test_rollouts_end_at_the_mark_of_the_template_too(transformer):
    policy = model(transformer, end=3.0, token=ord("~"))
    method = grpo(policy, tokenizer=Chatty())
    said = []
    method.reward = lambda prompt, completion, fields: said.append(completion) or 0.0
    batch = rollouts(method, policy, [3, 8])
    rows = [new for _, new in completions(batch)]
    assert all(ord("~") not in new[:-1] for new in rows)
    assert batch.extra["ended_B"].tolist() == [float(new[-1] in (ord("~"), BYTES.end)) for new in rows]
    assert 0 < sum(new[-1] == ord("~") for new in rows) < len(rows)
    assert not any("~" in completion for completion in said), "the mark is no part of what is judged"


def test_a_reward_is_told_of_the_turn_that_is_answered(transformer):
    asked = example("talk:1", [Turn("system", "be brief"), Turn("user", "alpha1")], fields={"wanted": "a"})
    method = grpo(model(transformer))
    assert asked.text.startswith("be brief")
    assert method._reward(asked, "aa") == prompts.letters("alpha1", "aa", {"wanted": "a"})


@pytest.mark.parametrize("given", [math.nan, math.inf, "good", None])
def test_a_reward_that_is_no_finite_number_ends_the_run(transformer, given):
    policy = model(transformer)
    method = grpo(policy)
    method.reward = lambda prompt, completion, fields: given
    with pytest.raises(RunFailed, match=rf"reward=letters gives {given!r} for what was generated behind asks:3 \("):
        rollouts(method, policy, [3])


def test_what_a_prompt_is_answered_does_not_depend_on_the_others(transformer):
    """Neither on how many stand in the micro-batch nor on how long they are."""
    policy = model(transformer)
    method = grpo(policy)
    together = completions(rollouts(method, policy, [3, 8, 5, 4]))
    alone = [pair for number in (3, 8, 5, 4) for pair in completions(rollouts(method, policy, [number]))]
    assert together == alone
    assert len({tuple(new) for _, new in together[:GROUP]}) > 1, "a group's completions differ"


def test_the_sampler_is_asked_as_the_options_say(transformer):
    policy = model(transformer)
    batch = rollouts(grpo(policy, top_k=1), policy, [3, 8])
    for first in range(0, 2 * GROUP, GROUP):
        assert len({tuple(new) for _, new in completions(batch)[first : first + GROUP]}) == 1, "the likeliest, always"


# ----------------------------------------------------------------------------- advantages and loss


@given(st.lists(st.lists(st.floats(-10, 10, width=32), min_size=4, max_size=4), min_size=1, max_size=3), st.booleans())
def test_advantages_are_those_of_plain_loops(groups, scale_by_std):
    found = advantages(torch.tensor(groups, dtype=torch.float64).flatten(), 4, scale_by_std).tolist()
    for group in groups:
        mean, deviation = statistics.fmean(group), statistics.stdev(group)
        for r in group:
            expected = (r - mean) / (deviation + SMALL) if scale_by_std else r - mean
            assert found.pop(0) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(st.floats(-10, 10), st.integers(2, 9))
def test_equal_rewards_have_no_advantage_at_all(r, group):
    assert advantages(torch.full((group,), r, dtype=torch.float64), group, True).tolist() == [0.0] * group


def log_probability(policy: Any, before: list[int], token: int, temperature: float) -> float:
    """Of one token behind others, everything computed anew."""
    logits = (policy.logits(torch.tensor([before]))[0, -1] / temperature).tolist()
    largest = max(logits)
    return logits[token] - largest - math.log(math.fsum(math.exp(logit - largest) for logit in logits))


@torch.no_grad()
def by_hand(method: Any, batch: Batch, policy: Any, reference: Any, old: Any) -> dict[str, float]:
    """Loss and figures by equations 3 and 4 of Shao et al. (2024). old: the policy that has generated."""
    config, rows = method.config, completions(batch)
    rewards = batch.extra["rewards_B"].double().tolist()
    losses, lengths, kls = [], [], []
    for row, (prompt, new) in enumerate(rows):
        start = row // config.group * config.group
        group = rewards[start : start + config.group]
        advantage = rewards[row] - statistics.fmean(group)
        if config.scale_by_std:
            advantage /= statistics.stdev(group) + SMALL
        total = 0.0
        for at, token in enumerate(new):
            before = prompt + new[:at]
            own, was, there = (log_probability(m, before, token, config.temperature) for m in (policy, old, reference))
            kl = math.exp(there - own) - (there - own) - 1
            kls.append(kl)
            total += -advantage * math.exp(own - was) + config.beta * kl
        counts = not config.mask_truncated or new[-1] == BYTES.end
        losses.append(total * counts)
        lengths.append(len(new) * counts)
    over = {
        "completion": statistics.fmean(loss / len(new) for loss, (_, new) in zip(losses, rows, strict=True)),
        "token": sum(losses) / max(1, sum(lengths)),
        "constant": sum(losses) / (len(rows) * config.max_new_tokens),
    }
    return {"grpo": over[config.normalize], "kl": statistics.fmean(kls)}


def value(method: Any, batch: Batch, policy: Any, name: str = "grpo") -> torch.Tensor:
    return method.losses(policy, batch)[name] / method.counts(batch)[name]


def as_float(of: torch.Tensor) -> float:
    return float(of.detach())


WAYS = [
    {},
    {"scale_by_std": False, "normalize": "constant"},
    {"normalize": "token", "temperature": 1.7},
    {"normalize": "token", "mask_truncated": True},
    {"normalize": "completion", "mask_truncated": True, "beta": 0.0},
]


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_the_loss_is_that_of_plain_loops(transformer, options):
    policy, reference = model(transformer, end=4.0), model(transformer, seed=1)
    method = grpo(reference, **{"beta": 0.3, **options})
    batch = rollouts(method, policy, [3, 8])
    batch.extra["rewards_B"] = batch.extra["rewards_B"].double()
    batch.extra["advantages_B"] = advantages(batch.extra["rewards_B"], GROUP, method.config.scale_by_std)
    slow = by_hand(method, batch, policy, reference, old=policy)
    assert as_float(value(method, batch, policy)) == pytest.approx(slow["grpo"], rel=1e-9)
    if method.config.beta:
        assert as_float(value(method, batch, policy, "kl")) == pytest.approx(slow["kl"], rel=1e-9)
    else:
        with torch.no_grad():
            total, count = method.measures(policy, batch)["kl"]
        assert total / count == pytest.approx(slow["kl"], rel=1e-9)


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_the_gradient_is_that_of_the_slow_loss(transformer, options):
    """By central differences, with the policy that has generated held fast: the ratio is 1, and yet it has a gradient."""
    policy, old, reference = (model(transformer, seed, end=4.0) for seed in (0, 0, 1))
    method = grpo(reference, **{"beta": 0.3, **options})
    batch = rollouts(method, policy, [3, 8])
    batch.extra["advantages_B"] = advantages(batch.extra["rewards_B"], GROUP, method.config.scale_by_std)
    value(method, batch, policy).backward()
    generator, step = torch.Generator().manual_seed(0), 1e-5
    directions = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in policy.parameters()]

    def moved(by: float) -> float:
        for parameter, direction in zip(policy.parameters(), directions, strict=True):
            parameter.data += by * direction
        loss = by_hand(method, batch, policy, reference, old)["grpo"]
        for parameter, direction in zip(policy.parameters(), directions, strict=True):
            parameter.data -= by * direction
        return loss

    slow = (moved(step) - moved(-step)) / (2 * step)
    pairs = zip(policy.parameters(), directions, strict=True)
    assert sum(float((p.grad * direction).sum()) for p, direction in pairs) == pytest.approx(slow, rel=1e-5)


def test_a_constant_reward_teaches_nothing(transformer):
    policy = model(transformer)
    method = grpo(None, reward="constant", beta=0.0)
    batch = rollouts(method, policy, [3, 8])
    assert batch.extra["advantages_B"].tolist() == [0.0] * (2 * GROUP)
    value(method, batch, policy).backward()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in policy.parameters())
    assert as_float(value(method, batch, policy, "no_spread")) == 1.0


def test_what_is_told_is_what_it_is_called(transformer):
    policy = model(transformer, end=4.0)
    method = grpo(policy)
    batch = rollouts(method, policy, [3, 8, 5])
    told = {name: as_float(value(method, batch, policy, name)) for name in method.told}
    rows = completions(batch)
    assert told["length"] == pytest.approx(statistics.fmean(len(new) for _, new in rows))
    assert told["ended"] == pytest.approx(statistics.fmean(new[-1] == BYTES.end for _, new in rows))
    assert told["reward"] == pytest.approx(statistics.fmean(batch.extra["rewards_B"].tolist()))
    assert told["kl"] == 0.0, "the reference is the policy"
    entropies = []
    for prompt, new in rows:
        for at in range(len(new)):
            with torch.no_grad():
                p_V = policy.logits(torch.tensor([prompt + new[:at]]))[0, -1].softmax(-1).tolist()
            entropies.append(-math.fsum(p * math.log(p) for p in p_V if p))
    assert told["entropy"] == pytest.approx(statistics.fmean(entropies), rel=1e-9)


def test_the_reference_is_read_only_where_it_is_asked_for(transformer):
    asked = []
    values = {"name": "grpo", "reward": "letters", "beta": 0.0}
    setting = Setting(tokenizer=BYTES, frozen=asked.append, examples=lambda sources, numbers: [])
    plugin_config("method", values, "method").build(setting)
    assert asked == []
    plugin_config("method", {**values, "beta": 0.1}, "method").build(setting)
    assert asked == ["reference"]


# ------------------------------------------------------------------------------------- its config


def test_a_reward_is_chosen_by_its_group_and_set_by_its_place():
    composed = run_config([
        "alignment=grpo", "alignment/reward=brackets", "method.reward.least=7", "corpus=asks", "suite=null",
    ])  # fmt: skip
    assert (composed.method.name, composed.method.reward.name, composed.method.reward.least) == ("grpo", "brackets", 7)
    assert run_config(["alignment=grpo", "corpus=asks"]).method.reward.name == "parses"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["alignment/reward=parses"], "alignment/reward is a part of alignment=grpo, which is not chosen"),
        (["alignment=grpo", "alignment/reward=brakets"], "Did you mean brackets?"),
        (["alignment=grpo", "method.temperature=0"], "temperature=0.0 is not positive"),
        (["alignment=grpo", "method.group=1"], "method.group=1 is too small: at least 2"),
    ],
)
def test_what_cannot_be_is_said(words, message):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        run_config([*words, "corpus=asks"])


@pytest.mark.parametrize("layout", [["trainer.strategy=fsdp"], ["trainer.tensor_parallel=2"]])
def test_a_model_that_is_shared_out_does_not_generate(layout):
    of = run_config(["alignment=grpo", "corpus=asks", "tokenizer=bytes", "trainer.devices=2", "suite=null", *layout])
    with pytest.raises(ConfigError, match="grpo generates while it trains"):
        resolve(of)


def test_it_costs_the_rollouts_and_the_reference_besides():
    words = ["tokenizer=bytes", "data.sequence_length=64", "budget.steps=3"]
    plain = run_config([*words, "corpus=synthetic"])
    config = run_config([*words, "corpus=asks", "alignment=grpo", "method.group=4", "suite=null"])
    assert config.step_tokens == 4 * plain.step_tokens
    assert [
        plugin_config("method", {"name": "grpo", "reward": "parses", "beta": b}, "").forward_passes() for b in (0, 1)
    ] == [1, 2]


# ---------------------------------------------------------------------------------------- TRL


def trl_trainer(policy: Any, folder: Path, rows: list[Any], rewards: list[float], **options: Any) -> Any:
    """TRL's trainer of this policy, to whom the given completions are what was generated."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    class Given(GRPOTrainer):
        def _generate(self, prompts: Any) -> Any:
            super_returns = [prompt for prompt, _ in rows], [new for _, new in rows], None, [""] * len(rows)
            return *super_returns, None, {}, None, None

    BYTES.export(folder)
    arguments = GRPOConfig(
        output_dir=str(folder / "out"), num_generations=GROUP, per_device_train_batch_size=len(rows),
        max_completion_length=NEW, use_cpu=True, bf16=False, report_to=[], disable_tqdm=True, **options,
    )  # fmt: skip
    return Given(
        policy, reward_funcs=lambda **about: rewards, args=arguments, processing_class=AutoTokenizer.from_pretrained(folder),
        train_dataset=Dataset.from_list([{"prompt": "x"}] * len(rows)),
    )  # fmt: skip


OF_TRL = [
    ({}, {"loss_type": "grpo"}),
    ({"scale_by_std": False, "normalize": "constant"}, {"loss_type": "dr_grpo", "scale_rewards": "none"}),
    ({"normalize": "token"}, {"loss_type": "dapo"}),
    ({"mask_truncated": True}, {"loss_type": "grpo", "mask_truncated_completions": True}),
    ({"mask_truncated": True, "normalize": "token"}, {"loss_type": "dapo", "mask_truncated_completions": True}),
    ({"temperature": 1.3}, {"loss_type": "grpo", "temperature": 1.3}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("ours", "theirs"), OF_TRL, ids=[str(ours) for ours, _ in OF_TRL])
def test_advantages_loss_and_gradient_are_those_of_trl(ours, theirs, tmp_path: Path):
    from transformers import AutoModelForCausalLM, LlamaConfig

    from harness.models.huggingface import config_from_transformers, state_from_transformers

    of = LlamaConfig(
        vocab_size=257, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=56,
        initializer_range=0.3, bos_token_id=256, eos_token_id=256, pad_token_id=256, tie_word_embeddings=True,
    )  # fmt: skip

    def pair(seed: int) -> tuple[Any, Any]:
        torch.manual_seed(seed)
        there = AutoModelForCausalLM.from_config(of, attn_implementation="eager").eval()
        config = config_from_transformers(there.config.to_dict())
        here = config.build(257).eval()
        here.load_state_dict(state_from_transformers(there.state_dict(), config))
        return here, there

    (policy, their_policy), (reference, their_reference) = pair(0), pair(1)
    with torch.no_grad():  # some completions end: what is likely behind the prompts lends the end its likelihood
        likely = [int(policy.logits(torch.tensor([list(text)]))[0, -1].argmax()) for text in (b"delta3", b"delta8")]
        for table in (policy.heads["language_model"].weight, their_policy.get_input_embeddings().weight):
            table[BYTES.end] = 1.5 * table[likely].sum(0)
    method = grpo(reference, beta=0.3, **ours)
    batch = rollouts(method, policy, [3, 8, 5])
    assert 0 < float(batch.extra["ended_B"].mean()) < 1
    loss = value(method, batch, policy)
    loss.backward()

    their_reference.save_pretrained(tmp_path / "reference")
    their_policy.config._name_or_path = str(tmp_path / "reference")  # where TRL looks for it
    rows, rewards = completions(batch), batch.extra["rewards_B"].tolist()
    theirs = {"beta": 0.3, "use_bias_correction_kl": False, **theirs}  # equation 3, as it was published
    trainer = trl_trainer(their_policy, tmp_path, rows, rewards, **theirs)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    made = trainer._generate_and_score_completions([{"prompt": "x"}] * len(rows))
    assert batch.extra["advantages_B"].tolist() == pytest.approx(made["advantages"].tolist(), rel=0, abs=1e-5)
    their_loss = trainer._compute_loss(trainer.model, made)
    assert as_float(loss) == pytest.approx(as_float(their_loss), rel=0, abs=1e-5)
    their_loss.backward()
    ours_grad = policy.heads["language_model"].weight.grad
    theirs_grad = trainer.model.get_input_embeddings().weight.grad
    assert ours_grad.flatten().tolist() == pytest.approx(theirs_grad.flatten().tolist(), rel=0, abs=1e-5)
