"""The texts that the token estimate is fitted to and measured by, and what a real tokenizer makes of them.

Theory of operation: a file of `benchmarks/corpora` is one corpus. In it, a line that begins with `%%` opens a text and holds four fields between
bars: whether the text is for fitting or held out, its name, its source, and its tokens in o200k_base. The text is what follows, without its last
newline. The counts stand in the files, so that fitting and measuring need no tokenizer; `counted` asks one, gpt-tokenizer, which carries its
vocabulary with it.
"""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

CORPORA = Path(__file__).with_name("corpora")
TOKENIZER = "gpt-tokenizer@4.0.0"
FIT, HELD_OUT = "fit", "held-out"
SPLITS = (FIT, HELD_OUT)

_COUNTER = Path(__file__).with_name("o200k.cjs")
_HEAD = re.compile(r"^%% (.*) \| (.*) \| (.*) \| (\d+) tokens\n", re.MULTILINE)


class TokenizerFailed(Exception):
    """The real tokenizer could not be asked; the message says why."""


class Text(msgspec.Struct, frozen=True):
    """One text; `corpus` is the name of its file, `tokens` its length in o200k_base."""

    corpus: str
    split: str
    name: str
    source: str
    tokens: int
    text: str

    @property
    def is_fit(self) -> bool:
        """Whether the text is for fitting."""
        return self.split == FIT


def read_texts(folder: Path = CORPORA) -> list[Text]:
    """All texts, corpus by corpus; raises ValueError for a file that is not of the form."""
    return [text for path in sorted(folder.glob("*.txt")) for text in parse_corpus(path.stem, path.read_text(encoding="utf-8"))]


def parse_corpus(corpus: str, content: str) -> list[Text]:
    r"""The texts of one file; raises ValueError.

    >>> parse_corpus("prose", "%% fit | greeting | made up | 3 tokens\nHello,\nyou\n")
    [Text(corpus='prose', split='fit', name='greeting', source='made up', tokens=3, text='Hello,\nyou')]
    """
    before, *parts = _HEAD.split(content)
    if before:
        raise ValueError(f"{corpus}: {before.partition(chr(10))[0]!r} opens no text")
    texts = [
        Text(corpus, split, name, source, int(tokens), body.removesuffix("\n"))
        for split, name, source, tokens, body in zip(*(parts[field::5] for field in range(5)), strict=True)
    ]
    wrong = next((text for text in texts if text.split not in SPLITS or "\n%%" in "\n" + text.text), None)
    if wrong is not None:
        raise ValueError(f"{corpus}: {wrong.name} is of no known split, or has a line in it that opens no text")
    return texts


def write_texts(texts: Sequence[Text], folder: Path = CORPORA) -> None:
    """Write the files of all corpora that the texts are of."""
    for corpus in dict.fromkeys(text.corpus for text in texts):
        content = "".join(
            f"%% {text.split} | {text.name} | {text.source} | {text.tokens} tokens\n{text.text}\n" for text in texts if text.corpus == corpus
        )
        (folder / f"{corpus}.txt").write_text(content, encoding="utf-8")


class Answer(msgspec.Struct, frozen=True):
    """What the tokenizer's program says: the tokens of each text, and the vocabulary's words beyond ASCII, with their ranks."""

    counts: list[int]
    words: list[tuple[int, str]]


def ask_tokenizer(installed: Path, texts: Sequence[str]) -> Answer:
    """Ask the tokenizer that npm installed under a folder; raises TokenizerFailed."""
    try:
        done = subprocess.run(
            ["node", _COUNTER, installed.resolve()], input=msgspec.json.encode(texts), capture_output=True, check=False, timeout=120
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TokenizerFailed(f"node: {error}") from None
    if done.returncode != 0:
        raise TokenizerFailed(f"node: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return msgspec.json.decode(done.stdout, type=Answer)


def counted(texts: Sequence[Text], installed: Path) -> list[Text]:
    """The texts with the tokenizer's own counts; raises TokenizerFailed."""
    counts = ask_tokenizer(installed, [text.text for text in texts]).counts
    return [msgspec.structs.replace(text, tokens=tokens) for text, tokens in zip(texts, counts, strict=True)]
