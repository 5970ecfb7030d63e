"""DeepSeek-V2 and V3."""

import pytest
import torch

from harness.errors import UserError
from harness.models.huggingface import config_to_transformers
from tests.models.huggingface.families import VOCABULARY, FamilyTests, their_model

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 40,
    "moe_intermediate_size": 12,
    "kv_lora_rank": 10,
    "q_lora_rank": 14,
    "qk_nope_head_dim": 6,
    "qk_rope_head_dim": 8,
    "v_head_dim": 5,
    "first_k_dense_replace": 1,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 100.0,
    "factor": 40.0,
    "original_max_position_embeddings": 16,
    "beta_slow": 1.0,
    "beta_fast": 32.0,
    "mscale": 0.707,
    "mscale_all_dim": 1.0,
}
V3 = {**SMALL, "n_group": 4, "topk_group": 2, "routed_scaling_factor": 2.5, "n_shared_experts": 1}
V2 = {**SMALL, "n_group": 4, "topk_group": 2, "topk_method": "group_limited_greedy", "routed_scaling_factor": 16.0}

#: Wrong in attention, whatever the router.
ATTENTION = [
    {"position.interleaved": False},
    {"attention.scale": None},
    {"attention.latent_norm.epsilon": 0.1},
    {"position.temperature": None},
    {"position": {"scaling": "none", "factor": 1.0, "original_length": None, "temperature": None}},
    {"attention.window": 39},
    {"norm.epsilon": 0.1},
]  # fmt: skip


class TestDeepseekV3(FamilyTests):
    model_type = "deepseek_v3"
    cases = {
        "yarn": {**V3, "rope_parameters": YARN},
        "plain": {**V3, "n_shared_experts": 2, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 0},
        "queries of the input, halves turned, weights as they are": {
            **V3,
            "q_lora_rank": None,
            "rope_interleave": False,
            "norm_topk_prob": False,
            "rms_norm_eps": 1e-3,
            "first_k_dense_replace": 2,
        },
        "no experts": {**V3, "first_k_dense_replace": 3},
    }
    mutants = {
        "yarn": [
            *ATTENTION,
            {"feedforward.normalise": False},
            {"feedforward.score": "softmax"},
            {"feedforward.scale": 1.0},
            {"feedforward": {"groups": 1, "top_groups": None}},
            {"feedforward.top_groups": 3},
            {"feedforward.group_best": 1},
            {"feedforward.bias_rate": 0.0},
            {"feedforward.top_k": 2},
            {"feedforward.shared": None},
        ]
    }

    def made(self, case):
        """The routers' biases, which are no parameters, are random too."""
        theirs = their_model(type(self), case)
        draws = torch.Generator().manual_seed(2)
        for name, buffer in theirs.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.normal_(0.0, 0.4, generator=draws)
        return theirs


class TestDeepseekV2(FamilyTests):
    model_type = "deepseek_v2"
    cases = {
        "yarn": {**V2, "rope_parameters": YARN},
        "lite": {**V2, "topk_method": "greedy", "n_group": None, "topk_group": None, "q_lora_rank": None},
    }
    mutants = {
        "yarn": [
            *ATTENTION,
            {"feedforward.normalise": True},
            {"feedforward.score": "sigmoid"},
            {"feedforward.scale": 1.0},
            {"feedforward": {"groups": 1, "top_groups": None, "group_best": 2}},
            {"feedforward.group_best": 2},
        ]
    }


PARTS = {
    "attention": "latent",
    "feedforward": {
        "name": "mixture_of_experts",
        "expert": {"name": "gated", "hidden": 12},
        "shared": {"name": "gated", "hidden": 12},
        "score": "sigmoid",
        "bias_rate": 0.01,
    },
    "position": {"name": "rotary", "interleaved": True},
}


def latent_norm(epsilon):
    return {"name": "latent", "latent_norm": {"name": "rmsnorm", "epsilon": epsilon}}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"attention": latent_norm(1e-4)}, "architecture.attention.latent_norm.epsilon=0.0001 is 1e-06"),
        ({"attention": {**latent_norm(1e-6), "window": 5}}, "architecture.attention.window=5 is None"),
        ({"attention": {**latent_norm(1e-6), "scale": 0.5}}, "architecture.attention.scale=0.5 is 0.25"),
        ({"feedforward": {**PARTS["feedforward"], "shared": None}}, "architecture.feedforward.shared"),
        ({"feedforward": {**PARTS["feedforward"], "bias_rate": 0.0}}, "architecture.feedforward.bias_rate=False"),
    ],
)
def test_what_their_classes_do_not_have_is_told(transformer, values, told):
    with pytest.raises(UserError, match=told):
        config_to_transformers(transformer(**{**PARTS, "attention": latent_norm(1e-6), **values}), VOCABULARY)


def test_how_fast_the_bias_moves_is_not_what_a_model_computes(transformer):
    written = config_to_transformers(transformer(**{**PARTS, "attention": latent_norm(1e-6)}), VOCABULARY)
    assert (written["model_type"], written["n_routed_experts"]) == ("deepseek_v3", 8)
