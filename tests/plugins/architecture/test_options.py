"""Options of the block, of its norms, of multi-head attention and of the head, in a pairwise covering array: every two
values of two options stand together in some model."""

from itertools import combinations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.interfaces.visibility import Causal, NotBefore, SameDocument, Window
from harness.models.blocks import compile_blocks
from harness.models.counting import account
from harness.models.meta import build_on_meta

VOCABULARY, LENGTH = 50, 12
LAYOUTS = [
    {"placement": placement, "parallel": parallel}
    for placement in ("pre", "post", "sandwich")
    for parallel in ("none", "one_norm", "two_norms")
    if placement != "post" or parallel == "none"
]
OPTIONS = {
    "": LAYOUTS,
    "final_norm": [None, False, True],
    "scale_embeddings": [False, True],
    "embedding_norm": [False, True],
    "segments": [0, 2],
    "norm": [
        {"name": "layernorm"},
        {"name": "layernorm", "gain": False, "bias": False},
        {"name": "rmsnorm", "bias": True},
        {"name": "rmsnorm", "around_one": True},
        {"name": "rmsnorm", "gain": False},
    ],
    "position": ["rotary", {"name": "learned", "length": 16, "first": 2}],
    "feedforward": ["gated", {"name": "mlp", "bias": True}],
    "attention.": [
        {"query_key_norm": None},
        {"query_key_norm": "rmsnorm"},
        {"query_key_norm": "layernorm", "norm_of_all_heads": True},
    ],
    "attention.key_value_heads": [None, 2, 1],
    "attention.window": [None, 4],
    "attention.bias": [False, True],
    "attention.out_bias": [None, False, True],
    "attention.soft_cap": [None, 2.0],
    "attention.scale": [None, 0.5],
    "head.": [{"transform": None}, {"transform": "relu"}, {"transform": "gelu", "transform_norm": "layernorm"}],
    "head.tied": [True, False],
    "head.bias": [False, True],
    "head.scale_by_width": [False, True],
    "head.soft_cap": [None, 3.0],
}


def pairwise(options):
    """Rows of indices, one for each option, greedily: each takes the value that adds most pairs not seen yet."""
    names = list(options)
    missing = {
        frozenset({(a, i), (b, j)})
        for a, b in combinations(names, 2)
        for i in range(len(options[a]))
        for j in range(len(options[b]))
    }
    rows = []
    while missing:
        row = dict(sorted(min(missing, key=sorted)))
        for name in names:
            if name not in row:
                added = [
                    sum(frozenset({(name, i), other}) in missing for other in row.items())
                    for i in range(len(options[name]))
                ]
                row[name] = added.index(max(added))
        missing -= {frozenset(pair) for pair in combinations(row.items(), 2)}
        rows.append(row)
    return rows


def values(row):
    """One row of the array as options of the transformer."""
    found = {"attention": {"name": "multi_head"}, "head": {"name": "language_model"}}
    for name, index in row.items():
        value, (part, _, option) = OPTIONS[name][index], name.rpartition(".")
        place = found[part] if part else found
        place.update({option: value} if option else value)
    return found


ROWS = [values(row) for row in pairwise(OPTIONS)]
every_row = pytest.mark.parametrize("options", ROWS, ids=[str(index) for index in range(len(ROWS))])


def build(transformer, options, seed=0):
    """A model whose logits are far apart, with gains and biases that are not what they begin with."""
    torch.manual_seed(seed)
    model = transformer(init_std=0.3, init_scale_residual=False, **options).build(VOCABULARY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model.eval()


def tokens(rows, length, seed=0):
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))


def test_every_two_values_stand_together():
    rows = pairwise(OPTIONS)
    for a, b in combinations(OPTIONS, 2):
        assert {(row[a], row[b]) for row in rows} == {
            (i, j) for i in range(len(OPTIONS[a])) for j in range(len(OPTIONS[b]))
        }
    assert len(rows) < 60


@every_row
def test_closed_forms_equal_the_model(transformer, options):
    config = transformer(**options)
    counted, model = account(config, VOCABULARY, LENGTH), build_on_meta(config, VOCABULARY)
    tables = [m.weight for m in model.modules() if isinstance(m, torch.nn.Embedding)]
    with FlopCounterMode(display=False) as counter:
        model.logits(torch.zeros(1, LENGTH, dtype=torch.int64, device="meta"))
    assert counted.total == sum(p.numel() for p in model.parameters())
    assert counted.non_embedding == counted.total - sum(table.numel() for table in tables)
    assert counted.forward_flops * LENGTH == counter.get_total_flops()


@every_row
def test_every_parameter_is_learned(transformer, options):
    model = build(transformer, options).train()
    torch.nn.functional.cross_entropy(
        model.logits(tokens(2, 8)).flatten(0, 1), tokens(2, 8, seed=1).flatten()
    ).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@torch.no_grad()
@every_row
def test_cached_decoding_equals_full(transformer, options):
    model, inputs = build(transformer, options), tokens(2, LENGTH)
    state = model.body.start(2, LENGTH)
    pieces = [model.logits(piece, state=state) for piece in inputs.split([5, 1, 4, 1, 1], dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), model.logits(inputs), rtol=1e-4, atol=1e-4)


@torch.no_grad()
@every_row
def test_nothing_leaks_from_where_the_visibility_forbids(transformer, options):
    """One token is changed: what may not see it does not move, and it moves its own place."""
    model, inputs = build(transformer, options), tokens(1, LENGTH)
    documents_BT = torch.tensor([[0] * 5 + [1] * (LENGTH - 5)])
    for visibility in (Causal(), Causal() & SameDocument(documents_BT), Causal() & Window(3)):
        before = model.logits(inputs, visibility=visibility)
        for place in (0, 4, LENGTH - 3):
            changed = inputs.clone()
            changed[0, place] = (changed[0, place] + 1) % VOCABULARY
            moved_T = (before != model.logits(changed, visibility=visibility)).any(dim=-1)[0]
            assert moved_T[place]
            assert not moved_T[:place].any()
            if len(visibility.kinds() if hasattr(visibility, "kinds") else ()) > 1 and place < 5:
                reach = 5 if SameDocument in visibility.kinds() else place + 1 + 2 * (3 - 1)  # two layers
                assert not moved_T[reach:].any()


@torch.no_grad()
@every_row
def test_padding_on_the_left_changes_nothing(transformer, options):
    model, inputs = build(transformer, options), tokens(1, 8)
    padded = torch.cat((tokens(1, 3, seed=2), inputs), dim=1)
    positions_BT = torch.tensor([[0, 0, 0, *range(8)]])
    visibility = Causal() & NotBefore(torch.tensor([3]))
    found = model.logits(padded, visibility=visibility, positions_BT=positions_BT)
    torch.testing.assert_close(found[:, 3:], model.logits(inputs), rtol=1e-4, atol=1e-4)
    assert found.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 7, 14, 21])
def test_compiled_blocks_equal_eager_ones(transformer, index):
    inputs = tokens(2, 8)
    eager, compiled = (build(transformer, ROWS[index]) for _ in range(2))
    compile_blocks(compiled)
    for model in (eager, compiled):
        model.logits(inputs).square().sum().backward()
    torch.testing.assert_close(compiled.logits(inputs), eager.logits(inputs), rtol=1e-4, atol=1e-4)
    for found, expected in zip(compiled.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-3, atol=1e-3)
