"""The encoder–decoder: two stacks of the same parts, of which one looks at the other."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.config import ConfigError, plugin_config
from harness.interfaces.visibility import Causal, Cross, Full, SameDocument
from harness.models.counting import account
from harness.models.meta import build_on_meta

T, S, V = 7, 11, 50
KINDS: dict[str, dict[str, Any]] = {
    "as it stands": {},
    "T5": {
        "position": "relative_bias", "attention": {"name": "multi_head", "scale": 1.0}, "feedforward": "mlp", "norm": "rmsnorm",
        "encoder_layers": 3,
    },
    "BART": {
        "position": "learned", "placement": "post", "embedding_norm": True, "norm": "layernorm",
        "feedforward": {"name": "mlp", "activation": "gelu"}, "attention": {"name": "multi_head", "bias": True},
    },
    "sandwich, shared keys": {"placement": "sandwich", "attention": {"name": "multi_head", "key_value_heads": 2}},
}  # fmt: skip


def config(**options: Any) -> Any:
    values = {"name": "encoder_decoder", "width": 16, "layers": 2, "init_std": 0.4, **options}
    return plugin_config("architecture", values, "architecture")


def tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, V, shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=list(KINDS))
def made(request: pytest.FixtureRequest) -> Any:
    return config(**KINDS[request.param])


@pytest.fixture
def model(made: Any) -> Any:
    torch.manual_seed(0)
    return made.build(V).double().eval()


def test_parameters_and_flops_are_those_of_the_module(made: Any):
    built = build_on_meta(made, V)
    assert account(made, V, T).total == sum(p.numel() for p in built.parameters())
    for source in (T, 2 * T, 3 * T):
        with FlopCounterMode(display=False) as counter:
            shapes = [torch.zeros(1, n, dtype=torch.int64, device="meta") for n in (T, source)]
            built.logits(shapes[0], source_BS=shapes[1])
        assert T * sum(part.flops for part in made.counts(V, T, source)) == counter.get_total_flops()


def test_every_place_that_is_read_is_seen_and_none_that_is_to_be_written(model: Any):
    inputs_BT, source_BS = tokens(1, T), tokens(1, S, seed=1)
    before = model.logits(inputs_BT, source_BS=source_BS)
    for place in range(S):
        other = source_BS.clone()
        other[0, place] = (other[0, place] + 1) % V
        assert (model.logits(inputs_BT, source_BS=other) != before).any(-1).all()
    other = inputs_BT.clone()
    other[0, 4] = (other[0, 4] + 1) % V
    moved = (model.logits(other, source_BS=source_BS) != before).any(-1)[0]
    assert moved.tolist() == [False] * 4 + [True] * 3


def test_documents_of_a_packed_row_are_as_alone(model: Any):
    """Each with the text that it belongs to, whatever stands beside it; padding belongs to none."""
    sources, targets = [tokens(1, n, seed=n) for n in (4, 6)], [tokens(1, n, seed=n) for n in (3, 5)]
    pairs = list(zip(targets, sources, strict=True))
    alone = torch.cat([model.logits(target, source_BS=source) for target, source in pairs], dim=1)
    of_sources, of_targets = torch.tensor([[0] * 4 + [1] * 6 + [-1] * 2]), torch.tensor([[0] * 3 + [1] * 5])
    padded = torch.cat([*sources, torch.zeros(1, 2, dtype=torch.int64)], dim=1)
    where = {"positions_BS": torch.tensor([[*range(4), *range(6), 0, 1]])}
    context = model.body.encode(padded, visibility=Full() & SameDocument(of_sources), **where).hidden_BTC
    seen = Causal() & SameDocument(of_targets) & Cross(of_sources, of_targets)
    positions_BT = torch.tensor([[*range(3), *range(5)]])
    hidden = model.body(torch.cat(targets, dim=1), positions_BT=positions_BT, context=context, visibility=seen)
    torch.testing.assert_close(model.heads["language_model"](hidden.hidden_BTC), alone)


def test_what_is_written_token_by_token_is_what_is_seen_whole(model: Any):
    inputs_BT, source_BS = tokens(2, T), tokens(2, S, seed=1)
    context = model.body.encode(source_BS, visibility=Full()).hidden_BTC
    whole = model.body(inputs_BT, context=context, visibility=Causal()).hidden_BTC
    state, pieces = model.body.start(2, T), []
    for piece in inputs_BT.split([3, 1, 1, 2], dim=1):
        pieces.append(model.body(piece, context=context, visibility=Causal(), state=state).hidden_BTC)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole)


def test_every_parameter_learns(model: Any):
    model.logits(tokens(2, T), source_BS=tokens(2, S)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parallel": "one_norm"}, "leaves no place to look at the other text: say parallel=none"),
        ({"segments": 2}, "has no segments"),
        ({"blocks": {"a": {}}, "pattern": ["a"]}, "one kind of block"),
        ({"attention": "latent"}, "attention=latent looks at its own text only"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        config(**options)
