"""Settings loaded from a folder of the test's own, and what loading complains about."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from server.config import Loaded, load_settings
from server.problems import SettingsError


@contextmanager
def usual_umask() -> Iterator[None]:
    """A settings file that everybody may write is refused."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def load(
    cwd: Path, toml: str | None = None, /, *, config: Path | None = None, overrides: Mapping[str, object] | None = None, **environ: str
) -> Loaded:
    """Load from `cwd`, with `toml` as its penstock.toml."""
    if toml is not None:
        (cwd / "penstock.toml").write_text(toml)
    return load_settings(overrides=overrides or {}, config=config, environ=environ, cwd=cwd)


def problems(cwd: Path, toml: str | None = None, /, **rest: Any) -> list[str]:
    """What loading the same complains about, one line each, with `cwd` written as a dot."""
    with pytest.raises(SettingsError) as caught:
        load(cwd, toml, **rest)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return [str(problem).replace(str(cwd), ".") for problem in caught.value.problems]
