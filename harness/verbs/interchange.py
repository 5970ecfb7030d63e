"""harness import, export: models from and to the folders of `transformers`."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.cli import Verb
from harness.errors import UserError, suggest
from harness.verbs.arguments import asks_help, flags, one_word, only, settings

#: What may be said of an imported run; the folder says the rest.
IMPORTED = ("corpus", "data", "tokenizer", "objective", "method", "runs")


def import_(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(
            f"{verb.summary}\n\nusage: {verb.usage}\n\n"
            "The folder's config.json, safetensors and tokenizer.json become a finished run at step 0, which can be\n"
            "scored, continued and exported. Options: runs=./runs; corpus=…, whose held-out documents score it;\n"
            "data.sequence_length=…, tokens that it is shown; tokenizer=…, where the folder has none; objective=…,\n"
            "where it was not trained by the usual one, as Flan-T5 by prefix and not by span."
        )
        return 0
    _, words = flags(words, [])
    path, rest = one_word(words, "a folder of transformers")
    keys = [word.split("=")[0] for word in rest]
    for key in keys:
        if key.split(".")[0] not in IMPORTED:
            raise UserError(
                f"{key} is nothing that an import takes. {suggest(key, IMPORTED)} The folder says the rest."
            )
    from harness.composition import run_config
    from harness.launch.imported import as_config, import_folder
    from harness.models.huggingface.folder import open_folder

    folder, composed = open_folder(Path(path)), run_config(rest)
    groups = {key.split(".")[0] for key in keys}
    own = ("data.sequence_length" in keys, "tokenizer" in groups, bool(groups & {"objective", "method"}))
    config = as_config(folder, composed, *own)
    run, new = import_folder(folder, config)
    print(f"{run.id}: {'imported' if new else 'there already'}, {run.path}")
    return 0


def export(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(
            f"{verb.summary}\n\nusage: {verb.usage}\n\n"
            "Options: model_type=…, which of transformers, where several compute the same; checkpoint=…, a step of\n"
            "the run, else its result; runs=./runs."
        )
        return 0
    _, words = flags(words, [])
    own, words = settings(words, {"to": "", "model_type": "", "checkpoint": "", "runs": "./runs"})
    name, rest = one_word(words, "the id of a run, or its folder")
    only(rest, ["to=", "model_type=", "checkpoint=", "runs="])
    if not own["to"]:
        raise UserError("to has no value: name the folder to write, as to=<folder>.")
    if own["checkpoint"] and not own["checkpoint"].isdecimal():
        raise UserError(f"checkpoint={own['checkpoint']} is no step: a whole number, such as checkpoint=120.")
    from harness.models.huggingface import told
    from harness.models.huggingface.folder import write_folder
    from harness.rundir import open_run
    from harness.stored import own_tokens, writes
    from harness.training.train import load_model

    run = open_run(name, own["runs"])
    model, config, tokenizer = load_model(run, int(own["checkpoint"]) if own["checkpoint"] else run.result_step())
    if "language_model" in model.heads:
        theirs, objective = told(config.architecture, len(model.body.embedding_VC), own["model_type"] or None)
        both_ways = objective == "mlm"
        if both_ways == writes(run):
            sides = ("before a token alone", "on both sides of a token")
            raise UserError(
                f"The model of run {run.id} has learned from what stands {sides[not both_ways]}, and "
                f"{theirs['architectures'][0]} of transformers sees what stands {sides[both_ways]}: it would compute "
                "something else."
            )
        padding = theirs.get("pad_token_id")
        if padding is not None and tokenizer.decode([padding, padding]):
            print(
                f"{theirs['architectures'][0]} takes token {padding} for padding and counts places without it, and "
                "here it is text: where a text has it, give position_ids.",
                file=sys.stderr,
            )
    if config.quantizer:
        config.quantizer.dequantize(model)
        print(f"The weights of {run.id} are written as the floats that its few bits stand for.", file=sys.stderr)
    write_folder(Path(own["to"]), model, config, tokenizer, own["model_type"] or None, own_tokens(run))
    print(f"{run.id}: exported to {own['to']}")
    return 0
