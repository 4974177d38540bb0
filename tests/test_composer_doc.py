"""docs/composer.md holds what the program does: its settings load, its commands are the shells', its names exist."""

import re
import shutil
import subprocess

import pytest

from pipeline import errors
from pipeline.models import ALIASES, PREFIXES
from pipeline.wire import website_errors
from server.config import load_settings
from server.config_schema import structs_of
from server.environment import VARIABLES
from server.keys import new_key
from server.upstream_settings import Upstream
from tests.support.processes import ROOT, clean_environment, server_process
from tests.support.settings_files import usual_umask

TEXT = (ROOT / "docs/composer.md").read_text(encoding="utf-8")
SHELLS = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"], "sh": ["sh", "-n"]}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("settings", blocks("toml"))
def test_its_settings_are_valid(settings, tmp_path):
    with usual_umask():
        (tmp_path / "penstock.toml").write_text(settings, encoding="utf-8")
        loaded = load_settings(overrides={}, config=None, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert set(loaded.settings.upstreams) <= {"composer", "sdk", "website"}


def test_it_shows_settings_of_every_way():
    shown = set(re.findall(r'^kind = "([a-z-]+)"', TEXT, re.MULTILINE))
    assert shown == {str(kind.__struct_config__.tag) for kind in structs_of(Upstream) if getattr(kind, "is_one_persons", False)}
    assert all(f"`{kind.__struct_config__.tag}`" in TEXT for kind in structs_of(Upstream) if getattr(kind, "has_cursors_models", False))


@pytest.mark.parametrize(("language", "command"), SHELLS.items())
def test_its_commands_are_the_shells(language, command):
    found = blocks(language)
    assert found
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    for block in found:
        subprocess.run(command, input=block, text=True, check=True, capture_output=True)


def test_the_key_of_a_bash_user_is_read_as_it_is():
    (line,) = [line for line in blocks("bash")[0].splitlines() if line.startswith("read ")]
    key = "key_with \\ odd 'characters'"
    said = subprocess.run(["bash", "-c", f'{line}\nprintf %s "$CURSOR_API_KEY"'], input=key + "\n", text=True, capture_output=True, check=True)
    assert said.stdout == key


def test_its_request_answers(tmp_path):
    """The key arrives as a bearer: the front door of mode `keys` says so."""
    key = new_key()
    made = subprocess.run(["sh", "-c", f"printf %s {key} | sha256sum"], capture_output=True, text=True, check=True).stdout.split()[0]
    (tmp_path / "penstock.toml").write_text(f'[auth]\nmode = "keys"\n[[auth.keys]]\nname = "me"\nhash = "sha256:{made}"\n', encoding="utf-8")
    (tmp_path / "penstock.toml").chmod(0o600)
    with server_process(cwd=tmp_path) as server:
        (request,) = blocks("sh")
        said = subprocess.run(
            ["sh", "-c", request.replace("http://127.0.0.1:8787", server.url)],
            env=clean_environment(NO_PROXY="*", CURSOR_API_KEY=key),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
    assert said.endswith("data: [DONE]\n\n")


def test_the_names_in_it_exist():
    codes = {kind.default_code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PenstockError)}
    codes |= {"upstream_endpoint_gone", "upstream_client_outdated", str(website_errors.REFUSED.code)}
    assert set(re.findall(r"\b4\d\d `(\w+)`", TEXT)) <= codes
    assert set(re.findall(r"`(CURSOR_[A-Z_]+)`", TEXT)) <= {
        "CURSOR_BACKEND_BASE_URL",
        "CURSOR_CHAT_ENDPOINT",
        "CURSOR_API_BASE",
        "CURSOR_CLIENT_VERSION",
    }
    assert set(re.findall(r"`(PENSTOCK_[A-Z_]+)`", TEXT)) <= set(VARIABLES)
    assert all(f"`{prefix}`" in TEXT for prefix in PREFIXES)
    assert all(f"`{alias}`" in TEXT for alias in ALIASES if alias)


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert target.startswith("https://") or (ROOT / "docs" / target).exists(), target
