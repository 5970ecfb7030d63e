"""What is published of each preset's size, with the place where it stands."""

from tests.plugins.architecture.shapes import deepseek_v3_ahead, masked_head

#: To the last parameter. "The hub": huggingface.co/api/models/<name>, `safetensors`, which counts all that the files
#: hold; what they hold beside the parameters (frequencies, masks, a table twice) is taken away here.
EXACT: dict[str, dict[str, int]] = {
    "The hub, openai-community/gpt2 and gpt2-medium, without the mask of 1024² in each layer": {
        "gpt2_124m": 137_022_720 - 12 * 1024**2,
        "gpt2_355m": 379_988_992 - 24 * 1024**2,
    },
    "KerasHub, gpt2_presets.py, `params`": {"gpt2_774m": 774_030_080, "gpt2_1558m": 1_557_611_200},
    "The hub, meta-llama/Llama-2-*-hf, without the 64 rotary frequencies in each layer": {
        "llama2_7b": 6_738_417_664 - 32 * 64,
        "llama2_13b": 13_015_866_880 - 40 * 64,
        "llama2_70b": 68_976_653_312 - 80 * 64,
    },
    "The hub, meta-llama/Meta-Llama-3-* and Llama-3.*": {
        "llama3_8b": 8_030_261_248,
        "llama3_70b": 70_553_706_496,
        "llama3.1_8b": 8_030_261_248,
        "llama3.1_70b": 70_553_706_496,
        "llama3.1_405b": 405_853_388_800,
        "llama3.2_1b": 1_235_814_400,
        "llama3.2_3b": 3_212_749_824,
    },
    "Together AI, list of models, `num_parameters` of CodeLlama-*": {
        "codellama_7b": 6_738_546_688,
        "codellama_13b": 13_016_028_160,
        "codellama_34b": 33_743_970_304,
    },
    "The hub, mistralai/Mistral-7B-v0.1, Mixtral-8x7B-v0.1 and mistral-community/Mixtral-8x22B-v0.1": {
        "mistral_7b": 7_241_732_096,
        "mixtral_8x7b": 46_702_792_704,
        "mixtral_8x22b": 140_620_634_112,
    },
    "Model cards of bigscience/bloom-* and bigscience/bloom, section Technical Specifications": {
        "bloom_560m": 559_214_592,
        "bloom_1.1b": 1_065_314_304,
        "bloom_1.7b": 1_722_408_960,
        "bloom_3b": 3_002_557_440,
        "bloom_7.1b": 7_069_016_064,
        "bloom_176b": 176_247_271_424,
    },
    "pytorch_model.bin.index.json of mosaicml/mpt-7b, `total_size`, two bytes for each": {
        "mpt_7b": 13_298_573_312 // 2,
    },
    "The hub, tiiuae/falcon-*, whose files hold the table a second time, as the head": {
        "falcon_7b": 7_217_189_760 - 65_024 * 4_544,
        "falcon_40b": 41_835_970_560 - 65_024 * 8_192,
        "falcon_180b": 179_522_565_120 - 65_024 * 14_848,
    },
    "Model cards of EleutherAI/pythia-*, table of total parameters at the end": {
        "pythia_14m": 14_067_712,
        "pythia_31m": 30_494_720,
        "pythia_70m": 70_426_624,
        "pythia_160m": 162_322_944,
        "pythia_410m": 405_334_016,
        "pythia_1b": 1_011_781_632,
        "pythia_1.4b": 1_414_647_808,
        "pythia_2.8b": 2_775_208_960,
        "pythia_6.9b": 6_857_302_016,
        "pythia_12b": 11_846_072_320,
    },
    "The hub, google/gemma-2-*": {
        "gemma2_2b": 2_614_341_888,
        "gemma2_9b": 9_241_705_984,
        "gemma2_27b": 27_227_128_320,
    },
    "The hub, Qwen/Qwen2.5-*": {
        "qwen2.5_0.5b": 494_032_768,
        "qwen2.5_1.5b": 1_543_714_304,
        "qwen2.5_3b": 3_085_938_688,
        "qwen2.5_7b": 7_615_616_512,
        "qwen2.5_14b": 14_770_033_664,
        "qwen2.5_32b": 32_763_876_352,
        "qwen2.5_72b": 72_706_203_648,
    },
    "The hub, microsoft/Phi-3-mini-4k-instruct and Phi-3-medium-4k-instruct": {
        "phi3_mini": 3_821_079_552,
        "phi3_medium": 13_960_238_080,
    },
    "The hub, deepseek-ai/DeepSeek-V2 and DeepSeek-V2-Lite": {
        "deepseek_v2": 235_741_434_880,
        "deepseek_v2_lite": 15_706_484_224,
    },
    "The hub, deepseek-ai/DeepSeek-V3: BF16 and F8_E4M3 (F32: scales, biases of the router), without the second head": {
        "deepseek_v3": 3_918_786_560 + 680_571_043_840 - deepseek_v3_ahead(),
    },
    "The hub, google-bert/bert-*-uncased, without pooler and next sentences, no parts of a masked language model": {
        "bert_base": 110_106_428 - (768**2 + 768) - (2 * 768 + 2),
        "bert_large": 336_226_108 - (1024**2 + 1024) - (2 * 1024 + 2),
    },
    "The hub, FacebookAI/roberta-*, F32 (I64: numbers of places)": {
        "roberta_base": 124_697_433,
        "roberta_large": 355_412_057,
    },
    "KerasHub, deberta_v3_presets.py, `params`, and the head that predicts masked tokens": {
        "deberta_v3_xsmall": 70_682_112 + masked_head(384, 128_100),
        "deberta_v3_small": 141_304_320 + masked_head(768, 128_100),
        "deberta_v3_base": 183_831_552 + masked_head(768, 128_100),
        "deberta_v3_large": 434_012_160 + masked_head(1024, 128_100),
    },
    "KerasHub, t5_presets.py, `params` (KerasNLP for version 1.0)": {
        "t5_small": 60_506_624,
        "t5_base": 222_903_552,
        "t5_large": 737_668_096,
        "t5_3b": 2_851_598_336,
        "t5v1.1_small": 76_961_152,
        "t5v1.1_base": 247_577_856,
        "t5v1.1_large": 783_150_080,
        "t5v1.1_xl": 2_849_757_184,
        "t5v1.1_xxl": 11_135_332_352,
    },
}

#: No exact count is published: what is printed, to its last digit, and the sum of the shapes.
PRINTED: dict[str, dict[str, tuple[str, int]]] = {
    "Radford et al. 2019, table 2, whose smallest model is as large as this one (section 2.3)": {
        "gpt1_117m": ("117e6", 116_534_784),
    },
    "Brown et al. 2020, table 2.1, first column (n_params of 13B and 175B is printed as 13.0B and 175.0B)": {
        "gpt3_125m": ("125e6", 125_226_240),
        "gpt3_350m": ("35e7", 355_871_744),
        "gpt3_760m": ("760e6", 760_300_032),
        "gpt3_1.3b": ("1.3e9", 1_315_723_264),
        "gpt3_2.7b": ("2.7e9", 2_651_553_280),
        "gpt3_6.7b": ("6.7e9", 6_658_404_352),
        "gpt3_13b": ("13e9", 12_936_488_380),
        "gpt3_175b": ("175e9", 174_604_259_328),
    },
    "Touvron et al. 2023, table 2": {
        "llama1_7b": ("6.7e9", 6_738_415_616),
        "llama1_13b": ("13.0e9", 13_015_864_320),
        "llama1_33b": ("32.5e9", 32_528_943_616),
        "llama1_65b": ("65.2e9", 65_285_660_672),
    },
    "Rozière et al. 2023, of LLaMA 2's 70B, and 16 tokens more (its config.json)": {
        "codellama_70b": ("7e10", 68_976_910_336),
    },
    "MosaicML 2023, model card of mosaicml/mpt-30b": {"mpt_30b": ("30e9", 29_957_200_896)},
    "Chowdhery et al. 2022, table 1": {
        "palm_8b": ("8.63e9", 8_632_012_800),
        "palm_62b": ("62.50e9", 62_495_662_080),
        "palm_540b": ("540.35e9", 540_356_474_880),
    },
    "Lozhkov et al. 2024, abstract": {
        "starcoder2_3b": ("3e9", 3_030_371_328),
        "starcoder2_7b": ("7e9", 7_173_923_840),
        "starcoder2_15b": ("15e9", 15_957_889_024),
    },
    "Raffel et al. 2020, section 3.7": {"t5_11b": ("11e9", 11_307_321_344)},
    "github.com/google-research/multilingual-t5, README.md, released checkpoints": {
        "mt5_small": ("300e6", 300_176_768),
        "mt5_base": ("58e7", 582_401_280),
        "mt5_large": ("1.2e9", 1_229_581_312),
        "mt5_xl": ("3.7e9", 3_742_619_648),
        "mt5_xxl": ("13e9", 12_921_057_280),
    },
    "fairseq, examples/bart/README.md": {
        "bart_base": ("14e7", 139_420_416),
        "bart_large": ("4e8", 406_291_456),
    },
    "Dao and Gu 2024, names of the released models, state-spaces/mamba2-*": {
        "mamba2_130m": ("13e7", 128_989_632),
        "mamba2_370m": ("37e7", 368_346_624),
        "mamba2_780m": ("78e7", 780_161_280),
        "mamba2_1.3b": ("1.3e9", 1_343_757_312),
        "mamba2_2.7b": ("2.7e9", 2_702_599_680),
    },
    "Peng et al. 2023, table 2": {
        "rwkv4_169m": ("1.693e8", 169_342_464),
        "rwkv4_430m": ("4.304e8", 430_397_440),
        "rwkv4_1.5b": ("1.515e9", 1_515_106_304),
        "rwkv4_3b": ("2.985e9", 2_984_627_200),
        "rwkv4_7b": ("7.393e9", 7_392_649_216),
        "rwkv4_14b": ("1.415e10", 14_148_597_760),
    },
}
