"""The estimate's errors are what the document says, on texts that are held out; the weights are what the texts give."""

import doctest
from importlib import import_module
from pathlib import Path

import msgspec
import pytest

from benchmarks.calibrate import FLOORS, _descend, calibration_file, fit_weights, joining_characters, write_calibration
from benchmarks.estimate import DOCUMENT, FEWEST_TOKENS, MOST_ERROR, errors, errors_table, fill, main, prices_table
from benchmarks.texts import CORPORA, Text, TokenizerFailed, ask_tokenizer, parse_corpus, read_texts, write_texts
from pipeline.usage.patterns import CALIBRATION, NAMES, Calibration

READ = read_texts()
ERRORS = errors(READ)
WANTED = {"prose", "code", "json", "cjk", "cyrillic", "arabic", "emoji", "base64"}


@pytest.mark.parametrize("module", ["estimate", "texts"])
def test_doctests(module):
    results = doctest.testmod(import_module(f"benchmarks.{module}"))
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("found", ERRORS, ids=lambda found: found.corpus)
def test_the_mean_error_of_a_corpus_is_small_and_below_that_of_characters(found):
    assert found.mean <= MOST_ERROR
    assert found.mean < found.chars4
    assert found.texts >= 3


def test_every_kind_of_text_has_a_corpus():
    assert {found.corpus for found in ERRORS} >= WANTED


def test_held_out_texts_are_long_enough_and_have_nothing_of_the_others():
    fit = {line for text in READ if text.is_fit for line in text.text.splitlines() if len(line) > 60}
    for text in READ:
        assert text.source
        if not text.is_fit:
            assert text.tokens >= FEWEST_TOKENS, text.name
            assert not fit & set(text.text.splitlines()), text.name
    assert len({(text.corpus, text.name) for text in READ}) == len(READ)


def test_the_corpora_are_small():
    assert sum(path.stat().st_size for path in CORPORA.iterdir()) < 400_000


def test_the_weights_are_what_the_texts_give():
    assert fit_weights(READ) == CALIBRATION.weights, "run: python -m benchmarks.estimate --fit"


def test_held_out_texts_have_no_part_in_the_fit():
    assert fit_weights([text for text in READ if text.is_fit]) == CALIBRATION.weights


def test_no_weight_is_below_its_floor():
    assert {*FLOORS} <= {*NAMES}
    assert all(CALIBRATION.weights[name] >= floor for name, floor in FLOORS.items())


def test_the_document_has_these_errors_and_prices():
    document = DOCUMENT.read_text(encoding="utf-8")
    parts = {"errors": errors_table(ERRORS), "prices": prices_table()}
    assert fill(document, parts) == document, "run: python -m benchmarks.estimate --docs"


@pytest.mark.parametrize("document", ["no part\n", "<!-- generated: x -->\nnever closed\n"])
def test_a_document_without_the_part(document):
    with pytest.raises(KeyError, match="x"):
        fill(document, {"x": "new"})


def test_descent_ends_at_the_best_that_is_not_negative():
    assert _descend([[2.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0]], [6.0, -1.0, 0.0]) == [3.0, 0.0, 0.0]
    found = _descend([[2.0, 1.0], [1.0, 3.0]], [5.0, 10.0])
    assert found == pytest.approx([1.0, 3.0])


def test_characters_join_that_are_in_many_early_words():
    words = [(10, "中国"), (500, " 中文"), (1000, "鬱鬱"), (7, "中"), (8, "abc"), (20, "하다"), (9, "中国人民共和国")]
    assert joining_characters(words) == {"joining_han": "中国文鬱", "joining_hangul": "다하"}


def test_texts_and_weights_are_written_as_they_are_read(tmp_path):
    write_texts(READ, tmp_path)
    assert read_texts(tmp_path) == READ
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {path.name: path.read_bytes() for path in CORPORA.iterdir()}
    file = tmp_path / "calibration.toml"
    write_calibration(CALIBRATION, file)
    assert file.read_bytes() == calibration_file().read_bytes()
    assert msgspec.toml.decode(file.read_bytes(), type=Calibration) == CALIBRATION


@pytest.mark.parametrize(
    "content",
    ["no head\n", "%% fit | a | b\ntext\n", "%% fit | a | b | 3 tokens\ntext\n%% fit | c | d\nmore\n", "%% other | a | b | 3 tokens\ntext\n"],
)
def test_a_file_of_another_form(content):
    with pytest.raises(ValueError, match="corpus"):
        parse_corpus("corpus", content)


def test_a_text_may_be_of_any_lines():
    text = Text("corpus", "fit", "a", "b", 3, "\n 100%% \n\n")
    assert parse_corpus("corpus", "%% fit | a | b | 3 tokens\n\n 100%% \n\n\n") == [text]


def test_a_tokenizer_that_is_not_there(tmp_path: Path, capsys):
    with pytest.raises(TokenizerFailed, match="node"):
        ask_tokenizer(tmp_path, ["text"])
    assert main(["--tokenizer", str(tmp_path)]) == 1
    assert "estimate: node" in capsys.readouterr().err


def test_the_program_shows_every_corpus(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(found.corpus in shown and f"{found.mean:.1%}" in shown for found in ERRORS)
