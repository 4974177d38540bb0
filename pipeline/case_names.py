"""Which cases a word means: a path first, then the names of the cases that come with Penstock.

A word comes in, folders of cases go out, or `UnknownName` with what may have been meant. A shipped case has its full name, `composer/plain-text`; the
name of the model that replays it, `captured/plain-text`; and its bare name, `plain-text`, where no other upstream has a case of that name. A name
above cases, such as `composer`, means all of them. Left alone: what is in the folders.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path

from pipeline.cases import STREAM, find_cases, shipped
from pipeline.upstream.captured import KIND, PREFIX

NEAREST_COUNT = 3
_CUTOFF = 0.6


class UnknownName(Exception):
    """A word that means no case, or more than one by the same bare name; the message names the word and the cases that come nearest."""


def shipped_names() -> dict[str, Path]:
    """The folder of each case that comes with Penstock, by its full name."""
    return {path.relative_to(shipped()).as_posix(): path for path in find_cases(shipped())}


def cases_named(word: str) -> list[Path]:
    """The folders of all cases that a word means, in the order of their names, at least one; raises UnknownName."""
    if Path(word).exists():
        found = _at(Path(word))
        if not found:
            raise UnknownName(f"{word}: there is no case")
        return found
    names = shipped_names()
    full = KIND + "/" + word.removeprefix(PREFIX) if word.startswith(PREFIX) else word
    found = _at(shipped() / full)
    if found:
        return found
    same = [name for name in names if _bare(name) == word]
    if len(same) > 1:
        raise UnknownName(f"{word}: several shipped cases are called so: {', '.join(same)}")
    if same:
        return [names[same[0]]]
    near = nearest_names(full, names)
    hint = f"; the nearest: {', '.join(near)}" if near else ""
    raise UnknownName(f"{word}: no case there, and none of that name is shipped{hint}")


def nearest_names(word: str, names: Iterable[str]) -> list[str]:
    """The few full names that look like a word, be it a full or a bare one, the nearest first.

    >>> nearest_names("paralel-calls", ["composer/parallel-calls", "composer/one-call", "openai_chat/parallel-calls"])
    ['composer/parallel-calls', 'openai_chat/parallel-calls']
    >>> nearest_names("compsoer/one-cal", ["composer/parallel-calls", "composer/one-call", "openai_chat/text"])
    ['composer/one-call', 'composer/parallel-calls']
    """
    by_form: dict[str, list[str]] = {}
    for name in names:
        for form in (name, _bare(name)):
            by_form.setdefault(form, []).append(name)
    close = difflib.get_close_matches(word, by_form, n=NEAREST_COUNT, cutoff=_CUTOFF)
    return list(dict.fromkeys(name for form in close for name in by_form[form]))[:NEAREST_COUNT]


def _bare(name: str) -> str:
    return name.rpartition("/")[2]


def _at(path: Path) -> list[Path]:
    found = find_cases(path)
    if not found and (path / STREAM).is_file():
        return [path]  # a case without meta.toml: reading it says so
    return found
