"""The decoding loop, against the slowest one there is: one row at a time, everything computed anew for each token."""

import pytest
import torch

from harness.config import plugin_config
from harness.decoding.generate import generate
from harness.errors import UserError
from harness.interfaces.likelihood import Row

GREEDY = plugin_config("sampler", "greedy", "sampler").build()
VOCABULARY = 50
KINDS = {
    "rotary": {},
    "learned": {"position": {"name": "learned", "length": 40}, "norm": "layernorm", "feedforward": "mlp"},
    "grouped queries": {"attention": {"name": "multi_head", "key_value_heads": 2}},
    "window": {"attention": {"name": "multi_head", "window": 5}},
    "local and global": {
        "blocks": {"local": {"attention": {"window": 3}}, "global": {}},
        "pattern": ["local", "global"],
    },
    "post": {"placement": "post"},
    "dropout": {"residual_dropout": 0.5, "attention": {"name": "multi_head", "dropout": 0.5}},
}


def build(transformer, **values):
    """A model whose logits are far apart, so that greedy decoding wanders and has no near ties."""
    torch.manual_seed(1)
    return transformer(init_std=0.5, init_scale_residual=False, **values).build(VOCABULARY)


@torch.no_grad()
def slowly(model, prompt: list[int], new: int) -> list[int]:
    model.eval()
    row = list(prompt)
    for _ in range(new):
        row.append(model.logits(torch.tensor([row]))[0, -1].argmax().item())
    return row[len(prompt) :]


def prompts(*lengths: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(VOCABULARY, (length,), generator=generator).tolist() for length in lengths]


@pytest.mark.parametrize(
    "lengths", [(7,), (6, 6, 6), (1, 9, 4, 9)], ids=["one row", "equal lengths", "unequal lengths"]
)
@pytest.mark.parametrize("values", KINDS.values(), ids=KINDS.keys())
def test_greedy_decoding_equals_the_slow_loop(transformer, values, lengths):
    model, rows = build(transformer, **values), prompts(*lengths)
    expected = [slowly(model, row, 12) for row in rows]
    assert len({tuple(row) for row in expected}) == len(expected)  # the rows differ, so that a mix-up would show
    assert generate(model, rows, sampler=GREEDY, max_new_tokens=12) == expected


def test_a_row_ends_with_the_token_that_stops_it(transformer):
    model, rows = build(transformer), prompts(1, 9, 4)
    free = generate(model, rows, sampler=GREEDY, max_new_tokens=12)
    stop = free[1][3]
    stopped = generate(model, rows, sampler=GREEDY, max_new_tokens=12, stop=[stop])
    assert stopped == [row[: row.index(stop) + 1] if stop in row else row for row in free]


def test_a_function_can_stop_a_row(transformer):
    model, rows = build(transformer), prompts(3, 8)
    seen: list[list[int]] = []

    def three(new: list[int]) -> bool:
        seen.append(list(new))
        return len(new) == 3

    free = generate(model, rows, sampler=GREEDY, max_new_tokens=12)
    assert generate(model, rows, sampler=GREEDY, max_new_tokens=12, stop=three) == [row[:3] for row in free]
    assert [row[:1] for row in free] == seen[:2]


def test_sampling_depends_on_the_generator_alone(transformer):
    model, rows = build(transformer), prompts(4, 2)
    sampler = plugin_config("sampler", {"name": "categorical", "temperature": 5.0}, "sampler").build()

    def sample(seed: int) -> list[list[int]]:
        return generate(model, rows, sampler=sampler, max_new_tokens=8, generator=torch.Generator().manual_seed(seed))

    assert sample(0) == sample(0) != sample(1)


def test_with_a_generator_for_each_prompt_rows_do_not_depend_on_each_other(transformer):
    model, rows = build(transformer), prompts(4, 2, 7)
    sampler = plugin_config("sampler", {"name": "categorical", "temperature": 5.0}, "sampler").build()

    def sample(which: list[int]) -> list[list[int]]:
        generators = [torch.Generator().manual_seed(row) for row in which]
        twice = [rows[row] for row in which for _ in range(2)]
        return generate(model, twice, sampler=sampler, max_new_tokens=8, generator=generators)

    assert sample([0, 1, 2]) == sample([0]) + sample([1]) + sample([2])
    assert sample([0])[0] != sample([0])[1]


def test_a_prompt_that_is_too_long_loses_its_beginning(transformer):
    model = build(transformer, position={"name": "learned", "length": 10})
    (prompt,) = prompts(30)
    # 10 places are seen: 7 of the prompt and 3 of the 4 new ones
    assert generate(model, [prompt], sampler=GREEDY, max_new_tokens=4) == [slowly(model, prompt[-7:], 4)]


@pytest.mark.parametrize(("room", "kept"), [(None, 5), (4, 2)])
def test_what_a_likelihood_puts_around_a_prompt_that_is_too_long_stays(transformer, room, kept):
    model = build(transformer, position={"name": "learned", "length": 10})
    (prompt,) = prompts(30)
    found = generate(
        model,
        [prompt],
        sampler=GREEDY,
        max_new_tokens=4,
        room=room,
        opening=lambda context: Row(inputs=[1, *context, 2]),
    )
    assert found == [slowly(model, [1, *prompt[-kept:], 2], 4)]


@pytest.mark.parametrize(
    ("rows", "new", "message"), [([[1], []], 3, "Prompt 1 is empty"), ([[1]], 11, "max_new_tokens=11 leaves no room")]
)
def test_what_cannot_be_decoded_is_refused(transformer, rows, new, message):
    model = build(transformer, position={"name": "learned", "length": 10})
    with pytest.raises(UserError, match=message):
        generate(model, rows, sampler=GREEDY, max_new_tokens=new)


def test_only_tokens_of_text_are_written_where_a_vocabulary_holds_more(transformer):
    model, rows = build(transformer), prompts(5, 5, 5)
    written = [token for row in generate(model, rows, sampler=GREEDY, max_new_tokens=12) for token in row]
    limit = sorted(set(written))[-3]
    found = generate(model, rows, sampler=GREEDY, max_new_tokens=12, text=limit)
    assert all(token < limit for row in found for token in row)
    logits_BV = torch.stack([model.logits(torch.tensor([row]))[0, -1] for row in rows])
    assert [row[0] for row in found] == logits_BV[:, :limit].argmax(-1).tolist()


def test_nothing_asked_for_is_nothing_done(transformer):
    model = build(transformer)
    assert generate(model, [], sampler=GREEDY, max_new_tokens=3) == []
    assert generate(model, [[1], [2]], sampler=GREEDY, max_new_tokens=0) == [[], []]


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(transformer, training):
    model = build(transformer).train(training)
    generate(model, [[1, 2]], sampler=GREEDY, max_new_tokens=2)
    assert model.training == training
    assert model.body.blocks[0].training == training
