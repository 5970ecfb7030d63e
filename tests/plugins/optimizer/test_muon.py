"""Muon: orthogonalised momentum for matrices, AdamW for the rest, the same on every layout of devices."""

import copy
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from harness.config import ConfigError, from_mapping
from harness.interfaces.optimizer import Trained
from harness.registry import registry
from harness_plugins.optimizer.muon.muon import A, B, C, orthogonal

SHAPES = [(6, 6), (3, 10), (17, 4), (1, 5), (64, 48)]


def config(name: str = "muon", **options: Any) -> Any:
    return from_mapping(registry().get("optimizer", name), {"name": name, **options})


def parameters() -> list[Trained]:
    generator = torch.Generator().manual_seed(0)

    def made(name: str, role: str, *shape: int) -> Trained:
        return Trained(name, nn.Parameter(torch.randn(shape, generator=generator)), role)

    return [
        made("body.tokens.weight", "embedding", 7, 4),
        made("body.wide.weight", "matrix", 4, 12),
        made("body.tall.weight", "matrix", 12, 4),
        made("body.norm.weight", "gain", 4),
        made("body.wide.bias", "bias", 12),
        made("heads.language_model.weight", "matrix", 7, 4),
    ]


def set_gradients(trained: list[Trained], t: int) -> None:
    for k, one in enumerate(trained):
        one.parameter.grad = torch.sin(one.parameter.detach() * (t + k + 1))


# -------------------------------------------------------------------------------- orthogonalisation


def by_singular_values(matrix: torch.Tensor, iterations: int) -> torch.Tensor:
    """U p(p(… p(S / ‖S‖))) Vᵀ in float64: the iteration moves singular values and leaves the vectors."""
    u, s, vt = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / s.norm()
    for _ in range(iterations):
        s = A * s + B * s**3 + C * s**5
    return u @ torch.diag(s) @ vt


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("iterations", [1, 5])
def test_the_iteration_moves_singular_values_and_leaves_the_vectors(shape: tuple[int, int], iterations: int):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        orthogonal(matrix.double(), iterations), by_singular_values(matrix, iterations), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(
        orthogonal(matrix, iterations).double(), by_singular_values(matrix, iterations), rtol=1e-3, atol=1e-4
    )


def test_singular_values_end_in_the_known_band():
    """Jordan et al. 2024: after five iterations, all that were not tiny are between about 0.7 and 1.2."""
    matrix = torch.randn(48, 80, generator=torch.Generator().manual_seed(2))
    for number in (torch.float32, torch.bfloat16):
        values = torch.linalg.svdvals(orthogonal(matrix.to(number), 5).float())
        assert values.min() > 0.65
        assert values.max() < 1.25


def test_a_matrix_of_zeros_has_no_direction():
    assert not orthogonal(torch.zeros(3, 4), 5).any()


# ---------------------------------------------------------------------------------------- the update


@pytest.mark.parametrize("nesterov", [True, False])
def test_matrices_of_the_body_move_as_the_paper_says(nesterov: bool):
    """Jordan et al. 2024 sum gradients, Liu et al. 2025 scale by 0.2 √max(rows, columns)."""
    lr, mu, decay = 0.1, 0.8, 0.3
    trained = parameters()
    optimizer = config(lr=lr, momentum=mu, nesterov=nesterov, weight_decay=decay).build(trained)
    slow = {one.name: [one.parameter.detach().double(), 0.0] for one in trained}
    for t in range(4):
        set_gradients(trained, t)
        for one in trained[1:3]:
            theta, summed = slow[one.name]
            gradient = one.parameter.grad.double()
            summed = mu * summed + gradient
            direction = by_singular_values(gradient + mu * summed if nesterov else summed, 5)
            update = 0.2 * max(theta.shape) ** 0.5 * direction
            slow[one.name] = [theta - lr * (update + decay * theta), summed]
        optimizer.step()
    for one in trained[1:3]:
        torch.testing.assert_close(one.parameter.detach().double(), slow[one.name][0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_everything_else_moves_by_adamw(name: str):
    """Embeddings, gains, biases, and the head's matrix; a matrix of the body does not."""
    ours, theirs = parameters(), parameters()
    options = {"lr": 0.1, "betas": [0.8, 0.9], "weight_decay": 0.3, "eps": 1e-6}
    one, other = config(name, **options).build(ours), config("adamw", **options).build(theirs)
    for t in range(4):
        for trained, optimizer in ((ours, one), (theirs, other)):
            set_gradients(trained, t)
            optimizer.step()
    equal = {a.name for a, b in zip(ours, theirs, strict=True) if torch.equal(a.parameter, b.parameter)}
    matrices = {"body.wide.weight", "body.tall.weight"} if name == "muon" else set()
    assert equal == {one.name for one in ours} - matrices


def test_it_agrees_with_pytorchs_own_muon():
    """In bfloat16, which is all that PyTorch's does, but for the rounding of the first division."""
    ours, theirs = parameters()[1:3], parameters()[1:3]
    one = config(lr=0.02, weight_decay=0.1, arithmetic="bfloat16").build(ours)
    other = torch.optim.Muon(
        [t.parameter for t in theirs], lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    for t in range(3):
        for trained, optimizer in ((ours, one), (theirs, other)):
            set_gradients(trained, t)
            optimizer.step()
    start = parameters()[1:3]
    for a, b, before in zip(ours, theirs, start, strict=True):
        moved = (b.parameter - before.parameter).norm()
        assert (a.parameter - b.parameter).norm() < 0.02 * moved


def test_an_update_is_as_large_as_update_rms_says():
    matrix = Trained("body.weight", nn.Parameter(torch.zeros(40, 160)), "matrix")
    matrix.parameter.grad = torch.randn(40, 160, generator=torch.Generator().manual_seed(4))
    config(lr=0.5, update_rms=0.3).build([matrix]).step()
    found = matrix.parameter.detach().square().mean().sqrt().item()
    assert 0.7 < found / (0.5 * 0.3) < 1.2, "but for the band in which singular values end"


def test_a_parameter_without_a_gradient_is_left():
    trained = parameters()
    optimizer = config(lr=0.1).build(trained)
    set_gradients(trained, 0)
    trained[0].parameter.grad = trained[1].parameter.grad = None
    before = [one.parameter.detach().clone() for one in trained]
    optimizer.step()
    same = [torch.equal(one.parameter, was) for one, was in zip(trained, before, strict=True)]
    assert same == [True, True, False, False, False, False]


def test_it_goes_on_exactly_from_what_a_checkpoint_holds():
    """Tensors, and numbers that JSON keeps."""
    one, other = parameters(), parameters()
    first, second = config(lr=0.1).build(one), config(lr=0.1).build(other)
    for t in range(6):
        set_gradients(one, t)
        first.step()
        if t == 2:
            kept = copy.deepcopy(first.state_dict())
            groups = json.loads(json.dumps(kept["param_groups"]))
            second.load_state_dict({"state": kept["state"], "param_groups": groups})
            for a, b in zip(one, other, strict=True):
                b.parameter.data.copy_(a.parameter)
        if t > 2:
            set_gradients(other, t)
            second.step()
    assert all(torch.equal(a.parameter, b.parameter) for a, b in zip(one, other, strict=True))


def test_what_it_keeps_is_what_it_says():
    trained = parameters()
    optimizer = config(lr=0.1).build(trained)
    set_gradients(trained, 0)
    optimizer.step()
    kept = sum(v.numel() for state in optimizer.state.values() for v in state.values() if v.ndim)
    total = sum(one.parameter.numel() for one in trained)
    matrices = sum(one.parameter.numel() for one in trained[1:3])
    assert kept == pytest.approx(config().state_numbers(matrices / total) * total)


@pytest.mark.parametrize("options", [{"momentum": 1.0}, {"iterations": 0}, {"arithmetic": "float16"}, {"betas": [1.0]}])
def test_what_cannot_be_is_refused(options: dict[str, Any]):
    with pytest.raises(ConfigError, match=next(iter(options))):
        config(**options)


# ------------------------------------------------------------------------------------ several devices


class Net(nn.Module):
    """Odd sizes, so that shards are uneven; one matrix has fewer rows than there are ranks."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(5, 6)
        self.up, self.down, self.few = nn.Linear(6, 10), nn.Linear(10, 6), nn.Linear(6, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.few(self.down(torch.tanh(self.up(self.tokens(inputs)))))


def trained_net(layout: str) -> dict[str, torch.Tensor]:
    """The weights after four steps, each rank with all of the batch."""
    torch.manual_seed(0)
    net = Net()
    if layout != "one":
        size = {"fsdp": (2, 1), "tensor": (1, 2), "both": (2, 2)}[layout]
        mesh = init_device_mesh("cpu", size, mesh_dim_names=("data", "tensor"))
        if size[1] > 1:
            parallelize_module(net, mesh["tensor"], {"up": ColwiseParallel(), "down": RowwiseParallel()})
        if size[0] > 1:
            for part in (net.up, net.down):
                fully_shard(part, mesh=mesh["data"])
            fully_shard(net, mesh=mesh["data"])
    roles = {"tokens.weight": "embedding", "up.bias": "bias", "down.bias": "bias", "few.bias": "bias"}
    trained = [Trained(name, p, roles.get(name, "matrix")) for name, p in net.named_parameters()]
    optimizer = config(lr=0.05).build(trained)
    for _ in range(4):
        net(torch.arange(5)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    whole = {n: p.full_tensor() if isinstance(p, DTensor) else p for n, p in net.named_parameters()}
    return {name: tensor.detach() for name, tensor in whole.items()}


def rank_of(rank: int, size: int, layout: str, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)
    torch.save(trained_net(layout), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize(("layout", "ranks"), [("fsdp", 2), ("tensor", 2), ("both", 4)])
def test_sharded_parameters_move_as_whole_ones(layout: str, ranks: int, tmp_path: Path):
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=rank_of, args=(rank, ranks, layout, tmp_path)) for rank in range(ranks)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    expected = trained_net("one")
    for rank in range(ranks):
        found = torch.load(tmp_path / f"{rank}.pt")
        for name, weight in expected.items():
            torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-5)
