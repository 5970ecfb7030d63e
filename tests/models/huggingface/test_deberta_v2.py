"""DeBERTa-v2 and v3."""

import pytest
import torch

from harness.errors import UserError
from harness.models.huggingface import config_from_transformers
from harness_plugins.attention.disentangled.module import Disentangled
from tests.models.huggingface.encoders import ENCODER, EncoderTests
from tests.models.huggingface.families import TOLERANCE, VOCABULARY, error, ours_from

V3 = {
    **ENCODER,
    "relative_attention": True,
    "position_biased_input": False,
    "position_buckets": 8,
    "max_relative_positions": 20,  # the 40 places of the inputs reach beyond
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
}
V2 = {name: value for name, value in V3.items() if name not in ("position_buckets", "max_relative_positions")}


class TestDebertaV2(EncoderTests):
    model_type = "deberta-v2"
    cases = {
        "v3": V3,
        "projections of their own, no norm": {**V3, "share_att_key": False, "norm_rel_ebd": "none"},
        "one vector for each distance": {**V2, "max_position_embeddings": 30},
        "segments, content to position alone": {**V3, "type_vocab_size": 2, "pos_att_type": "c2p"},
        "position to content alone": {**V3, "share_att_key": False, "pos_att_type": ["p2c"]},
    }
    mutants = {
        "v3": [
            {"position.longest": 19},
            {"position.longest": 21},
            {"position.norm": None},
            {"attention.bias": False},
            {"attention.content_to_position": False},
            {"attention.position_to_content": False},
            {"head.bias": False},
            {"embedding_norm": False},
        ],
        "one vector for each distance": [{"position.norm.epsilon": 0.1}],
        "segments, content to position alone": [{"segments": 0}],
    }

    @pytest.mark.parametrize("change", ["scale", "exchanged", "a row off"])
    def test_a_mutant_of_the_code_is_found_out(self, change):
        theirs = self.made("projections of their own, no norm")
        _, ours = ours_from(theirs)
        assert error(self.logits_of_ours(ours), self.logits_of_theirs(theirs)) <= TOLERANCE
        for attention in (module for module in ours.modules() if isinstance(module, Disentangled)):
            if change == "scale":
                attention.scale *= 3**0.5
            elif change == "exchanged":
                own = attention.position_keys, attention.position_queries
                attention.position_queries, attention.position_keys = own
            else:
                rows = attention._rows
                attention._rows = lambda *arguments, rows=rows: (rows(*arguments) + 1).clamp(max=15)
        assert error(self.logits_of_ours(ours), self.logits_of_theirs(theirs)) > TOLERANCE

    def test_the_head_of_the_authors_code_is_read(self):
        """What was released has it, and `transformers` with legacy=False."""
        from transformers import AutoConfig, DebertaV2ForMaskedLM

        values = {"vocab_size": VOCABULARY, **V3, "legacy": False}
        theirs = DebertaV2ForMaskedLM(AutoConfig.for_model("deberta-v2", **values)).eval()
        with torch.no_grad():
            for parameter in theirs.parameters():
                parameter.normal_(0.0, 0.4)
        assert "lm_predictions.lm_head.dense.weight" in theirs.state_dict()
        _, ours = ours_from(theirs)
        assert error(self.logits_of_ours(ours), self.logits_of_theirs(theirs)) <= TOLERANCE


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"conv_kernel_size": 3}, "a convolution beside its first layer"),
        ({"position_biased_input": True}, "position_biased_input=True has no counterpart"),
        ({"relative_attention": False}, "relative_attention=False has no counterpart"),
        ({"embedding_size": 16}, "embedding_size=16 has no counterpart"),
        ({"attention_head_size": 16}, "attention_head_size=16 has no counterpart"),
    ],
)
def test_what_has_no_counterpart_is_refused(options, told):
    with pytest.raises(UserError, match=told):
        config_from_transformers({"model_type": "deberta-v2", "vocab_size": VOCABULARY, **V3, **options})
