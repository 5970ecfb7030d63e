"""WordPiece over bytes by the `tokenizers` library, kept in its own tokenizer.json."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from harness.data.subwords import LibraryTokenizer
from harness.models.huggingface.tokenizer import with_end, write_tokenizer

#: What a piece within a word begins with. BERT's ## is a text, too, and could not be told from one; this is no byte.
WITHIN = "\u203f"
#: Bytes of a word at most: to find the longest piece costs the square of it.
LONGEST = 64


class WordPieceTokenizer(LibraryTokenizer):
    """Of what is left of a word the longest known piece."""

    def begins_word(self, token: int) -> bool:
        piece = self.library.id_to_token(token)
        return piece is not None and not piece.startswith(WITHIN)

    def export(self, folder: Path) -> None:
        write_tokenizer(folder, with_end(self.library, self.end))


def train(texts: Iterable[str], size: int) -> WordPieceTokenizer:
    """The library learns pieces as merges of the most frequent pairs. It numbers characters within words as it meets
    them, by chance, so they are given to it in order, as tokens that it has already."""
    library = _library(models.WordPiece(unk_token="", continuing_subword_prefix=WITHIN))
    single = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.WordPieceTrainer(
        vocab_size=size - 1,
        special_tokens=single + [WITHIN + byte for byte in single],
        continuing_subword_prefix=WITHIN,
        show_progress=False,
    )
    library.train_from_iterator(texts, trainer)
    pieces = library.get_vocab(with_added_tokens=False)
    learned = models.WordPiece(pieces, unk_token="", continuing_subword_prefix=WITHIN, max_input_chars_per_word=LONGEST)
    return WordPieceTokenizer(_library(learned), size)


def _library(model: models.Model) -> Tokenizer:
    library = Tokenizer(model)
    digits, words = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.pre_tokenizer = pre_tokenizers.Sequence([digits, words, pre_tokenizers.FixedLength(LONGEST)])
    library.decoder = decoders.Sequence([decoders.Replace(Regex(f"^{WITHIN}"), ""), decoders.ByteLevel()])
    return library
