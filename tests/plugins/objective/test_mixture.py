"""Several objectives in one run: which rows each is given, what the loss is, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch

from harness.config import ConfigError, plugin_config, to_mapping
from harness.interfaces.architecture import DECODER, ENCODER_DECODER
from harness.interfaces.batch import Batch, Sequences
from harness.interfaces.method import Setting
from harness.interfaces.visibility import Causal, Full
from harness.registry import registry
from harness.testing import ObjectiveKit
from harness.testing.parts import in_transformer

END = 256


def config(objectives: Any, **values: Any) -> Any:
    return plugin_config("method", {"name": "mixture", "objectives": objectives, **values}, "method")


def built(made: Any, across: bool = True) -> Any:
    tokenizer = registry().get("tokenizer", "bytes")().train([])
    extra = {name: 257 + number for number, name in enumerate(made.extra_tokens())}
    return made.build(Setting(tokenizer=tokenizer, extra=extra, attend_across_documents=across))


def sequences(count: int, length: int = 40, first: int = 0) -> Sequences:
    tokens_BS = np.random.default_rng(first).integers(97, 123, (count, length + 1))
    tokens_BS[:, ::17] = END
    return Sequences(tokens_BS, np.cumsum(tokens_BS == END, axis=1), np.arange(first, first + count))


def keyed(place: int) -> np.random.Generator:
    return np.random.default_rng([7, place])


def places_of(batch: Batch) -> dict[str, list[int]]:
    """By label, the places of its rows."""
    found = {n.removesuffix("/places_B"): v.tolist() for n, v in batch.extra.items() if n.endswith("/places_B")}
    return dict(sorted(found.items()))


TWO = {"clm": {}, "hidden": {"name": "mlm", "rate": 0.3}}


def test_rows_are_shared_out_by_weight_and_each_stands_in_one_place():
    of = built(config(TWO, weights={"clm": 3}, scored_as="clm"))
    places = places_of(of.prepare(sequences(2000), keyed))
    assert sorted(places["clm"] + places["hidden"]) == list(range(2000))
    assert abs(len(places["clm"]) - 1500) < 5 * (2000 * 0.75 * 0.25) ** 0.5


def test_a_place_decides_which_objective_its_row_has():
    of = built(config(TWO, scored_as="clm"))
    rows = sequences(64)
    whole = places_of(of.prepare(rows, keyed))
    for start in range(0, 64, 8):
        part = places_of(of.prepare(rows.rows(slice(start, start + 8)), keyed))
        for label, places in part.items():
            assert places == [place for place in whole[label] if start <= place < start + 8]


def test_what_an_objective_draws_is_not_what_it_was_drawn_by():
    """`prefix` cuts rows at a random place. Were the same number drawn twice, each half would cut one half of them."""
    of = built(config({"a": {"name": "prefix"}, "b": {"name": "prefix"}}))
    batch = of.prepare(sequences(2000), keyed)
    for label in "ab":
        read_B = batch.extra[f"{label}/extra/prefix_B"].double()
        assert abs(float(read_B.mean()) - 20) < 5 * 12 / 1000**0.5


@pytest.mark.parametrize("across", [True, False])
def test_the_loss_is_the_mean_over_all_that_the_objectives_learn(across: bool):
    """Each objective alone, on its own rows."""
    torch.manual_seed(0)
    values = {"name": "transformer", "width": 16, "layers": 2, "init_std": 0.4}
    model = plugin_config("architecture", values, "architecture").build(300).double().eval()
    made = config({**TWO, "spans": {"name": "span", "sentinels": 20}}, scored_as="clm")
    of, rows = built(made, across), sequences(12)
    batch = of.prepare(rows, keyed)
    counts, terms = of.counts(batch), of.losses(model, batch)
    nats = 0.0
    for label, places in places_of(batch).items():
        of_own = of.methods[label]
        own = of_own.prepare(rows.rows(np.array(places)), after_a_draw(3))
        ((term, count),) = of_own.counts(own).items()
        alone = float(of_own.losses(model, own)[term].detach())
        assert counts[label] == count
        assert float(terms[label]) == pytest.approx(alone, rel=1e-12)
        nats += alone
    assert float(terms["mixture"].detach()) == pytest.approx(nats, rel=1e-12)
    assert counts["mixture"] == sum(counts[label] for label in of.told)
    assert set(of.told) == {"clm", "hidden", "spans"}, "the losses of objectives are told and not learned twice"
    assert not any(terms[label].requires_grad for label in of.told)


def after_a_draw(objectives: int) -> Any:
    def generator(place: int) -> np.random.Generator:
        rng = keyed(place)
        rng.choice(objectives, p=[1 / objectives] * objectives)
        return rng

    return generator


def test_an_objective_without_a_row_counts_nothing():
    of = built(config(TWO, weights={"hidden": 1e-6}, scored_as="clm"))
    batch = of.prepare(sequences(4), keyed)
    assert of.counts(batch) == {"mixture": 160, "clm": 160, "hidden": 0}
    model = plugin_config("architecture", {"name": "transformer", "width": 16, "layers": 1}, "architecture").build(300)
    assert float(of.losses(model, batch)["hidden"]) == 0


def test_auxiliary_losses_are_means_over_all_rows():
    experts = {"name": "mixture_of_experts", "experts": 4, "top_k": 2, "balance_loss": 0.1}
    values = {"name": "transformer", "width": 16, "layers": 2, "feedforward": experts}
    model = plugin_config("architecture", values, "architecture").build(300).train()
    of, rows = built(config(TWO, scored_as="clm")), sequences(9)
    batch, expected = of.prepare(rows, keyed), 0.0
    for label, places in places_of(batch).items():
        own = of.methods[label].prepare(rows.rows(np.array(places)), after_a_draw(2))
        expected += len(places) / 9 * float(of.methods[label].losses(model, own)["balance"].detach())
    assert float(of.losses(model, batch)["balance"].detach()) == pytest.approx(expected, rel=1e-6)


def test_what_a_mixture_asks_for_is_what_its_objectives_ask_for():
    made = config({"clm": {}, "mlm": {}}, scored_as="mlm")
    assert made.asks() == {Causal, Full}
    assert (made.likelihood, made.writes(), made.extra_tokens()) == ("masked", False, ("[MASK]",))
    assert made.topologies == {DECODER}
    made = config({"span": {}, "prefix": {}}, scored_as="prefix")
    assert made.topologies == {DECODER, ENCODER_DECODER}
    each = [plugin_config("method", name, "method").places(128, ENCODER_DECODER) for name in ("span", "prefix")]
    assert made.longest(128, ENCODER_DECODER) == 127, "what `prefix` reads at most"
    assert made.places(128, ENCODER_DECODER) == tuple(round((a + b) / 2) for a, b in zip(*each, strict=True))


def test_the_order_of_labels_changes_nothing_and_it_can_be_written_down():
    made = config({"mlm": {}, "clm": {}}, scored_as="clm", weights={"mlm": 2})
    assert made == config({"clm": {}, "mlm": {}}, scored_as="clm", weights={"mlm": 2})
    assert list(made.objectives) == list(made.shares()) == ["clm", "mlm"]
    assert plugin_config("method", to_mapping(made), "method") == made


@pytest.mark.parametrize(
    ("objectives", "values", "message"),
    [
        ({}, {}, "objectives is empty"),
        ({"clm": {}, "mlm": {}}, {}, r"not scored alike \(clm: causal, mlm: masked\): name one"),
        ({"clm": {}, "fim": {}}, {"scored_as": "cml"}, "scored_as=cml has no objective. Did you mean clm"),
        ({"clm": {}, "fim": {}}, {"weights": {"fmi": 1}}, "weights.fmi has no objective. Did you mean fim"),
        ({"clm": {}, "fim": {}}, {"weights": {"fim": 0}}, r"weights.fim=0.0 is not a number above 0"),
        ({"clm": {"rate": 1}}, {}, "method.objectives.clm.rate|objectives.clm.rate is not an option"),
        ({"sft": {}}, {}, "sft cannot stand in a mixture"),
        ({"mtp": {}}, {}, "mtp cannot stand in a mixture"),
        ({"mixture": {"name": "clm"}}, {}, "has the name of the loss"),
    ],
)
def test_what_cannot_be_mixed_is_refused(objectives: Any, values: Any, message: str):
    with pytest.raises(ConfigError, match=message):
        config(objectives, **values)


class TestMixture(ObjectiveKit):
    config = config({"clm": {}, "span": {}, "mlm": {}}, scored_as="clm")
    # Its batch holds those of its objectives, each with some of the rows: asked above.
    test_a_row_does_not_depend_on_others = None
    test_the_scorer_agrees_with_the_loss = None

    @torch.no_grad()
    def reference(self, model, batch, seen):
        """Of each objective, from the arguments with which the body was asked for it."""
        nats, counts = {}, {}
        labels = [label for label in ("clm", "mlm", "span") if f"{label}/weights_BT" in batch.extra]
        for label, (arguments, options) in zip(labels, list(seen), strict=True):
            hidden_BTC = model.body(*arguments, **options).hidden_BTC
            logp_BTV = model.heads["language_model"](hidden_BTC).double().log_softmax(-1)
            targets_BT, weights_BT = (batch.extra[f"{label}/{name}"] for name in ("targets_BT", "weights_BT"))
            nats[label] = -float((logp_BTV.gather(-1, targets_BT[..., None])[..., 0] * weights_BT).sum())
            counts[label] = float(weights_BT.sum())
        means = {label: nats[label] / counts[label] for label in nats}
        return {"mixture": sum(nats.values()) / sum(counts.values()), **means}


class TestMixtureOfAnEncoderDecoder(ObjectiveKit):
    config = config({"span": {}, "bart": {}}, scored_as="span")
    test_a_row_does_not_depend_on_others = None
    test_the_scorer_agrees_with_the_loss = None
    test_the_loss_is_what_a_slow_reference_says = None

    def architecture(self):
        return in_transformer(name="encoder_decoder", position="none")
