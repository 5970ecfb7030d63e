"""The numerics fingerprint: what changes a run's bits changes it, and what does not, does not."""

from __future__ import annotations

import dataclasses
import json
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from harness.config import plugin_config
from harness.schema import TrainerConfig
from harness.training.fingerprint import fingerprint, followed
from tests.data.corpora import run_config


def of(batch_size: int = 8, logits_chunk: int | None = None, **trainer: Any) -> dict[str, Any]:
    config = run_config({"name": "text", "path": "texts"}, batch_size=batch_size)
    method = plugin_config("objective", {"name": "clm", "logits_chunk": logits_chunk}, "method")
    carried_out = TrainerConfig(accelerator="cpu", **trainer)
    return fingerprint(dataclasses.replace(config, method=method, trainer=carried_out))


@pytest.mark.parametrize(
    "change",
    [
        {"threads": 2},
        {"devices": 2},
        {"micro_batch": 4},
        {"precision": "bf16"},
        {"compile": True},
        {"activation_checkpointing": "blocks"},
        {"logits_chunk": 64},
        {"deterministic": False},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_can_change_the_bits_is_in_it(change: dict[str, Any]) -> None:
    assert of(**change) != of()


def test_how_several_processes_share_the_run_is_in_it() -> None:
    layouts = [of(devices=4, **layout) for layout in ({}, {"strategy": "fsdp"}, {"tensor_parallel": 2})]
    assert len({json.dumps(layout) for layout in layouts}) == 3
    assert [layout["world_size"] for layout in layouts] == [4, 4, 4]


@pytest.mark.parametrize("change", [{"micro_batch": 8}, {"micro_batch": 100}, {"strategy": "fsdp"}, {"log_every": 1}])
def test_what_comes_to_the_same_is_the_same(change: dict[str, Any]) -> None:
    """All rows in one micro-batch, however it is said; how processes share, where there is one."""
    assert of(**change) == of()


def test_a_process_sees_its_share_of_the_rows() -> None:
    assert of(batch_size=16, devices=4)["micro_batch"] == 4
    assert of(batch_size=16, devices=4, tensor_parallel=2)["micro_batch"] == 8  # two share each row's matrices
    assert of(batch_size=16, devices=4, micro_batch=2)["micro_batch"] == 2


def test_it_names_the_instruction_set_the_libraries_and_the_packages() -> None:
    import numpy
    import torch

    found = of()
    assert torch.backends.cpu.get_cpu_capability() in found["device"]
    assert (found["torch"], found["numpy"]) == (torch.__version__, numpy.__version__)
    assert {"processor", "libraries", "lightning", "tokenizers", "python"} <= found.keys()
    assert "oneDNN" in found["libraries"] or not torch.backends.mkldnn.is_available()
    assert all(isinstance(value, (str, int, bool)) for value in found.values())


def test_a_variable_that_chooses_other_kernels_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert of()["kernels"] == "ONEDNN_MAX_CPU_ISA=AVX2"


def test_a_run_that_goes_on_under_another_fingerprint_says_so() -> None:
    one, four = {"threads": 1, "torch": "2.13.0"}, {"threads": 4, "torch": "2.13.0"}
    assert followed({}, one) == followed(one, one) == one
    mixed = followed(one, four)
    assert mixed == {"threads": "1, then 4", "torch": "2.13.0"} == followed(mixed, four)
    assert followed(mixed, one)["threads"] == "1, then 4, then 1"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"precision": "bf16", "deterministic": False}, True),
        ({"precision": "fp32", "deterministic": False}, False),
        ({"precision": "bf16", "deterministic": True}, False),
    ],
)
def test_a_library_whose_kernels_compute_on_a_gpu_is_in_it(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], named: bool
) -> None:
    def version(name: str) -> str:
        if name == "triton":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("harness.training.fingerprint._gpu", dict)
    monkeypatch.setattr("harness.training.fingerprint.version", version)
    config = run_config({"name": "text", "path": "texts"})
    mamba2 = {"name": "mamba2", "norm": "rmsnorm", "head": "language_model"}
    architecture = plugin_config("architecture", mamba2, "architecture")
    method = plugin_config("objective", {"name": "clm"}, "method")
    trainer = TrainerConfig(**change)
    found = fingerprint(dataclasses.replace(config, method=method, architecture=architecture, trainer=trainer))
    assert ("fla-core" in found) == named
    assert "triton" not in found  # not installed
