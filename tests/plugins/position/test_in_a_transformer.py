"""Every position inside of a transformer: cached, packed, padded, grouped, narrowed, computed again, in bfloat16."""

import pytest
import torch
import torch.nn.functional as F

from harness.config import ConfigError
from harness.interfaces.visibility import Causal, Full, NotBefore, Prefix, SameDocument, Visibility, Window
from harness.models.blocks import recompute
from harness.models.counting import account
from harness.models.roles import roles

VOCABULARY, LENGTH = 50, 12
YARN = {"name": "rotary", "scaling": "yarn", "factor": 4.0, "original_length": 4}
POSITIONS = {
    "none": "none",
    "learned": {"name": "learned", "length": 40},
    "sinusoidal": "sinusoidal",
    "rotary": "rotary",
    "rotary, partial, interleaved": {"name": "rotary", "share": 0.5, "interleaved": True},
    "rotary, yarn": YARN,
    "alibi": "alibi",
    "relative_bias": {"name": "relative_bias", "buckets": 8, "longest": 10},
}
BIASED = ("alibi", "relative_bias")
every_position = pytest.mark.parametrize("position", POSITIONS.values(), ids=POSITIONS.keys())
biased = pytest.mark.parametrize("position", [POSITIONS[name] for name in BIASED], ids=BIASED)


def build(transformer, position, **values):
    torch.manual_seed(0)
    return transformer(position=position, init_std=0.5, **values).build(VOCABULARY).eval()


def tokens(rows: int, length: int = LENGTH) -> torch.Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(0))


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
@every_position
@pytest.mark.parametrize("visibility", [Causal(), Causal() & Window(3), Prefix(torch.tensor([5, 3]))])
@pytest.mark.parametrize("attention", [{}, {"key_value_heads": 2}, {"window": 4}])
def test_cached_decoding_is_full_decoding(transformer, position, visibility, attention):
    model = build(transformer, position, attention={"name": "multi_head", **attention})
    inputs, state = tokens(2), model.body.start(2, LENGTH)
    pieces = inputs.split((5, 1, 4, 1, 1), dim=1)
    cached = [model.logits(piece, visibility=visibility, state=state) for piece in pieces]
    same(torch.cat(cached, dim=1), model.logits(inputs, visibility=visibility))


@torch.no_grad()
@every_position
def test_packed_documents_are_documents_alone(transformer, position):
    model = build(transformer, position)
    first, second = tokens(1, 5), tokens(1, 8).flip(1)
    documents_BT, positions_BT = torch.tensor([[0] * 5 + [1] * 8]), torch.tensor([[*range(5), *range(8)]])
    for seen in (Causal(), Full()):
        together = model.logits(
            torch.cat((first, second), dim=1), visibility=seen & SameDocument(documents_BT), positions_BT=positions_BT
        )
        alone = [model.logits(each, visibility=seen) for each in (first, second)]
        same(together, torch.cat(alone, dim=1))


@torch.no_grad()
@every_position
def test_padding_on_the_left_changes_nothing(transformer, position):
    model, inputs = build(transformer, position), tokens(1)
    padded = torch.cat((torch.zeros(1, 3, dtype=torch.long), inputs), dim=1)
    positions_BT = (torch.arange(LENGTH + 3) - 3).clamp(min=0)[None]
    for seen in (Causal(), Full()):
        found = model.logits(padded, visibility=seen & NotBefore(torch.tensor([3])), positions_BT=positions_BT)
        assert found.isfinite().all()
        same(found[:, 3:], model.logits(inputs, visibility=seen))


@torch.no_grad()
@every_position
@pytest.mark.parametrize("place", [1, 5, 8])
def test_nothing_leaks_from_what_is_not_seen(transformer, position, place):
    """Where one token is changed, what may not see it gives the same bits, also through several layers."""
    model, inputs = build(transformer, position), tokens(1)
    changed = inputs.clone()
    changed[0, place] = (changed[0, place] + 1) % VOCABULARY
    document = [number == place // 6 for number in [0] * 6 + [1] * 6]
    after = [other >= place for other in range(LENGTH)]
    may_see = {
        Causal() & Full(): after,
        Causal() & Window(2): [here and other <= place + 2 for other, here in enumerate(after)],  # one for each layer
        Causal() & SameDocument(torch.tensor([[0] * 6 + [1] * 6])): [
            a and d for a, d in zip(after, document, strict=True)
        ],
        Visibility((Prefix(torch.tensor([7])),)): [place < 7 or here for here in after],
    }
    for visibility, expected in may_see.items():
        before, now = (model.logits(x, visibility=visibility)[0] for x in (inputs, changed))
        assert (before != now).any(dim=-1).tolist() == expected


@torch.no_grad()
@every_position
def test_order_matters_unless_there_is_no_position(transformer, position):
    """One layer that sees both ways is blind to the order of what it sees, but for its positions."""
    model, inputs = build(transformer, position, layers=1), tokens(1)
    shuffled = inputs[:, [*torch.randperm(LENGTH - 1, generator=torch.Generator().manual_seed(1)).tolist(), LENGTH - 1]]
    last, other = (model.logits(x, visibility=Full())[0, -1] for x in (inputs, shuffled))
    assert torch.allclose(last, other, rtol=1e-3, atol=1e-3) == (position == "none")


@torch.no_grad()
@biased
@pytest.mark.parametrize("visibility", [Causal(), Full(), Causal() & Window(3), Prefix(torch.tensor([2, 7]))])
@pytest.mark.parametrize("shared", [1, 2, 4])
def test_the_bias_is_added_to_the_scores(transformer, position, visibility, shared):
    """One layer's attention, by hand: softmax(qk/√D + bias) v, one query at a time."""
    model = build(transformer, position, layers=1, attention={"name": "multi_head", "key_value_heads": shared})
    attention = model.body.blocks[0].attention
    hidden_BTC, causal = torch.randn(2, LENGTH, 32), Causal in (Visibility() & visibility).kinds()
    view = model.body.view(Visibility() & visibility, LENGTH, 0, hidden_BTC)
    found, _ = attention(hidden_BTC, None, attention.lower(view))
    bias = model.body.position.bias(LENGTH, 0, causal, hidden_BTC.device)
    seen = [c for c in (Visibility() & visibility).conditions if isinstance(c, (Causal, Window, Prefix))]
    for b in range(2):
        queries, keys, values = (m(hidden_BTC[b]) for m in (attention.queries, attention.keys, attention.values))
        mixed = torch.empty(LENGTH, 4, 8)
        for h in range(4):
            g = h * shared // 4
            for i in range(LENGTH):
                shown = [j for j in range(LENGTH) if all(_shows(c, b, i, j) for c in seen)]
                scores = torch.stack(
                    [
                        queries[i, 8 * h : 8 * h + 8] @ keys[j, 8 * g : 8 * g + 8] / 8**0.5 + bias[0, h, i, j]
                        for j in shown
                    ]
                )
                mixed[i, h] = scores.softmax(0) @ values[shown, 8 * g : 8 * g + 8]
        torch.testing.assert_close(found[b], attention.out(mixed.flatten(1)), rtol=1e-4, atol=1e-4)


def _shows(condition, row: int, i: int, j: int) -> bool:
    if isinstance(condition, Window):
        return i - j < condition.width
    return j <= i or (isinstance(condition, Prefix) and j < condition.lengths_B[row])


def gradients(model, precision=None):
    torch.manual_seed(1)
    model.zero_grad()
    inputs = tokens(2)
    with torch.autocast("cpu", precision, enabled=precision is not None):
        logits_BTV = model.logits(inputs)
    F.cross_entropy(logits_BTV.float().flatten(0, 1), inputs.flatten()).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@biased
@pytest.mark.parametrize("mode", ["blocks", "selective"])
def test_what_is_computed_again_is_the_same(transformer, position, mode):
    dropped = {"attention": {"name": "multi_head", "dropout": 0.3}}
    plain, again = (build(transformer, position, **dropped).train() for _ in range(2))
    recompute(again, mode)
    expected = gradients(plain)
    assert all(torch.equal(expected[name], found) for name, found in gradients(again).items())


@biased
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_a_mask_is_in_the_dtype_of_the_queries(transformer, position, precision):
    model, seen = build(transformer, position), []
    block = model.body.blocks[0].attention
    block.register_forward_hook(lambda module, given, out: seen.append((given[2].mask.dtype, out[0].dtype)))
    with torch.autocast("cpu", precision), torch.no_grad():
        model.logits(tokens(1))
    model.to(precision).logits(tokens(1))
    assert seen == [(precision, precision)] * 2


@biased
def test_in_bfloat16_the_gradients_are_about_those_of_float32(transformer, position):
    torch.manual_seed(0)
    model = transformer(position=position, init_std=0.1).build(VOCABULARY)
    expected = gradients(model)
    for name, found in gradients(model, torch.bfloat16).items():
        assert (found - expected[name]).norm() < 0.1 * expected[name].norm(), name


@every_position
def test_the_account_is_what_is_built(transformer, position):
    config = transformer(position=position)
    model = config.build(VOCABULARY)
    assert account(config, VOCABULARY, LENGTH).total == sum(p.numel() for p in model.parameters())
    assert all(role == "embedding" for name, role in roles(model).items() if ".position." in name)


@pytest.mark.parametrize("position", BIASED)
def test_a_bias_that_cannot_be_added_is_refused(transformer, position, monkeypatch):
    heads = {"attention": {"name": "multi_head", "heads": 2, "channels": 8}}
    with pytest.raises(ConfigError, match=f"2 heads and the others 4.*position={position} is the same in all layers"):
        transformer(position=position, blocks={"other": heads, "plain": {}}, pattern=["other", "plain"])
    with pytest.raises(ConfigError, match="say trainer.tensor_parallel=1"):
        transformer(position=position).tensor_parallel()
    monkeypatch.setattr(type(transformer().attention), "takes_bias", False)
    with pytest.raises(ConfigError, match=f"position={position} adds a bias.*attention=multi_head does not add one"):
        transformer(position=position)
