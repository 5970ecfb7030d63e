"""What T5, BART and their like must show beside what every family must: two texts of two lengths, and padding."""

from functools import cache
from typing import ClassVar

import torch
from safetensors.torch import load_file, save_file

from harness.config import to_mapping
from harness.files import read_json, write_json
from harness.interfaces.visibility import Causal, Cross, Full, SameDocument
from harness.models.huggingface import config_to_transformers, state_to_transformers
from harness.models.huggingface.folder import open_folder
from tests.models.huggingface.families import TOLERANCE, VOCABULARY, FamilyTests, error, ours_from

T, S = 17, 150


def tokens(rows, places, seed):
    return torch.randint(VOCABULARY, (rows, places), generator=torch.Generator().manual_seed(seed))


WRITTEN_BT, READ_BS = tokens(3, T, 1), tokens(3, S, 2)
SEEN_BS = torch.tensor([S, 23, 1])[:, None] > torch.arange(S)  # the second and third row end in padding


class EncoderDecoderTests(FamilyTests):
    auto_class = "AutoModelForSeq2SeqLM"
    #: Cases whose head is a matrix of its own.
    untied: ClassVar[tuple[str, ...]] = ()

    def made(self, case):
        return self._made(case)

    @classmethod
    @cache
    def _made(cls, case):
        """Every parameter random; gains around one and tables wide, so that places of a text differ. One that is untied
        is tied by its config and untied by its tensors, as `from_pretrained` leaves it whose files have both."""
        import transformers

        values = {"vocab_size": VOCABULARY, "pad_token_id": None, **cls.cases[case]}
        config = transformers.AutoConfig.for_model(cls.model_type, **values)
        torch.manual_seed(0)
        model = transformers.AutoModelForSeq2SeqLM.from_config(config, attn_implementation="eager").eval()
        if case in cls.untied:
            model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
            model.all_tied_weights_keys.pop("lm_head.weight")
            model.config.tie_word_embeddings = False
        for name, parameter in model.named_parameters():
            gain, table = "norm" in name and name.endswith("weight"), "shared" in name or "embed" in name
            torch.nn.init.normal_(parameter, float(gain), 1.0 if table else 0.4)
        return model

    @torch.no_grad()
    def logits_of_theirs(self, theirs, **more):
        return theirs(READ_BS, decoder_input_ids=WRITTEN_BT, **more).logits

    @torch.no_grad()
    def logits_of_ours(self, ours):
        return ours.logits(WRITTEN_BT, source_BS=READ_BS)

    @torch.no_grad()
    def test_padding_behind_what_is_read_is_not_seen(self, case):
        theirs = self.made(case)
        _, ours = ours_from(theirs)
        expected = self.logits_of_theirs(theirs, attention_mask=SEEN_BS.long())
        documents_BS = SEEN_BS.long() - 1
        context = ours.body.encode(READ_BS, visibility=Full() & SameDocument(documents_BS)).hidden_BTC
        found = ours.body(WRITTEN_BT, context=context, visibility=Causal() & Cross(documents_BS)).hidden_BTC
        assert error(ours.heads["language_model"](found), expected) <= TOLERANCE
        assert error(self.logits_of_theirs(theirs), expected) > TOLERANCE

    def test_a_folder_comes_back_without_a_difference(self, case, tmp_path):
        """Theirs to ours, ours to theirs, and again to ours: the files say what their configs do not."""
        from transformers import AutoModelForSeq2SeqLM

        theirs = self.made(case)
        theirs.save_pretrained(tmp_path / "theirs")
        folder = open_folder(tmp_path / "theirs")
        config, weights = folder.architecture(), folder.weights()

        (tmp_path / "ours").mkdir()
        write_json(tmp_path / "ours/config.json", config_to_transformers(config, VOCABULARY, self.model_type))
        back = state_to_transformers(weights, config, self.model_type)
        save_file(back, tmp_path / "ours/model.safetensors", metadata={"format": "pt"})
        stored = load_file(tmp_path / "theirs/model.safetensors")
        assert all(torch.equal(tensor, stored[name]) for name, tensor in back.items())
        assert not any(stored[name].any() for name in stored.keys() - back.keys())
        again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "ours", attn_implementation="eager").eval()
        assert torch.equal(self.logits_of_theirs(again), self.logits_of_theirs(theirs))

        again.save_pretrained(tmp_path / "again")
        reopened = open_folder(tmp_path / "again")
        assert to_mapping(reopened.architecture()) == to_mapping(config)
        assert all(torch.equal(tensor, weights[name]) for name, tensor in reopened.weights().items())
        before, after = (read_json(tmp_path / at / "config.json") for at in ("theirs", "again"))
        said = self.cases[case].keys() - {"tie_word_embeddings"}
        assert {name: after[name] for name in said} == {name: before[name] for name in said}

    def test_what_is_read_is_looked_at(self, case):
        """The cases are such that a fault in any matrix of the attention between the texts shows."""
        theirs = self.made(case)
        _, ours = ours_from(theirs)
        for name in ("queries", "keys", "values", "out"):
            weight = ours.body.blocks[-1].cross.get_submodule(name).weight
            kept = weight.detach().clone()
            torch.nn.init.zeros_(weight)
            assert error(self.logits_of_ours(ours), self.logits_of_theirs(theirs)) > 10 * TOLERANCE, name
            weight.data.copy_(kept)

    def test_norms_stand_in_their_order(self, case):
        theirs = self.made(case)
        _, ours = ours_from(theirs)
        block = ours.body.blocks[0]
        block.attention_norm, block.cross_norm = block.cross_norm, block.attention_norm
        assert error(self.logits_of_ours(ours), self.logits_of_theirs(theirs)) > TOLERANCE
