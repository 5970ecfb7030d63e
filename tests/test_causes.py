"""What the machine does to a command is told in one paragraph, whichever library says it and however."""

import errno

import pytest

from harness.causes import in_words, told_in_words
from harness.errors import RunFailed, UserError

TOLD = {
    "our own": (OSError(errno.ENOSPC, "No space left on device", "runs/aa/x"), RunFailed, "runs/aa/x: No space left"),
    "quota": (OSError(errno.EDQUOT, "Disk quota exceeded"), RunFailed, "Disk quota exceeded.*harness gc"),
    "safetensors": (ValueError("I/O error: No space left on device (os error 28)"), RunFailed, "No space left on device"),
    "read-only": (OSError(errno.EROFS, "Read-only file system", "/x"), UserError, "/x: Read-only file system.*runs="),
    "broken disk": (OSError(errno.EIO, "Input/output error", "/x"), RunFailed, "The storage failed"),
    "another": (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), UserError, "/x: No such file"),
    "CPU memory": (
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes."),
        RunFailed, "The machine is out of memory.*trainer.micro_batch.*method.logits_chunk",
    ),
    "GPU memory": (
        RuntimeError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has"),
        RunFailed, "The GPU is out of memory when it asked for 2.50 GiB more",
    ),
    "Python's memory": (MemoryError(), RunFailed, "The machine is out of memory"),
    "worker killed": (
        RuntimeError("DataLoader worker (pid 123) is killed by signal: Killed. "), RunFailed, "process 123.*Killed",
    ),
    "worker gone": (
        RuntimeError("DataLoader worker (pid(s) 123, 124) exited unexpectedly"), RunFailed, "process 123.*without a word",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD)
def test_a_known_cause_is_told_in_a_paragraph(case):
    error, kind, words = TOLD[case]
    told = in_words(error)
    assert type(told) is kind
    with pytest.raises(kind, match=words), told_in_words():
        raise error


def test_torchs_own_class_is_known():
    import torch

    assert "The GPU is out of memory" in str(in_words(torch.OutOfMemoryError("anything")))


def test_what_a_data_worker_raised_is_told_without_its_traceback():
    from torch._utils import ExceptionWrapper

    try:
        raise RunFailed("The shard x was cut short.")
    except RunFailed:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(RunFailed, match=r"^The shard x was cut short\.$"), told_in_words():
        wrapped.reraise()


def test_a_cause_behind_another_error_is_found():
    outer = ValueError("could not save")
    outer.__cause__ = OSError(errno.ENOSPC, "No space left on device", "x")
    assert "x: No space left on device" in str(in_words(outer))


def test_a_fault_of_the_program_stays_what_it_is():
    assert in_words(KeyError("x")) is None
    with pytest.raises(ZeroDivisionError), told_in_words():
        _ = 1 / 0
    told = RunFailed("told already")
    assert in_words(told) is told
