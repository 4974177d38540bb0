"""The wheel, alone in a clean environment, serves and replays."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.support.processes import ROOT, clean_environment, server_process


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(built, capture_output=True, check=True, timeout=120)
    (found,) = folder.glob("*.whl")
    return found


def test_it_holds_what_it_needs_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {"pipeline/py.typed", "server/web/index.html"} <= set(names)
    assert any(name.startswith("pipeline/captures/composer/") and name.endswith("stream.bin") for name in names)
    assert {name.split("/")[0] for name in names} - {name.split("/")[0] for name in names if ".dist-info" in name} == {"pipeline", "server"}
    assert not [name for name in names if name.endswith(".pth")]


@pytest.mark.slow
def test_it_serves_and_replays_in_a_clean_environment(wheel, tmp_path):
    home = tmp_path / "clean"
    venv.create(home, with_pip=True)
    install = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--require-hashes", "-r", str(ROOT / "requirements" / "run.txt")], check=True, timeout=300, capture_output=True)
    subprocess.run([*install, "--no-deps", str(wheel)], check=True, timeout=60, capture_output=True)
    penstock = str(home / "bin" / "penstock")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with server_process([penstock, "serve", "--port", "0"], cwd=elsewhere) as server:
        answer = httpx.post(
            f"{server.url}/v1/chat/completions",
            json={"model": "composer-2.5", "messages": [{"role": "user", "content": "Hello"}]},
            trust_env=False,
            timeout=20,
        )
        assert answer.json()["choices"][0]["message"]["content"]
        assert "composer-2.5" in httpx.get(server.url, trust_env=False).text
        assert server.stop() == 0
    replayed = subprocess.run(
        [penstock, "replay", "composer", "--split", "bytes"],
        cwd=elsewhere,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert " 0 differences" in replayed.stdout
    assert os.listdir(elsewhere) == []
