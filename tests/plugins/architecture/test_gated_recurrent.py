"""LSTM and GRU: as their authors write them, with memory that ends where a document does."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.config import plugin_config
from harness.interfaces.visibility import Causal, NotBefore, SameDocument
from harness.models.counting import account
from harness.models.meta import build_on_meta
from harness.models.roles import roles
from harness.testing import ArchitectureKit

VOCABULARY = 50
KINDS = ("lstm", "gru")
of_each = pytest.mark.parametrize("kind", KINDS)


def config(kind, **values):
    tiny = {"name": kind, "width": 12, "layers": 2, "head": "language_model", "init_std": 0.5}
    return plugin_config("architecture", {**tiny, **values}, "architecture")


def build(kind, **values):
    torch.manual_seed(0)
    return config(kind, **values).build(VOCABULARY).eval()


class TestLstm(ArchitectureKit):
    config = config("lstm", hidden=16)


class TestGru(ArchitectureKit):
    config = config("gru")


def tokens(rows: int, length: int) -> torch.Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(0))


def lstm_step(cell, x, h, c):
    """Hochreiter, Schmidhuber 1997; Gers et al. 2000: gates i, f, o and what is written, one place at a time."""
    i, f, g, o = (x @ cell.weight_ih_l0.T + cell.bias_ih_l0 + h @ cell.weight_hh_l0.T + cell.bias_hh_l0).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru_step(cell, x, h, c):
    """Cho et al. 2014, with the reset gate behind the matrix, as cuDNN has it."""
    (ir, iz, ig), (hr, hz, hg) = (
        (x @ cell.weight_ih_l0.T + cell.bias_ih_l0).chunk(3, -1),
        (h @ cell.weight_hh_l0.T + cell.bias_hh_l0).chunk(3, -1),
    )
    reset, update = (ir + hr).sigmoid(), (iz + hz).sigmoid()
    return (1 - update) * (ig + reset * hg).tanh() + update * h, c


@of_each
@torch.no_grad()
@pytest.mark.parametrize("hidden", [None, 20])
def test_it_is_what_the_papers_write(kind, hidden):
    model, inputs = build(kind, hidden=hidden), tokens(3, 7)
    step = lstm_step if kind == "lstm" else gru_step
    for parameter in model.parameters():
        parameter.normal_(0, 0.4)
    hidden_BTC = model.body.tokens(inputs)
    for layer in model.body.layers():
        h = c = torch.zeros(3, hidden or 12)
        made = []
        for place in range(7):
            h, c = step(layer.cell, hidden_BTC[:, place], h, c)
            made.append(h)
        hidden_BTC = torch.stack(made, 1)
    if hidden:
        hidden_BTC = hidden_BTC @ model.body.projection.weight.T
    expected = hidden_BTC @ model.body.tokens.weight.T
    torch.testing.assert_close(model.logits(inputs), expected, rtol=1e-4, atol=1e-5)


@of_each
@pytest.mark.parametrize("values", [{}, {"hidden": 20}, {"layers": 1}, {"layers": 3, "hidden": 8}])
def test_closed_forms_equal_the_model(kind, values):
    """PyTorch's counter takes the layer apart into its matrix products on the meta device."""
    counted, model = account(config(kind, **values), VOCABULARY, 9), build_on_meta(config(kind, **values), VOCABULARY)
    with FlopCounterMode(display=False) as counter:
        model.logits(torch.zeros(1, 9, dtype=torch.int64, device="meta"))
    assert counted.total == sum(p.numel() for p in model.parameters())
    assert counted.non_embedding == counted.total - VOCABULARY * 12
    assert counted.forward_flops * 9 == counter.get_total_flops()


@of_each
@torch.no_grad()
def test_a_place_sees_all_that_is_before_it_and_nothing_after(kind):
    model, inputs = build(kind), tokens(1, 12)
    changed = inputs.clone()
    changed[0, 7] = (changed[0, 7] + 1) % VOCABULARY
    before, after = model.logits(inputs), model.logits(changed)
    assert torch.equal(before[:, :7], after[:, :7])
    assert (before[:, 7:] != after[:, 7:]).any(dim=-1).all()


@of_each
@torch.no_grad()
def test_packed_documents_equal_documents_alone(kind):
    model, inputs = build(kind), tokens(2, 13)
    lengths = [[5, 8], [1, 1, 11]]
    documents_BT = torch.tensor([[n for n, length in enumerate(row) for _ in range(length)] for row in lengths])
    together = model.logits(inputs, visibility=Causal() & SameDocument(documents_BT))
    for row, of_row in enumerate(lengths):
        alone = torch.cat([model.logits(part[None]) for part in inputs[row].split(of_row)], dim=1)
        torch.testing.assert_close(together[row : row + 1], alone)


@of_each
def test_packed_documents_learn_as_documents_alone(kind):
    model, inputs = build(kind), tokens(1, 9)
    model.logits(
        inputs, visibility=Causal() & SameDocument(torch.tensor([[0] * 4 + [1] * 5]))
    ).square().sum().backward()
    together = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    sum(model.logits(part).square().sum() for part in inputs.split([4, 5], dim=1)).backward()
    for one, other in zip(together, model.parameters(), strict=True):
        assert one.abs().sum() > 0
        torch.testing.assert_close(one, other.grad, rtol=1e-4, atol=1e-4)


@of_each
@torch.no_grad()
def test_padding_on_the_left_changes_nothing(kind):
    model, inputs = build(kind), tokens(1, 6)
    padded = torch.cat((torch.zeros(1, 4, dtype=torch.int64), inputs), dim=1)
    found = model.logits(padded, visibility=Causal() & NotBefore(torch.tensor([4])))[:, 4:]
    torch.testing.assert_close(found, model.logits(inputs))


@of_each
@torch.no_grad()
@pytest.mark.parametrize("cuts", [[9], [1] * 9, [4, 1, 4], [2, 7]])
def test_decoding_with_a_state_equals_the_whole(kind, cuts):
    """Rows of two documents, and one that is padded, in passes of any length."""
    model, inputs = build(kind), tokens(3, 9)
    documents_BT = torch.tensor([[0] * 9, [0] * 3 + [1] * 6, [0] * 5 + [1] * 4])
    visibility = Causal() & NotBefore(torch.tensor([0, 0, 2])) & SameDocument(documents_BT)
    whole = model.logits(inputs, visibility=visibility)
    state, parts = model.body.start(3, 9), []
    for part in inputs.split(cuts, dim=1):
        parts.append(model.logits(part, visibility=visibility, state=state))
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    assert state.places == 9


@of_each
def test_every_parameter_has_a_role_and_learns(kind):
    model = build(kind, hidden=20)
    assert set(roles(model).values()) == {"embedding", "matrix", "bias"}
    model.logits(tokens(2, 6)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@of_each
@torch.no_grad()
def test_dropout_acts_in_training_only(kind):
    model, plain, inputs = build(kind, dropout=0.5), build(kind), tokens(2, 9)
    model.train()
    assert not torch.equal(model.logits(inputs), model.logits(inputs))
    model.eval()
    assert torch.equal(model.logits(inputs), plain.logits(inputs))


@of_each
def test_at_the_start_an_lstm_keeps_what_it_remembers(kind):
    cell = build(kind).body.layers()[0].cell
    biases = (cell.bias_ih_l0 + cell.bias_hh_l0).chunk(4 if kind == "lstm" else 3)
    assert [gate.unique().item() for gate in biases] == ([0, 1, 0, 0] if kind == "lstm" else [0, 0, 0])


@of_each
@torch.no_grad()
def test_embeddings_and_layers_start_with_their_own_spread(kind):
    """Embeddings of unit variance, and matrices that keep it; all else as init_std says."""
    model = build(kind, width=128, hidden=256, head={"name": "language_model", "tied": False})
    cell = model.body.layers()[1].cell
    found = [model.body.tokens.weight, cell.weight_ih_l0, cell.weight_hh_l0, model.body.projection.weight]
    spread = [tensor.std().item() for tensor in (*found, model.heads["language_model"].weight)]
    assert spread == pytest.approx([1, 1 / 16, 1 / 16, 0.5, 0.5], rel=0.03)
