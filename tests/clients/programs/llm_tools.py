"""Tools as a user of `llm` writes them: functions with a docstring."""

from pathlib import Path


def read_file(path: str) -> str:
    """Read a file of the current directory."""
    return Path(path).read_text()


def count_words(text: str, at_least: int) -> str:
    """Count the words that have at least so many letters."""
    assert isinstance(at_least, int)
    return str(sum(len(word) >= at_least for word in text.split()))
