"""Presets of GPT-1, GPT-3, LLaMA 1 and 3, Code Llama, PaLM and DeepSeek, by what their papers print."""

import math

import pytest

from harness.models.counting import account
from harness.models.huggingface import config_to_transformers
from harness.models.meta import build_on_meta
from tests.plugins.architecture.test_presets import architecture

#: To the last parameter, as the Hugging Face hub states them of each model's safetensors.
PUBLISHED = {
    "llama1_7b": 6_738_415_616,
    "llama3_8b": 8_030_261_248,
    "llama3_70b": 70_553_706_496,
    "llama3.1_8b": 8_030_261_248,
    "llama3.1_70b": 70_553_706_496,
    "llama3.1_405b": 405_853_388_800,
    "llama3.2_1b": 1_235_814_400,
    "llama3.2_3b": 3_212_749_824,
    "codellama_7b": 6_738_546_688,
    "codellama_13b": 13_016_028_160,
    "codellama_34b": 33_743_970_304,
    "codellama_70b": 68_976_910_336,
    "deepseek_v2": 235_741_434_880,
    "deepseek_v2_lite": 15_706_484_224,
}


def layers_of_gpt(width, layers, mixed):
    """Matrices, biases and two norms. mixed: channels of all heads together."""
    attention = 3 * (width + 1) * mixed + (mixed + 1) * width
    feedforward = (width + 1) * 4 * width + (4 * width + 1) * width
    return layers * (attention + feedforward + 4 * width)


#: Radford et al. 2018, section 4.1: 512 places; the released model has 40,478 tokens.
GPT1 = layers_of_gpt(768, 12, 768) + (40478 + 512) * 768


def gpt3(width, layers, mixed):
    """Brown et al. 2020, table 2.1: tables of 50,257 tokens and 2,048 places; a last norm."""
    return layers_of_gpt(width, layers, mixed) + (50257 + 2048) * width + 2 * width


def llama(width, layers, hidden):
    """Touvron et al. 2023, table 2, with the feedforwards of its released code: two tables of 32,000 tokens."""
    return layers * (4 * width * width + 3 * width * hidden + 2 * width) + 2 * 32000 * width + width


def palm(width, layers, heads):
    """Chowdhery et al. 2022, section 2 and table 1: heads of 256 channels, of keys and values but one, a feedforward of
    three matrices that is 4 times as wide, one norm, no biases; one table of 256,000 tokens."""
    attention = 2 * width * heads * 256 + 2 * width * 256
    return layers * (attention + 3 * width * 4 * width + width) + 256_000 * width + width


def latent(width, heads, query_latent):
    """Liu et al. 2024, "DeepSeek-V2", section 3.1.2: heads of 128 + 64 channels, and values of 128, of a latent of 512."""
    queries = width * heads * 192
    if query_latent:
        queries = width * query_latent + query_latent + query_latent * heads * 192
    return queries + width * (512 + 64) + 512 + 512 * heads * (128 + 128) + heads * 128 * width


def deepseek(width, layers, heads, query_latent, dense, first, experts, hidden, shared, vocabulary, chosen=None):
    """Layers with a feedforward of `dense` channels first, and then those with experts of `hidden`, of which so many
    are chosen; None: all are counted."""
    mixture = experts * width + ((experts if chosen is None else chosen) + shared) * 3 * width * hidden
    each = layers * (latent(width, heads, query_latent) + 2 * width)
    return each + first * 3 * width * dense + (layers - first) * mixture + 2 * vocabulary * width + width


V2 = {"width": 5120, "layers": 60, "heads": 128, "query_latent": 1536, "dense": 12288, "first": 1, "experts": 160,
      "hidden": 1536, "shared": 2, "vocabulary": 102400}  # fmt: skip
LITE = {**V2, "width": 2048, "layers": 27, "heads": 16, "query_latent": None, "dense": 10944, "experts": 64,
        "hidden": 1408}  # fmt: skip
V3 = {**V2, "width": 7168, "layers": 61, "dense": 18432, "first": 3, "experts": 256, "hidden": 2048, "shared": 1,
      "vocabulary": 129280}  # fmt: skip

#: By preset: the sum of its paper's shapes, what the paper prints, and half of the last digit that it prints.
BY_SHAPES = {
    "gpt1_117m": (GPT1, 117e6, 0.5e6),
    "gpt3_125m": (gpt3(768, 12, 768), 125e6, 0.5e6),
    "gpt3_350m": (gpt3(1024, 24, 1024), 350e6, 6e6),  # 356 million are printed as 350
    "gpt3_760m": (gpt3(1536, 24, 1536), 760e6, 5e6),
    "gpt3_1.3b": (gpt3(2048, 24, 16 * 128), 1.3e9, 0.05e9),
    "gpt3_2.7b": (gpt3(2560, 32, 2560), 2.7e9, 0.05e9),
    "gpt3_6.7b": (gpt3(4096, 32, 4096), 6.7e9, 0.05e9),
    "gpt3_13b": (gpt3(5140, 40, 40 * 128), 13.0e9, 0.1e9),
    "gpt3_175b": (gpt3(12288, 96, 12288), 175e9, 0.5e9),
    "llama1_7b": (llama(4096, 32, 11008), 6.7e9, 0.05e9),
    "llama1_13b": (llama(5120, 40, 13824), 13.0e9, 0.05e9),
    "llama1_33b": (llama(6656, 60, 17920), 32.5e9, 0.05e9),
    "llama1_65b": (llama(8192, 80, 22016), 65.2e9, 0.1e9),  # cut off, not rounded
    "palm_8b": (palm(4096, 32, 16), 8.63e9, 0.005e9),
    "palm_62b": (palm(8192, 64, 32), 62.50e9, 0.005e9),
    "palm_540b": (palm(18432, 118, 48), 540.35e9, 0.01e9),  # cut off, not rounded
    "deepseek_v2": (deepseek(**V2), 236e9, 0.5e9),
    "deepseek_v2_lite": (deepseek(**LITE), 15.7e9, 0.05e9),
    "deepseek_v3": (deepseek(**V3), 671e9, 0.5e9),
}

#: With so many modules that the meta device takes its time.
HUGE = ("deepseek_v2", "deepseek_v2_lite", "deepseek_v3")


@pytest.mark.parametrize(("preset", "parameters"), PUBLISHED.items())
def test_a_preset_has_the_parameters_of_the_released_model(preset, parameters):
    config = architecture(f"architecture={preset}")
    assert account(config, config.vocabulary, 1024).total == parameters


@pytest.mark.parametrize("preset", BY_SHAPES)
def test_a_preset_has_the_shapes_of_its_paper_and_they_make_what_is_printed(preset):
    parameters, printed, half_a_digit = BY_SHAPES[preset]
    config = architecture(f"architecture={preset}")
    assert account(config, config.vocabulary, 1024).total == parameters
    assert abs(parameters - printed) <= half_a_digit


@pytest.mark.parametrize(
    "preset",
    [pytest.param(name, marks=pytest.mark.slow if name in HUGE else ()) for name in {**PUBLISHED, **BY_SHAPES}],
)
def test_the_model_itself_has_as_many(preset):
    config = architecture(f"architecture={preset}")
    model = build_on_meta(config, config.vocabulary)
    assert sum(p.numel() for p in model.parameters()) == account(config, config.vocabulary, 1024).total


@pytest.mark.parametrize(
    ("preset", "shapes", "chosen", "printed"),
    [("deepseek_v2", V2, 6, 21e9), ("deepseek_v2_lite", LITE, 6, 2.4e9), ("deepseek_v3", V3, 8, 37e9)],
)
def test_deepseek_uses_as_many_for_a_token_as_its_paper_says(preset, shapes, chosen, printed):
    """Their sum is of both tables, of one of them, or of none: what is printed lies between."""
    config = architecture(f"architecture={preset}")
    counted = account(config, config.vocabulary, 1024)
    assert counted.active == deepseek(**shapes, chosen=chosen)
    table = config.vocabulary * config.width
    assert counted.active - 2 * table < printed < counted.active


def test_gpt_3_is_dense_and_banded_in_turns():
    blocks = architecture("architecture=gpt3_175b").layer_blocks()
    assert [block.attention.window for block in blocks[:4]] == [None, 256, None, 256]
    assert len(blocks) == 96


@pytest.mark.parametrize(("preset", "dense"), [("deepseek_v2", 1), ("deepseek_v2_lite", 1), ("deepseek_v3", 3)])
def test_deepseek_has_dense_layers_first(preset, dense):
    config = architecture(f"architecture={preset}")
    kinds = [block.feedforward.name for block in config.layer_blocks()]
    assert kinds == ["gated"] * dense + ["mixture_of_experts"] * (config.layers - dense)


@pytest.mark.parametrize(("preset", "share"), [("deepseek_v2", 0.707), ("deepseek_v3", 1.0)])
def test_deepseeks_yarn_is_in_the_scale(preset, share):
    """√t = 0.1 · share · ln 40 + 1, and scores are divided by t as well as by √192."""
    config = architecture(f"architecture={preset}")
    assert config.attention.scale == pytest.approx((0.1 * share * math.log(40) + 1) ** 2 / math.sqrt(192), rel=1e-12)


@pytest.mark.parametrize(
    ("preset", "theirs"),
    [
        ("deepseek_v3", {"rope_parameters": {  # the rest is what their class takes where nothing is said
            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 40.0, "original_max_position_embeddings": 4096,
            "beta_slow": 1.0, "beta_fast": 32.0, "mscale": 1.0, "mscale_all_dim": 1.0}}),
        ("llama3.1_8b", {
            "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
            "intermediate_size": 14336, "rms_norm_eps": 1e-5, "rope_parameters": {
                "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}),
    ],
)  # fmt: skip
def test_a_preset_is_told_to_transformers_as_they_tell_it(preset, theirs):
    from transformers import AutoConfig

    config = architecture(f"architecture={preset}")
    written = config_to_transformers(config, config.vocabulary)
    theirs = {"vocab_size": config.vocabulary, "initializer_range": config.init_std, **theirs}
    expected = AutoConfig.for_model(written["model_type"], **theirs).to_dict()
    assert {name: expected[name] for name in written if name != "architectures"} == {
        name: value for name, value in written.items() if name != "architectures"
    }
