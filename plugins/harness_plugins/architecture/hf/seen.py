"""What model types of `transformers` 5.23 were seen to do, in two layers each, asked by the checks of the
conformance kit (`harness.testing.architecture`)."""


def _names(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


#: By form, those that keep to a mask of documents that they are given, to their own windows within it, and to padding.
DOCUMENTS: dict[str, frozenset[str]] = {
    "causal": _names(
        """
        afmoe apertus arcee aria_text beam bert biogpt bitnet camembert cohere cohere2 cohere2_moe ctrl cwm
        data2vec-text doge electra ernie ernie4_5 ernie4_5_moe exaone4 exaone_moe falcon flex_olmo flint
        gemma gemma2 gemma3_text glm glm4 glm4_moe gpt-sw3 gpt2 gpt_bigcode gpt_neox gpt_neox_japanese
        gpt_oss gptj granite granite_swa granitemoe granitemoe_swa granitemoeshared helium hrm_text
        hunyuan_v1_dense hunyuan_v1_moe hy_v3 hy_v4 hyperclovax internlm3 iquestcoder jais2 jetmoe kolibri1
        laguna llama megatron-bert mellum mimo_v2_flash minimax_m2 minimax_m3_vl_text ministral ministral3
        mistral mixtral mpt nanochat nemotron olmo olmo2 olmo3 olmoe opt persimmon phi phi3 phimoe qwen2
        qwen2_moe qwen3 qwen3_moe rembert roberta roberta-prelayernorm seed_oss smollm3 solar_open stablelm
        starcoder2 vaultgemma xglm xlm-roberta xlm-roberta-xl
        """
    ),
    "masked": _names(
        """
        albert bert camembert data2vec-text distilbert electra ernie eurobert gte jina_embeddings_v3
        megatron-bert nomic_bert rembert roberta roberta-prelayernorm squeezebert xlm-roberta xlm-roberta-xl
        """
    ),
    "sequence_to_sequence": _names(
        """
        mt5 t5 umt5
        """
    ),
}

#: Those that count places behind padding on the left as if it were not there, and know no documents.
PADDING: dict[str, frozenset[str]] = {
    "causal": _names(
        """
        bloom lfm3 mamba2 minimax modernbert-decoder olmo_hybrid qwen3_5_moe_text qwen3_5_text qwen3_next
        """
    ),
    "masked": _names(
        """
        deberta deberta-v2 modernbert ultrabert
        """
    ),
    "sequence_to_sequence": frozenset(),
}
#: Those that see what comes behind a place, or go on from a state wrongly, when they are asked as others are.
UNFIT = frozenset({"bert-generation", "cpmant", "led", "m2m_100", "moshi", "xlnet"})
