"""The tokenizer of a Hugging Face folder."""

import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from harness.config import ConfigError, plugin_config
from harness.errors import UserError

WORDS = ["<unk>", "a", "b", "c", "d"]


def write(folder: Path, settings: dict | None = None, opening: bool = False) -> Path:
    """A tokenizer of four words, <s> (5) and </s> (6), as a library would leave it in a folder."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken("<s>"), AddedToken("</s>")])
    if opening:
        tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 5)])
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=8)
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    if settings is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def config(folder: Path, **options):
    return plugin_config("tokenizer", {"name": "huggingface", "folder": str(folder), **options}, "tokenizer")


SETTINGS = {"eos_token": "</s>", "bos_token": {"content": "<s>", "lstrip": False}}


def test_texts_are_encoded_whole_and_bare(tmp_path: Path) -> None:
    """Neither cut nor padded, and without special tokens around them, whatever the file asks for."""
    tokenizer = config(write(tmp_path / "t", SETTINGS, opening=True)).train(())
    assert tokenizer.encode("a b c d") == [1, 2, 3, 4]
    assert tokenizer.encode_all(["d", "a zzz"]) == [[4], [1, 0]]
    assert tokenizer.decode([1, 6, 2]) == "a b"
    assert (tokenizer.size, tokenizer.start, tokenizer.end, tokenizer.opening) == (7, 5, 6, [5])


def test_one_that_opens_no_text_says_so(tmp_path: Path) -> None:
    assert config(write(tmp_path / "t", SETTINGS)).train(()).opening == []


@pytest.mark.parametrize(
    ("settings", "files", "options", "end"),
    [
        ({"eos_token": "</s>"}, {}, {}, 6),
        ({"eos_token": "</s>"}, {"config.json": {"eos_token_id": 5}}, {}, 6),
        (None, {"special_tokens_map.json": {"eos_token": {"content": "</s>"}}}, {}, 6),
        (None, {"config.json": {"eos_token_id": 5}}, {}, 5),
        (None, {"config.json": {"eos_token_id": [6, 5]}}, {}, 6),
        ({"eos_token": "</s>"}, {}, {"end": "<s>"}, 5),
        (None, {}, {"end": "d"}, 4),
    ],
)
def test_where_the_end_token_comes_from(tmp_path: Path, settings, files, options, end: int) -> None:
    folder = write(tmp_path / "t", settings)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    tokenizer = config(folder, **options).train(())
    assert tokenizer.end == end
    copy = tmp_path / "copy"
    copy.mkdir()
    tokenizer.save(copy)
    assert config(tmp_path / "gone").load(copy).end == end
    assert end not in tokenizer.encode(tokenizer.decode([1, end, 2]))


def test_identity_is_the_content_and_not_the_place(tmp_path: Path) -> None:
    one, two = config(write(tmp_path / "one", SETTINGS)), config(write(tmp_path / "two", SETTINGS))
    assert one.fingerprint() == two.fingerprint() == config(tmp_path / "two", end="</s>").fingerprint()
    assert one.fingerprint() != config(tmp_path / "two", end="d").fingerprint()
    write(tmp_path / "two", SETTINGS, opening=True)
    assert one.fingerprint() != two.fingerprint()


def test_a_run_needs_only_its_copy(tmp_path: Path) -> None:
    here = config(write(tmp_path / "t", None), end="</s>")
    before, copy = here.fingerprint(), tmp_path / "copy"
    copy.mkdir()
    here.train(()).save(copy)
    (tmp_path / "t" / "tokenizer.json").unlink()
    assert here.of_run(copy).fingerprint() == before


def test_planning_knows_the_vocabulary_and_ids_do_not_know_the_path(tmp_path: Path) -> None:
    from harness.composition import run_config
    from harness.planning.plan import resolve

    plans = []
    for name in ("one", "two"):
        folder = write(tmp_path / name, SETTINGS)
        (tmp_path / "text.txt").write_text("a b c d " * 200)
        words = [f"corpus.path={tmp_path}/text.txt", f"tokenizer.folder={folder}", "data.held_out=0"]
        plans.append(resolve(run_config(["experiment=tiny", "corpus=text", "tokenizer=huggingface", *words])))
    assert plans[0].vocabulary == 7
    assert plans[0].id == plans[1].id


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({}, {}, "has no tokenizer.json"),
        ({"tokenizer.json": "{"}, {}, "tokenizer.json cannot be read as a tokenizer"),
        ({"tokenizer.json": None}, {}, "does not say which token ends a document"),
        ({"tokenizer.json": None, "tokenizer_config.json": "{"}, {}, "tokenizer_config.json cannot be read"),
        ({"tokenizer.json": None, "tokenizer_config.json": "[]"}, {}, "tokenizer_config.json cannot be read"),
        ({"tokenizer.json": None, "tokenizer_config.json": '{"eos_token": "zzz"}'}, {}, "has no token zzz"),
        ({"tokenizer.json": None, "config.json": '{"eos_token_id": 99}'}, {}, "does not say which token"),
        ({"tokenizer.json": None}, {"end": "zzz"}, "has no token zzz"),
    ],
)
def test_what_is_missing_or_damaged_is_named(tmp_path: Path, files, options, message: str) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    for name, content in files.items():
        write(folder) if content is None else (folder / name).write_text(content)
    with pytest.raises(UserError, match=message):
        config(folder, **options).vocabulary()


def test_a_folder_has_to_be_given() -> None:
    with pytest.raises(ConfigError, match="tokenizer.folder has no value"):
        plugin_config("tokenizer", "huggingface", "tokenizer")


def test_words_begin_where_the_folders_pieces_say_so(tmp_path):
    """Pieces of BERT's kind are marked within words, of SentencePiece's and GPT-2's at the beginning."""
    pieces = {"<end>": 0, "un": 1, "##able": 2, "\u2581the": 3, "Ġthe": 4, "the": 5}
    for model, begins in (
        (models.WordPiece(pieces, unk_token="<end>"), [True, True, False, True, True, True]),
        (models.BPE(pieces, []), [False, False, False, True, True, False]),
    ):
        (folder := tmp_path / type(model).__name__).mkdir()
        Tokenizer(model).save(str(folder / "tokenizer.json"))
        config = {"name": "huggingface", "folder": str(folder), "end": "<end>"}
        tokenizer = plugin_config("tokenizer", config, "tokenizer").train(())
        assert [tokenizer.begins_word(token) for token in range(6)] == begins
