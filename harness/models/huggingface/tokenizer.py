"""A tokenizer of ours as `transformers` opens it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.files import write_atomic, write_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: What the end token is called there. It is no text: a document that holds these letters has other tokens.
END = "<|end|>"


def write_tokenizer(folder: Path, tokenizer: Tokenizer, **settings: Any) -> None:
    """tokenizer.json and tokenizer_config.json, which ``AutoTokenizer.from_pretrained(folder)`` opens.

    tokenizer: an object of the `tokenizers` library with END in its vocabulary. settings: more for the second file.
    """
    from tokenizers import AddedToken

    tokenizer.add_special_tokens([AddedToken(END, special=True, normalized=False)])
    write_atomic(folder / "tokenizer.json", tokenizer.to_str(pretty=True))
    own = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END,
        "eos_token": END,
        "split_special_tokens": True,  # special tokens are never found in a text
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", {**own, **settings})


def with_end(tokenizer: Tokenizer, end: int) -> Tokenizer:
    """A copy of a tokenizer of the `tokenizers` library in which END has its number. It is a word of the vocabulary
    that no text leads to; a vocabulary without numbers is filled up with names that cannot be spelled either."""
    from tokenizers import Tokenizer

    content = json.loads(tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    if isinstance(vocabulary, dict):
        vocabulary[END] = end
    else:
        unused = range(len(vocabulary), end)
        vocabulary += [*([f"<|unused {number}|>", 0.0] for number in unused), [END, 0.0]]
    return Tokenizer.from_str(json.dumps(content))


def export_tokenizer(folder: Path, tokenizer: Any) -> None:
    """Writes any tokenizer of ours. Raises UserError for one that does not know how to be exported."""
    if not hasattr(tokenizer, "export"):
        raise UserError(
            f"The tokenizer {type(tokenizer).__name__} cannot be exported: it has no method `export`, which writes "
            "what AutoTokenizer opens."
        )
    tokenizer.export(folder)
