"""What BERT and its successors must show beside what every family must: padding, and their heads."""

from typing import ClassVar

import torch

from harness.interfaces.visibility import Full, SameDocument
from tests.models.huggingface.families import INPUTS, TOLERANCE, FamilyTests, error, ours_from

ENCODER = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 56,
    "max_position_embeddings": 48,
}
SEEN_T = torch.tensor([40, 23, 1])[:, None] > torch.arange(40)  # the second and third row end in padding


class EncoderTests(FamilyTests):
    auto_class = "AutoModelForMaskedLM"
    #: A token that no place of the inputs has: their padding.
    padding: ClassVar[int] = 100
    inputs = INPUTS.clamp(2, 99)

    def logits_of_theirs(self, theirs):
        with torch.no_grad():
            return theirs(self.inputs).logits

    def logits_of_ours(self, ours):
        with torch.no_grad():
            return ours.logits(self.inputs, visibility=Full())

    @torch.no_grad()
    def test_padding_on_the_right_is_not_seen(self, case):
        theirs = self.made(case)
        _, ours = ours_from(theirs)
        padded = self.inputs.where(SEEN_T, self.padding)
        expected = theirs(padded, attention_mask=SEEN_T.long()).logits
        found = ours.logits(padded, visibility=Full() & SameDocument(SEEN_T.long()))
        assert error(found[SEEN_T], expected[SEEN_T]) <= TOLERANCE
