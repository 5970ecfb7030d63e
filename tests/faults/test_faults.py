"""Each fault ends in one paragraph; nothing that was published is lost, nothing half-made stays, and the same command
goes on."""

import re

import pytest
from faults import FAULTS, NEED_ROOT, ROOT, carry_out

pytestmark = pytest.mark.slow

#: The exit code of the command that met the fault, and what it must have said.
EXPECTED = {
    "the disk fills up": (1, "No space left on device.*harness gc.*goes on from the last checkpoint"),
    "files may not grow (ulimit -f)": (1, "File too large.*ulimit -f"),
    "the folder for runs is read-only": (2, "runs.*Read-only file system.*runs=<folder>"),
    "the right to write is taken away": (2, "Permission denied.*runs=<folder>"),
    "a checkpoint is damaged": (0, "step-00000006 is damaged.*from step 4"),
    "a checkpoint is cut short": (0, "step-00000006 is damaged.*from step 4"),
    "a file of a checkpoint is missing": (0, "step-00000006 is damaged.*from step 4"),
    "a shard in the cache is damaged, another cut short": (0, ""),
    "a shard is cut short while a run reads it": (1, "was cut short while it was read.*makes the shards anew"),
    "two processes on one run": (0, r"is carried out by process \d+ on .*waiting for its end"),
    "a holder stands still and is given up": (1, "was taken over from this process.*nothing was published since"),
    "the clock jumps to and fro": (0, ""),
    "/dev/shm is full": (1, "/dev/shm is full.*--shm-size.*data.workers=0"),
    "/dev/shm fills up": (0, ""),
    "memory runs out": (1, "out of memory.*trainer.micro_batch.*trainer.strategy=fsdp"),
    # PyTorch says how it ended where it hears of the signal before it misses the worker's data.
    "a data worker is killed, as for lack of memory": (
        1,
        r"A data worker .* (was killed \(Killed\)|has ended without a word).*data\.workers",
    ),
    "one of several runs side by side is killed": (1, "killed by SIGKILL, as the system does where memory is short"),
}


def test_every_fault_is_expected():
    assert set(EXPECTED) == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_and_nothing_is_lost(name):
    if name in NEED_ROOT and not ROOT:
        pytest.skip("mounts a small disk, which needs root")
    seen = carry_out(name)
    code, said = EXPECTED[name]
    assert seen.code == code, seen.said
    assert re.search(said, seen.said), seen.said
    assert seen.lost.startswith("nothing")
