"""Supervised fine-tuning: answers alone are learned, and what is packed is as if it stood alone."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.composition import run_config as composed
from harness.config import ConfigError, plugin_config
from harness.data.dataset import Dataset, prepare
from harness.errors import UserError
from harness.interfaces.batch import ANSWER, CONTEXT, PADDING, Batch, Sequences
from harness.interfaces.method import Setting
from harness.interfaces.visibility import Causal, SameDocument
from harness.launch.ranks import together
from harness.planning.plan import resolve
from harness.schema import DataConfig
from harness.training.train import train as carry_out
from tests import conversations
from tests.conversations import Talks
from tests.data.corpora import run_config
from tests.training import small_runs

LENGTH = 180


def config(packing: bool = True, **values: Any) -> Any:
    return plugin_config("method", {"name": "sft", "packing": packing, **values}, "method")


def sft(packing: bool = True, length: int = LENGTH, **values: Any) -> Any:
    return config(packing, **values).build(Setting(tokenizer=None, sequence_length=length))


def talks(packing: bool = True, template: str = "chat", count: int = 60) -> Dataset:
    of = run_config(Talks(name="talks", conversations=count), sequence_length=LENGTH, template=template, held_out=0.0)
    return prepare(replace(of, method=config(packing)))


def batch_of(method: Any, sequences: Sequences) -> Batch:
    def nothing(place: int) -> np.random.Generator:
        raise AssertionError("nothing about it is random")

    return method.prepare(sequences, nothing)


@pytest.fixture(scope="module")
def model(transformer) -> Any:
    torch.manual_seed(0)
    learned = {"name": "learned", "length": LENGTH}  # under rotary ones only differences of places are seen
    return transformer(width=16, init_std=0.4, position=learned).build(257).double().eval()


# ------------------------------------------------------------------------------------ what counts

C, A, P = CONTEXT, ANSWER, PADDING
PACKED = Sequences(  # a conversation of five tokens, one of three that begins with its answer, and padding
    tokens_BS=np.array([[1, 2, 3, 4, 9, 5, 6, 9, 0, 0]]),
    documents_BS=np.array([[0, 0, 0, 0, 0, 1, 1, 1, 2, 2]]),
    places_B=np.array([7]),
    parts_BS=np.array([[C, C, A, A, A, A, A, A, P, P]], dtype=np.uint8),
)


def test_answers_count_but_not_the_first_token_of_a_conversation():
    batch = batch_of(sft(length=9), PACKED)
    assert batch.targets_BT.tolist() == [[2, 3, 4, 9, 5, 6, 9, 0, 0]]
    assert batch.weights_BT.tolist() == [[0, 1, 1, 1, 0, 1, 1, 0, 0]]
    assert sft(length=9).counts(batch) == {"sft": 5.0}
    assert batch.places_B.tolist() == [7]


def test_positions_begin_again_with_each_packed_conversation():
    batch = batch_of(sft(length=9), PACKED)
    assert batch.positions_BT.tolist() == [[0, 1, 2, 3, 4, 0, 1, 2, 0]]
    assert batch.documents_BT.tolist() == [[0, 0, 0, 0, 0, 1, 1, 1, 2]]


@pytest.mark.parametrize("packing", [True, False])
def test_every_row_has_sequence_length_places(packing: bool):
    dataset = talks(packing)
    batch = batch_of(sft(packing), dataset.stream(0).sequences(0, 3))
    for tensor in (batch.inputs_BT, batch.targets_BT, batch.weights_BT):
        assert tensor.shape == (3, LENGTH)
    assert (batch.documents_BT is not None) is packing


@pytest.mark.parametrize("packing", [True, False])
def test_of_several_turns_what_the_assistant_says_and_its_end_is_learned(packing: bool):
    """All the answers of the corpus, each with its end token, and nothing else, in one epoch."""
    dataset = talks(packing)
    stream = dataset.stream(0)
    batch = batch_of(sft(packing), stream.sequences(0, stream.sizes[0]))
    learned = batch.targets_BT[batch.weights_BT > 0].tolist()
    read = Talks(name="talks").read(0, 60)
    said = [turn.text for document in read for turn in document.turns if turn.speaker == "assistant"]  # type: ignore[attr-defined]
    ends = [-1, *(place for place, token in enumerate(learned) if token == dataset.tokenizer.end)]
    answers = [dataset.tokenizer.decode(learned[a + 1 : b]) for a, b in pairwise(ends)]
    assert sorted(answers) == sorted(said)
    assert ends[-1] == len(learned) - 1


# ---------------------------------------------------------------------- against a slow reference


def nats_of(model: Any, dataset: Dataset, count: int) -> tuple[float, float, int]:
    """Of the first conversations of a corpus, one token at a time from its own prefix alone: −Σ log p of the answers'
    tokens, how many of them have the highest logit, and how many there are."""
    total, right, answers = 0.0, 0, 0
    side = dataset.sources[0].shards.train
    starts = [0, *(side.end_places_D[: count - 1] + 1).tolist()]
    for start, end in zip(starts, side.end_places_D[:count] + 1, strict=True):
        tokens, parts = side.read(start, end), side.parts(start, end)
        for t in range(1, len(tokens)):
            if parts[t] == ANSWER:
                logits_V = model.logits(torch.from_numpy(tokens[None, :t].astype(np.int64)))[0, -1]
                total -= float(torch.log_softmax(logits_V, 0)[tokens[t]])
                right += int(logits_V.argmax()) == tokens[t]
                answers += 1
    return total, right, answers


@torch.no_grad()
@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("template", ["plain", "chat"])
def test_the_loss_is_that_of_each_conversation_alone(packing: bool, template: str, model: Any):
    dataset, method = talks(packing, template, count=8), sft(packing)
    stream = dataset.stream(3)
    batch = batch_of(method, stream.sequences(0, stream.sizes[0]))
    total, right, answers = nats_of(model, dataset, 8)
    assert float(method.losses(model, batch)["sft"]) == pytest.approx(total, rel=1e-6)
    assert method.counts(batch) == {"sft": answers}
    assert method.measures(model, batch) == {"answer_accuracy": (right, answers)}


@torch.no_grad()
def test_chunks_of_logits_change_nothing(model: Any):
    batch = batch_of(sft(), talks().stream(0).sequences(0, 2))
    whole, chunked = sft(), sft(logits_chunk=7)
    assert float(chunked.losses(model, batch)["sft"]) == pytest.approx(float(whole.losses(model, batch)["sft"]))
    assert chunked.measures(model, batch) == whole.measures(model, batch)


# ------------------------------------------------------------------------------- nothing leaks


def logits(model: Any, batch: Batch) -> torch.Tensor:
    """What the loss sees, by way of the method itself."""
    seen: list[torch.Tensor] = []
    hook = model.heads["language_model"].register_forward_hook(lambda _, __, found: seen.append(found))
    with torch.no_grad():
        sft().losses(model, batch)
    hook.remove()
    return seen[0]


@pytest.fixture(scope="module")
def rows() -> Sequences:
    return talks().stream(1).sequences(0, 2)


@given(data=st.data())
@settings(max_examples=40)
def test_a_changed_token_moves_no_logit_of_another_conversation(data: st.DataObject, model: Any, rows: Sequences):
    batch = batch_of(sft(), rows)
    row = data.draw(st.integers(0, 1))
    place = data.draw(st.integers(0, LENGTH - 1))
    before_BTV = logits(model, batch)
    batch.inputs_BT[row, place] = (batch.inputs_BT[row, place] + data.draw(st.integers(1, 256))) % 257
    after_BTV = logits(model, batch)
    own_BT = torch.zeros_like(batch.documents_BT, dtype=torch.bool)
    own_BT[row] = batch.documents_BT[row] == batch.documents_BT[row, place]
    assert torch.equal(before_BTV[~own_BT], after_BTV[~own_BT])
    assert not torch.equal(before_BTV[row, place], after_BTV[row, place])


# ------------------------------------------------------------------------------- against TRL


def of_trl(model: Any, rows: list[dict[str, Any]], packing: bool, folder: Path) -> float:
    """The loss of TRL's SFTTrainer over all rows as one batch: its labels, its packing, its collator, its sum."""
    from datasets import Dataset as Table
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    plugin_config("tokenizer", {"name": "bytes"}, "tokenizer").train(()).export(folder)
    arguments = SFTConfig(
        output_dir=str(folder / "out"), max_length=LENGTH + 1, packing=packing, shuffle_dataset=False, use_cpu=True,
        report_to=[], disable_tqdm=True,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(folder)
    trainer = SFTTrainer(model, args=arguments, train_dataset=Table.from_list(rows), processing_class=tokenizer)
    model.eval()
    return float(trainer.compute_loss(model, trainer.data_collator(list(trainer.train_dataset))))


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("packing", [True, False])
def test_the_loss_is_that_of_trl(packing: bool, tmp_path: Path):
    from transformers import AutoModelForCausalLM, LlamaConfig

    from harness.models.huggingface import config_from_transformers, state_from_transformers

    theirs_config = LlamaConfig(
        vocab_size=257, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=56,
        initializer_range=0.3, bos_token_id=256, eos_token_id=256, pad_token_id=256,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = AutoModelForCausalLM.from_config(theirs_config, attn_implementation="eager")
    of = config_from_transformers(theirs.config.to_dict())
    ours = of.build(257).eval()
    ours.load_state_dict(state_from_transformers(theirs.state_dict(), of))

    dataset, method = talks(packing, count=12), sft(packing)
    stream, side = dataset.stream(0), dataset.sources[0].shards.train
    batch = batch_of(method, stream.sequences(0, stream.sizes[0]))
    loss = float(method.losses(ours, batch)["sft"]) / method.counts(batch)["sft"]

    bounds = zip([0, *(side.end_places_D[:-1] + 1).tolist()], (side.end_places_D + 1).tolist(), strict=True)
    rows = [
        {"input_ids": side.read(*b).tolist(), "assistant_masks": (side.parts(*b) == ANSWER).astype(int).tolist()}
        for b in bounds
    ]
    assert len(rows) == 12
    assert loss == pytest.approx(of_trl(theirs, rows, packing, tmp_path), rel=0, abs=1e-5)


# ------------------------------------------------------------------------------- in the loop

WAYS = [
    {"micro_batch": 1},
    pytest.param({"devices": 2}, marks=pytest.mark.slow),
    pytest.param({"devices": 2, "strategy": "fsdp", "micro_batch": 1}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_each_answers_token_counts_alike_however_a_step_is_cut(
    packing: bool, way: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import harness.training.fit  # noqa: F401

    conversations.register(monkeypatch)
    runs = []
    for name, trainer in (("whole", {}), ("cut", way)):
        of = replace(
            small_runs.config(tmp_path, trainer={"log_every": 1, **trainer}),
            corpus=Talks(name="talks"),
            data=DataConfig(sequence_length=LENGTH, batch_size=4, held_out=0.2),
            method=config(packing),
        )
        job = small_runs.job(of, 4)
        runs.append(small_runs.run_dir(tmp_path / name, of))
        with runs[-1].lease() as held:
            train = partial(carry_out, job, held, progress=False)
            train() if of.trainer.devices == 1 else together(of.trainer.devices, lambda rank, train=train: train())
    whole, cut = runs
    batch = batch_of(
        job.config.method.build(Setting(tokenizer=None, sequence_length=LENGTH)), job.dataset.stream(0).sequences(0, 4)
    )
    assert len(set(batch.weights_BT.sum(1).tolist())) > 1, "rows hold different numbers of answers' tokens"
    for column in ("loss", "grad_norm"):
        found, expected = ([row[column] for row in run.metrics()] for run in (cut, whole))
        assert found == pytest.approx(expected, rel=0, abs=1e-5)
    measured = [run.manifest()["result"]["held_out_measures"]["answer_accuracy"] for run in (cut, whole)]
    assert measured[0] == measured[1]
    assert measured[0]["n"] == whole.manifest()["result"]["held_out_tokens"]


# ------------------------------------------------------------------------------- what does not fit

SMALL = ["experiment=tiny", "tokenizer=bytes", "objective=sft", "suite=null"]


def test_a_corpus_of_documents_is_refused_in_one_sentence():
    with pytest.raises(ConfigError, match="^objective=sft reads conversations, and corpus=synthetic holds documents.$"):
        resolve(composed([*SMALL, "corpus=synthetic"]))


def test_packing_asks_for_more_than_a_plain_body_can_do(monkeypatch: pytest.MonkeyPatch):
    conversations.register(monkeypatch)
    of = composed([*SMALL, "corpus=talks"])
    monkeypatch.setattr(type(of.architecture), "visibilities", frozenset({Causal}))
    with pytest.raises(ConfigError, match="objective=sft asks for SameDocument visibility, which architecture="):
        resolve(of)
    assert config(packing=False).asks() == {Causal}
    assert config().asks() == {Causal, SameDocument}
    resolve(composed([*SMALL, "corpus=talks", "method.packing=false"]))


def test_packed_or_not_is_another_run(monkeypatch: pytest.MonkeyPatch):
    conversations.register(monkeypatch)
    packed, single, chunked = (
        resolve(composed([*SMALL, "corpus=talks", *more])).id
        for more in ([], ["method.packing=false"], ["method.logits_chunk=64"])
    )
    assert packed != single
    assert packed == chunked


def test_a_tokenizer_without_a_chat_template_is_told():
    with pytest.raises(UserError, match=r"data.template=tokenizer needs a tokenizer that has a chat template.*Say"):
        talks(template="tokenizer")


def test_conversations_that_are_all_too_long_are_told():
    of = run_config(Talks(name="talks"), sequence_length=4)
    with pytest.raises(UserError, match=r"none of its \d+ examples fits into data.sequence_length=4 tokens"):
        prepare(replace(of, method=config())).stream(0)
