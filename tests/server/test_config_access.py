"""Who may come in and where keys go: each refusal at the start, what is allowed beside it, and that no message shows a key."""

import hashlib
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pipeline.credential import Credential, Kind, Secret
from pipeline.upstream.composer_write import FIXED_HEADERS
from pipeline.upstream.post_headers import FIXED_HEADERS as FIXED_FOR_WEBSITES
from server.config_secrets import WELL_KNOWN
from server.config_text import show
from server.keys import hash_of
from server.settings import GatewayKey, Settings
from server.upstream_settings import (
    Anthropic,
    ApiServer,
    Composer,
    KeyedUpstream,
    OpenAIChat,
    OpenAIResponses,
    Profile,
    SdkBridge,
    Website,
)
from tests.support.settings_files import load, problems, usual_umask

WEBSITE = '[upstreams.w]\nkind = "website"\nurl = "https://w.example/api/chat"\n'
COMPOSER = '[upstreams.c]\nkind = "composer"\nbase_url = "https://b.example"\nendpoint = "/x.Y/Z"\n'
OPENAI = '[upstreams.o]\nkind = "openai-chat"\nbase_url = "https://o.example/v1"\n'
OWN = 'api_key_env = "OWN_KEY"\n'
KEY = "sk-4f9a0c77"
HASH = hash_of("psk_" + "a" * 43)
ALICE = f'[[auth.keys]]\nname = "alice"\nhash = "{HASH}"\n'
ROUTES = '[routes.a]\ntargets = [{ upstream = "c", model = "a" }]\n[routes.b]\ntargets = [{ upstream = "o", model = "b" }]\n'
OUTSIDE: dict[str, Any] = {"PENSTOCK_SERVER__HOST": "192.0.2.1"}
PUBLISHED: dict[str, Any] = {"PENSTOCK_SERVER__PUBLIC_URL": "https://gateway.example", "PENSTOCK_SERVER__ALLOWED_HOSTS": "localhost,gateway.example"}
FROM = " (from ./penstock.toml)"


@pytest.fixture(autouse=True, scope="module")
def umask():
    with usual_umask():
        yield


def credential(cwd: Path, toml: str, name: str, **environ: Any) -> Credential:
    return load(cwd, toml, **environ).settings.upstreams[name].credential()


class TestCredentials:
    def test_of_each_kind(self, tmp_path):
        own = Credential(Kind.OWN, Secret(KEY))
        assert credential(tmp_path, COMPOSER, "c") == Credential(Kind.CALLER)
        assert credential(tmp_path, COMPOSER + 'credential = "caller"', "c") == Credential(Kind.CALLER)
        assert credential(tmp_path, COMPOSER + OWN, "c", OWN_KEY=KEY) == own
        assert credential(tmp_path, OPENAI, "o") == Credential(Kind.NONE)
        assert credential(tmp_path, OPENAI + 'credential = "caller"', "o") == Credential(Kind.CALLER)
        assert credential(tmp_path, OPENAI + OWN, "o", OWN_KEY=KEY) == own
        assert load(tmp_path, "").settings.upstreams["captured"].credential() == Credential(Kind.NONE)

    def test_a_key_in_dotenv(self, tmp_path):
        (tmp_path / ".env").write_text(f"OWN_KEY={KEY}\n")
        assert credential(tmp_path, OPENAI + OWN, "o") == Credential(Kind.OWN, Secret(KEY))

    @pytest.mark.parametrize("content", [KEY, KEY + "\n", KEY + "\r\n"])
    def test_a_key_in_a_file(self, tmp_path, content):
        (tmp_path / "key").write_text(content, newline="")
        (tmp_path / "key").chmod(0o600)
        assert credential(tmp_path, OPENAI + 'api_key_file = "key"', "o") == Credential(Kind.OWN, Secret(KEY))

    @pytest.mark.parametrize(
        ("content", "mode", "expected"),
        [
            ("", 0o600, "the file is empty; leave the setting out if the upstream needs no key"),
            ("\n", 0o600, "the file is empty; leave the setting out if the upstream needs no key"),
            (KEY, 0o604, "every user of this machine may read or write the file; run chmod o-rw on it"),
            (KEY, 0o602, "every user of this machine may read or write the file; run chmod o-rw on it"),
            (KEY + "\n\n", 0o600, "the file holds something that is no key: expected one line of at most 4096 visible ASCII characters"),
            ("x1" * 2049, 0o600, "the file holds something that is no key: expected one line of at most 4096 visible ASCII characters"),
            ("\udcff", 0o600, "expected a file with one key, in ASCII"),
        ],
    )
    def test_a_file_that_is_refused(self, tmp_path, content, mode, expected):
        (tmp_path / "key").write_bytes(content.encode(errors="surrogateescape"))
        (tmp_path / "key").chmod(mode)
        assert problems(tmp_path, OPENAI + 'api_key_file = "key"') == [f"upstreams.o.api_key_file: {expected}{FROM}"]

    def test_a_file_that_is_not_there_or_no_file(self, tmp_path):
        [said] = problems(tmp_path, OPENAI + f'api_key_file = "{KEY}"')
        assert said == (
            "upstreams.o.api_key_file: expected a file that can be read, by its path from the working directory: No such file or directory" + FROM
        )
        os.mkfifo(tmp_path / "pipe", 0o600)
        assert problems(tmp_path, OPENAI + 'api_key_file = "pipe"') == [f"upstreams.o.api_key_file: expected a regular file{FROM}"]
        [said] = problems(tmp_path, OPENAI + 'api_key_file = "a\\u0000b"')
        assert said.endswith(f"its name is none{FROM}")

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, "the variable OWN_KEY is not set"),
            ("", "OWN_KEY is empty; leave the setting out if the upstream needs no key"),
            ("0000", "OWN_KEY holds a well-known word, not a key; leave the setting out if the upstream needs no key"),
            ("ChangeMe", "OWN_KEY holds a well-known word, not a key; leave the setting out if the upstream needs no key"),
            ("xxxxxxxxxxxxxxxx", "OWN_KEY holds a well-known word, not a key; leave the setting out if the upstream needs no key"),
            ("<your-api-key>", "OWN_KEY holds a well-known word, not a key; leave the setting out if the upstream needs no key"),
            ("k3y-abc", "OWN_KEY holds a key of 7 characters; expected at least 8"),
            ("sk-4f9a 0c77", "OWN_KEY holds something that is no key: expected one line of at most 4096 visible ASCII characters"),
            ("sk-4f9a0c\r\nx-a: b", "OWN_KEY holds something that is no key: expected one line of at most 4096 visible ASCII characters"),
        ],
    )
    @pytest.mark.parametrize("upstream", [COMPOSER, OPENAI])
    def test_a_variable_that_is_refused(self, tmp_path, upstream, value, expected):
        [said] = problems(tmp_path, upstream + OWN, **({} if value is None else {"OWN_KEY": value}))
        assert said.partition(": ")[2] == expected + FROM
        assert said.startswith(f"upstreams.{'c' if upstream is COMPOSER else 'o'}.api_key_env: ")

    @pytest.mark.parametrize("pasted", [KEY, "AIzaSyA1b2c3", "lower_case"])
    def test_a_key_in_the_place_of_the_variable_s_name_is_not_shown(self, tmp_path, pasted):
        [said] = problems(tmp_path, OPENAI + f'api_key_env = "{pasted}"')
        assert said.startswith("upstreams.o.api_key_env: expected the name of an environment variable")
        assert pasted not in said

    @pytest.mark.parametrize(
        "toml",
        [
            OPENAI + f'api_key = "{KEY}"',
            OPENAI + f'api_key_env = ["{KEY}"]',
            OPENAI + f'api_key_file = {{ a = "{KEY}" }}',
            COMPOSER + f'headers = "{KEY}"',
            COMPOSER + f'headers = {{ cookie = ["{KEY}"] }}',
            COMPOSER + f'headers = {{ cookie = "{KEY}\\n" }}',
            f'[auth]\nkeys = "{KEY}"',
            f'[auth]\nkeys = ["{KEY}"]',
            f'[[auth.keys]]\nname = "a"\nhash = "{KEY}"',
            f'[[auth.keys]]\nname = "a"\nhash = ["{KEY}"]',
            f'[upstreams.o]\nkind = "openai-chat"\nbase_url = "https://u:{KEY}@o.example"',
            f'[upstreams.o]\nkind = "openai-chat"\nbase_url = "https://o.example/?key={KEY}"',
            f'[upstreams.o]\nkind = "openai-chat"\nbase_url = "https://u:{KEY}@o.exam ple"',
        ],
    )
    def test_no_message_shows_a_key(self, tmp_path, toml):
        said = problems(tmp_path, toml)
        assert said
        assert KEY not in "".join(said)

    def test_a_key_has_one_source(self, tmp_path):
        (tmp_path / "key").write_text(KEY)
        (tmp_path / "key").chmod(0o600)
        for upstream in (COMPOSER, OPENAI):
            [said] = problems(tmp_path, upstream + OWN + 'credential = "caller"\napi_key_file = "key"', OWN_KEY=KEY)
            assert said.endswith(": expected one of credential, api_key_env or api_key_file, got credential, api_key_env and api_key_file")

    def test_settings_that_were_never_loaded_give_no_other_key(self):
        upstream = OpenAIChat(base_url="https://o.example", api_key_env="OWN_KEY", credential_word="caller")
        with pytest.raises(ValueError, match="load_settings"):
            upstream.credential()
        assert OpenAIChat(base_url="https://o.example", api_key=Secret(KEY)).credential() == Credential(Kind.OWN, Secret(KEY))

    def test_secrets_are_not_in_what_is_printed(self, tmp_path):
        headers = 'headers = { Cookie = "sid=canary-1", "x-cursor-checksum" = "canary-2", x-team = "blue" }\n'
        loaded = load(tmp_path, COMPOSER + OWN + headers + OPENAI + OWN + ROUTES, OWN_KEY="canary-key-3")
        assert "canary" not in repr(loaded) + str(loaded.settings) + repr(loaded.settings.upstreams)
        printed = show(loaded)
        assert "canary" not in printed
        assert tomllib.loads(printed)["upstreams"]["c"]["headers"] == {"Cookie": "***", "x-cursor-checksum": "***", "x-team": "blue"}
        assert sorted(problems(tmp_path, printed, OWN_KEY="canary-key-3")) == [
            f"upstreams.c.headers.{name}: *** stands for a value that penstock config show does not print; write the value{FROM}"
            for name in ("Cookie", "x-cursor-checksum")
        ]

    def test_what_show_prints_reads_back(self, tmp_path):
        profile = 'context_window = 1000\nprofile = { images = false, pass_fields = ["seed"], reasoning_field = "" }\n'
        keys = f'[auth]\nmode = "keys"\n{ALICE}[[auth.keys]]\nname = "bob"\nhash = "{hash_of("psk_b")}"\nmodels = ["a"]\n'
        loaded = load(tmp_path, COMPOSER + OWN + OPENAI + profile + keys + ROUTES, OWN_KEY=KEY)
        assert loaded.settings.auth.keys == (
            GatewayKey(name="alice", hash=HASH),
            GatewayKey(name="bob", hash=hash_of("psk_b"), models=("a",)),
        )
        upstream = loaded.settings.upstreams["o"]
        assert isinstance(upstream, OpenAIChat)
        assert upstream.profile == Profile(images=False, pass_fields=("seed",), reasoning_field="")
        again = tmp_path / "again"
        again.mkdir()
        assert load(again, show(loaded), OWN_KEY=KEY).settings == loaded.settings


class TestKeys:
    def test_the_mode_goes_with_the_keys(self, tmp_path):
        assert load(tmp_path, ALICE).settings.auth.mode == "keys"
        assert problems(tmp_path, '[auth]\nmode = "keys"') == ['auth.keys: expected at least one key in mode "keys"; run penstock keys new NAME']
        for mode in ("open", "forward"):
            said = f'auth.mode: "{mode}" asks nobody for the keys in auth.keys; set it to "keys", or leave the keys out{FROM}'
            assert problems(tmp_path, f'[auth]\nmode = "{mode}"\n{ALICE}') == [said]

    def test_keys_can_be_told_apart(self, tmp_path):
        assert problems(tmp_path, ALICE + ALICE) == [
            f"auth.keys[1].name: auth.keys[0] has this name already{FROM}",
            f"auth.keys[1].hash: auth.keys[0] has this hash already{FROM}",
        ]
        [said] = problems(tmp_path, ALICE.replace("alice", "a b"))
        assert said.startswith("auth.keys[0].name: expected 1 to 64 letters")
        [said] = problems(tmp_path, ALICE.replace("alice", "psk_4f9a0c77"))
        assert said == f"auth.keys[0].name: this looks like the key itself, and the log would show it; expected a name{FROM}"

    @pytest.mark.parametrize("text", ["", "psk_" + "a" * 43, HASH.upper(), HASH[:-1], HASH + "0", HASH.removeprefix("sha256:"), "sha256:" + "g" * 64])
    def test_a_hash_that_is_none(self, tmp_path, text):
        [said] = problems(tmp_path, ALICE.replace(HASH, text))
        assert said == f'auth.keys[0].hash: expected "sha256:" and 64 digits from 0 to f, as penstock keys new NAME prints it{FROM}'

    @pytest.mark.parametrize("word", ["", "0000", "00000000", "changeme", "CHANGEME", "Changeme", "secret", "psk_", "psk_changeme", "psk_test"])
    def test_a_hash_of_a_well_known_word(self, tmp_path, word):
        [said] = problems(tmp_path, ALICE.replace(HASH, "sha256:" + hashlib.sha256(word.encode()).hexdigest()))
        assert said == f"auth.keys[0].hash: this is the hash of a well-known word; make a key with penstock keys new NAME{FROM}"

    def test_models_are_served_ones(self, tmp_path):
        alice = ALICE + 'models = ["a", "modl"]\n'
        upstream = f'{OPENAI}[routes.model]\ntargets = [{{ upstream = "o", model = "m" }}]\n[aliases]\na = "model"\n'
        assert problems(tmp_path, alice + upstream) == [f'auth.keys[0].models[1]: no route serves "modl". Did you mean model?{FROM}']
        assert load(tmp_path, alice + OPENAI).settings.auth.keys[0].models == ("a", "modl")
        with_suffix = ALICE + 'models = ["model-high", "a-fast"]\n'
        assert load(tmp_path, with_suffix + upstream).settings.auth.keys[0].models == ("model-high", "a-fast")
        for_all = OPENAI + '[aliases]\n"~a/latest" = "m"\n'
        assert load(tmp_path, ALICE + 'models = ["~a/latest"]\n' + for_all)
        for name in ("a/latest", "~b"):
            assert problems(tmp_path, f'{ALICE}models = ["{name}"]\n{for_all}')[0].startswith(f'auth.keys[0].models[0]: no route serves "{name}".')
        assert problems(tmp_path, ALICE + 'models = ["*"]') == [
            f"auth.keys[0].models[0]: expected a model id; leave models out to allow every model{FROM}"
        ]
        assert problems(tmp_path, ALICE + "models = []") == [f"auth.keys[0].models: expected an array of text that is not empty, got []{FROM}"]

    def test_no_list_of_keys_is_taken_from_a_variable(self, tmp_path):
        [said] = problems(tmp_path, PENSTOCK_AUTH__KEYS="a")
        assert said.startswith("PENSTOCK_AUTH__KEYS: no such variable.")


class TestWhoMayComeIn:
    @pytest.mark.parametrize("own", ["", OWN])
    def test_forward_is_no_open_relay(self, tmp_path, own):
        assert load(tmp_path, OPENAI + own, OWN_KEY=KEY).settings.auth.mode == "forward"
        [said] = problems(tmp_path, OPENAI + own, OWN_KEY=KEY, **OUTSIDE)
        assert said.startswith(
            f'auth.mode: "forward" takes any text as a key, and upstreams.o {"uses a key of its own" if own else "needs no key"}: '
        )
        for name, value in PUBLISHED.items():
            assert problems(tmp_path, OPENAI + own, OWN_KEY=KEY, **{name: value}) == [said]
        assert load(tmp_path, OPENAI + own, OWN_KEY=KEY, PENSTOCK_SERVER__PUBLIC_URL="http://localhost:1").settings.auth.mode == "forward"
        assert load(tmp_path, ALICE + OPENAI + own, OWN_KEY=KEY, **OUTSIDE).settings.auth.mode == "keys"
        assert load(tmp_path, OPENAI + 'credential = "caller"', **OUTSIDE).settings.auth.mode == "forward"
        assert load(tmp_path, COMPOSER, **OUTSIDE).settings.auth.mode == "forward"

    def test_an_upstream_without_a_route_is_no_relay(self, tmp_path):
        routes = '[routes.a]\ntargets = [{ upstream = "c", model = "a" }]\n'
        assert load(tmp_path, COMPOSER + OPENAI + OWN + routes, OWN_KEY=KEY, **OUTSIDE).settings.auth.mode == "forward"

    def test_a_target_behind_the_first_is_a_relay_too(self, tmp_path):
        routes = '[routes.a]\ntargets = [{ upstream = "c", model = "a" }, { upstream = "o", model = "a" }]\n'
        assert load(tmp_path, COMPOSER + OPENAI + OWN + routes, OWN_KEY=KEY).settings.auth.mode == "forward"
        [said] = problems(tmp_path, COMPOSER + OPENAI + OWN + routes, OWN_KEY=KEY, **OUTSIDE)
        assert said.startswith('auth.mode: "forward" takes any text as a key, and upstreams.o uses a key of its own: ')
        [said] = problems(
            tmp_path, ALICE + OPENAI + OWN + COMPOSER + routes.replace('"c"', '"x"').replace('"o"', '"c"').replace('"x"', '"o"'), OWN_KEY=KEY
        )
        assert said.startswith('upstreams.c: it gets the caller\'s own key, but in auth.mode "keys" ')

    @pytest.mark.parametrize("upstream", [COMPOSER, OPENAI + 'credential = "caller"\n'])
    def test_the_callers_key_comes_in_only_by_forward(self, tmp_path, upstream):
        for auth, mode in (('[auth]\nmode = "open"\n', "open"), (ALICE, "keys")):
            [said] = problems(tmp_path, auth + upstream)
            assert f'gets the caller\'s own key, but in auth.mode "{mode}" ' in said
        assert load(tmp_path, upstream).settings.auth.mode == "forward"

    def test_only_one_upstream_gets_the_callers_key(self, tmp_path):
        [said] = problems(tmp_path, COMPOSER + OPENAI + 'credential = "caller"\n' + ROUTES)
        assert said.startswith("upstreams: only one upstream can get the caller's own key, but upstreams.c and upstreams.o do; set api_key_env")
        assert load(tmp_path, COMPOSER + OWN + OPENAI + 'credential = "caller"\n' + ROUTES, OWN_KEY=KEY)

    def test_a_composer_key_of_the_operator_s_stays_on_this_machine(self, tmp_path):
        [said] = problems(tmp_path, ALICE + COMPOSER + OWN, OWN_KEY=KEY, **OUTSIDE)
        assert said.startswith("upstreams.c.api_key_env: a Cursor key of the operator's is for this machine alone")
        for name, value in PUBLISHED.items():
            assert problems(tmp_path, ALICE + COMPOSER + OWN, OWN_KEY=KEY, **{name: value}) == [said]
        assert load(tmp_path, ALICE + COMPOSER + OWN, OWN_KEY=KEY).settings.upstreams["c"].has_own_key

    @pytest.mark.parametrize("header", ["Cookie", "x-session-token", "X-Api-Key"])
    def test_so_does_a_credential_in_a_website_s_header(self, tmp_path, header):
        toml = f'{WEBSITE}headers = {{ {header} = "sid=canary", x-team = "blue" }}\n'
        [said] = problems(tmp_path, toml, **OUTSIDE)
        assert said.startswith(f"upstreams.w.headers.{header}: a Cursor key of the operator's is for this machine alone")
        assert "canary" not in said
        assert load(tmp_path, toml).settings.upstreams["w"].takes_callers_key
        assert load(tmp_path, WEBSITE + 'headers = { x-team = "blue" }\n', **OUTSIDE)


class TestAddresses:
    @pytest.mark.parametrize(
        "url", ["o.example", "ftp://o.example", "https://o.example?x=1", "https://", "https://o.example:x", "https://o.ex\\tample"]
    )
    @pytest.mark.parametrize("key", ["base_url", "api_base", "endpoint"])
    def test_no_url(self, tmp_path, key, url):
        values = {"base_url": "https://b.example", "endpoint": "/x"} | {key: url}
        toml = '[upstreams.c]\nkind = "composer"\n' + "\n".join(f'{name} = "{value}"' for name, value in values.items())
        [said] = problems(tmp_path, toml)
        what = "a path that begins with one /, or https://host" if key == "endpoint" else "https://host or http://host"
        assert said.startswith(f"upstreams.c.{key}: expected {what}, with a port or a path if needed")

    @pytest.mark.parametrize("kind", ["openai-chat", "openai-responses", "anthropic"])
    def test_a_query_that_is_no_key(self, tmp_path, kind):
        toml = f'[upstreams.o]\nkind = "{kind}"\nbase_url = "https://o.example/openai/v1?{{}}"\n'
        upstream = load(tmp_path, toml.format("api-version=preview&a=") + 'api_key_header = "api-key"').settings.upstreams["o"]
        assert isinstance(upstream, ApiServer)
        assert (upstream.base_url, upstream.api_key_header) == ("https://o.example/openai/v1?api-version=preview&a=", "api-key")
        for query in (f"key={KEY}", f"v=1&API%4bey={KEY}", f"access_token={KEY}", "sig%6eature="):
            assert problems(tmp_path, toml.format(query)) == [
                f"upstreams.o.base_url: expected a URL without a key in its query; a key is set with api_key_env or api_key_file{FROM}"
            ]
        for rest in ("a=1#b", "a=b c"):
            assert problems(tmp_path, toml.format(rest))[0].startswith("upstreams.o.base_url: expected https://host or http://host")

    def test_a_key_travels_encrypted_behind_a_query_too(self, tmp_path):
        toml = OPENAI.replace("https://o.example/v1", "http://o.example/v1?v=canary") + OWN
        [said] = problems(tmp_path, toml, OWN_KEY=KEY)
        assert said.startswith("upstreams.o.base_url: a key would be sent there, in clear")
        assert "canary" not in said

    @pytest.mark.parametrize("endpoint", ["//evil.example/x", "/a b", "x", "/\\\\evil"])
    def test_no_path(self, tmp_path, endpoint):
        [said] = problems(tmp_path, f'[upstreams.c]\nkind = "composer"\nendpoint = "{endpoint}"')
        assert said.startswith("upstreams.c.endpoint: expected a path that begins with one /")

    @pytest.mark.parametrize("key", ["base_url", "api_base", "endpoint"])
    def test_no_password_in_a_url(self, tmp_path, key):
        [said] = problems(tmp_path, f'[upstreams.c]\nkind = "composer"\n{key} = "https://user:pass@b.example"')
        assert said == f"upstreams.c.{key}: expected a URL without user and password; a key is set with api_key_env or api_key_file{FROM}"

    @pytest.mark.parametrize("key", ["base_url", "api_base", "endpoint"])
    def test_keys_travel_encrypted(self, tmp_path, key):
        toml = '[upstreams.c]\nkind = "composer"\n' + key + ' = "{}"'
        [said] = problems(tmp_path, toml.format("http://b.example"))
        assert said == f'upstreams.c.{key}: a key would be sent there, in clear over the network; expected https://, got "http://b.example"{FROM}'
        assert load(tmp_path, toml.format("http://127.0.0.1:1/a"))

    def test_a_server_that_gets_no_key_may_be_reached_in_clear(self, tmp_path):
        toml = OPENAI.replace("https", "http")
        assert load(tmp_path, toml).settings.upstreams["o"].credential() == Credential()
        for more in (OWN, 'credential = "caller"'):
            [said] = problems(tmp_path, toml + more, OWN_KEY=KEY)
            assert said.startswith("upstreams.o.base_url: a key would be sent there, in clear")

    def test_a_credential_in_a_website_s_header_is_not_sent_in_clear(self, tmp_path):
        plain = WEBSITE.replace("https:", "http:") + 'credential = "none"\n'
        assert load(tmp_path, plain + 'headers = { x-team = "blue" }\n')
        [said] = problems(tmp_path, plain + 'headers = { Cookie = "sid=canary" }\n')
        assert said.startswith("upstreams.w.url: a key would be sent there, in clear")
        assert load(tmp_path, plain.replace("w.example", "127.0.0.1:8000") + 'headers = { Cookie = "sid=canary" }\n')

    def test_a_website_has_its_own_headers(self, tmp_path):
        toml = f"{WEBSITE}[upstreams.w.headers]\n"
        assert load(tmp_path, toml + 'X-Request-Id = "a"\nConnect-Protocol-Version = "1"\nUser-Agent = "b"')

    def test_a_composer_upstream_may_be_incomplete(self, tmp_path):
        """It answers 424 and says what is missing."""
        assert load(tmp_path, '[upstreams.c]\nkind = "composer"').settings.upstreams == {"c": Composer()}

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ('"a b" = "x"', 'headers."a b": this is not the name of a header'),
            ('Host = "x"', "headers.Host: the request has this header by itself"),
            ('authorization = "x"', "headers.authorization: the request has this header by itself"),
            ('x-a = "1"\nX-A = "2"', "headers.X-A: this is the same header as x-a"),
            ('x-a = "a\\r\\nb: c"', "headers.x-a: expected visible ASCII text on one line"),
            ('x-a = ""', "headers.x-a: expected visible ASCII text on one line"),
            ("x-a = 1", "headers.x-a: expected text"),
        ],
    )
    def test_no_header(self, tmp_path, headers, expected):
        assert problems(tmp_path, f"{COMPOSER}[upstreams.c.headers]\n{headers}") == [f"upstreams.c.{expected}{FROM}"]

    @pytest.mark.parametrize("kind", ["openai-chat", "openai-responses", "anthropic"])
    def test_headers_of_a_server_of_any_kind(self, tmp_path, kind):
        toml = OPENAI.replace("openai-chat", kind) + "[upstreams.o.headers]\n"
        upstream = load(tmp_path, toml + 'HTTP-Referer = "https://a.example"\nX-Title = "canary"').settings.upstreams["o"]
        assert isinstance(upstream, ApiServer)
        assert upstream.headers == {"HTTP-Referer": "https://a.example", "X-Title": "canary"}
        assert "canary" not in repr(upstream)
        for name in ("Authorization", "api-key", "X-API-Key", "Accept", "Content-Type", "Accept-Encoding", "Host", "Content-Length"):
            assert problems(tmp_path, f'{toml}{name} = "x"') == [f"upstreams.o.headers.{name}: the request has this header by itself{FROM}"]

    def test_the_version_and_the_betas_of_anthropic_s_api_are_the_operator_s_to_say(self, tmp_path):
        toml = OPENAI.replace("openai-chat", "anthropic") + OWN + '[upstreams.o.headers]\nanthropic-version = "2023-06-01"\nAnthropic-Beta = "a,b"\n'
        upstream = load(tmp_path, toml, OWN_KEY=KEY).settings.upstreams["o"]
        assert isinstance(upstream, Anthropic)
        assert upstream.headers == {"anthropic-version": "2023-06-01", "Anthropic-Beta": "a,b"}
        assert (upstream.api_key_header, upstream.credential()) == ("x-api-key", Credential(Kind.OWN, Secret(KEY)))
        assert 'anthropic-version = "2023-06-01"' in show(load(tmp_path, toml, OWN_KEY=KEY))
        [said] = problems(tmp_path, toml.replace("https:", "http:"), OWN_KEY=KEY)
        assert said.startswith("upstreams.o.base_url: a key would be sent there, in clear")

    @pytest.mark.parametrize("name", sorted(FIXED_HEADERS))
    def test_no_header_that_would_not_be_sent(self, tmp_path, name):
        expected = f"upstreams.c.headers.{name.title()}: the request has this header by itself{FROM}"
        assert problems(tmp_path, f'{COMPOSER}[upstreams.c.headers]\n{name.title()} = "x"') == [expected]

    def test_a_website_s_address_is_one_whole_url(self, tmp_path):
        toml = '[upstreams.w]\nkind = "website"\nurl = "{}"\n'
        for url in ("https://w.example/api/chat?v=2", "http://127.0.0.1:1/chat"):
            upstream = load(tmp_path, toml.format(url)).settings.upstreams["w"]
            assert isinstance(upstream, Website)
            assert upstream.url == url
        [said] = problems(tmp_path, toml.format("http://w.example/chat?v=canary"))
        assert said == f'upstreams.w.url: a key would be sent there, in clear over the network; expected https://, got "http://w.example/chat"{FROM}'
        assert load(tmp_path, toml.format("http://w.example/chat") + 'credential = "none"')
        for url, expected in (
            ("/chat", 'expected https://host or http://host, with a port or a path if needed, got "/chat"'),
            ("https://u:p@w.example", "expected a URL without user and password; a key is set with api_key_env or api_key_file"),
            ("https://w.example?token=canary", "expected a URL without a key in its query; a key is set with api_key_env or api_key_file"),
        ):
            assert problems(tmp_path, toml.format(url)) == [f"upstreams.w.url: {expected}{FROM}"]

    def test_headers_of_a_website(self, tmp_path):
        toml = '[upstreams.w]\nkind = "website"\nurl = "https://w.example"\n[upstreams.w.headers]\n'
        upstream = load(tmp_path, toml + 'x-api-key = "canary"\ncookie = "a=canary"').settings.upstreams["w"]
        assert isinstance(upstream, Website)
        assert dict(upstream.headers) == {"x-api-key": "canary", "cookie": "a=canary"}
        assert "canary" not in repr(upstream)
        for name in ("Authorization", *sorted(FIXED_FOR_WEBSITES)):
            assert problems(tmp_path, f'{toml}{name} = "x"') == [f"upstreams.w.headers.{name}: the request has this header by itself{FROM}"]

    def test_no_client_version(self, tmp_path):
        assert problems(tmp_path, COMPOSER + 'client_version = "1\\n2"') == [f"upstreams.c.client_version: expected visible ASCII text{FROM}"]


def test_every_problem_is_named_at_once(tmp_path):
    toml = COMPOSER + OWN + 'api_base = "http://a.example"\n' + OPENAI + 'api_key_file = "gone"\n' + ROUTES + ALICE.replace("sha256", "md5")
    said = problems(tmp_path, toml, **OUTSIDE)
    assert [line.partition(": ")[0] for line in said] == [
        "upstreams.c.api_key_env",
        "upstreams.o.api_key_file",
        "auth.keys[0].hash",
        "upstreams.c.api_key_env",
        "upstreams.c.api_base",
    ]


def test_well_known_words_are_in_lower_case():
    assert {word.lower() for word in WELL_KNOWN} == WELL_KNOWN


def test_every_kind_says_what_the_rules_ask():
    servers = [kind(base_url="https://o.example") for kind in (OpenAIChat, OpenAIResponses, Anthropic)]
    for upstream in (*Settings().upstreams.values(), Composer(), SdkBridge(), Website(), *servers):
        assert upstream.cooldown_seconds >= 0
        # where the list is known, nobody is asked for it; where it is not, the ids are Cursor's or only the upstream knows them
        assert not (upstream.knows_its_models and upstream.lists_its_models)
        assert upstream.knows_its_models or upstream.lists_its_models or upstream.has_cursors_models
        assert isinstance(upstream.has_own_key, bool)
        assert isinstance(upstream.takes_callers_key, bool)
        assert isinstance(upstream, KeyedUpstream) != upstream.is_demo
