"""Progress on stderr, and the peak that MFU is a share of."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.text import Text

from harness.training import peak as peaks
from harness.training import progress as progresses
from harness.training.peak import peak
from harness.training.progress import Progress


def row(step: int) -> dict[str, Any]:
    return {"step": step, "loss": 3.14159, "tokens_per_second": 41_300.0, "mfu": 0.153}


def test_without_a_terminal_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    clock = iter([100.0, 101.0, 104.0, 112.0, 113.0])
    monkeypatch.setattr(progresses.time, "monotonic", lambda: next(clock))
    with Progress("abc", 50) as shown:
        for step in (10, 20, 30, 40, 50):
            shown.show(row(step))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [f"abc: step {step} of 50" for step in (10, 40, 50)]
    assert lines[1].endswith("loss 3.142, 41 k tokens/s, MFU 15%, 4 s left")


def test_on_a_terminal_there_is_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("abc", 50) as shown:
        shown.say("a line that stays")
        shown.show(row(20))
    out, err = capsys.readouterr()
    assert out == ""
    assert "a line that stays" in err
    assert "20/50" in err
    assert "loss 3.142, 41 k tokens/s, MFU 15%" in err


TOLD = {"preference_accuracy": 0.62512, "preference_margin": -0.00031, "policy_accuracy": 0.7}


def test_the_first_two_of_what_a_method_tells_stand_beside_the_loss(capsys: pytest.CaptureFixture[str]):
    with Progress("abc", 50) as shown:
        shown.told = tuple(TOLD)
        shown.show({**row(20), **TOLD})
    line = "loss 3.142, preference accuracy 0.625, preference margin -0.00031, 41 k tokens/s, MFU 15%"
    assert capsys.readouterr().err == f"abc: step 20 of 50, {line}\n"


def test_on_a_terminal_of_80_columns_all_of_it_is_seen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    with Progress("0123456789ab", 50_000) as shown:
        shown.told = tuple(TOLD)
        shown.show({**row(20_000), **TOLD})
    *_, first, second = Text.from_ansi(capsys.readouterr().err).plain.rstrip().splitlines()
    first = first.rpartition("0123456789ab")[2]
    assert len("0123456789ab" + first) <= 80
    assert "20000/50000 loss 3.142, 41 k tokens/s, MFU 15% -:--:--" in first
    assert second.split("  ")[-1].strip() == "preference accuracy 0.625, preference margin -0.00031"
    assert len(second) <= 80


def test_a_child_process_shows_nothing(capsys: pytest.CaptureFixture[str]):
    with Progress("abc", 50, shown=False) as shown:
        shown.say("hello")
        shown.show(row(50))
    assert capsys.readouterr() == ("", "")


def test_the_cpus_peak_is_measured_once_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    measured = iter([2e11, 1e11, 3e11])
    monkeypatch.setattr(peaks, "measure", lambda device, dtype: next(measured))
    cpu = torch.device("cpu")
    assert peak(cpu, "fp32", 1) == peak(cpu, "fp32", 1)
    assert peak(cpu, "fp32", 1).flops == 2e11
    assert peak(cpu, "fp32", 1).source == "measured, float32 matrix product on 1 CPU thread"
    assert peak(cpu, "fp32", 2).flops == 1e11, "other threads, another peak"
    assert peak(cpu, "bf16", 2).flops == 3e11, "and another number format"


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("NVIDIA A100-SXM4-80GB", 312e12), ("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12), ("NVIDIA A10G", 70e12), ("NVIDIA L40S", 362e12), ("NVIDIA L4", 121e12),
    ],
)  # fmt: skip
def test_a_known_gpus_peak_is_its_data_sheets(monkeypatch: pytest.MonkeyPatch, name: str, flops: float):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    found = peak(torch.device("cuda:0"), "bf16", 1)
    assert found.flops == flops
    assert "data sheet" in found.source


def test_a_measured_peak_is_not_absurd():
    assert 1e8 < peaks.measure(torch.device("cpu"), torch.float32, size=256, seconds=0.05) < 1e14
