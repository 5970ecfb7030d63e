"""Disentangled attention by hand, and inside of a transformer: cached, packed, padded, narrowed, computed again."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from harness.config import ConfigError, plugin_config
from harness.interfaces.visibility import Causal, Full, NotBefore, Prefix, SameDocument, Visibility, Window
from harness.models.blocks import recompute
from harness.models.counting import account
from harness.models.meta import build_on_meta, count_on_meta

VOCABULARY, LENGTH, HEADS, WIDTH = 50, 12, 4, 32
POSITION = {"name": "disentangled", "buckets": 4, "longest": 9, "norm": "layernorm"}
KINDS = {
    "both": {},
    "content to position": {"position_to_content": False},
    "position to content": {"content_to_position": False},
    "projections of their own": {"shared": False},
    "one projection of its own, unbiased": {"shared": False, "content_to_position": False, "bias": False},
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
VISIBILITIES = [Full(), Causal(), Full() & Window(3), Prefix(torch.tensor([2, 7]))]


def config(transformer, position=POSITION, **kind):
    return transformer(position=position, attention={"name": "disentangled", **kind}, init_std=0.5)


def build(transformer, **values):
    torch.manual_seed(0)
    model = config(transformer, **values).build(VOCABULARY).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "position.norm" in name:
                parameter.normal_(0.0, 0.5)
    return model


def tokens(rows: int, length: int = LENGTH) -> torch.Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(0))


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def shows(condition, row: int, i: int, j: int) -> bool:
    match condition:
        case Window(width=width):
            return abs(i - j) < width
        case Prefix(lengths_B=lengths_B):
            return j <= i or j < lengths_B[row]
        case Causal():
            return j <= i
    return True


@torch.no_grad()
@every_kind
@pytest.mark.parametrize("visibility", VISIBILITIES)
def test_scores_are_as_written_down(transformer, kind, visibility):
    """He et al. 2021, equation 4, one pair of places at a time."""
    model = build(transformer, **kind)
    attention, position = model.body.blocks[0].attention, model.body.position
    chosen, visibility = attention.config, Visibility() & visibility
    hidden_BTC = torch.randn(2, LENGTH, WIDTH)
    vectors_RC = position.norm(position.table.weight)
    view = model.body.view(visibility, LENGTH, 0, hidden_BTC)
    found, _ = attention(hidden_BTC, position.prepare(torch.arange(LENGTH)), attention.lower(view))
    position_keys = attention.keys if chosen.shared else getattr(attention, "position_keys", None)
    position_queries = attention.queries if chosen.shared else getattr(attention, "position_queries", None)
    for b in range(2):
        queries, keys, values = (m(hidden_BTC[b]) for m in (attention.queries, attention.keys, attention.values))
        mixed = torch.empty(LENGTH, HEADS, 8)
        for h in range(HEADS):
            own = slice(8 * h, 8 * h + 8)
            for i in range(LENGTH):
                scores, shown = [], [j for j in range(LENGTH) if all(shows(c, b, i, j) for c in visibility.conditions)]
                for j in shown:
                    vector = vectors_RC[row(i - j)]
                    terms = [queries[i, own] @ keys[j, own]]
                    if chosen.content_to_position:
                        terms.append(queries[i, own] @ position_keys(vector)[own])
                    if chosen.position_to_content:
                        terms.append(keys[j, own] @ position_queries(vector)[own])
                    scores.append(sum(terms) / (len(terms) * 8) ** 0.5)
                mixed[i, h] = torch.stack(scores).softmax(0) @ values[shown, own]
        torch.testing.assert_close(found[b], attention.out(mixed.flatten(1)), rtol=1e-4, atol=1e-4)


def row(behind: int) -> int:
    """Of the 8 rows: distances up to 2 have their own, those up to 8 share one for each direction, and so do all that
    lie further ahead; those further behind have no other."""
    if abs(behind) <= 2:
        return 4 + behind
    if behind > 0:
        return 7
    return 1 if behind >= -8 else 0


@torch.no_grad()
@every_kind
@pytest.mark.parametrize("visibility", [Causal(), Causal() & Window(3), Prefix(torch.tensor([5, 3]))])
def test_cached_decoding_is_full_decoding(transformer, kind, visibility):
    model = build(transformer, **kind)
    inputs, state = tokens(2), model.body.start(2, LENGTH)
    pieces = inputs.split((5, 1, 4, 1, 1), dim=1)
    cached = [model.logits(piece, visibility=visibility, state=state) for piece in pieces]
    same(torch.cat(cached, dim=1), model.logits(inputs, visibility=visibility))


@torch.no_grad()
@pytest.mark.parametrize("seen", [Causal(), Full()])
def test_packed_documents_are_documents_alone(transformer, seen):
    model = build(transformer)
    first, second = tokens(1, 5), tokens(1, 8).flip(1)
    documents_BT, positions_BT = torch.tensor([[0] * 5 + [1] * 8]), torch.tensor([[*range(5), *range(8)]])
    together = model.logits(
        torch.cat((first, second), dim=1), visibility=seen & SameDocument(documents_BT), positions_BT=positions_BT
    )
    same(together, torch.cat([model.logits(each, visibility=seen) for each in (first, second)], dim=1))


@torch.no_grad()
@pytest.mark.parametrize("seen", [Causal(), Full()])
def test_padding_on_the_left_changes_nothing(transformer, seen):
    model, inputs = build(transformer), tokens(1)
    padded = torch.cat((torch.zeros(1, 3, dtype=torch.long), inputs), dim=1)
    found = model.logits(padded, visibility=seen & NotBefore(torch.tensor([3])))
    assert found.isfinite().all()
    same(found[:, 3:], model.logits(inputs, visibility=seen))


@torch.no_grad()
def test_nothing_leaks_from_what_is_not_seen(transformer):
    model, inputs = build(transformer), tokens(1)
    changed = inputs.clone()
    changed[0, 5] = (changed[0, 5] + 1) % VOCABULARY
    may_see = {
        Visibility((Causal(),)): [place >= 5 for place in range(LENGTH)],
        Full() & SameDocument(torch.tensor([[0] * 6 + [1] * 6])): [place < 6 for place in range(LENGTH)],
    }
    for visibility, expected in may_see.items():
        before, now = (model.logits(x, visibility=visibility)[0] for x in (inputs, changed))
        assert (before != now).any(dim=-1).tolist() == expected


def gradients(model):
    torch.manual_seed(1)
    model.zero_grad()
    inputs = tokens(2)
    F.cross_entropy(model.logits(inputs, visibility=Full()).flatten(0, 1), inputs.flatten()).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("mode", ["blocks", "selective"])
def test_every_parameter_learns_and_what_is_computed_again_is_the_same(transformer, mode):
    plain, again = (build(transformer, dropout=0.3, position_dropout=0.3).train() for _ in range(2))
    recompute(again, mode)
    expected = gradients(plain)
    assert all(gradient.any() for name, gradient in expected.items() if not name.endswith("keys.bias"))
    assert all(torch.equal(expected[name], found) for name, found in gradients(again).items())


@torch.no_grad()
@pytest.mark.parametrize("dropped", ["dropout", "position_dropout"])
def test_each_dropout_acts_in_training_only(transformer, dropped):
    model, plain, inputs = build(transformer, **{dropped: 0.5}), build(transformer), tokens(2)
    model.train()
    assert not torch.equal(model.logits(inputs), model.logits(inputs))
    model.eval()
    assert torch.equal(model.logits(inputs), plain.logits(inputs))


@torch.no_grad()
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_in_half_precision_it_is_about_the_same(transformer, precision):
    model = build(transformer)
    expected = model.logits(tokens(1))
    with torch.autocast("cpu", precision):
        found = model.logits(tokens(1)).float()
    assert (found - expected).norm() < 0.1 * expected.norm()
    assert model.to(precision).logits(tokens(1)).dtype == precision


@every_kind
@pytest.mark.parametrize("position", [POSITION, {"name": "disentangled", "buckets": None, "longest": 6}])
def test_the_account_is_what_is_built(transformer, kind, position):
    chosen = config(transformer, position, **kind)
    model, counted = build_on_meta(chosen, VOCABULARY), account(chosen, VOCABULARY, 16)
    with FlopCounterMode(display=False) as counter:
        model.logits(torch.zeros(1, 16, dtype=torch.int64, device="meta"))
    assert counted.total == sum(parameter.numel() for parameter in model.parameters())
    assert counted.forward_flops * 16 == counter.get_total_flops()
    found = count_on_meta(chosen, VOCABULARY, 16)
    assert counted.non_embedding == sum(part.parameters for part in found if not part.embedding)


def test_its_cache_is_keys_and_values():
    attention = plugin_config("attention", {"name": "disentangled"}, "attention")
    assert attention.cache_bytes(WIDTH, 2) == 2 * 2 * WIDTH


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"attention": "disentangled"}, "attention=disentangled projects a table .* position=rotary has none"),
        ({"position": POSITION}, "position=disentangled is a table that attention=multi_head makes nothing of"),
        ({"attention": {"name": "disentangled", "heads": 5}, "position": POSITION}, "heads=5 does not divide width=32"),
        (
            {"attention": {"name": "disentangled", "content_to_position": False, "position_to_content": False}},
            "leave no positions: say attention=multi_head and position=none",
        ),
    ],
)
def test_what_does_not_fit_is_refused(transformer, values, message):
    with pytest.raises(ConfigError, match=message):
        transformer(**values)
