"""What the tests of mamba2, rwkv and gla share."""

from itertools import pairwise

import torch

from harness.config import plugin_config
from harness.interfaces.visibility import Causal, SameDocument
from harness.models.counting import inference_memory

VOCABULARY = 50


def config(name, **values):
    parts = {"mamba2": {"norm": "rmsnorm"}, "rwkv": {"norm": "layernorm"}}
    parts["gla"] = {"norm": "rmsnorm", "feedforward": "gated"}
    tiny = {"name": name, "width": 16, "layers": 2, "head": "language_model", **parts[name]}
    return plugin_config("architecture", {**tiny, **values}, "architecture")


def random(of, seed=0, std=0.4):
    """A model, or a part of one, in double precision, every parameter random."""
    model, generator = of.double().eval(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * std)
    return model


def tokens(rows, length, seed=0):
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def pieces_equal_the_whole(model, cuts, places):
    """Two packed rows, decoded up to each cut and from there on."""
    inputs = tokens(2, places)
    documents_BT = (torch.rand(2, places, generator=torch.Generator().manual_seed(places)) < 0.1).cumsum(1)
    state, found = model.body.start(2, places), []
    for start, end in pairwise([0, *sorted(cuts), places]):
        seen = Causal() & SameDocument(documents_BT[:, :end])
        found.append(model.logits(inputs[:, start:end], visibility=seen, state=state))
    whole = model.logits(inputs, visibility=Causal() & SameDocument(documents_BT))
    torch.testing.assert_close(torch.cat(found, dim=1), whole, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def state_is_as_large_as_told(architecture):
    """However many places it holds."""
    model = architecture.build(VOCABULARY).eval()
    for places in (1, 9):
        state = model.body.start(1, places)
        model.logits(tokens(1, places), state=state)
        kept = sum(tensor.numel() * tensor.element_size() for tensor in tensors(state.layers))
        memory = inference_memory(architecture, VOCABULARY, "fp32")
        assert (kept, memory.cache_per_token) == (memory.state_per_row, 0)


def tensors(state):
    if isinstance(state, torch.Tensor):
        return [state]
    return [tensor for part in (state.values() if isinstance(state, dict) else state) for tensor in tensors(part)]
