"""Every preset has as many parameters as are published of the released model, or as its paper's shapes make."""

from dataclasses import replace
from decimal import Decimal

import pytest

from harness.help import group_options
from harness.models.counting import account
from harness.models.meta import build_on_meta
from harness.registry import registry
from tests.plugins.architecture import shapes
from tests.plugins.architecture.presets import architecture
from tests.plugins.architecture.published import EXACT, PRINTED

EXACTLY = {preset: count for counts in EXACT.values() for preset, count in counts.items()}
ROUNDED = {preset: both for counts in PRINTED.values() for preset, both in counts.items()}
PRESETS = [name for name, _ in group_options("architecture") if name not in registry().names("architecture")]

V2 = {"width": 5120, "layers": 60, "heads": 128, "query_latent": 1536, "dense": 12288, "first": 1, "routed": 160,
      "hidden": 1536, "shared": 2, "vocabulary": 102400}  # fmt: skip
LITE = {**V2, "width": 2048, "layers": 27, "heads": 16, "query_latent": None, "dense": 10944, "routed": 64,
        "hidden": 1408}  # fmt: skip
V3 = {**V2, "width": 7168, "layers": 61, "dense": 18432, "first": 3, "routed": 256, "hidden": 2048, "shared": 1,
      "vocabulary": 129280}  # fmt: skip

BY_SHAPES = {
    "gpt1_117m": shapes.gpt1(),
    "gpt3_125m": shapes.gpt3(768, 12, 768),
    "gpt3_350m": shapes.gpt3(1024, 24, 1024),
    "gpt3_760m": shapes.gpt3(1536, 24, 1536),
    "gpt3_1.3b": shapes.gpt3(2048, 24, 16 * 128),
    "gpt3_2.7b": shapes.gpt3(2560, 32, 2560),
    "gpt3_6.7b": shapes.gpt3(4096, 32, 4096),
    "gpt3_13b": shapes.gpt3(5140, 40, 40 * 128),
    "gpt3_175b": shapes.gpt3(12288, 96, 12288),
    "llama1_7b": shapes.llama(4096, 32, 11008, 4096, 32000),
    "llama1_13b": shapes.llama(5120, 40, 13824, 5120, 32000),
    "llama1_33b": shapes.llama(6656, 60, 17920, 6656, 32000),
    "llama1_65b": shapes.llama(8192, 80, 22016, 8192, 32000),
    "codellama_70b": shapes.llama(8192, 80, 28672, 8 * 128, 32016),
    "mpt_30b": shapes.mpt(7168, 48),
    "palm_8b": shapes.palm(4096, 32, 16),
    "palm_62b": shapes.palm(8192, 64, 32),
    "palm_540b": shapes.palm(18432, 118, 48),
    "starcoder2_3b": shapes.starcoder2(3072, 30, 24, 2, tables=1),
    "starcoder2_7b": shapes.starcoder2(4608, 32, 36, 4, tables=1),
    "starcoder2_15b": shapes.starcoder2(6144, 40, 48, 4, tables=2),
    "t5_11b": shapes.t5(1024, 128, 128, 65536, 24, 2, 32_128 * 1024),
    "mt5_small": shapes.t5(512, 6, 64, 1024, 8, 3, 2 * 250_112 * 512),
    "mt5_base": shapes.t5(768, 12, 64, 2048, 12, 3, 2 * 250_112 * 768),
    "mt5_large": shapes.t5(1024, 16, 64, 2816, 24, 3, 2 * 250_112 * 1024),
    "mt5_xl": shapes.t5(2048, 32, 64, 5120, 24, 3, 2 * 250_112 * 2048),
    "mt5_xxl": shapes.t5(4096, 64, 64, 10240, 24, 3, 2 * 250_112 * 4096),
    "bart_base": shapes.bart(768, 6),
    "bart_large": shapes.bart(1024, 12),
    "mamba2_130m": shapes.mamba2(768, 24),
    "mamba2_370m": shapes.mamba2(1024, 48),
    "mamba2_780m": shapes.mamba2(1536, 48),
    "mamba2_1.3b": shapes.mamba2(2048, 48),
    "mamba2_2.7b": shapes.mamba2(2560, 64),
    "rwkv4_169m": shapes.rwkv4(768, 12),
    "rwkv4_430m": shapes.rwkv4(1024, 24),
    "rwkv4_1.5b": shapes.rwkv4(2048, 24),
    "rwkv4_3b": shapes.rwkv4(2560, 32),
    "rwkv4_7b": shapes.rwkv4(4096, 32),
    "rwkv4_14b": shapes.rwkv4(5120, 40),
}


def total(preset: str) -> int:
    config = architecture(f"architecture={preset}")
    return account(config, config.vocabulary, 512).total


def test_the_table_has_every_preset_once():
    assert sorted([*EXACTLY, *ROUNDED]) == sorted(PRESETS)


@pytest.mark.parametrize("preset", EXACTLY)
def test_a_preset_has_exactly_what_is_published(preset):
    assert total(preset) == EXACTLY[preset]


@pytest.mark.parametrize("preset", ROUNDED)
def test_where_the_published_count_is_rounded_ours_is_what_the_shapes_make(preset):
    printed, count = ROUNDED[preset]
    assert total(preset) == count == BY_SHAPES[preset]
    digits = Decimal(printed)
    last = Decimal(1).scaleb(digits.as_tuple().exponent)
    assert digits in (round(count / last) * last, count // last * last)  # papers round, or cut off


@pytest.mark.parametrize(
    ("preset", "count"),
    [("deepseek_v2", shapes.deepseek(**V2)), ("deepseek_v2_lite", shapes.deepseek(**LITE)),
     ("deepseek_v3", shapes.deepseek(**V3))],
)  # fmt: skip
def test_the_files_of_deepseek_hold_what_its_papers_describe(preset, count):
    assert EXACTLY[preset] == count


@pytest.mark.parametrize("preset", PRESETS)
def test_the_model_itself_has_as_many(preset):
    """Its layers are alike from the third on, of DeepSeek-V3 from the fifth: built with one of them, and without, it
    tells what each adds."""
    config = architecture(f"architecture={preset}")
    few = 4 if preset == "deepseek_v3" else 2
    without, with_one = (built(replace(config, layers=layers)) for layers in (few, few + 1))
    assert without + (config.layers - few) * (with_one - without) == total(preset)


def built(config) -> int:
    return sum(parameter.numel() for parameter in build_on_meta(config, config.vocabulary).parameters())


@pytest.mark.parametrize(
    ("preset", "of_shapes", "chosen", "printed"),
    [("deepseek_v2", V2, 6, 21e9), ("deepseek_v2_lite", LITE, 6, 2.4e9), ("deepseek_v3", V3, 8, 37e9)],
)
def test_deepseek_uses_as_many_for_a_token_as_its_paper_says(preset, of_shapes, chosen, printed):
    """Their sum is of both tables, of one of them, or of none: what is printed lies between."""
    config = architecture(f"architecture={preset}")
    counted = account(config, config.vocabulary, 1024)
    assert counted.active == shapes.deepseek(**of_shapes, chosen=chosen)
    table = config.vocabulary * config.width
    assert counted.active - 2 * table < printed < counted.active


@pytest.mark.parametrize(("preset", "active"), [("mixtral_8x7b", 12.9), ("mixtral_8x22b", 39.2)])
def test_mixtral_uses_as_many_for_a_token_as_was_announced(preset, active):
    """The announcement of 8x7B: "46.7B total parameters but only uses 12.9B parameters per token". That of 8x22B says
    39B of 141B."""
    config = architecture(f"architecture={preset}")
    assert round(account(config, config.vocabulary, 1024).active / 1e9, 1) == active


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [("gemma2_2b", 2_024_517_888), ("gemma2_9b", 8_324_201_984), ("gemma2_27b", 26_047_480_320)],
)
def test_gemma_2_has_the_non_embedding_parameters_of_its_paper(preset, parameters):
    """Gemma Team 2024, table 2."""
    config = architecture(f"architecture={preset}")
    assert account(config, config.vocabulary, 1024).non_embedding == parameters


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        ("pythia_14m", 1_189_888),
        ("pythia_31m", 4_739_072),
        ("pythia_70m", 18_915_328),
        ("pythia_160m", 85_056_000),
        ("pythia_410m", 302_311_424),
        ("pythia_1b", 805_736_448),
        ("pythia_1.4b", 1_208_602_624),
        ("pythia_2.8b", 2_517_652_480),
        ("pythia_6.9b", 6_444_163_072),
        ("pythia_12b", 11_327_027_200),
    ],
)
def test_pythia_has_the_non_embedding_parameters_of_its_model_cards(preset, parameters):
    """They count neither table; we count the head's, which is not tied."""
    config = architecture(f"architecture={preset}")
    assert account(config, config.vocabulary, 1024).non_embedding - config.vocabulary * config.width == parameters


@pytest.mark.parametrize(
    ("preset", "millions"),
    [("deberta_v3_xsmall", 22), ("deberta_v3_small", 44), ("deberta_v3_base", 86), ("deberta_v3_large", 304)],
)
def test_deberta_v3_has_the_backbone_of_its_readme(preset, millions):
    """The table in github.com/microsoft/DeBERTa: all but the table of tokens. Its 128,100 rows stand there as 48, 98,
    98 and 131 million; the first of these is 49.2."""
    config = architecture(f"architecture={preset}")
    assert config.vocabulary == 128_100
    assert round((total(preset) - config.vocabulary * config.width) / 1e6) == millions
