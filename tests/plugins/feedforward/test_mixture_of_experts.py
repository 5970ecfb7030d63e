"""A mixture of experts against a loop over tokens, against `transformers`, and against its papers' equations."""

import math
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness.config import ConfigError, plugin_config
from harness.interfaces.visibility import Causal
from harness.models.blocks import compile_blocks, recompute
from harness.models.counting import account
from harness.models.learners import Seen, learners
from harness.models.load import Load, routers
from harness.models.memory import Step
from harness.models.meta import build_on_meta
from harness.models.roles import roles

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))

import memory as bench

WIDTH = 12

VARIANTS = {
    "mixtral": {},
    "switch": {"top_k": 1, "normalise": False},
    "mlp experts": {"expert": {"name": "mlp", "hidden": 10, "activation": "squared_relu", "bias": True}},
    "sigmoid": {"score": "sigmoid", "scale": 2.5},
    "deepseek": {
        "score": "sigmoid", "scale": 2.5, "groups": 4, "top_groups": 2, "top_k": 3, "bias_rate": 0.1,
        "shared": {"name": "gated", "hidden": 8},
    },
    "every expert": {"top_k": 8},
}  # fmt: skip


def config(**values):
    given = {"name": "mixture_of_experts", "expert": {"name": "gated", "hidden": 16}, **values}
    return plugin_config("feedforward", given, "feedforward")


def build(**values):
    """With weights and a bias that are large enough to matter."""
    torch.manual_seed(0)
    module = config(**values).build(WIDTH)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    if module.router.bias is not None:
        module.router.bias.normal_(std=0.3)
    return module


def hidden(rows=3, places=7, seed=1):
    return torch.randn(rows, places, WIDTH, generator=torch.Generator().manual_seed(seed), requires_grad=True)


def one_by_one(module, of, hidden_BTC):
    """Every token by itself, through its experts one after the other, in Python's own words."""
    rows = []
    for token_C in hidden_BTC.flatten(0, 1):
        logits = module.router.weight @ token_C
        score = torch.softmax(logits, 0) if of.score == "softmax" else 1 / (1 + torch.exp(-logits))
        wanted = {
            e: score[e].item() + (0 if module.router.bias is None else module.router.bias[e].item())
            for e in range(of.experts)
        }
        size = of.experts // of.groups
        groups = [range(g * size, (g + 1) * size) for g in range(of.groups)]
        groups.sort(key=lambda group: -sum(sorted((wanted[e] for e in group), reverse=True)[: of.group_best]))
        candidates = [e for group in groups[: of.top_groups or of.groups] for e in group]
        chosen = sorted(candidates, key=lambda e: -wanted[e])[: of.top_k]
        total = sum(score[e] for e in chosen) if of.normalise else 1
        row = sum(of.scale * score[e] / total * module.experts[e](token_C[None])[0][0] for e in chosen)
        rows.append(row + module.shared(token_C[None])[0][0] if of.shared else row)
    return torch.stack(rows).reshape(hidden_BTC.shape)


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_it_is_a_loop_over_tokens(values):
    """The result, and the gradients of the input and of every parameter."""
    module, of, x = build(**values), config(**values), hidden()
    pull = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    wanted, found = one_by_one(module, of, x), module(x)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    over = [x, *module.parameters()]
    gradients = torch.autograd.grad((found * pull).sum(), over)
    expected = torch.autograd.grad((wanted * pull).sum(), over, allow_unused=True)
    for one, other in zip(gradients, expected, strict=True):
        # An expert that no token was given to has a gradient of zero.
        torch.testing.assert_close(one, torch.zeros_like(one) if other is None else other, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def fill(experts, ours):
    """The experts of `transformers`, which hold theirs as one tensor, filled with ours."""
    experts.gate_up_proj.copy_(torch.stack([torch.cat([e.gate.weight, e.up.weight]) for e in ours]))
    experts.down_proj.copy_(torch.stack([e.down.weight for e in ours]))


@torch.no_grad()
def test_it_is_mixtrals():
    from transformers.models.mixtral.modeling_mixtral import MixtralConfig, MixtralSparseMoeBlock

    module = build().eval()
    theirs = MixtralSparseMoeBlock(
        MixtralConfig(hidden_size=WIDTH, intermediate_size=16, num_local_experts=8, num_experts_per_tok=2)
    ).eval()
    theirs.gate.weight.copy_(module.router.weight)
    fill(theirs.experts, module.experts)
    torch.testing.assert_close(module(hidden())[0], theirs(hidden()), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_it_is_deepseeks():
    from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Config, DeepseekV3MoE

    module = build(**VARIANTS["deepseek"]).eval()
    theirs = DeepseekV3MoE(
        DeepseekV3Config(
            hidden_size=WIDTH, moe_intermediate_size=16, n_routed_experts=8, num_local_experts=8, n_shared_experts=1,
            num_experts_per_tok=3, n_group=4, topk_group=2, routed_scaling_factor=2.5, norm_topk_prob=True,
        )
    ).eval()  # fmt: skip
    theirs.gate.weight.copy_(module.router.weight)
    theirs.gate.e_score_correction_bias.copy_(module.router.bias)
    fill(theirs.experts, module.experts)
    of_shared = {"gate_proj": module.shared.gate, "up_proj": module.shared.up, "down_proj": module.shared.down}
    for name, ours in of_shared.items():
        setattr(theirs.shared_experts, name, ours)
    torch.testing.assert_close(module(hidden())[0], theirs(hidden()), rtol=1e-5, atol=1e-5)


# ----------------------------------------------------------------------------------------------- losses


def test_the_balance_loss_is_the_papers_row_by_row():
    """α · N · Σ f_i · P_i (Fedus et al. 2022, equation 4), a mean over rows."""
    module, x = build(top_k=1, normalise=False, balance_loss=0.3), hidden()
    losses = []
    for row_TC in x:
        probability_TE = torch.softmax(row_TC @ module.router.weight.T, -1)
        f = [sum(int(p.argmax()) == e for p in probability_TE) / len(row_TC) for e in range(8)]  # equation 5
        losses.append(0.3 * 8 * sum(f[e] * probability_TE[:, e].mean() for e in range(8)))  # equation 6
    total, count = module(x)[1]["balance"]
    assert (total / count).item() == pytest.approx((sum(losses) / 3).item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(total / count, module.router.weight, retain_graph=True)
    (expected,) = torch.autograd.grad(sum(losses) / 3, module.router.weight)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_the_balance_loss_is_its_weight_where_all_scores_are_alike(values):
    module = build(**{**values, "balance_loss": 0.25})
    nn.init.zeros_(module.router.weight)
    total, count = module(hidden())[1]["balance"]
    assert (total / count).item() == pytest.approx(0.25, rel=1e-5)


def test_the_z_loss_is_the_papers():
    """1/B · Σ (log Σ e^x)² (Zoph et al. 2022, equation 5)."""
    module, x = build(balance_loss=0, z_loss=0.5), hidden()
    logits = [[(w @ token).item() for w in module.router.weight] for token in x.flatten(0, 1)]
    expected = sum(math.log(sum(math.exp(one) for one in of_token)) ** 2 for of_token in logits) / len(logits)
    ((name, (total, count)),) = module(x)[1].items()
    assert name == "router_z"
    assert (total / count).item() == pytest.approx(0.5 * expected, rel=1e-5)


def test_losses_are_of_training_alone():
    assert build(z_loss=0.1).eval()(hidden())[1] == {}
    assert build(balance_loss=0, z_loss=0)(hidden())[1] == {}


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_the_router_learns_from_what_the_experts_make(values):
    module = build(**values)
    (gradient,) = torch.autograd.grad(module(hidden())[0].square().sum(), module.router.weight)
    assert gradient.abs().max() > 1e-3


# ----------------------------------------------------------------------------------------------- the bias


def test_the_bias_moves_choices_and_no_weights():
    """The scores of the chosen are weighted as if there were none."""
    module, x = build(bias_rate=0.1, top_k=1, normalise=False), hidden()
    module.router.bias.zero_()[5] = 10
    chosen_BTK, weights_BTK, _, _ = module.router(x)
    assert (chosen_BTK == 5).all()
    torch.testing.assert_close(weights_BTK[..., 0], (x @ module.router.weight.T).softmax(-1)[..., 5])


def test_the_bias_is_moved_by_the_sign_of_the_error():
    router = config(bias_rate=0.01).build(WIDTH).router
    router.learn(Seen([], torch.tensor([4.0, 0, 2, 2, 2, 2, 2, 2])))
    assert router.bias.tolist() == pytest.approx([-0.01, 0.01, 0, 0, 0, 0, 0, 0])


def test_the_bias_stays_float32_in_a_model_of_bfloat16():
    module = build(bias_rate=0.001).bfloat16()
    module.router.bias.fill_(1)
    module.router.learn(Seen([], torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 0])))
    assert module.router.bias.tolist()[:2] == pytest.approx([0.999, 1.001])
    assert module.experts[0].gate.weight.dtype == torch.bfloat16


def test_a_frozen_router_is_not_moved():
    module = build(bias_rate=0.1)
    assert list(learners(module)) == ["router"]
    module.requires_grad_(False)
    assert learners(module) == {}
    assert list(routers(module)) == ["router"]


def test_the_bias_is_saved_and_is_no_parameter():
    module = build(bias_rate=0.1)
    assert "router.bias" in module.state_dict()
    assert "router.bias" not in dict(module.named_parameters())
    assert "router.bias" not in build().state_dict()


# ----------------------------------------------------------------------------------------------- in a model


def model_of(transformer, mode="none", **values):
    torch.manual_seed(0)
    model = transformer(
        feedforward={"name": "mixture_of_experts", "expert": {"name": "gated", "hidden": 16}, **values}
    ).build(50)
    recompute(model, mode)
    return model


TOKENS_BT = torch.randint(50, (4, 16), generator=torch.Generator().manual_seed(0))


def step(model):
    """Loss with auxiliary losses, gradients, and the load that is counted."""
    with Load(routers(model)) as load:
        output = model.body(TOKENS_BT, visibility=Causal())
    loss = output.hidden_BTC.square().mean() + sum(total / count for total, count in output.auxiliary.values())
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters()}, load


@pytest.mark.parametrize("mode", ["blocks", "selective"])
def test_what_is_computed_again_counts_once_and_is_the_same(transformer, mode):
    (loss, gradients, load), (again, gradients_again, load_again) = (
        step(model_of(transformer, mode, z_loss=0.01, bias_rate=0.1)) for mode in ("none", mode)
    )
    assert torch.equal(loss, again)
    assert all(torch.equal(gradients[name], gradients_again[name]) for name in gradients)
    assert load.shares() == load_again.shares()
    assert load_again.places() == TOKENS_BT.numel() * 2


def test_the_load_is_what_the_experts_are_given(transformer):
    model, given = model_of(transformer), {}
    for name in routers(model):
        block = name.removesuffix(".router")
        for e, expert in enumerate(model.get_submodule(block).experts):
            expert.register_forward_pre_hook(lambda _, x, at=(name, e): given.update({at: len(x[0])}))
    load = step(model)[2]
    assert list(load.shares()) == ["body.blocks.0.feedforward.router", "body.blocks.1.feedforward.router"]
    for name, shares in load.shares().items():
        assert shares == [given[name, e] / (TOKENS_BT.numel() * 2 / 8) for e in range(8)]
    assert load.largest() == max(given.values()) / 16


@pytest.mark.parametrize("quantizer", [None, {"name": "qat_int8", "activations": "dynamic"}])
def test_an_expert_that_is_given_nothing_has_a_gradient_of_zero(transformer, quantizer):
    """Also where its input is rounded by a scale of its own, which nothing has not."""
    model = model_of(transformer, experts=64, top_k=1, normalise=False)
    if quantizer:
        plugin_config("quantizer", quantizer, "quantizer").prepare(model)
    _, gradients, load = step(model)
    idle = [e for e, share in enumerate(load.shares()["body.blocks.0.feedforward.router"]) if not share]
    assert idle
    for e in idle:
        assert not gradients[f"body.blocks.0.feedforward.experts.{e}.gate.weight"].any()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["none", "blocks", "selective"])
def test_compiled_and_eager_agree(transformer, mode):
    torch._dynamo.reset()
    model = model_of(transformer, mode)
    compile_blocks(model)
    (loss, gradients, load), (compiled, gradients_compiled, load_compiled) = step(model_of(transformer)), step(model)
    assert float(compiled) == pytest.approx(float(loss), rel=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradients_compiled[name], gradient, rtol=1e-3, atol=1e-5)
    assert load.shares() == load_compiled.shares()
    torch._dynamo.reset()


# ----------------------------------------------------------------------------------------------- the account


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_closed_forms_equal_the_model(transformer, values):
    of = transformer(feedforward=config(**values))
    counted, model = account(of, 100, 24), build_on_meta(of, 100)
    with FlopCounterMode(display=False) as counter:
        model.logits(torch.zeros(1, 24, dtype=torch.int64, device="meta"))
    assert counted.total == sum(p.numel() for p in model.parameters())
    assert counted.forward_flops * 24 == counter.get_total_flops()
    feedforward = model.body.blocks[0].feedforward
    idle = sum(p.numel() for expert in feedforward.experts[of.feedforward.top_k :] for p in expert.parameters())
    assert counted.active == counted.total - of.layers * idle


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("recomputed", ["none", "selective", "blocks"])
@pytest.mark.parametrize("name", ["mixtral", "deepseek"])
def test_the_promised_memory_is_within_fifteen_percent_of_the_tensors(name, recomputed, precision):
    """Real tensors: fake ones cannot say where tokens go."""
    options = {**bench.LLAMA, "width": 64, "layers": 2, "feedforward": config(**VARIANTS[name])}
    step = Step(128, 4, 1, precision, recomputed)
    promised, measured = bench.compare(options, 512, step, real=True)
    assert abs(promised / measured - 1) <= bench.BOUND


def test_a_rule_of_thumb_counts_what_a_token_uses(transformer):
    counted = account(transformer(feedforward=config()), 100, 24)
    assert counted.non_embedding - counted.active_non_embedding == counted.total - counted.active > 0


def test_every_parameter_has_its_role(transformer):
    found = roles(model_of(transformer))
    assert found["body.blocks.0.feedforward.router.weight"] == "matrix"
    assert found["body.blocks.0.feedforward.experts.7.down.weight"] == "matrix"


def test_tokens_cost_what_their_experts_cost():
    """FLOPs of real tokens, wherever the router sends them."""
    of, module = config(**VARIANTS["deepseek"]), build(**VARIANTS["deepseek"]).eval()
    with FlopCounterMode(display=False) as counter:
        module(hidden(rows=3, places=7))
    assert counter.get_total_flops() == 21 * of.flops(WIDTH)


# ----------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"expert": {"name": "mixture_of_experts", "expert": "gated"}}, "no mixture of experts itself"),
        ({"groups": 3}, "experts=8 cannot be put into groups=3"),
        ({"groups": 2, "top_groups": 4}, "top_groups=4 is more than there are"),
        ({"top_k": 9}, "top_k=9 is more than the 8 experts"),
        ({"groups": 4, "top_groups": 1, "top_k": 3}, "top_k=3 is more than the 2 experts"),
        ({"top_k": 1}, "top_k=1 needs normalise=false"),
        ({"group_best": 3}, "group_best=3 does nothing where a token's experts come from all groups"),
        ({"groups": 4, "top_groups": 4, "group_best": 1}, "group_best=1 does nothing"),
        ({"groups": 8, "top_groups": 2}, "group_best=2 is more than the 1 experts of a group"),
    ],
)
def test_what_does_not_fit_is_refused(values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        config(**values)


def test_the_expert_is_chosen_like_any_part():
    from harness.composition import run_config

    words = [
        "architecture/feedforward=mixture_of_experts", "architecture/feedforward/expert=mlp",
        "architecture.feedforward.expert.hidden=24", "architecture/feedforward/shared=gated",
    ]  # fmt: skip
    found = run_config(words).architecture.feedforward
    assert (found.expert.name, found.expert.hidden, found.shared.name) == ("mlp", 24, "gated")
    plain = run_config(words[:1]).architecture.feedforward
    assert (plain.expert.name, plain.shared) == ("gated", None)
