"""The slow, obvious sums: how many parameters a family's model has by the shapes that its paper prints. Each is written
from the paper, tensor by tensor, and knows nothing of our Configs."""


def gpt_layers(width: int, layers: int, mixed: int) -> int:
    """Matrices, biases and two norms. mixed: channels of all heads together."""
    attention = 3 * (width + 1) * mixed + (mixed + 1) * width
    feedforward = (width + 1) * 4 * width + (4 * width + 1) * width
    return layers * (attention + feedforward + 4 * width)


def gpt1() -> int:
    """Radford et al. 2018, section 4.1: 512 places; the released model has 40,478 tokens."""
    return gpt_layers(768, 12, 768) + (40478 + 512) * 768


def gpt3(width: int, layers: int, mixed: int) -> int:
    """Brown et al. 2020, table 2.1: tables of 50,257 tokens and 2,048 places; a last norm."""
    return gpt_layers(width, layers, mixed) + (50257 + 2048) * width + 2 * width


def llama(width: int, layers: int, hidden: int, values: int, vocabulary: int) -> int:
    """Touvron et al. 2023, section 2.2, and table 2, with the feedforwards of the released code; two tables.

    values: channels of all heads of keys, or of values, together.
    """
    attention = 2 * width * width + 2 * width * values
    return layers * (attention + 3 * width * hidden + 2 * width) + 2 * vocabulary * width + width


def palm(width: int, layers: int, heads: int) -> int:
    """Chowdhery et al. 2022, section 2 and table 1: heads of 256 channels, of keys and values but one, a feedforward of
    three matrices that is 4 times as wide, one norm, no biases; one table of 256,000 tokens."""
    attention = 2 * width * heads * 256 + 2 * width * 256
    return layers * (attention + 3 * width * 4 * width + width) + 256_000 * width + width


def mpt(width: int, layers: int) -> int:
    """config.json of mosaicml/mpt-30b: no biases at all; one table of 50,432 tokens."""
    return layers * (4 * width * width + 8 * width * width + 2 * width) + 50432 * width + width


def starcoder2(width: int, layers: int, heads: int, groups: int, tables: int) -> int:
    """Lozhkov et al. 2024, table 7: heads of 128 channels, a bias for each output, norms with biases."""
    attention = (width + 1) * (heads + 2 * groups) * 128 + (heads * 128 + 1) * width
    feedforward = (width + 1) * 4 * width + (4 * width + 1) * width
    return layers * (attention + feedforward + 4 * width) + tables * 49152 * width + 2 * width


def latent(width: int, heads: int, query_latent: int | None) -> int:
    """DeepSeek-AI 2024, "DeepSeek-V2", section 3.1.2: heads of 128 + 64 channels, and values of 128, of a latent of
    512."""
    queries = width * heads * 192
    if query_latent:
        queries = width * query_latent + query_latent + query_latent * heads * 192
    return queries + width * (512 + 64) + 512 + 512 * heads * (128 + 128) + heads * 128 * width


def experts(width: int, hidden: int, routed: int, shared: int, counted: int) -> int:
    """A router over so many routed experts, of which so many are counted, and those that all tokens share."""
    return routed * width + (counted + shared) * 3 * width * hidden


def deepseek(
    *, width: int, layers: int, heads: int, query_latent: int | None, dense: int, first: int, routed: int,
    hidden: int, shared: int, vocabulary: int, chosen: int | None = None,
) -> int:  # fmt: skip
    """Layers with a feedforward of `dense` channels first, and then those with experts of `hidden`, of which so many
    are chosen; None: all are counted."""
    each = layers * (latent(width, heads, query_latent) + 2 * width)
    mixture = experts(width, hidden, routed, shared, routed if chosen is None else chosen)
    return each + first * 3 * width * dense + (layers - first) * mixture + 2 * vocabulary * width + width


def deepseek_v3_ahead() -> int:
    """DeepSeek-AI 2024, "DeepSeek-V3", section 2.2: the module that tells a second token ahead, which stands in the
    released files behind the model: one layer more, three norms, a projection of two vectors to one, and copies of both
    tables."""
    width = 7168
    layer = latent(width, 128, 1536) + 2 * width + experts(width, 2048, 256, 1, 256)
    return layer + 3 * width + 2 * width * width + 2 * 129_280 * width


def masked_head(width: int, vocabulary: int) -> int:
    """BERT's (Devlin et al. 2019): a matrix with its bias, a norm, and a bias for each token."""
    return width * width + width + 2 * width + vocabulary


def t5(width: int, heads: int, channels: int, hidden: int, layers: int, matrices: int, tables: int) -> int:
    """Raffel et al. 2020, section 2.1. matrices: of a feedforward; tables: numbers in those of tokens."""
    attention, feedforward, norms = 4 * width * heads * channels, matrices * width * hidden, 5 * width
    return tables + layers * (3 * attention + 2 * feedforward + norms) + 2 * (width + 32 * heads)


def bart(width: int, layers: int) -> int:
    """Lewis et al. 2020, section 2.1: one table of 50,265 tokens, two of 1,024 places and the two that fairseq leaves
    free before them, each with a norm behind it."""
    attention = 4 * (width * width + width)
    feedforward = (width + 1) * 4 * width + (4 * width + 1) * width
    encoder, decoder = attention + feedforward + 2 * 2 * width, 2 * attention + feedforward + 3 * 2 * width
    return 50265 * width + 2 * (1026 * width + 2 * width) + layers * (encoder + decoder)


def mamba2(width: int, layers: int) -> int:
    """Dao and Gu 2024, section 7.1 and the released code: twice the width in heads of 64 channels, one group of states
    of 128, convolutions of 4 places; one table of 50,277 tokens, padded to 50,288."""
    inner, states, heads = 2 * width, 2 * 128, 2 * width // 64
    into = width * (2 * inner + states + heads)
    convolution = (inner + states) * 4 + inner + states
    layer = width + into + convolution + 3 * heads + inner + inner * width
    return 50288 * width + layers * layer + width


def rwkv4(width: int, layers: int) -> int:
    """Peng et al. 2023, section 3.5 and appendix: 2VD + 13D²L + D(11L + 4)."""
    return 2 * 50277 * width + 13 * width * width * layers + width * (11 * layers + 4)
