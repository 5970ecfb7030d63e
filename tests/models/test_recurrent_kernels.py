"""The kernels that stand in for the plain recurrence: when they do, and, where the extra `kernels` is installed, that
they compute the same. Without a GPU Triton's interpreter runs them: ``TRITON_INTERPRET=1 pytest <this file>``."""

import builtins
import itertools
import os

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from harness.interfaces.visibility import Causal, SameDocument
from harness.models.recurrent import kernels
from tests.models.test_recurrent import drawn, one_by_one
from tests.plugins.architecture.recurrent import VOCABULARY, config, tokens

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
runs = pytest.mark.skipif(
    not (kernels.INSTALLED and (INTERPRETED or torch.cuda.is_available())),
    reason="needs the extra `kernels`, and a GPU or TRITON_INTERPRET=1",
)


@pytest.fixture
def library(monkeypatch):
    """A device whose tensors the kernels take."""
    if not INTERPRETED:
        return torch.device("cuda")
    import fla.ops.common.chunk_h as states
    import numpy
    import triton.language as tl
    from triton.runtime.autotuner import Autotuner
    from triton.runtime.interpreter import TensorHandle

    def counted(*bounds):
        """The interpreter's loops count in Python's integers, which have no `.to`."""
        ends = (int(end.handle.data.item()) if isinstance(end, tl.tensor) else end for end in bounds)
        for number in builtins.range(*ends):
            yield tl.tensor(TensorHandle(numpy.array([number], numpy.int32), tl.int32), tl.int32)

    monkeypatch.setattr(states, "range", counted, raising=False)
    monkeypatch.setattr(Autotuner, "_bench", lambda *_, **__: 0.0)  # there is nothing to time
    return torch.device("cpu")


def relative(found, expected):
    return ((found.cpu() - expected).norm() / expected.norm()).item()


def results(compute, tensors):
    """The places, the last state, and the gradients of all that goes in."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    mixed, last = compute(*leaves)
    (mixed.sin().sum() + last.sin().sum()).backward()
    return [mixed.detach(), last.detach(), *(leaf.grad for leaf in leaves)]


@runs
@pytest.mark.slow
@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("layout", [(1, 2, False), (2, 2, False), (2, 2, True)], ids=["shared", "scalar", "by channel"])
def test_results_and_gradients_are_those_of_the_loop(library, layout, documents):
    """Over more than one of their chunks of 64. One row goes on from its state, the other begins anew."""
    *tensors, _, state = drawn(70, *layout, seed=0, strength=0.3)
    inside = torch.tensor([[0] * 3 + [1] * 67, [1] * 70]) * documents
    expected = results(lambda *x: one_by_one(*x[:4], inside, x[4]), [*tensors, state])
    given = inside.to(library) if documents else None
    single = [tensor.float().to(library) for tensor in (*tensors, state)]
    found = results(lambda *x: kernels.recurrence(*x[:4], given, x[4]), single)
    allowed = 1e-5 if library.type == "cpu" else 1e-2  # a GPU's products have the digits of TF32
    assert [relative(*pair) for pair in zip(found, expected, strict=True)] == [pytest.approx(0, abs=allowed)] * 7


@runs
@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("name", ["mamba2", "gla"])
def test_a_model_computes_the_same_whole_and_in_pieces(library, monkeypatch, name):
    own = {"mamba2": {"channels": 8, "state": 8, "groups": 2}, "gla": {"attention_heads": 2}}[name]
    torch.manual_seed(0)
    model = config(name, layers=1, **own).build(VOCABULARY).eval().to(library)
    inputs = tokens(2, 12).to(library)
    documents_BT = torch.tensor([[0] * 5 + [1] * 7, [2] * 12], device=library)
    plain = model.logits(inputs, visibility=Causal() & SameDocument(documents_BT)).cpu()
    calls = []
    monkeypatch.setattr(kernels, "may_stand_in", lambda x: calls.append(x) is None)
    state, pieces = model.body.start(2, 12), []
    for start, end in itertools.pairwise([0, 7, 8, 12]):
        seen = Causal() & SameDocument(documents_BT[:, :end])
        pieces.append(model.logits(inputs[:, start:end], visibility=seen, state=state))
    whole = model.logits(inputs, visibility=Causal() & SameDocument(documents_BT))
    assert len(calls) == 4
    allowed = 1e-5 if library.type == "cpu" else 1e-2
    assert relative(whole, plain) < allowed
    assert relative(torch.cat(pieces, dim=1), plain) < allowed


@pytest.mark.parametrize(
    ("device", "dtype", "autocast", "deterministic", "expected"),
    [
        ("cuda", torch.bfloat16, False, False, True),
        ("cuda", torch.float32, True, False, True),
        ("cuda", torch.float32, False, False, False),
        ("cuda", torch.float64, False, False, False),
        ("cuda", torch.bfloat16, False, True, False),
        ("cpu", torch.bfloat16, False, False, False),
    ],
)
def test_they_stand_in_on_a_gpu_where_neither_float32_nor_one_order_of_sums_is_asked_for(
    monkeypatch, device, dtype, autocast, deterministic, expected
):
    monkeypatch.setattr(kernels, "INSTALLED", True)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: autocast)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: deterministic)
    with FakeTensorMode():
        assert kernels.may_stand_in(torch.empty(1, dtype=dtype, device=device)) == expected
    monkeypatch.setattr(kernels, "INSTALLED", False)
    with FakeTensorMode():
        assert not kernels.may_stand_in(torch.empty(1, dtype=dtype, device=device))
