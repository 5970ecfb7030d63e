"""What every family of `transformers` must show. A test of one subclasses `FamilyTests` and names its tiny configs."""

from functools import cache
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file

from harness.config import replace_at, to_mapping
from harness.models.huggingface import (
    FAMILIES,
    config_from_transformers,
    config_to_transformers,
    state_from_transformers,
    state_to_transformers,
)
from harness.models.huggingface.folder import open_folder

VOCABULARY = 101
TOLERANCE = 1e-4  # relative, in float32
INPUTS = torch.randint(VOCABULARY, (3, 40), generator=torch.Generator().manual_seed(1))


class FamilyTests:
    """cases: options of their config, by a name. mutants: by case, options of ours, each of which it needs: with a
    value that is wrong the logits are others. A mutant may be without some of the weights, and has none of its own."""

    model_type: ClassVar[str]
    cases: ClassVar[dict[str, dict[str, Any]]]
    mutants: ClassVar[dict[str, list[dict[str, Any]]]] = {}
    auto_class: ClassVar[str] = "AutoModelForCausalLM"

    @classmethod
    def pytest_generate_tests(cls, metafunc):
        if "mutant" in metafunc.fixturenames:
            pairs = [(case, mutant) for case, mutants in cls.mutants.items() for mutant in mutants]
            metafunc.parametrize(("case", "mutant"), pairs, ids=[f"{case}: {mutant}" for case, mutant in pairs])
        elif "case" in metafunc.fixturenames:
            metafunc.parametrize("case", cls.cases)

    def made(self, case):
        return their_model(type(self), case)

    def logits_of_theirs(self, theirs):
        with torch.no_grad():
            return theirs(INPUTS).logits

    def logits_of_ours(self, ours):
        with torch.no_grad():
            return ours.logits(INPUTS)

    def test_logits_are_equal(self, case):
        theirs = self.made(case)
        _, ours = ours_from(theirs)
        assert error(self.logits_of_ours(ours), self.logits_of_theirs(theirs)) <= TOLERANCE

    def test_a_mutant_is_found_out(self, case, mutant):
        theirs = self.made(case)
        config, ours = ours_from(theirs)
        for path, value in mutant.items():
            config = replace_at(config, path, value)
        changed = config.build(VOCABULARY).eval()
        missing, _ = changed.load_state_dict(ours.state_dict(), strict=False)
        assert not missing
        assert error(self.logits_of_ours(changed), self.logits_of_theirs(theirs)) > TOLERANCE

    def test_nothing_of_transformers_is_inside_ours(self, case):
        _, ours = ours_from(self.made(case))
        assert not [type(m) for m in ours.modules() if type(m).__module__.startswith("transformers")]

    def test_a_folder_comes_back_without_a_difference(self, case, tmp_path):
        from transformers import AutoConfig

        theirs = self.made(case)
        theirs.save_pretrained(tmp_path)
        folder = open_folder(tmp_path)
        config, weights = folder.architecture(), folder.weights()
        back, expected = (
            state_to_transformers(weights, config, self.model_type),
            load_file(tmp_path / "model.safetensors"),
        )
        assert back.keys() == expected.keys()
        assert all(torch.equal(back[name], expected[name]) for name in expected)

        written = config_to_transformers(config, VOCABULARY, self.model_type)
        again, before = AutoConfig.for_model(**written).to_dict(), theirs.config.to_dict()
        assert to_mapping(config_from_transformers(again)) == to_mapping(config)
        named = self.cases[case].keys() & written.keys()
        assert {name: again[name] for name in named} == {name: before[name] for name in named}

    def test_a_checkpoint_of_the_body_alone_is_read(self, case):
        """The GPT-2 that was released has no prefix, and its causal masks among its tensors."""
        config, ours = ours_from(self.made(case))
        family, expected = FAMILIES[self.model_type], ours.state_dict()
        whole = state_to_transformers(expected, config, self.model_type)
        body = {name.removeprefix(family.prefix): tensor for name, tensor in whole.items()}
        body |= {f"layers.0{ending}": torch.ones(1) for ending in family.buffers}
        found = state_from_transformers(body, config, self.model_type)
        assert all(torch.equal(found[name], expected[name]) for name in expected)


@cache
def their_model(family, case):
    """A model of `transformers`, small, every parameter random: biases and gains too."""
    import transformers

    tokens = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
    values = {"vocab_size": VOCABULARY, **tokens, **family.cases[case]}
    config = transformers.AutoConfig.for_model(family.model_type, **values)
    torch.manual_seed(0)
    model = getattr(transformers, family.auto_class).from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.4)
    return model


def ours_from(theirs):
    """The Config, and the model with their weights."""
    from transformers.core_model_loading import revert_weight_conversion

    config = config_from_transformers(theirs.config.to_dict())
    model = config.build(VOCABULARY).eval()
    stored = revert_weight_conversion(theirs, theirs.state_dict())  # by the names of their files
    model.load_state_dict(state_from_transformers(stored, config, theirs.config.model_type))
    return config, model


def error(found, expected):
    """The largest difference, relative to the largest number."""
    return ((found - expected).abs().max() / expected.abs().max()).item()
