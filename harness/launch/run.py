"""One run, from its plan to its scores."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import __version__
from harness.causes import in_words, told_in_words
from harness.config import to_mapping
from harness.errors import UserError
from harness.identity import code
from harness.interfaces.suite import HeldOut, SuiteConfig
from harness.launch.progress import Tokenising
from harness.lease import LeaseLost
from harness.planning.cost import seen
from harness.planning.plan import Plan, data_fingerprint, dataset, own_tokens_of
from harness.planning.reuse import Decision, allowed, start
from harness.rundir import RunDir
from harness.schema import RunConfig
from harness.stored import likelihood_of, own_tokens, stored_config, writes
from harness.training.fingerprint import followed
from harness.training.job import TrainingJob


def carry_out(plan: Plan, *, score: bool = True, quiet: bool = False) -> Decision:
    """Trains what is missing (or goes on where it stopped), then scores it with the config's suite.

    Raises UserError where the run may not be reused, RunFailed where training fails, KeyboardInterrupt where
    it was asked to stop; the last checkpoint is kept in each case.
    """
    with told_in_words():
        decision = allowed(plan)
        if decision.action != "reuse":
            decision = _train(plan, decision.run, quiet)
        if score and plan.config.suite is not None:
            score_one(plan, decision.run, quiet=quiet)
    return decision


def _train(plan: Plan, run: RunDir, quiet: bool) -> Decision:
    from harness.training.device import device_of

    if plan.config.method:
        device_of(plan.config.trainer)  # what the machine has not is said before anything is written
    if plan.config.tracker is not None:
        plan.config.tracker.require()
    data = plan.dataset(None if quiet else Tokenising())
    if data.fingerprint != plan.identity["data"]:
        raise UserError(f"The corpus of run {plan.id} has changed since it was planned. Start again when it rests.")
    if plan.config.method:
        data.stream(0)  # data that fill no place are told before anything is written, too
    with run.lease() as run:
        decision = start(plan, run)  # decided again: another process may have carried it out meanwhile
        if decision.action != "reuse":
            begin(plan, run, resumes=decision.action == "resume")
            job = TrainingJob(
                config=plan.config.with_seeds(),
                steps=plan.steps,
                dataset=data,
                vocabulary=plan.vocabulary,
                forward_flops=plan.account.forward_flops,
                training_flops=plan.training_flops,
                parents=plan.parents,
            )
            _on_devices(job, run, quiet)
            _tell_an_early_end(plan, run)
    return decision


def _tell_an_early_end(plan: Plan, run: RunDir) -> None:
    """The budget of a run that lost patience is what it came to: tables and laws must not see tokens that its model
    has not."""
    ended = run.manifest()["result"]
    if ended["steps"] < plan.steps:
        run.update_manifest(budget=_budget(replace(plan, steps=ended["steps"], tokens=ended["tokens"])))


def _on_devices(job: TrainingJob, run: RunDir, quiet: bool) -> None:
    """In this process, or in one for each device."""
    from harness.training.train import train

    devices = job.config.trainer.devices
    if devices == 1 or job.config.method is None:
        train(job, run, progress=not quiet)
        return
    from harness.launch.ranks import together

    try:
        together(devices, lambda rank: train(job, run, progress=not quiet))
    except BaseException as error:
        if run.state() in ("new", "running"):  # rank 0 did not come to say so
            state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            with contextlib.suppress(OSError, LeaseLost):  # what came first is what is told
                run.update_manifest(state=state, reason=str(in_words(error) or error) or type(error).__name__)
        raise


def begin(plan: Plan, run: RunDir, resumes: bool = False) -> None:
    """Makes the run directory: config and manifest; training adds the tokenizer."""
    config = plan.config
    before, made_by = run.manifest() if resumes else {}, code(config)
    was = before.get("code", {})
    digests = followed(was.get("digests", {}), made_by["digests"])
    digest = followed({"digest": was["digest"]} if was else {}, {"digest": made_by["digest"]})
    run.path.mkdir(parents=True, exist_ok=True)
    run.write_json("config.json", to_mapping(config))
    run.update_manifest(
        id=plan.id,
        created=run.manifest().get("created")
        if run.state() != "new"
        else datetime.now(UTC).isoformat(timespec="seconds"),
        state="new",
        harness=__version__,
        identity=plan.identity,
        code={**made_by, **digest, "digests": digests},
        fingerprint=before.get("fingerprint", {}),  # training adds that of the device that it finds itself on
        model={
            "parameters": plan.account.total,
            "non_embedding": plan.account.non_embedding,
            "active": plan.account.active,
            "trained": plan.trained,
            "flops_per_token": plan.training_flops,
            "vocabulary": plan.vocabulary,
            **_gives(plan),
            "loss_in": plan.config.method.unit if plan.config.method else None,
        },
        budget=_budget(plan),
    )


def _gives(plan: Plan) -> dict[str, Any]:
    """What its model gives: what its method says; what that of the run gives which it quantizes."""
    method = plan.config.method
    if method:
        tokens = own_tokens_of(plan.config, plan.inherited)
        return {"likelihood": method.likelihood, "writes": method.writes(), "extra_tokens": tokens}
    quantized = RunDir(plan.parents["init"].path)
    tokens = own_tokens(quantized)
    return {"likelihood": likelihood_of(quantized), "writes": writes(quantized), "extra_tokens": tokens}


def _budget(plan: Plan) -> dict[str, Any]:
    return {
        "steps": plan.steps,
        "tokens": plan.tokens,
        **seen(plan),
        "flops": plan.flops,
        "flops_6nd": plan.flops_6nd,
        "own_steps": plan.own_steps,
        "own_tokens": plan.own_tokens,
        "own_flops": plan.own_flops,
    }


def score_one(plan: Plan, run: RunDir, quiet: bool = False) -> None:
    """Scores one run's last checkpoint; what is scored already is left."""
    from harness.scoring.score import score_runs

    suite = plan.config.suite
    score_runs([run], suite, plan.dataset().held_out if suite.needs_held_out() else [], quiet=quiet)


def held_out_of(run: RunDir, suite: SuiteConfig) -> Sequence[HeldOut]:
    """The documents that a run's training held out, where a suite asks for them. Raises UserError where the corpus
    has changed since: what is held out now may have been trained on. An imported run was trained on none of it here."""
    if not suite.needs_held_out():
        return []
    config, inherited = as_carried_out(run)
    held_out_by = run.manifest()["identity"].get("data")
    if held_out_by and data_fingerprint(config, inherited) != held_out_by:
        raise UserError(
            f"The corpus of run {run.id} is not what it was when the run was trained, so what is held out now may have "
            f"been trained on. Score it with a suite of its own documents, or bring the corpus back."
        )
    return dataset(config, inherited=inherited).held_out


def as_carried_out(run: RunDir) -> tuple[RunConfig, Path | None]:
    """A run's config with the tokenizer that it keeps, and the folder of that where it was a parent's."""
    config, kept = stored_config(run), run.path / "tokenizer"
    inherited = kept if "tokenizer" in run.manifest()["identity"] else None
    return replace(config, tokenizer=config.tokenizer.of_run(kept)), inherited
