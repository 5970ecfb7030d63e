"""The transformer as a whole: what its options mean, and what it refuses."""

import pytest
import torch

from harness.errors import UserError
from harness.interfaces.visibility import Causal, Full, Prefix, SameDocument

VOCABULARY = 50


def build(config, seed: int = 0):
    torch.manual_seed(seed)
    return config.build(VOCABULARY)


def tokens(rows: int, length: int) -> torch.Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(0))


def test_the_default_is_a_small_llama(transformer):
    from harness.registry import registry

    parts = {
        name: kind
        for part in registry().get("architecture", "transformer")(name="").defaults[1:]
        for name, kind in part.items()
    }
    config = transformer(width=64, layers=4, **parts)
    assert (config.position.name, config.norm.name, config.feedforward.activation) == ("rotary", "rmsnorm", "silu")
    assert (
        sum(part.parameters for part in config.counts(512, 128) if not part.embedding)
        == 4 * (4 * 64**2 + 3 * 64 * 176 + 2 * 64) + 64
    )


@torch.no_grad()
def test_a_place_sees_what_is_before_it_and_nothing_after(transformer):
    model, inputs = build(transformer(init_std=0.5)).eval(), tokens(1, 12)
    changed = inputs.clone()
    changed[0, 7] = (changed[0, 7] + 1) % VOCABULARY
    before, after = model.logits(inputs), model.logits(changed)
    assert torch.equal(before[:, :7], after[:, :7])
    assert (before[:, 7:] != after[:, 7:]).any(dim=-1).all()


@torch.no_grad()
@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_packed_documents_equal_documents_alone(transformer, position):
    model = build(transformer(init_std=0.5, position=position)).eval()
    first, second = tokens(1, 5), tokens(1, 8).flip(1)
    packed = torch.cat((first, second), dim=1)
    documents_BT = torch.tensor([[0] * 5 + [1] * 8])
    positions_BT = torch.tensor([[*range(5), *range(8)]])
    together = model.logits(packed, visibility=Causal() & SameDocument(documents_BT), positions_BT=positions_BT)
    alone = torch.cat((model.logits(first), model.logits(second)), dim=1)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_rotary_positions_see_distances_only_and_learned_ones_see_places(transformer):
    inputs = tokens(2, 6)
    shifted = torch.arange(6).expand(2, 6) + 3
    for position, invariant in (("rotary", True), ("learned", False)):
        model = build(transformer(init_std=0.5, position=position)).eval()
        same = torch.allclose(model.logits(inputs), model.logits(inputs, positions_BT=shifted), rtol=1e-3, atol=1e-3)
        assert same == invariant


@torch.no_grad()
def test_full_visibility_sees_both_ways_and_a_prefix_only_within_itself(transformer):
    model, inputs = build(transformer(init_std=0.5)).eval(), tokens(1, 10)
    changed = inputs.clone()
    changed[0, 4] = (changed[0, 4] + 1) % VOCABULARY

    def moved(visibility):
        """Whether the first place notices that place 4 has changed."""
        outputs = [model.logits(each, visibility=visibility)[0, 0] for each in (inputs, changed)]
        return not torch.equal(*outputs)

    assert moved(Full())
    assert moved(Prefix(torch.tensor([5])))
    assert not moved(Prefix(torch.tensor([4])))
    assert not moved(Causal())


def test_tied_weights_are_one_tensor(transformer):
    tied = build(transformer())
    assert tied.heads["language_model"].weight is tied.body.embedding_VC
    untied = build(transformer(head={"name": "language_model", "tied": False}))
    assert untied.heads["language_model"].weight is not untied.body.embedding_VC


@torch.no_grad()
@pytest.mark.parametrize(
    "values",
    [{"embedding_dropout": 0.5}, {"residual_dropout": 0.5}, {"attention": {"name": "multi_head", "dropout": 0.5}}],
)
def test_each_dropout_acts_in_training_only(transformer, values):
    model, plain, inputs = build(transformer(**values)), build(transformer()), tokens(2, 9)
    model.train()
    assert not torch.equal(model.logits(inputs), model.logits(inputs))
    model.eval()
    assert torch.equal(model.logits(inputs), plain.logits(inputs))


def pre(block, x, attention):
    x = x + attention(block.attention_norm(x))
    return x + block.feedforward(block.feedforward_norm(x))[0]


def post(block, x, attention):
    x = block.attention_norm(x + attention(x))
    return block.feedforward_norm(x + block.feedforward(x)[0])


def sandwich(block, x, attention):
    x = x + block.attention_norm_after(attention(block.attention_norm(x)))
    return x + block.feedforward_norm_after(block.feedforward(block.feedforward_norm(x))[0])


def one_norm(block, x, attention):
    normed = block.attention_norm(x)
    return x + attention(normed) + block.feedforward(normed)[0]


def two_norms(block, x, attention):
    return x + attention(block.attention_norm(x)) + block.feedforward(block.feedforward_norm(x))[0]


def sandwich_one_norm(block, x, attention):
    normed = block.attention_norm(x)
    attended = block.attention_norm_after(attention(normed))
    return x + attended + block.feedforward_norm_after(block.feedforward(normed)[0])


@torch.no_grad()
@pytest.mark.parametrize(
    ("values", "by_hand"),
    [
        ({"placement": "pre"}, pre),
        ({"placement": "post"}, post),
        ({"placement": "sandwich"}, sandwich),
        ({"parallel": "one_norm"}, one_norm),
        ({"parallel": "two_norms"}, two_norms),
        ({"placement": "sandwich", "parallel": "one_norm"}, sandwich_one_norm),
    ],
)
def test_a_block_is_as_written_down(transformer, values, by_hand):
    """One layer, by hand, from its parts, whose gains are random."""
    model = build(transformer(layers=1, init_std=0.3, **values)).eval()
    body, block, inputs = model.body, model.body.blocks[0], tokens(1, 6)
    for norm in (module for module in model.modules() if isinstance(module, torch.nn.RMSNorm)):
        norm.weight.normal_()
    attended = {}
    block.attention.register_forward_hook(lambda _, given, out: attended.update(x=given[0], y=out[0]))
    found = body(inputs, visibility=Causal()).hidden_BTC

    def attention(given):
        assert torch.equal(attended["x"], given)
        return attended["y"]

    expected = by_hand(block, body.tokens(inputs), attention)
    if values.get("placement") != "post":
        expected = body.norm(expected)
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_embeddings_are_scaled_placed_told_apart_and_normed_in_this_order(transformer):
    options = {"scale_embeddings": True, "embedding_norm": True, "segments": 3, "position": "learned"}
    model = build(transformer(init_std=0.3, **options)).eval()
    body, inputs = model.body, tokens(2, 6)
    segments_BT = torch.tensor([[0, 0, 1, 1, 2, 2]]).expand(2, 6)
    given = {}
    body.blocks[0].register_forward_pre_hook(lambda _, arguments: given.update(x=arguments[0]))
    body(inputs, segments_BT=segments_BT, visibility=Causal())
    placed = body.tokens(inputs) * 32**0.5 + body.position.table(torch.arange(6))
    torch.testing.assert_close(given["x"], body.embedding_norm(placed + body.segments(segments_BT)))
    body(inputs, visibility=Causal())
    torch.testing.assert_close(given["x"], body.embedding_norm(placed + body.segments.weight[0]))


@pytest.mark.parametrize(
    ("values", "normed"),
    [({}, True), ({"placement": "post"}, False), ({"final_norm": False}, False), ({"placement": "sandwich"}, True)],
)
def test_the_last_norm_stands_where_it_is_said(transformer, values, normed):
    assert isinstance(build(transformer(**values)).body.norm, torch.nn.RMSNorm) == normed


@torch.no_grad()
def test_embeddings_can_be_given_instead_of_tokens(transformer):
    model, inputs = build(transformer()).eval(), tokens(2, 5)
    given = model.body(embeddings_BTC=model.body.tokens(inputs), visibility=Causal())
    assert torch.equal(given.hidden_BTC, model.body(inputs, visibility=Causal()).hidden_BTC)


def test_auxiliary_losses_are_summed_over_layers(transformer):
    model = build(transformer(layers=3))
    for layer, block in enumerate(model.body.blocks):
        part = block.feedforward
        plain = part.forward
        part.forward = lambda x, plain=plain, layer=layer: (plain(x)[0], {"balance": (x.sum() * 0 + layer, 2.0)})
    value, count = model.body(tokens(1, 4), visibility=Causal()).auxiliary["balance"]
    assert (value.item(), count) == (0 + 1 + 2, 2.0)


def test_blocks_differ_only_where_they_say(transformer):
    config = transformer(
        layers=5,
        attention={"name": "multi_head", "heads": 2, "bias": True},
        blocks={
            "local": {"attention": {"window": 3}},
            "plain": {"feedforward": {"name": "mlp", "hidden": 20}, "norm": "layernorm"},
        },
        pattern=["local", "local", "plain"],
    )
    layers = config.layer_blocks()
    assert [layer.attention.window for layer in layers] == [3, 3, None, 3, 3]
    assert [layer.feedforward.name for layer in layers] == ["gated", "gated", "mlp", "gated", "gated"]
    assert all(layer.attention.heads == 2 and layer.attention.bias for layer in layers)
    names = [part.part for part in config.counts(VOCABULARY, 8)]
    assert "blocks.local.attention" in names
    assert "blocks.plain.feedforward" in names


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 30}, "heads=4 does not divide width=30"),
        ({"attention": {"name": "multi_head", "key_value_heads": 3}}, "key_value_heads=3 does not divide heads=4"),
        ({"width": 36}, "rotary turns pairs of channels, but a head has 9"),
        ({"pattern": ["locl"], "blocks": {"local": {}}}, "locl, which blocks does not have. Did you mean local"),
        ({"blocks": {"local": {}}}, "blocks.local is used nowhere"),
        ({"pattern": ["a"], "blocks": {"a": {"attenton": {}}}}, "Did you mean attention"),
        (
            {"pattern": ["a"], "blocks": {"a": {"attention": {"windw": 3}}}},
            "windw is not an option of multi_head. Did you mean window",
        ),
        ({"pattern": ["a"], "blocks": {"a": {"attention": "nothing"}}}, "no attention named nothing"),
        ({"pattern": ["a"], "blocks": {"a": 3}}, "blocks.a=3 is not a mapping"),
        ({"pattern": ["a"], "blocks": {"a": {"attention": {"heads": 2}}}}, "one position serves all layers"),
        ({"placement": "between"}, "placement='between' is not possible"),
        ({"placement": "post", "parallel": "one_norm"}, "one_norm has no norm of a sum.*placement=pre or sandwich"),
        ({"layers": 0}, "layers=0 is too small"),
        ({"residual_dropout": 1.5}, "residual_dropout=1.5 is too large"),
    ],
)
def test_what_cannot_be_built_is_refused(transformer, values, message):
    with pytest.raises(UserError, match=message):
        transformer(**values)
