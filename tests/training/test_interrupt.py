"""A run of several processes stops as one, whichever of them is asked to."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from small_runs import config, job, run_dir

from harness.launch.ranks import together
from harness.training import held_out
from harness.training.interrupt import Interrupted
from harness.training.loop import Loop
from harness.training.train import train

pytestmark = pytest.mark.slow

STEPS, ASKED_AT = 12, 5


def asked_at_a_step(patch: pytest.MonkeyPatch) -> None:
    plain = Loop._update

    def update(loop: Loop, step: int) -> None:
        if step == ASKED_AT:
            os.kill(os.getpid(), signal.SIGTERM)
        plain(loop, step)

    patch.setattr(Loop, "_update", update)


def asked_when_it_is_judged(patch: pytest.MonkeyPatch) -> None:
    plain = held_out._batches

    def batches(*of: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        yield from plain(*of)

    patch.setattr(held_out, "_batches", batches)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize(("asked", "stands_at"), [(asked_at_a_step, ASKED_AT + 2), (asked_when_it_is_judged, STEPS)])
def test_one_rank_that_is_asked_to_stop_stops_all(
    text: Path, tmp_path: Path, strategy: str, asked: Any, stands_at: int
):
    import harness.training.fit  # noqa: F401 - before the ranks are forked

    of = job(config(text, trainer={"devices": 2, "strategy": strategy}), STEPS)
    run = run_dir(tmp_path / "run", of.config)

    def work(rank: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if rank == 1:
                asked(patch)
            train(of, held, progress=False)

    with run.lease() as held:
        with pytest.raises(Interrupted):
            together(2, work)
        assert run.state() == "interrupted"
        assert run.last_whole_checkpoint()[0] == stands_at
        together(2, lambda rank: train(of, held, progress=False))
    assert run.state() == "finished"
    assert run.manifest()["result"]["steps"] == STEPS
