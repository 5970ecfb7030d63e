"""What a run needs of the machine, and that it is refused where there is too little."""

import os

import pytest

from harness.errors import UserError
from harness.launch.machine import Machine, Needs
from harness.schema import DataConfig, RunConfig, TrainerConfig


def config(workers=0, **trainer):
    return RunConfig(data=DataConfig(workers=workers), trainer=TrainerConfig(**trainer))


def test_this_machine_has_the_cores_that_the_process_may_use():
    assert Machine.here().cores == tuple(sorted(os.sched_getaffinity(0)))


@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
def test_without_gpus_a_run_needs_the_cores_of_its_threads_and_loaders(accelerator):
    machine = Machine(cores=(0, 1))
    assert machine.needs(config(accelerator=accelerator)) == Needs(cores=1)
    assert machine.needs(config(accelerator=accelerator, threads=3, devices=2, workers=1)) == Needs(cores=8)


def test_a_run_needs_a_gpu_for_each_of_its_processes():
    machine = Machine(cores=(0,), gpus=("0", "1"))
    assert machine.needs(config(devices=2, threads=4)) == Needs(cores=0, gpus=2)
    assert machine.needs(config(accelerator="cpu")) == Needs(cores=1)


@pytest.mark.parametrize(
    ("gpus", "trainer", "advice"),
    [
        (("0", "1"), {"devices": 4}, "trainer.devices=4 GPUs, and this machine has 2: say trainer.devices=2."),
        ((), {"accelerator": "gpu"}, "has 0: say trainer.devices=1 and trainer.accelerator=cpu."),
    ],
)
def test_more_gpus_than_there_are_is_refused(gpus, trainer, advice):
    with pytest.raises(UserError, match=advice):
        Machine(cores=(0,), gpus=gpus).needs(config(**trainer))
