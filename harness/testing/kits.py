"""The kits of architectures and of their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from harness.interfaces.architecture import ArchitectureConfig
from harness.testing import account, architecture, learning, parts, sharding
from harness.testing.check import skip, slow, sound
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
