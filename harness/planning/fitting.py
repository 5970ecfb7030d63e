"""What fits with what: the parts of a run, and its model with those that it is filled from, stands beside, or leans
on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from harness.config import ConfigError, slots_of
from harness.data.dataset import form_of
from harness.errors import suggest
from harness.interfaces.architecture import ENCODER_DECODER, ArchitectureConfig
from harness.interfaces.method import SEQUENCES, AlignmentConfig
from harness.interfaces.visibility import SameDocument
from harness.planning.layout import check_layout
from harness.schema import STARTS, CurriculumConfig, RunConfig


def fits(config: RunConfig) -> None:
    """What is declared to fit with what, of a run that trains: without data, and before anything is built. Raises
    ConfigError, one sentence for each pairing that cannot work."""
    method = config.method
    chosen = f"{'alignment' if isinstance(method, AlignmentConfig) else 'objective'}={method.name}"
    _check_corpus(config, chosen)
    _check_visibility(config, chosen)
    _check_model(config, chosen)
    _check_uses(config, chosen)
    _check_length(config, chosen)
    _check_curriculum(config, chosen)
    micro = config.trainer.micro_batch
    if micro is not None and config.data.batch_size % micro:
        raise ConfigError(f"trainer.micro_batch={micro} does not divide data.batch_size={config.data.batch_size}.")
    if config.adapter and not config.parents.get("init"):
        raise ConfigError(
            f"adapter={config.adapter.name} is trained beside the weights of another model: say which, by "
            "parents.init=<run> or a folder of transformers."
        )
    check_layout(config)
    config.architecture.check_run(config)


def _check_corpus(config: RunConfig, chosen: str) -> None:
    reads, holds = config.method.reads, form_of(config.corpus)
    if holds != reads:
        remedy = f" Say corpus.examples={reads}." if hasattr(config.corpus, "examples") else ""
        raise ConfigError(f"{chosen} reads {reads}, and corpus={config.corpus.name} holds {holds}.{remedy}")


def _check_visibility(config: RunConfig, chosen: str) -> None:
    architecture: ArchitectureConfig = config.architecture
    if missing := config.method.asks(architecture.topology()) - architecture.visibilities:
        names = ", ".join(sorted(kind.__name__ for kind in missing))
        raise ConfigError(f"{chosen} asks for {names} visibility, which {architecture.cannot_do(missing)} cannot do.")
    if not config.data.attend_across_documents and SameDocument not in architecture.visibilities:
        raise ConfigError(
            "data.attend_across_documents=false asks for SameDocument visibility, which "
            f"{architecture.cannot_do(frozenset({SameDocument}))} cannot do."
        )


def _check_model(config: RunConfig, chosen: str) -> None:
    """Topology and head."""
    architecture, method = config.architecture, config.method
    if architecture.topology() not in method.topologies:
        raise ConfigError(
            f"{chosen} trains {_topologies(method.topologies)}, and architecture={architecture.name} is "
            f"{_topologies([architecture.topology()])}."
        )
    if method.head not in architecture.heads():
        has = ", ".join(sorted(architecture.heads()))
        remedy = f": say architecture/head={method.head}" if "head" in slots_of(type(architecture)) else " and no other"
        raise ConfigError(
            f"{chosen} needs the head {method.head}, and architecture={architecture.name} has {has}{remedy}."
        )


def _check_uses(config: RunConfig, chosen: str) -> None:
    """What the trained model is asked for."""
    if config.watch.sample_every and not config.method.writes():
        raise ConfigError(f"{chosen} makes a model that writes no text: say watch.sample_every=null.")
    if config.method.likelihood is None and config.suite is not None:
        raise ConfigError(f"{chosen} makes a model that gives no likelihoods: say suite=null.")


def _check_length(config: RunConfig, chosen: str) -> None:
    architecture, length = config.architecture, config.data.sequence_length
    places, longest = config.method.longest(length, architecture.topology()), architecture.maximum_length()
    if longest is not None and places > longest:
        of = "" if places == length else f" is {places} places with {chosen}, which"
        raise ConfigError(
            f"data.sequence_length={length}{of} is longer than architecture={architecture.name} can see: at most "
            f"{longest} tokens."
        )


def _topologies(names: Iterable[str]) -> str:
    return " or ".join(f"{'an' if name == ENCODER_DECODER else 'a'} {name.replace('_', '–')}" for name in sorted(names))


def _check_curriculum(config: RunConfig, chosen: str) -> None:
    """Whether a run can go through the stages of its curriculum. chosen: its method, in words."""
    curriculum, trainer = config.data.curriculum, config.trainer
    if curriculum == CurriculumConfig():
        return
    known = [source.name for source in config.corpus.mixture()]
    for name in {name for _, weights in curriculum.sources for name in weights}:
        if name not in known:
            raise ConfigError(
                f"data.curriculum.sources has {name}, which is none of the corpus. {suggest(name, known)}"
            )
    if curriculum.sequence_length and config.method.cut() != SEQUENCES:
        raise ConfigError(f"data.curriculum.sequence_length cuts rows into pieces, and {chosen} reads whole examples.")
    if config.parents.get("continue") or config.watch.patience is not None:
        raise ConfigError(
            "data.curriculum has stages by shares of the run, so a run that continues another has none, and one that "
            "may end early (watch.patience) neither."
        )
    ranks = trainer.devices // trainer.tensor_parallel
    for _, size in curriculum.batch_size:
        if size % ranks:
            raise ConfigError(f"data.curriculum.batch_size has {size:g}, which {ranks} devices cannot share equally.")


def leans_on(config: RunConfig, role: str) -> str | None:
    """What the method leans on a parent as: what a run starts from stands in for a role that is not given. Raises
    ConfigError for a role that it has no use for."""
    leans_on, taught_by = (config.method.leans_on, config.method.taught_by) if config.method else ((), ())
    if role in STARTS:
        return next((of for of in leans_on if of not in taught_by and not config.parents.get(of)), None)
    if role not in leans_on:
        raise ConfigError(f"{config.method.name if config.method else 'this run'} leans on no {role}. Leave it out.")
    return role


def check_leaned_on(
    role: str, config: RunConfig, vocabulary: int, architecture: Any, its_vocabulary: int, same: bool
) -> None:
    """same: whether its tokens stand for the same texts."""
    method = config.method
    if method.head not in architecture.heads():
        raise ConfigError(
            f"{method.name} leans on it as its {role} and needs its head {method.head}, but it has "
            f"{', '.join(sorted(architecture.heads()))}. Say parents.{role}=<another run>."
        )
    if architecture.topology() not in method.topologies:
        raise ConfigError(
            f"{method.name} leans on it as its {role}, which is of another topology: {architecture.topology()}."
        )
    if not same:  # a table may have more rows than the tokenizer has tokens
        said = (
            f"has {its_vocabulary} tokens, and this run {vocabulary}"
            if vocabulary != its_vocabulary
            else ("has other tokens than this run")
        )
        raise ConfigError(f"{method.name} leans on it as its {role}. It {said}: both must have one tokenizer.")


def check_init(config: RunConfig, vocabulary: int, architecture: Any, its_vocabulary: int) -> None:
    """Whether the tensors of one model fill the other; those with a row for each token may have other rows. A head
    that only one of them has is no hindrance: it begins anew, or is left out."""
    if (config.architecture, vocabulary) == (architecture, its_vocabulary):
        return  # without torch: a study that has nothing to do asks this of every run
    from harness.models.meta import build_on_meta
    from harness.models.vocabulary import tables

    model, other = build_on_meta(config.architecture, vocabulary), build_on_meta(architecture, its_vocabulary)
    heads = model.heads.keys() & other.heads.keys()
    rows = tables(model, vocabulary) & tables(other, its_vocabulary)
    here, there = (_shared(one.state_dict(keep_vars=True), heads) for one in (model, other))
    for name in [*here, *(name for name in there if name not in here)]:
        ours, theirs = (_shape(state, name, name in rows) for state in (here, there))
        if ours != theirs:
            raise ConfigError(f"the architectures differ: {name} is {_told(ours)} here and {_told(theirs)} there.")
    for name, tensor in here.items():
        tied = [other_name for other_name in here if here[other_name] is tensor]
        if there[name] is not there[tied[0]]:
            raise ConfigError(
                f"the architectures differ: {name} and {tied[0]} are one tensor here and two there. "
                "Say architecture.head.tied=false."
            )


def check_beside(
    config: RunConfig, vocabulary: int, its_vocabulary: int, same_tokenizer: bool, its_tokens: Sequence[str]
) -> None:
    """Whether an adapter can stand beside the weights as they are: rows of other tokens would be in no checkpoint.
    its_tokens: the names of the tokens of its method, in order."""
    if not config.adapter:
        return
    # Only tokens behind the tokenizer's have rows of their own; their places follow from the order of the names.
    ours, theirs = (
        [name for name in names if config.tokenizer.special(name) is None]
        for names in (config.extra_tokens, its_tokens)
    )
    if ours != theirs[: len(ours)]:
        raise ConfigError(
            f"adapter={config.adapter.name} leaves its weights as they are, and {config.method.name} has tokens of its "
            f"own ({', '.join(ours)}), which have no rows there. Train the whole model, by adapter=null, or start from "
            f"a run that was trained with them, as by {config.method.name}."
        )
    if vocabulary != its_vocabulary or not same_tokenizer:
        raise ConfigError(
            f"adapter={config.adapter.name} leaves its weights as they are, so its tokenizer and its {its_vocabulary} "
            f"rows of the embedding table must be kept: take the same tokenizer, and architecture.vocabulary="
            f"{its_vocabulary}."
        )


def _shared(state: Mapping[str, Any], heads: Set[str]) -> dict[str, Any]:
    """The tensors of the body and of some heads."""
    return {name: t for name, t in state.items() if not name.startswith("heads.") or name.split(".")[1] in heads}


def _shape(state: Mapping[str, Any], name: str, is_table: bool) -> tuple[int, ...] | None:
    return tuple(state[name].shape)[1 if is_table else 0 :] if name in state else None


def _told(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else "×".join(map(str, shape))
