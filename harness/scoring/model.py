"""The live module as lm-eval sees it: in memory, no export, no conversion.

It does what lm-eval's own `HFLM` does with a causal model, token by token, so that scores are comparable: requests
too long are cut from the left, an empty context is the token that ends a document, and a text longer than the model
can see is scored in windows that overlap in nothing.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from harness.decoding.generate import generate, padded, read
from harness.errors import UserError
from harness.interfaces.likelihood import Asked, LikelihoodConfig, Row
from harness.interfaces.visibility import Causal, Full, Prefix, SameDocument, Visibility
from harness.registry import registry
from harness.scoring.encoder import Compared, Encoder, Written

T = TypeVar("T")

#: (context and continuation as text, or None), their tokens.
TokenRequest = tuple[tuple[str, str] | None, list[int], list[int]]
#: (log-likelihood in nats, whether greedy decoding would give the continuation)
Answer = tuple[float, bool]

#: Rows of logits held at one time: bounds memory for large vocabularies, and fits a core's cache for small ones.
LOGIT_ROWS = 512
#: Requests in one forward pass: as many as a GPU wants; as few as leave a small model's activations in a core's cache.
BATCH = {"cpu": 32, "cuda": 64}
#: So many times as many rows are generated at once: each step sees one token of each.
GENERATED = 4


class LanguageModel(TemplateLM):
    """A `harness.models.model.Model` under lm-eval's interface.

    max_length: tokens that it is shown at most. batch_size: rows in one forward pass (null: by the device); results do
    not depend on it beyond rounding. seed: of sampled generation. progress: called with the number of requests just
    answered. likelihood: how it is asked; None: as a causal model. extra: the numbers of its method's own tokens.
    """

    def __init__(
        self,
        model: Any,
        encoder: Encoder,
        max_length: int,
        batch_size: int | None = None,
        seed: int = 0,
        progress: Callable[[int], None] | None = None,
        likelihood: LikelihoodConfig | None = None,
        extra: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.model = model.eval()
        self.encoder = encoder
        self.max_length = max_length
        self.batch_size = batch_size or BATCH[model.device.type]
        self.seed = seed
        self.progress = progress or (lambda answered: None)
        self._device = model.device
        self.kind = likelihood or registry().get("likelihood", "causal")(name="causal")
        asked = Asked(tokenizer=encoder.tokenizer, length=max_length, extra=extra or {}, topology=model.topology)
        self.likelihood = self.kind.build(asked)

    @property
    def eot_token_id(self) -> int:
        return self.encoder.end

    @property
    def prefix_token_id(self) -> int:
        return self.encoder.start

    @property
    def writes(self) -> bool:
        """Whether it goes on with a text; tasks that ask it to are left out otherwise."""
        return hasattr(self.likelihood, "opening")

    @property
    def max_gen_toks(self) -> int:
        """For tasks that do not say: lm-eval's 256, or half of what the model can see."""
        return min(256, self.max_length // 2)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """As a context: opened as the tokenizer opens texts, unless the text does so itself or it is asked not to."""
        tokens, opening = self.encoder.encode(string), self.encoder.opening
        return tokens if add_special_tokens is False or tokens[: len(opening)] == opening else [*opening, *tokens]

    # -------------------------------------------------------------------------------- log-likelihoods

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[Answer]:
        if empty := [r for r in requests if not (r.args[1] or isinstance(r.args[1], Written))]:
            raise UserError(f"A continuation of task {empty[0].task_name} is empty: there is nothing to score.")
        answers: dict[int, Answer] = {}
        written = [i for i, request in enumerate(requests) if isinstance(request.args[1], Written)]
        texts = sorted(set(range(len(requests))) - set(written))
        answers |= zip(
            written, self._loglikelihood_tokens([self._written(*requests[i].args) for i in written]), strict=True
        )
        answers |= zip(texts, super().loglikelihood([requests[i] for i in texts], disable_tqdm=True), strict=True)
        return [answers[i] for i in range(len(requests))]

    def _written(self, context: Written, continuation: Written) -> TokenRequest:
        """Nothing of an example is cut: half of one would be another question."""
        tokens = len(context.tokens) + len(continuation.tokens)
        # Beside the longest continuation a token of context is seen; what sees both ways is shown all that it is asked.
        most = self.likelihood.room + (self.kind.sees is not Full)
        if tokens > most:
            raise UserError(
                f"An example of {tokens} tokens cannot be asked of a model that sees {self.max_length}. Say "
                f"suite.tokens={min(most, self.max_length)}, or train with a larger data.sequence_length."
            )
        return (str(context), str(continuation)), context.tokens or [self.prefix_token_id], continuation.tokens

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = True) -> list[float]:
        windows: list[TokenRequest] = []
        owners: list[int] = []
        for owner, (text,) in enumerate(request.args for request in requests):
            tokens = self.encoder.encode(text)
            rolling = get_rolling_token_windows(tokens, self.prefix_token_id, self.likelihood.room, 1)
            for context, continuation in map(make_disjoint_window, rolling):
                windows.append((None, context, continuation))
                owners.append(owner)
        sampled = {i for i, owner in enumerate(owners) if not isinstance(requests[owner].args[0], Compared)}
        totals = [0.0] * len(requests)
        for owner, (log_likelihood, _) in zip(owners, self._loglikelihood_tokens(windows, sampled), strict=True):
            totals[owner] += log_likelihood
        return totals

    @torch.inference_mode()
    def _loglikelihood_tokens(
        self, requests: list[TokenRequest], sampled: Container[int] = (), **kwargs: Any
    ) -> list[Answer]:
        """sampled: the numbers of those of which a likelihood may ask some tokens only, for all."""
        for texts, context, continuation in requests:
            self._refuse_what_cannot_be_scored(texts, context, continuation)
        longest_first = sorted(range(len(requests)), key=lambda i: -len(requests[i][1]) - len(requests[i][2]))
        totals, greedy = [0.0] * len(requests), [True] * len(requests)
        for batch in batched(self._rows(requests, longest_first, sampled), self.batch_size):
            answers = self._score([row for _, row, _ in batch])
            for (owner, row, _), (log_likelihood, is_greedy) in zip(batch, answers, strict=True):
                totals[owner] += row.weight * log_likelihood
                greedy[owner] &= is_greedy
            self.progress(sum(last for _, _, last in batch))
        return list(zip(totals, greedy, strict=True))

    def _rows(
        self, requests: list[TokenRequest], order: Iterable[int], sampled: Container[int]
    ) -> Iterator[tuple[int, Row, bool]]:
        """Each row with the number of its request, and whether it is that one's last."""
        rolling = getattr(self.likelihood, "rolling", self.likelihood.rows)
        for owner in order:
            rows = (rolling if owner in sampled else self.likelihood.rows)(*requests[owner][1:])
            for row in rows:
                yield owner, row, row is rows[-1]

    def _refuse_what_cannot_be_scored(self, texts: Any, context: list[int], continuation: list[int]) -> None:
        if not continuation:
            raise UserError(
                f"No token is left to score of {texts!r:.200}: the tokenizer merges it with the context's end."
            )
        if len(continuation) > self.likelihood.room:
            raise UserError(
                f"A continuation of {len(continuation)} tokens ({texts!r:.200}) cannot be scored by a model that sees "
                f"{self.max_length}. Leave the task out, or train with a larger data.sequence_length."
            )

    def _score(self, rows: Sequence[Row]) -> list[Answer]:
        """One forward pass."""
        counts = [len(row.targets) for row in rows]
        hidden_NC = torch.cat([of_row[list(row.places)] for of_row, row in zip(self._hidden(rows), rows, strict=True)])
        targets_N = torch.tensor([token for row in rows for token in row.targets], device=self._device)
        log_likelihoods_N, greedy_N = self._predict(hidden_NC, targets_N)
        pieces = zip(log_likelihoods_N.cpu().split(counts), greedy_N.cpu().split(counts), strict=True)
        return [(float(piece.sum()), bool(greedy.all())) for piece, greedy in pieces]

    def _hidden(self, rows: Sequence[Row]) -> torch.Tensor:
        """Padding stands on the right, where causal attention never looks; from others it is hidden as a document of
        its own."""
        inputs_BT, documents_BT = padded([row.inputs for row in rows], self._device)
        visibility = Visibility((self.kind.sees(),))
        if self.kind.sees is Prefix:
            visibility = Visibility((Prefix(torch.tensor([row.prefix for row in rows], device=self._device)),))
        if self.kind.sees is Full and documents_BT.any():
            visibility = visibility & SameDocument(documents_BT)
        context = None
        if sources := [row.source for row in rows if row.source is not None]:
            visibility, context = read(self.model, sources, Visibility((Causal(),)))
        hidden_BTC: torch.Tensor = self.model.body(inputs_BT, context=context, visibility=visibility).hidden_BTC
        return hidden_BTC

    def _predict(self, hidden_NC: torch.Tensor, targets_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """For each place the target's log-likelihood, and whether it is the most likely token."""
        log_likelihoods, greedy = [], []
        for hidden_nC, targets_n in zip(hidden_NC.split(LOGIT_ROWS), targets_N.split(LOGIT_ROWS), strict=True):
            logits_nV = self.model.heads[self.kind.head](hidden_nC[None])[0].float()
            log_likelihoods.append(logits_nV.log_softmax(-1).gather(-1, targets_n[:, None])[:, 0])
            # The largest logit is found faster than its place, which is asked for only where two may be equal.
            largest_n = logits_nV.gather(-1, targets_n[:, None])[:, 0] == logits_nV.amax(-1)
            largest_n[largest_n.clone()] = logits_nV[largest_n].argmax(-1) == targets_n[largest_n]
            greedy.append(largest_n)
        return torch.cat(log_likelihoods), torch.cat(greedy)

    # ------------------------------------------------------------------------------------- generation

    @torch.inference_mode()
    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        answers: dict[int, str] = {}
        groups: dict[str, list[int]] = {}
        for i, request in enumerate(requests):
            groups.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(i)
        prompts = [self.tok_encode(request.args[0]) or [self.prefix_token_id] for request in requests]
        for same_settings in groups.values():
            settings = self._settings(requests[same_settings[0]].args[1])
            longest_first = sorted(same_settings, key=lambda i: -len(prompts[i]))
            for batch in batched(longest_first, GENERATED * self.batch_size):
                answers.update(zip(batch, self._generate([prompts[i] for i in batch], settings), strict=True))
                self.progress(len(batch))
        return [answers[i] for i in range(len(requests))]

    def _settings(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A task's generation settings, normalised as lm-eval does; refuses what we cannot do."""
        settings = dict(normalize_gen_kwargs(asked, self.max_gen_toks))
        known = {"until", "max_gen_toks", "do_sample", "temperature", "top_k", "top_p"}
        if unknown := sorted(set(settings) - known):
            raise UserError(f"The task generates with {', '.join(unknown)}; known are {', '.join(sorted(known))}.")
        if settings["max_gen_toks"] >= self.max_length:
            raise UserError(
                f"The task asks for up to {settings['max_gen_toks']} new tokens; the model sees {self.max_length}, "
                "prompt included. Leave the task out, or train with a larger data.sequence_length."
            )
        return settings

    def _generate(self, prompts: list[list[int]], settings: dict[str, Any]) -> list[str]:
        until = [text for text in settings["until"] if text]
        generated = generate(
            self.model,
            prompts,
            sampler=self._sampler(settings),
            max_new_tokens=settings["max_gen_toks"],
            opening=self.likelihood.opening,  # type: ignore[union-attr]
            room=self.max_length - settings["max_gen_toks"],
            stop=self._stop(until),
            generator=torch.Generator(self.device).manual_seed(self.seed),
            text=self.encoder.tokenizer.size,
        )
        return [postprocess_generated_text(self._text(tokens), until, None) for tokens in generated]

    def _stop(self, until: list[str]) -> Callable[[list[int]], bool]:
        """Whether a row has ended: at the end token, at a stop text that is a token (a special one decodes to nothing),
        or when a stop text has just been completed. A token is at least one byte, so that only so many of the last
        ones need to be decoded."""
        marks = {tokens[0] for text in until if len(tokens := self.encoder.encode(text)) == 1} | {self.eot_token_id}
        tail = max((len(text.encode()) for text in until), default=0)

        def ended(row: list[int]) -> bool:
            if row[-1] in marks or not until:
                return row[-1] in marks
            text = self.encoder.decode(row[-tail:])
            return any(stop in text for stop in until)

        return ended

    def _text(self, tokens: Sequence[int]) -> str:
        return self.encoder.decode(list(itertools.takewhile(lambda token: token != self.eot_token_id, tokens)))

    def _sampler(self, settings: dict[str, Any]) -> Any:
        if not settings["do_sample"] or not settings.get("temperature"):
            return registry().get("sampler", "greedy")().build()
        chosen = {key: settings[key] for key in ("temperature", "top_k", "top_p") if settings.get(key) is not None}
        return registry().get("sampler", "categorical")(**chosen).build()


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while batch := list(itertools.islice(remaining, size)):
        yield batch
