"""Groups and overrides become one typed config; what is said last, and closest to the person, wins."""

import pytest

from harness.composition import compose, run_config
from harness.config import ConfigError, from_mapping, plugin_config, to_mapping
from harness.registry import Entry, registry
from harness.schema import RunConfig as Run
from harness.words import for_hydra

EXPERTS = "architecture/feedforward=mixture_of_experts"


def test_the_defaults_compose_to_a_small_model():
    config = run_config([])
    assert (config.architecture.name, config.corpus.name, config.method.name) == ("transformer", "python_stdlib", "clm")
    assert config.architecture.position.name == "rotary"


def test_a_composed_config_survives_being_saved():
    config = run_config(["experiment=tiny", "corpus=stdlib_and_problems", "architecture=gpt2_124m"])
    assert from_mapping(Run, to_mapping(config)) == config


def test_a_part_is_swapped_everywhere_and_brings_its_own_options():
    config = run_config(["architecture=llama2_7b", "architecture/position=learned", "architecture.position.length=77"])
    assert config.architecture.position.name == "learned"
    assert config.architecture.position.length == 77
    assert config.architecture.width == 4096


def test_one_number_makes_a_rung_and_what_is_said_besides_wins():
    rung = run_config(["scale=ladder", "scale.width=48"])
    assert (rung.architecture.width, rung.architecture.layers, rung.architecture.attention.heads) == (48, 3, 3)
    assert rung.optimizer.lr == pytest.approx(0.48 / 48)
    assert rung.architecture.init_std == pytest.approx(0.5 / 48**0.5)
    said = run_config(["scale=ladder", "scale.width=48", "architecture.layers=7", "optimizer.lr=1e-4"])
    assert (said.architecture.width, said.architecture.layers, said.optimizer.lr) == (48, 7, 1e-4)


def test_a_persons_own_presets_come_before_ours(tmp_path, monkeypatch):
    folder = tmp_path / "conf/experiment"
    folder.mkdir(parents=True)
    (folder / "tiny.yaml").write_text("# @package _global_\narchitecture:\n  width: 24\n")
    (folder / "mine.yaml").write_text("# @package _global_\n# Mine.\nseed: 9\n")
    monkeypatch.chdir(tmp_path)
    assert run_config(["experiment=tiny"]).architecture.width == 24
    assert run_config(["experiment=mine"]).seed == 9


def test_null_chooses_nothing_of_a_group():
    assert for_hydra(["suite=null", "seeds.init=null", "corpus=text"]) == ["~suite", "seeds.init=null", "corpus=text"]
    assert for_hydra(["suite=null,offline"]) == ["suite='null',offline"]
    assert run_config(["suite=null"]).suite is None


def test_what_stands_in_a_part_is_chosen_as_the_part_is():
    normed = run_config(["architecture/attention/query_key_norm=layernorm", "architecture/norm=rmsnorm"]).architecture
    assert (normed.attention.query_key_norm.name, normed.norm.name) == ("layernorm", "rmsnorm")
    experts = run_config([EXPERTS, "architecture/feedforward/shared=mlp", "architecture.feedforward.shared.hidden=8"])
    assert (experts.architecture.feedforward.expert.name, experts.architecture.feedforward.shared.hidden) == (
        "gated",
        8,
    )
    assert run_config(["suite=stages", "suite/text=synthetic"]).suite.text.name == "synthetic"


def test_null_chooses_nothing_of_what_stands_in_a_part():
    assert run_config([EXPERTS, "architecture/feedforward/shared=null"]).architecture.feedforward.shared is None
    assert run_config(["architecture/attention/query_key_norm=null"]) == run_config([])
    with pytest.raises(ConfigError, match="expert has no value"):
        run_config([EXPERTS, "architecture/feedforward/expert=null"])


def test_what_hydra_reads_is_read_once_more_for_each_of_many_runs():
    words = for_hydra(["alignment/reward=null,parses", "adapter=null,lora"])
    assert words == ["alignment/reward@method.reward='null',parses", "adapter='null',lora"]
    assert for_hydra(words) == words
    assert for_hydra(["alignment/reward@method.reward=null"]) == ["~alignment/reward@method.reward"]


def test_parts_that_nobody_names_are_those_that_composing_chooses():
    block = run_config(["architecture.blocks={a: {feedforward: mixture_of_experts}}", "architecture.pattern=[a]"])
    experts = run_config([EXPERTS]).architecture.feedforward
    assert block.architecture.layer_blocks()[0].feedforward == experts
    assert plugin_config("feedforward", "mixture_of_experts", "feedforward") == experts


def test_an_override_of_a_config_is_not_lost_between_hydra_and_the_dataclasses():
    config = run_config(["data.batch_size=3", "seed=4", "optimizer.betas=[0.8,0.9]", "trainer.gradient_clip=null"])
    assert (config.data.batch_size, config.seed, config.optimizer.betas) == (3, 4, [0.8, 0.9])
    assert config.trainer.gradient_clip is None
    assert config.with_seeds().seeds.init == 4


def test_every_preset_composes():
    from harness.help import group_options

    for group in ("architecture", "corpus", "experiment", "trainer", "scale"):
        for name, _ in group_options(group):
            overrides = [f"{group}={name}"]
            overrides += ["corpus.path=x"] if overrides[0] in ("corpus=text", "corpus=hf", "corpus=examples") else []
            overrides += ["architecture.model_type=llama"] if overrides[0] == "architecture=hf" else []
            overrides += ["+corpus.sources.a={name: synthetic, weight: 1}"] if name == "mix" else []
            assert run_config(overrides)


def test_a_config_cannot_name_code():
    with pytest.raises(ConfigError, match="architecture._target_ is not an option"):
        run_config(["+architecture._target_=os.system"])


def test_composing_leaves_hydra_free_for_the_next():
    assert compose(["seed=1"]).seed == 1
    assert compose(["seed=2"]).seed == 2


@pytest.mark.parametrize("id", ["12345e678901", "1234567890e1", "123456789012", "0123456789ab"])
def test_an_id_that_looks_like_a_number_is_text(id):
    assert compose([f"run={id}"], "score").run == id
    assert for_hydra([f"parents.init={id}@120,{id}"]) == [f"parents.init='{id}@120','{id}'"]
    assert for_hydra([f"run=runs/{id}", "parents.init=null"]) == [f"run=runs/{id}", "parents.init=null"]


@pytest.mark.parametrize(
    ("words", "said"),
    {
        "one has it": (
            ["adapter.rank=4"],
            "an option of adapter=lora, which is not chosen: say adapter=lora adapter.rank",
        ),
        "two have it": (["method.beta=0.1"], "an option of alignment=dpo and alignment=grpo, none of which is chosen"),
        "another has it": (["alignment=dpo", "method.group=4"], "an option of alignment=grpo, which is not chosen"),
        "a part has it": (
            ["architecture.position.length=8"],
            "an option of architecture/position=learned, which is not",
        ),
        "a part of what is not chosen": (["method.reward.least=4"], "an option of alignment=grpo, which is not chosen"),
        "misspelt": (["adapter.rnk=4"], r"^adapter\.rnk is not an option\. Did you mean adapter\.rank\?$"),
        "the part itself": (["alignment/reward=parses"], "alignment/reward is a part of alignment=grpo, which is not"),
        "nothing of a part": (["alignment/reward=null"], "alignment/reward is a part of alignment=grpo, which is not"),
        "a part of a part": (
            ["architecture/feedforward/expert=mlp"],
            "feedforward/expert is a part of architecture/feedforward=mixture_of_experts, which is not chosen",
        ),
        "no part of a part": (["architecture/attention/query_norm=rmsnorm"], "attention/query_norm is not an option"),
        "of another verb": (["sampler=greedy"], "sampler is a group that is not chosen of here"),
        "in another group": (["objective=dpo"], r"objective=dpo is unknown\. Did you mean alignment=dpo\?"),
    }.values(),
)
def test_what_stands_elsewhere_is_told(words, said):
    with pytest.raises(ConfigError, match=said):
        run_config(words)


@pytest.mark.parametrize("name", ["nan", "true", "12", "1e3", "on"])
def test_a_preset_may_be_called_as_a_value_is(name, tmp_path, monkeypatch):
    folder = tmp_path / "conf/experiment"
    folder.mkdir(parents=True)
    (folder / f"{name}.yaml").write_text("# @package _global_\nseed: 9\n")
    monkeypatch.chdir(tmp_path)
    assert run_config([f"experiment={name}"]).seed == 9
    with pytest.raises(ConfigError, match=r"^corpus=(nan|true|12|1e3|on) is unknown\."):
        run_config([f"corpus={name}"])


def test_a_name_with_two_owners_is_refused_by_name_and_chosen_with_its_distribution(monkeypatch):
    config = registry().get("norm", "rmsnorm")
    twins = [Entry("norm", "twin", config, distribution, "1") for distribution in ("here", "there")]
    monkeypatch.setitem(registry().entries, ("norm", "twin"), twins)
    with pytest.raises(
        ConfigError, match="norm=twin is owned by more than one distribution. Choose here:twin or there:twin"
    ):
        run_config(["architecture/norm=twin"])
    assert run_config(["architecture/norm=there:twin"]).architecture.norm.name == "there:twin"


def test_a_name_with_one_owner_may_be_said_with_its_distribution():
    said = run_config(["architecture/norm=harness-lm:layernorm", "objective=harness-lm:clm"])
    assert said == run_config(["architecture/norm=layernorm", "objective=clm"])
