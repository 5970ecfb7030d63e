"""The kits of architectures, of their parts, and of objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness.interfaces.architecture import ArchitectureConfig
from harness.interfaces.batch import Batch
from harness.interfaces.method import Method
from harness.interfaces.tokenizer import vocabulary_with
from harness.models.model import Model
from harness.testing import account, architecture, learning, parts, sharding
from harness.testing.check import skip, slow, sound
from harness.testing.models import stirred
from harness.testing.objective import (
    Asked,
    Letters,
    adds_up_wrongly,
    asks_for_more,
    changes_what_is_no_text,
    depends_on_rows,
    draws_by_chance,
    is_not_refused,
    keyed,
    loses_otherwise,
    measured,
    misses_rate,
    sequences,
    setting,
    weighted_mean,
)
from harness.testing.pairing import Pairing, scores_otherwise
from harness.testing.scored import is_scored_untrained
from harness.testing.sees import Limit


class ArchitectureKit:
    """Subclass it and give `config`, an `ArchitectureConfig` of tiny size, with at least two layers where it has
    layers: everything that the kit does takes a few seconds then.

        class TestMine(ArchitectureKit):
            config = MyConfig(name="mine", width=16, layers=2)
    """

    config: ClassVar[Any]

    def architecture(self) -> ArchitectureConfig:
        """What is tested."""
        config: ArchitectureConfig = self.config
        return config

    def limits(self) -> Sequence[Limit | None] | None:
        """For each layer, what it sees of its own accord beside the visibility, place q of place k; None: by the
        `window` that attentions declare."""
        return None

    def test_shapes_and_dtypes(self) -> None:
        sound(architecture.misshapen(self.architecture()))

    def test_embeddings_do_what_their_tokens_do(self) -> None:
        sound(architecture.embeds_otherwise(self.architecture()))

    def test_places_see_what_they_may_and_nothing_else(self) -> None:
        sound(architecture.leaks(self.architecture(), limits=self.limits()))

    def test_rows_do_not_depend_on_each_other(self) -> None:
        sound(architecture.depends_on_batch(self.architecture()))

    def test_padding_and_packing_change_nothing(self) -> None:
        sound(architecture.depends_on_padding(self.architecture()))

    def test_decoding_gives_what_the_whole_row_does(self) -> None:
        sound(architecture.decodes_otherwise(self.architecture()))

    def test_the_seed_decides_and_nothing_else(self) -> None:
        sound(architecture.changes_by_chance(self.architecture()))

    def test_what_is_saved_is_all_there_is(self) -> None:
        sound(architecture.forgets(self.architecture()))

    def test_every_parameter_gets_a_gradient(self) -> None:
        sound(learning.without_gradient(self.architecture()))

    def test_every_parameter_has_a_role(self) -> None:
        sound(account.has_no_role(self.architecture()))

    def test_it_learns_by_heart(self) -> None:
        sound(learning.learns_nothing(self.architecture()))

    def test_saving_memory_changes_no_gradient(self) -> None:
        sound(learning.recomputes_otherwise(self.architecture()))

    def test_parameters_are_as_declared(self) -> None:
        sound(account.miscounts_parameters(self.architecture()))

    def test_flops_are_as_declared(self) -> None:
        sound(account.miscounts_flops(self.architecture()))

    def test_on_the_meta_device_nothing_is_allocated(self) -> None:
        sound(account.allocates(self.architecture()))

    @slow
    def test_compiled_it_computes_the_same(self) -> None:
        sound(learning.compiles_otherwise(self.architecture()))

    @slow
    def test_spread_over_processes_it_is_the_same(self) -> None:
        sound(sharding.shards_otherwise(self.architecture()))


class PartKit(ArchitectureKit):
    """Of one part, inside a tiny transformer whose other parts are the plainest: width 16, two layers, two heads."""

    kind: ClassVar[str]

    def architecture(self) -> ArchitectureConfig:
        return parts.in_transformer(**{self.kind: self.config})


class AttentionKit(PartKit):
    """Of an attention; `config` has two heads, or a number that divides a width of 16."""

    kind = "attention"

    def test_the_module_has_what_a_transformer_calls(self) -> None:
        sound(parts.incomplete(self.architecture()))

    def test_heads_divide_or_are_refused(self) -> None:
        sound(parts.divides_wrongly(self.architecture()))


class PositionKit(PartKit):
    """Of a position; `config` knows at least 24 places."""

    kind = "position"


class FeedforwardKit(PartKit):
    kind = "feedforward"


class NormKit(PartKit):
    kind = "norm"


class HeadKit(PartKit):
    kind = "head"

    def test_it_learns_by_heart(self) -> None:
        skip("what a head is for, its method says")


class ObjectiveKit:
    """Subclass it and give `config`, an `ObjectiveConfig`.

        class TestMine(ObjectiveKit):
            config = MyConfig(name="mine")

    What a kit cannot know of an objective, four methods tell it: `share`, `recovered`, `reference`, `architecture`.
    """

    config: ClassVar[Any]

    def architecture(self) -> ArchitectureConfig:
        """The tiny body that it is tried on; by default a transformer, which needs the first-party plugins."""
        return parts.in_transformer(position="none")

    def tokenizer(self) -> Any:
        return Letters()

    def share(self) -> float | None:
        """The share of the tokens of text that are learned; None: it is not random."""
        return None

    def recovered(self, batch: Batch, row: int) -> list[int] | None:
        """The tokens of a row of `Sequences`, or their beginning, as they follow from its inputs and targets; None:
        they do not."""
        return None

    def reference(self, model: Model, batch: Batch, seen: list[Any]) -> Mapping[str, float]:
        """Each term of the loss, slow and obvious, as a mean; by default the weighted mean of −log p(target) over the
        batch, of its first term. seen: the arguments with which the body was asked."""
        return {next(iter(self.method().counts(batch))): weighted_mean(seen, model, batch)}

    def method(self, across: bool = True) -> Method:
        topology = self.architecture().topology()
        method: Method = self.config.build(setting(self.config, self.tokenizer(), across, topology=topology))
        return method

    def model(self) -> Model:
        extra = setting(self.config, self.tokenizer()).extra
        return stirred(self.architecture(), vocabulary=vocabulary_with(self.tokenizer().size, extra))

    def test_chance_comes_from_the_places_alone(self) -> None:
        for across in (True, False):
            sound(draws_by_chance(self.method(across), sequences(self.config)))

    def test_a_row_does_not_depend_on_others(self) -> None:
        for across in (True, False):
            sound(depends_on_rows(self.method(across), sequences(self.config)))

    def test_micro_batches_add_up(self) -> None:
        sound(adds_up_wrongly(self.method(), self.model(), sequences(self.config)))

    def test_the_loss_is_what_a_slow_reference_says(self) -> None:
        for across in (True, False):
            method, model = self.method(across), self.model()
            asked, batch = Asked(model), method.prepare(sequences(self.config), keyed)
            found = measured(method, model, batch)
            sound(loses_otherwise(found, self.reference(model, batch, asked.seen)))

    def test_the_scorer_agrees_with_the_loss(self) -> None:
        """None where a model is not scored by what its objective's loss is made of."""
        sound(scores_otherwise(Pairing(self.config, self.architecture(), across=True)))

    def test_it_trains_what_it_is_scored_by(self) -> None:
        """None where no batch shows a text as the likelihood does."""
        sound(is_scored_untrained(Pairing(self.config, self.architecture(), across=True)))

    def test_it_asks_for_what_it_says(self) -> None:
        model = self.model()
        asked, method = Asked(model), self.method()
        method.losses(model, method.prepare(sequences(self.config), keyed))
        sound(asks_for_more(self.config, asked.seen, self.architecture().topology()))
        sound(is_not_refused(self.config, self.architecture()))

    def test_what_is_no_text_stays(self) -> None:
        rows, extra = sequences(self.config, rows=64), setting(self.config, self.tokenizer()).extra
        batch = self.method().prepare(rows, keyed)
        sound(changes_what_is_no_text(batch, rows, [self.tokenizer().end, *extra.values()]) if extra else None)

    def test_rates_are_as_told(self) -> None:
        share = self.share()
        if share is None:
            skip("nothing is chosen by chance")
            return
        batch = self.method().prepare(sequences(self.config, rows=400), keyed)
        text = float((batch.targets_BT != self.tokenizer().end).sum())
        sound(misses_rate(float((batch.weights_BT > 0).sum()), text, share))

    def test_rows_are_recovered(self) -> None:
        rows = sequences(self.config)
        batch = self.method().prepare(rows, keyed)
        for row, tokens_S in enumerate(rows.tokens_BS.tolist()):
            found = self.recovered(batch, row)
            if found is None:
                skip("the objective does not say that its rows can be recovered")
                return
            assert found == tokens_S[: len(found)], f"Row {row} is not recovered: {found} and not {tokens_S}."
