"""μP: what initialisation, scales and learning rates are at a multiple of the base width."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.config import ConfigError, plugin_config
from harness.identity import determining
from harness.interfaces.optimizer import Growth, OptimizerConfig, Trained
from harness.models.groups import trained
from harness.models.roles import roles

TIMES, BASE = 4, 32
EXPERTS = {"name": "mixture_of_experts", "experts": 4, "shared": "mlp"}
UNTIED = {"name": "language_model", "tied": False}


def attention(**options: Any) -> dict[str, Any]:
    return {"name": "multi_head", **options}


def in_mup(**options: Any) -> dict[str, Any]:
    return {"base_width": BASE, "base_channels": BASE // 4, **options}


def optimizer(name: str = "adamw", **options: Any) -> Any:
    return plugin_config("optimizer", {"name": name, **options}, "optimizer")


def build(config: Any) -> Any:
    torch.manual_seed(0)
    return config.build(50)


def rates(model: Any, name: str = "adamw") -> dict[str, float]:
    return {one.name: one.rate for one in trained(model, optimizer(name))}


def test_at_its_base_width_a_model_in_mup_is_the_one_that_its_options_say(transformer: Any):
    for changes in ({}, {"head": UNTIED, "scale_embeddings": True}, {"feedforward": EXPERTS}):
        standard, mup = build(transformer(width=BASE, **changes)), build(transformer(**in_mup(width=BASE, **changes)))
        weights = mup.state_dict()
        assert all(torch.equal(weights[name], tensor) for name, tensor in standard.state_dict().items())
        inputs_BT = torch.arange(20).reshape(2, 10)
        torch.testing.assert_close(mup.logits(inputs_BT), standard.logits(inputs_BT))
        assert set(rates(mup).values()) == {1.0}


def of_tables_3_and_8(name: str, n: float) -> tuple[float, float]:
    """Of Yang et al. 2022: the factors of the standard deviation at the start and of Adam's rate, by hand."""
    if "norm" in name or name.endswith((".bias", "tokens.weight", "table.weight")):
        return 1.0, 1.0
    if "router" in name or name in ("heads.language_model.weight", "heads.reward.weight"):
        return 1 / n, 1 / n
    return n**-0.5, 1 / n


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"head": UNTIED},
        {"feedforward": EXPERTS},
        {"attention": attention(key_value_heads=2, bias=True), "norm": "layernorm", "position": "learned"},
        {"head": {"name": "mtp", "offsets": 3, "bias": True}},
        {"name": "encoder_decoder", "position": "relative_bias"},
    ],
    ids=lambda changes: ",".join(changes) or "llama",
)
def test_matrices_start_and_learn_as_the_papers_tables_say(transformer: Any, changes: dict[str, Any]):
    width = TIMES * BASE
    standard, mup = build(transformer(width=width, **changes)), build(transformer(**in_mup(width=width, **changes)))
    found, before, after = rates(mup), standard.state_dict(), mup.state_dict()
    for name in roles(mup):
        start, rate = of_tables_3_and_8(name, TIMES)
        torch.testing.assert_close(after[name], start * before[name])
        assert found[name] == pytest.approx(rate), name


def test_a_head_that_starts_by_a_rule_of_its_own_reads_out_less_too(transformer: Any):
    """A reward's standard deviation falls with the root of the width already; in μP it falls with the width."""
    standard, mup = (build(transformer(**base, width=16 * BASE, layers=1, head="reward")) for base in ({}, in_mup()))
    assert standard.heads["reward"].starts["weight"] == pytest.approx((16 * BASE) ** -0.5, rel=0.01)
    torch.testing.assert_close(mup.heads["reward"].weight, standard.heads["reward"].weight / 4)
    assert rates(mup)["heads.reward.weight"] == 1 / 16


def test_products_of_queries_and_keys_fall_with_the_channels_of_a_head(transformer: Any):
    """1/√channels at the base, and from there by 1/channels: wider heads; more heads keep it."""
    for heads, channels, scale in ((4, 32, 8**0.5 / 32), (16, 8, 8**-0.5)):
        config = transformer(**in_mup(width=128, attention=attention(heads=heads)))
        for block in build(config).body.blocks:
            assert (block.attention.head_width, block.attention.scale) == (channels, pytest.approx(scale))
    said = transformer(**in_mup(width=128, attention=attention(heads=4, scale=1.0)))
    assert build(said).body.blocks[0].attention.scale == 1 / 4


def test_blocks_that_differ_fall_too(transformer: Any):
    blocks = {"near": {"attention": {"window": 2}}, "far": {}}
    config = transformer(**in_mup(width=128, blocks=blocks, pattern=["near", "far"]))
    assert [block.attention.scale for block in build(config).body.blocks] == [pytest.approx(8**0.5 / 32)] * 2


def test_a_head_that_shares_the_table_of_tokens_is_scaled_instead(transformer: Any):
    def scale(width: int, **head: Any) -> float:
        config = transformer(**in_mup(width=width, head={"name": "language_model", **head}))
        found: float = build(config).heads["language_model"].scale
        return found

    assert scale(128) == scale(BASE) / TIMES == 1 / TIMES
    assert scale(128, scale=3.0, scale_by_width=True) == pytest.approx(scale(BASE, scale=3.0, scale_by_width=True) / 4)
    assert scale(128, tied=False) == 1.0


def test_embeddings_that_are_scaled_keep_the_scale_of_the_base(transformer: Any):
    model = build(transformer(**in_mup(width=128, scale_embeddings=True, position="none")))
    embedded = model.body._embedded(torch.ones(1, 1, 128), torch.zeros(1), None)
    torch.testing.assert_close(embedded, torch.full((1, 1, 128), BASE**0.5))


def test_what_a_step_takes_of_a_weight_is_the_same_at_every_width(transformer: Any):
    for name in ("adamw", "lion", "muon"):
        config = optimizer(name, weight_decay=0.3)
        for width in (BASE, 4 * BASE):
            built = config.build(trained(build(transformer(**in_mup(width=width))), config))
            lost = sorted({round(group["lr"] * group["weight_decay"], 12) for group in built.param_groups})
            assert lost == [0.0, pytest.approx(config.lr * 0.3)]


def test_muons_updates_stretch_no_vector_more_in_a_wider_model():
    """The spectral norm of an update is to be √(outputs / inputs), but for a constant (Yang, Simon, Bernstein 2023)."""
    config, stretched = optimizer("muon", lr=1.0, weight_decay=0.0), {}
    for times in (1, 4):
        for kind, rows, growth in (("hidden", 32 * times, Growth(times, times)), ("router", 4, Growth(times, 1.0))):
            torch.manual_seed(0)
            matrix = torch.nn.Parameter(torch.zeros(rows, 32 * times))
            one = Trained("body.matrix", matrix, "matrix", growth=growth)
            one = Trained("body.matrix", matrix, "matrix", config.width_share(one), growth)
            built = config.build([one])
            matrix.grad = torch.randn_like(matrix)
            built.step()
            stretched[kind, times] = torch.linalg.matrix_norm(matrix.detach(), 2).item()
    assert stretched["hidden", 4] == pytest.approx(stretched["hidden", 1], rel=0.15)
    assert stretched["router", 4] == pytest.approx(stretched["router", 1] / 2, rel=0.15)  # √(1/4)


def test_adapters_that_come_later_learn_at_the_full_rate(transformer: Any):
    model = build(transformer(**in_mup(width=128)))
    model.body.later = torch.nn.Linear(128, 2)
    assert rates(model)["body.later.weight"] == 1.0


def test_a_model_without_a_base_has_the_identity_that_it_had(transformer: Any):
    assert not {"base_width", "base_channels"} & set(determining(transformer()))
    assert {"base_width", "base_channels"} <= set(determining(transformer(**in_mup())))


def test_a_width_needs_the_channels_of_a_head_beside_it(transformer: Any):
    with pytest.raises(ConfigError, match=r"base_width=16 needs base_channels.*: 8, as here.*; 4, where"):
        transformer(base_width=16)
    with pytest.raises(ConfigError, match=r"base_channels=8 is of base_width, which is null"):
        transformer(base_channels=8)


def test_what_is_not_known_to_serve_all_widths_is_refused(transformer: Any):
    with pytest.raises(ConfigError, match=r"attention=linear is not known to serve all widths"):
        transformer(**in_mup(attention="linear"))
    with pytest.raises(ConfigError, match=r"attention=latent is not known"):
        blocks = {"plain": {}, "latent": {"attention": {"name": "latent", "turned_channels": 8}}}
        transformer(**in_mup(blocks=blocks, pattern=["plain", "latent"]))

    run = SimpleNamespace(optimizer=OptimizerConfig(name="strange"), scale=SimpleNamespace(width=None))
    with pytest.raises(ConfigError, match=r"optimizer=strange does not say how its rate follows the width"):
        transformer(**in_mup()).check_run(run)
    transformer().check_run(run)


def test_a_ladder_whose_rate_follows_the_width_is_not_widened_again(transformer: Any):
    from harness.schema import ScaleConfig

    ladder = ScaleConfig(width=64, lr_times_width=0.48)
    run = SimpleNamespace(optimizer=optimizer(lr=0.48 / 64), scale=ladder)
    with pytest.raises(ConfigError, match=r"follow the width twice.*scale=ladder_mup, or optimizer\.lr"):
        transformer(**in_mup(width=64)).check_run(run)
    run.optimizer = optimizer(lr=0.01)
    transformer(**in_mup(width=64)).check_run(run)


def test_the_ladder_in_mup_has_the_rate_of_its_base_on_every_rung():
    from harness.composition import run_config

    def rung(scale: str, width: int) -> Any:
        return run_config([f"scale={scale}", f"scale.width={width}"])

    base, first, wide = rung("ladder", 32), rung("ladder_mup", 32), rung("ladder_mup", 64)
    assert first.optimizer.lr == wide.optimizer.lr == base.optimizer.lr
    assert first.architecture.init_std == wide.architecture.init_std == base.architecture.init_std
    plain, *of_mup = (run.architecture for run in (rung("ladder", 64), first, wide))
    assert (of_mup[1].layers, of_mup[1].attention.heads) == (plain.layers, plain.attention.heads)
    assert [(a.base_width, a.base_channels, a.times_base) for a in of_mup] == [(32, 16, 1.0), (32, 16, 2.0)]
    wide.architecture.check_run(wide)


def test_no_model_of_transformers_is_in_mup(transformer: Any):
    from harness.errors import UserError
    from harness.models.huggingface import config_to_transformers

    with pytest.raises(UserError, match=r"cannot be told to transformers.*base_width=32 is None in its llama"):
        config_to_transformers(transformer(**in_mup(width=64)), 50)
