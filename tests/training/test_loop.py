"""The loop: sums over counts, accumulation, noise."""

import copy
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from small_runs import config, job

from harness.config import ConfigError
from harness.interfaces.batch import Batch
from harness.training.fit import build_loop
from harness.training.loop import Loop, Step
from harness.training.noise import seed_noise


class OneStep:
    """What the loop asks of Lightning for one step."""

    global_step = 3
    strategy = SimpleNamespace(last_backward=lambda last: nullcontext())


def step_of(loop: Loop, batches: list[Batch], monkeypatch: pytest.MonkeyPatch) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss and the gradients of one step."""
    monkeypatch.setattr(Loop, "trainer", OneStep())
    monkeypatch.setattr(Loop, "device", torch.device("cpu"))
    monkeypatch.setattr(Loop, "manual_backward", lambda self, loss: loss.backward())
    monkeypatch.setattr(Loop, "_update", lambda self, step: None)
    loop.configure_optimizers()
    loop.training_step(Step(batches), 0)
    gradients = {name: parameter.grad.clone() for name, parameter in loop.model.named_parameters()}
    return float(loop.losses.pop()), gradients


def batch_of(loop: Loop) -> Batch:
    """One batch of 4 rows whose targets count 0, 1 or ½, differently in each row."""
    (batch,) = next(iter(loop.batches(0)))
    generator = torch.Generator().manual_seed(1)
    batch.weights_BT = torch.randint(0, 3, batch.weights_BT.shape, generator=generator) / 2.0
    batch.weights_BT[0, :-1] = 0
    return batch


def rows(batch: Batch, start: int, stop: int) -> Batch:
    part = slice(start, stop)
    return Batch(batch.inputs_BT[part], batch.targets_BT[part], batch.weights_BT[part], batch.places_B[part])


@pytest.mark.parametrize("cuts", [[0, 1, 2, 3, 4], [0, 2, 4], [0, 1, 4]])
def test_accumulated_micro_batches_equal_the_whole_batch(text: Path, cuts: list[int], monkeypatch: pytest.MonkeyPatch):
    loop = build_loop(job(config(text, trainer={"gradient_clip": None}), steps=10))
    batch = batch_of(loop)
    parts = [rows(batch, start, stop) for start, stop in pairwise(cuts)]
    whole, of_whole = step_of(loop, [batch], monkeypatch)
    loop.model.zero_grad()
    accumulated, of_parts = step_of(loop, parts, monkeypatch)
    assert accumulated == pytest.approx(whole, abs=1e-6)
    for name, gradient in of_whole.items():
        torch.testing.assert_close(of_parts[name], gradient, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 0.001])
def test_the_loss_is_the_weighted_mean_of_minus_log_p(text: Path, scale: float, monkeypatch: pytest.MonkeyPatch):
    loop = build_loop(job(config(text), steps=10))
    batch = batch_of(loop)
    batch.weights_BT *= scale
    total = 0.0
    with torch.no_grad():
        for inputs_T, targets_T, weights_T in zip(batch.inputs_BT, batch.targets_BT, batch.weights_BT, strict=True):
            for t in range(len(inputs_T)):  # each place from its own prefix, one by one
                p_V = F.softmax(loop.model.logits(inputs_T[None, : t + 1])[0, -1].double(), dim=0)
                total -= float(weights_T[t]) * float(p_V[targets_T[t]].log())
    loss, _ = step_of(loop, [batch], monkeypatch)
    assert loss == pytest.approx(total / float(batch.weights_BT.sum()), rel=1e-5)


def test_a_batch_without_any_weight_costs_nothing(text: Path, monkeypatch: pytest.MonkeyPatch):
    loop = build_loop(job(config(text), steps=10))
    batch = batch_of(loop)
    batch.weights_BT.zero_()
    loss, gradients = step_of(loop, [batch], monkeypatch)
    assert loss == 0.0
    assert not any(gradient.any() for gradient in gradients.values())


def test_counts_and_places_are_read_on_the_cpu(text: Path):
    """On the meta device nothing can be read."""
    loop = build_loop(job(config(text), steps=10))
    step = loop.transfer_batch_to_device(Step(next(iter(loop.batches(2)))), torch.device("meta"), 0)
    assert [batch.inputs_BT.device.type for batch in step.micro_batches] == ["meta"]
    assert loop._counts(step.host) == {"clm": 4 * 16}
    assert int(step.host[0].places_B[0]) == 8


@pytest.mark.parametrize(("cut", "mean"), [(2, 3.0), (1, 3.5)])
def test_a_term_without_a_count_is_averaged_over_the_rows(
    text: Path, cut: int, mean: float, monkeypatch: pytest.MonkeyPatch
):
    loop = build_loop(job(config(text), steps=10))
    batch = batch_of(loop)
    plain = loop.method.losses

    def with_auxiliary(model, micro_batch):
        return {**plain(model, micro_batch), "auxiliary": torch.tensor(2.0 if micro_batch.places_B[0] == 0 else 4.0)}

    without, _ = step_of(loop, [rows(batch, 0, cut), rows(batch, cut, 4)], monkeypatch)
    monkeypatch.setattr(loop.method, "losses", with_auxiliary)
    with_, _ = step_of(loop, [rows(batch, 0, cut), rows(batch, cut, 4)], monkeypatch)
    assert with_ - without == pytest.approx(mean, rel=1e-5)


def test_the_gradient_is_clipped_to_its_global_norm(text: Path, monkeypatch: pytest.MonkeyPatch):
    clipped, free = (build_loop(job(config(text, trainer={"gradient_clip": clip}), steps=10)) for clip in (0.01, None))
    _, small = step_of(clipped, next(iter(clipped.batches(0))), monkeypatch)
    _, large = step_of(free, next(iter(free.batches(0))), monkeypatch)
    norm = torch.cat([gradient.flatten() for gradient in large.values()]).norm()
    assert float(norm) > 0.01
    assert float(free.norms[-1]) == pytest.approx(float(norm), rel=1e-5)
    assert float(clipped.norms[-1]) == pytest.approx(float(norm), rel=1e-5), "the norm is that before clipping"
    for name, gradient in large.items():
        torch.testing.assert_close(small[name], gradient * 0.01 / norm, rtol=1e-4, atol=1e-9)


def test_noise_is_a_function_of_seed_step_and_place():
    def draw(*key: int) -> list[float]:
        seed_noise(*key, torch.device("cpu"))
        return torch.rand(4).tolist()

    assert draw(1, 2, 3) == draw(1, 2, 3)
    assert len({tuple(draw(*key)) for key in [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (12, 3, 0), (1, 23, 0)]}) == 6


def test_the_schedule_sets_each_groups_rate_from_its_own_peak(text: Path):
    loop = build_loop(job(config(text), steps=10))
    loop.configure_optimizers()
    loop.optimizer.param_groups[1]["peak_lr"] = 5.0
    loop.optimizers = lambda: copy.copy(loop.optimizer)  # type: ignore[method-assign]
    loop._update(4)
    factor = loop.schedule.factor(4, 10)
    assert [group["lr"] for group in loop.optimizer.param_groups] == [0.01 * factor, 5.0 * factor]


def test_an_optimizer_whose_groups_name_no_peak_rate_is_told(text: Path, monkeypatch: pytest.MonkeyPatch):
    loop = build_loop(job(config(text), steps=10))
    plain = torch.optim.SGD([next(loop.model.parameters())], lr=0.1)
    monkeypatch.setattr(type(loop._optimizer_config), "build", lambda self, parameters: plain)
    with pytest.raises(ConfigError, match=r"optimizer=adamw makes groups.*without peak_lr"):
        loop.configure_optimizers()
