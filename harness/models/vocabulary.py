"""Weights under another vocabulary: each new token begins as the mean of what its text was (Gee et al. 2022, "Fast
Vocabulary Transfer for Language Model Compression")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from harness.interfaces.tokenizer import Tokenizer

#: What bytes that are no text are decoded to.
NO_TEXT = "\ufffd"


def tables(model: Any, vocabulary: int) -> set[str]:
    """Names of the tensors of a `Model` that have a row for each token: embeddings, and what is so in a head."""
    embedding_VC = model.body.embedding_VC
    return {
        name
        for name, tensor in model.state_dict(keep_vars=True).items()
        if tensor is embedding_VC or (name.startswith("heads.") and tensor.shape[:1] == (vocabulary,))
    }


def same_tokens(one: Tokenizer, other: Tokenizer) -> bool:
    """Whether every token stands for the same text in both."""
    if (one.size, one.end) != (other.size, other.end):
        return False
    return all(one.decode([token]) == other.decode([token]) for token in range(one.size))


def origins(new: Tokenizer, old: Tokenizer) -> list[list[int]]:
    """For each new token the old tokens of its text; none where it has no text of its own (special tokens, parts of a
    character). The end comes from the end."""
    texts = [new.decode([token]) for token in range(new.size)]
    found = old.encode_all([text if NO_TEXT not in text else "" for text in texts])
    found[new.end] = [old.end]
    return found


def transferred(old_VC: torch.Tensor, fresh_VC: torch.Tensor, origins: Sequence[Sequence[int]]) -> torch.Tensor:
    """The mean of the old rows for each new token; the fresh row where it comes from nowhere."""
    rows_VC = fresh_VC.detach().clone()
    for token, before in enumerate(origins):
        if before:
            rows_VC[token] = old_VC[list(before)].mean(dim=0)
    return rows_VC


def named(
    rows_VC: torch.Tensor,
    old_VC: torch.Tensor,
    fresh_VC: torch.Tensor,
    ours: Mapping[str, int],
    theirs: Mapping[str, int],
) -> torch.Tensor:
    """Rows in which a method's own tokens have the old rows of the same name, and others their fresh start, whatever
    stood at their numbers. ours, theirs: numbers by name."""
    rows_VC = rows_VC.clone()
    for name, token in ours.items():
        rows_VC[token] = old_VC[theirs[name]] if name in theirs else fresh_VC[token]
    return rows_VC


def grown(old_VC: torch.Tensor, fresh_VC: torch.Tensor) -> torch.Tensor:
    """The old rows as far as they go in a table of the same tokens, padded to another size."""
    rows_VC, common = fresh_VC.detach().clone(), min(len(old_VC), len(fresh_VC))
    rows_VC[:common] = old_VC[:common]
    return rows_VC
