"""The settings: where each value comes from, what is refused and how it is said, and that what is printed is what is in force."""

import os
import stat
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from server.config import Loaded, load_settings
from server.config_schema import check, description, settings_of, structs_of, without_metadata
from server.config_text import reference, show
from server.environment import VARIABLES
from server.settings import Auth, Cursor, Failover, Images, Reasoning, Responses, Route, Server, Settings, Target, Timeouts, Usage
from server.upstream_settings import Captured, Composer, OpenAIChat, Profile, ToolPolicy
from tests.support.settings_files import load, problems, usual_umask
from tests.support.tls import CERTIFICATE, ENCRYPTED_KEY, KEY, KEY_OF_ANOTHER


@pytest.fixture(autouse=True, scope="module")
def umask():
    with usual_umask():
        yield


class TestSources:
    def test_nothing_set_is_the_embedded_gateway(self, tmp_path):
        loaded = load(tmp_path)
        assert loaded == Loaded(Settings(), None, {})
        settings = loaded.settings
        assert (settings.server.host, settings.server.port, settings.auth.mode) == ("127.0.0.1", 8787, "open")
        assert settings.upstreams == {"captured": Captured(pace_seconds=0.02)}
        assert settings.routes == {"*": Route(targets=(Target(upstream="captured", model="*"),))}

    def test_each_source_overrides_the_next(self, tmp_path):
        file, port, variable, line = "[server]\nport = 1", "2", "3", {"server.port": 4}
        ladder = [
            (load(tmp_path), 8787, None),
            (load(tmp_path, file), 1, str(tmp_path / "penstock.toml")),
            (load(tmp_path, file, PORT=port), 2, "PORT"),
            (load(tmp_path, file, PORT=port, PENSTOCK_SERVER__PORT=variable), 3, "PENSTOCK_SERVER__PORT"),
            (load(tmp_path, file, PORT=port, PENSTOCK_SERVER__PORT=variable, overrides=line), 4, "the command line"),
        ]
        for loaded, expected, origin in ladder:
            assert loaded.settings.server.port == expected
            assert loaded.origins.get("server.port") == origin

    def test_a_variable_leaves_the_rest_of_its_section_alone(self, tmp_path):
        server = load(tmp_path, "[server]\nport = 1\nworkers = 2", PORT="5").settings.server
        assert server == Server(port=5, workers=2)

    def test_dotenv_is_environment_under_the_real_one(self, tmp_path):
        (tmp_path / ".env").write_text(
            "\ufeffexport PENSTOCK_SERVER__PORT='1'\n# a comment\nPENSTOCK_SERVER__PUBLIC_URL=https://a.example/${HOME}\nOTHER=x\n"
        )
        before = dict(os.environ)
        loaded = load(tmp_path, PENSTOCK_SERVER__PORT="2", PENSTOCK_AUTH__MODE="forward")
        assert loaded.settings.server == Server(port=2, public_url="https://a.example/${HOME}")
        assert loaded.origins["server.public_url"] == "PENSTOCK_SERVER__PUBLIC_URL in .env"
        assert load(tmp_path, PENSTOCK_AUTH__MODE="forward").settings.server.port == 1
        assert dict(os.environ) == before

    def test_the_file_is_the_first_that_is_named_or_there(self, tmp_path):
        home, cwd = tmp_path / "home", tmp_path / "cwd"
        places = [cwd / "line.toml", cwd / "variable.toml", cwd / "penstock.toml", home / ".config" / "penstock" / "penstock.toml"]
        for port, place in enumerate(places, 1):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"[server]\nport = {port}")
        for config, variable, expected in ((Path("line.toml"), "variable.toml", 1), (None, "variable.toml", 2), (None, "", 3)):
            loaded = load(cwd, config=config, HOME=str(home), PENSTOCK_CONFIG=variable)
            assert (loaded.settings.server.port, loaded.file) == (expected, places[expected - 1])
        places[2].unlink()
        assert load(cwd, HOME=str(home)).file == places[3]
        assert load(cwd, HOME=str(home), PENSTOCK_CONFIG="").file == places[3]
        assert load(cwd, HOME=str(home), PENSTOCK_CONFIG="~/.config/penstock/penstock.toml").file == places[3]
        assert load(cwd).file is None

    def test_dotenv_may_name_the_file(self, tmp_path):
        (tmp_path / ".env").write_text("PENSTOCK_CONFIG=a.toml\n")
        (tmp_path / "a.toml").write_text("[server]\nport = 7")
        assert load(tmp_path).settings.server.port == 7

    @pytest.mark.parametrize(
        ("variable", "text", "value"),
        [
            ("PENSTOCK_SERVER__ACCESS_LOG", "False", False),
            ("PENSTOCK_SERVER__ALLOWED_HOSTS", " localhost, 127.0.0.2,", ("localhost", "127.0.0.2")),
            ("PENSTOCK_SERVER__ALLOWED_HOSTS", "", ()),
            ("PENSTOCK_TIMEOUTS__IDLE_SECONDS", "1.5", 1.5),
            ("PENSTOCK_REASONING__OUTPUT", "always", "always"),
            ("PENSTOCK_SERVER__PUBLIC_URL", "", ""),
        ],
    )
    def test_a_variable_is_read_as_its_setting(self, tmp_path, variable, text, value):
        section, key = VARIABLES[variable].path
        assert getattr(getattr(load(tmp_path, **{variable: text}).settings, section), key) == value

    def test_every_key_of_the_fixed_sections_has_a_variable(self):
        sections = (Server, Auth, Timeouts, Reasoning, Usage, Images, Failover, Responses, Cursor)
        expected = {f"PENSTOCK_{section.__name__.upper()}__{key.upper()}" for section in sections for key in section.__struct_fields__}
        expected.remove("PENSTOCK_AUTH__KEYS")  # an array of tables
        assert expected | {"PORT"} == set(VARIABLES)
        assert {"PENSTOCK_REASONING__MEMORY_MISS", "PENSTOCK_CURSOR__EARLY_HEADERS_SECONDS", "PENSTOCK_FAILOVER__WAIT_SECONDS"} <= expected


KINDS = '"captured", "composer", "sdk-bridge", "website", "openai-chat", "openai-responses" or "anthropic"'
UPSTREAMS = '[upstreams.demo]\nkind = "captured"\n'
LOCAL = '[upstreams.local]\nkind = "openai-chat"\nbase_url = "http://127.0.0.1:8000/v1"\n'


class TestWhatIsNotSaid:
    def test_one_upstream_serves_every_model(self, tmp_path):
        settings = load(tmp_path, f"{UPSTREAMS}pace_seconds = 0\ntools = {{ unknown = 'error', malformed = 'text' }}").settings
        assert settings.upstreams == {"demo": Captured(pace_seconds=0, tools=ToolPolicy(unknown="error", malformed="text"))}
        assert settings.routes == {"*": Route(targets=(Target(upstream="demo", model="*"),))}

    def test_named_upstreams_make_the_mode_forward(self, tmp_path):
        assert load(tmp_path, LOCAL).settings.auth.mode == "forward"
        assert load(tmp_path, f'[auth]\nmode = "open"\n{LOCAL}').settings.auth.mode == "open"
        assert load(tmp_path, '[auth]\nmode = "forward"').settings.auth.mode == "forward"
        assert load(tmp_path, "[auth]").settings.auth.mode == "open"

    def test_the_demo_under_any_name_asks_for_no_key(self, tmp_path):
        routes = '[routes."*"]\ntargets = [{ upstream = "demo", model = "*" }]\n'
        two = f'{UPSTREAMS}[upstreams.second]\nkind = "captured"\n{routes}'
        assert load(tmp_path, UPSTREAMS).settings.auth.mode == "open"
        assert load(tmp_path, two).settings.auth.mode == "open"
        assert load(tmp_path, f"{UPSTREAMS}{LOCAL}{routes}").settings.auth.mode == "forward"
        assert load(tmp_path, f'[auth]\nmode = "forward"\n{UPSTREAMS}').settings.auth.mode == "forward"
        [said] = problems(tmp_path, UPSTREAMS, overrides={"server.host": "0.0.0.0"})
        assert said.startswith('auth.mode: "open" asks nobody for a key')

    def test_several_workers_keep_no_responses(self, tmp_path):
        assert load(tmp_path, "[server]\nworkers = 2").settings.responses.store == "off"
        assert load(tmp_path, "[server]\nworkers = 1").settings.responses.store == "explicit"
        assert load(tmp_path, '[responses]\nstore = "default"').settings.responses.store == "default"
        assert load(tmp_path, '[server]\nworkers = 2\n[responses]\nstore = "off"').settings.responses.store == "off"

    def test_several_upstreams_need_routes(self, tmp_path):
        two = f'{UPSTREAMS}[upstreams.other]\nkind = "captured"\n'
        assert problems(tmp_path, two) == ['routes: no model is served: add [routes."*"] with a target at demo or other']
        routed = load(tmp_path, f'{two}[routes.a]\ntargets = [{{ upstream = "other", model = "b" }}]\n[aliases]\nc = "a"').settings
        assert routed.routes == {"a": Route(targets=(Target(upstream="other", model="b"),))}
        assert routed.aliases == {"c": "a"}


WRONG_TOML = {
    "unknown key": ("[server]\nprot = 1", ["server.prot: no such setting. Did you mean port? (from ./penstock.toml)"]),
    "unknown key, nothing near": ("[auth]\nzzz = 1", ["auth.zzz: no such setting. There are mode and keys. (from ./penstock.toml)"]),
    "unknown section": ("[sever]\nport = 1", ["sever: no such setting. Did you mean server?"]),
    "section of another type": ("server = 3", ["server: expected a table, got 3 (from ./penstock.toml)"]),
    "text for a number": ('[server]\nport = "x"', ['server.port: expected an integer from 0 to 65535, got "x" (from ./penstock.toml)']),
    "number as text": ('[server]\nport = "1"', ['server.port: expected an integer from 0 to 65535, got "1" (from ./penstock.toml)']),
    "port out of range": ("[server]\nport = 65536", ["server.port: expected an integer from 0 to 65535, got 65536 (from ./penstock.toml)"]),
    "not a duration": (
        "[timeouts]\nidle_seconds = nan\ntotal_seconds = inf\nconnect_seconds = 0",
        [
            "timeouts.connect_seconds: expected a number above 0, at most 86400, got 0 (from ./penstock.toml)",
            "timeouts.idle_seconds: expected a number above 0, at most 86400, got nan (from ./penstock.toml)",
            "timeouts.total_seconds: expected a number above 0, at most 86400, got inf (from ./penstock.toml)",
        ],
    ),
    "not a boolean": ("[server]\naccess_log = 1", ["server.access_log: expected true or false, got 1 (from ./penstock.toml)"]),
    "not a list": ('[server]\nallowed_hosts = "a"', ['server.allowed_hosts: expected an array of text, got "a" (from ./penstock.toml)']),
    "not one of the words": ('[auth]\nmode = "key"', ['auth.mode: expected "forward", "keys" or "open", got "key" (from ./penstock.toml)']),
    "no kind": (
        "[upstreams.a]",
        [f"upstreams.a.kind: expected {KINDS}, it is missing"],
    ),
    "unknown kind": (
        '[upstreams.a]\nkind = "b"',
        [f'upstreams.a.kind: expected {KINDS}, got "b" (from ./penstock.toml)'],
    ),
    "upstreams of another type": ("upstreams = 1", ["upstreams: expected a table, got 1 (from ./penstock.toml)"]),
    "no upstreams": ("[upstreams]", ["upstreams: expected at least one upstream (from ./penstock.toml)"]),
    "no routes": ("[routes]", ['routes: no model is served: add [routes."*"] with a target at captured (from ./penstock.toml)']),
    "no targets": ('[routes."a.b"]\ntargets = []', ['routes."a.b".targets: expected an array of tables, got 0 (from ./penstock.toml)']),
    "one target twice": (
        '[routes.a]\ntargets = [{ upstream = "captured", model = "*" }, { upstream = "captured", model = "b" }, '
        '{ upstream = "captured", model = "a", price = [1, 2] }]',
        ["routes.a.targets[2]: targets[0] asks the same upstream for the same model already (from ./penstock.toml)"],
    ),
    "a price that is none": (
        '[routes.a]\ntargets = [{ upstream = "captured", model = "a", price = [1] }, { upstream = "captured", model = "b", price = [-1, 2] }]',
        [
            f"routes.a.targets[{index}].price: expected an array of 2 values, each a number from 0 to 1000000, got {got} (from ./penstock.toml)"
            for index, got in enumerate(("[1]", "[-1, 2]"))
        ],
    ),
    "a route with an alias's name": (
        '[routes."~a/latest"]\ntargets = [{ upstream = "captured", model = "a" }]',
        ['routes."~a/latest": a name with ~ before it is an alias: write "~a/latest" = "…" in [aliases], and the model\'s own id here'],
    ),
    "an alias to what only an alias could be": (
        '[aliases]\na = "~b/latest"',
        ['aliases.a: no route serves "~b/latest". Routes lead to *. (from ./penstock.toml)'],
    ),
    "a memory of several processes": (
        '[server]\nworkers = 2\n[reasoning]\nmemory = "on"',
        [
            'reasoning.memory: "on" remembers within one process, and with server.workers = 2 a conversation\'s turns reach now one and now another; '
            'set server.workers = 1, or reasoning.memory = "off" (from ./penstock.toml)'
        ],
    ),
    "responses kept by one of several processes": (
        '[server]\nworkers = 2\n[responses]\nstore = "explicit"',
        [
            'responses.store: "explicit" keeps responses within one process, and with server.workers = 2 another one may be asked for them; '
            'set responses.store = "off", or server.workers = 1 (from ./penstock.toml)'
        ],
    ),
    "no wait without end": (
        "[failover]\nwait_seconds = 61",
        ["failover.wait_seconds: expected a number from 0 to 60, got 61 (from ./penstock.toml)"],
    ),
    "targets missing": ("[routes.a]", ["routes.a.targets: expected an array of tables, it is missing"]),
    "targets of another type": ("[routes.a]\ntargets = 1", ["routes.a.targets: expected an array of tables, got 1 (from ./penstock.toml)"]),
    "half a target": (
        '[routes.a]\ntargets = [{ upstream = "captured" }]',
        ["routes.a.targets[0].model: expected text that is not empty, it is missing (from ./penstock.toml)"],
    ),
    "route to nowhere": (
        '[routes.a]\ntargets = [{ upstream = "capturd", model = "a" }]',
        ['routes.a.targets[0].upstream: no upstream is called "capturd". Did you mean captured? (from ./penstock.toml)'],
    ),
    "empty name": ('[aliases]\n"" = "a"', ['aliases."": expected a name that is not empty (from ./penstock.toml)']),
    "alias to nowhere": (
        '[aliases]\na = "modl"\n[routes.model]\ntargets = [{ upstream = "captured", model = "*" }]',
        ['aliases.a: no route serves "modl". Did you mean model? (from ./penstock.toml)'],
    ),
    "alias to nothing": ('[aliases]\na = "*"', ['aliases.a: expected a model id, got "*" (from ./penstock.toml)']),
    "alias to an alias": (
        '[aliases]\na = "b"\nb = "c"',
        ['aliases.a: "b" is an alias itself; name the model that it stands for (from ./penstock.toml)'],
    ),
    "alias over a route": ('[aliases]\n"*" = "b"', ['aliases."*": a route has this name already, and an alias would hide it (from ./penstock.toml)']),
    "not a host": (
        '[server]\nhost = "127.0.0.1:80"\nallowed_hosts = ["a", "http://a"]\n[auth]\nmode = "forward"',
        [
            'server.host: expected an IP address or a host name, without a port, got "127.0.0.1:80" (from ./penstock.toml)',
            'server.allowed_hosts[1]: expected an IP address or a host name, without a port, got "http://a" (from ./penstock.toml)',
        ],
    ),
    "syntax error": ("[server]\nport = 1\nport = 2\n", ["./penstock.toml:3: not TOML at column 9: Cannot overwrite a value"]),
    "syntax error at the end": ("[server]\nport = 1\nhost =", ["./penstock.toml:3: not TOML at the end: Invalid value"]),
    "several": (
        '[server]\nprot = 1\n[auth]\nmode = 3\n[aliases]\na = "*"',
        [
            'auth.mode: expected "forward", "keys" or "open", got 3 (from ./penstock.toml)',
            "server.prot: no such setting. Did you mean port? (from ./penstock.toml)",
            'aliases.a: expected a model id, got "*" (from ./penstock.toml)',
        ],
    ),
}


class TestProblems:
    @pytest.mark.parametrize(("toml", "expected"), WRONG_TOML.values(), ids=WRONG_TOML)
    def test_in_the_file(self, tmp_path, toml, expected):
        assert sorted(problems(tmp_path, toml)) == sorted(expected)

    @pytest.mark.parametrize(
        ("variable", "text", "expected"),
        [
            ("PORT", "abc", 'server.port: expected an integer from 0 to 65535, got "abc" (from PORT)'),
            ("PORT", "", 'server.port: expected an integer from 0 to 65535, got "" (from PORT)'),
            ("PENSTOCK_SERVER__PORT", "70000", 'server.port: expected an integer from 0 to 65535, got "70000" (from PENSTOCK_SERVER__PORT)'),
            ("PENSTOCK_SERVER__ACCESS_LOG", "yes", 'server.access_log: expected true or false, got "yes" (from PENSTOCK_SERVER__ACCESS_LOG)'),
            ("PENSTOCK_SERVER__HOST", "a\udcff", "PENSTOCK_SERVER__HOST: expected text in UTF-8"),
            ("PENSTOCK_SERVER__PROT", "1", "PENSTOCK_SERVER__PROT: no such variable. Did you mean PENSTOCK_SERVER__PORT?"),
            ("PENSTOCK_SERVR__PORT", "1", "PENSTOCK_SERVR__PORT: no such variable. Did you mean PENSTOCK_SERVER__PORT?"),
            ("PENSTOCK_CONFG", "1", "PENSTOCK_CONFG: no such variable. Did you mean PENSTOCK_CONFIG?"),
            ("PENSTOCK_SERVER__ZZZZZZZZZZZZZZZ", "1", "PENSTOCK_SERVER__ZZZZZZZZZZZZZZZ: no such variable. There is no such key in [server]."),
            ("PENSTOCK_UPSTREAMS__A__B", "1", "PENSTOCK_UPSTREAMS__A__B: no such variable. [upstreams] is set in the file."),
            (
                "PENSTOCK_Q",
                "1",
                "PENSTOCK_Q: no such variable. Variables are PENSTOCK_SECTION__KEY; "
                "the sections are server, auth, timeouts, reasoning, usage, images, failover, responses, cursor.",
            ),
        ],
    )
    def test_in_a_variable(self, tmp_path, variable, text, expected):
        assert problems(tmp_path, **{variable: text}) == [expected]

    def test_on_the_command_line(self, tmp_path):
        expected = ["server.port: expected an integer from 0 to 65535, got -1 (from the command line)"]
        assert problems(tmp_path, "[server]\nport = 5", overrides={"server.port": -1}) == expected

    def test_in_dotenv(self, tmp_path):
        (tmp_path / ".env").write_text("A=1\n\n\nnot a secret = hunter2\nPENSTOCK_SERVER__PORT=x\nPENSTOCK_X=1\n")
        assert problems(tmp_path) == [
            "./.env:4: expected NAME=value",
            "PENSTOCK_X in .env: no such variable. Variables are PENSTOCK_SECTION__KEY; "
            "the sections are server, auth, timeouts, reasoning, usage, images, failover, responses, cursor.",
            'server.port: expected an integer from 0 to 65535, got "x" (from PENSTOCK_SERVER__PORT in .env)',
        ]
        (tmp_path / ".env").write_bytes(b"\xff")
        assert problems(tmp_path) == ["./.env: expected a file of NAME=value lines: it is not UTF-8"]

    def test_the_value_of_an_unknown_key_is_not_shown(self, tmp_path):
        said = problems(tmp_path, '[server]\napi_key = "sk-123456"', PENSTOCK_API_KEY="sk-123456")
        assert len(said) == 2
        assert "sk-123456" not in "".join(said)

    def test_long_values_are_cut(self, tmp_path):
        [said] = problems(tmp_path, PORT="7" * 10_000)
        assert len(said) < 200

    def test_a_file_and_the_environment_are_complained_about_together(self, tmp_path):
        said = problems(tmp_path, "[server", PORT="x", PENSTOCK_SERVER__HOST="0.0.0.0")
        assert [line.partition(" ")[0] for line in said] == ["./penstock.toml:1:", "server.port:"]

    def test_a_named_file_must_be_there(self, tmp_path):
        expected = "expected a TOML file that can be read: No such file or directory"
        assert problems(tmp_path, config=Path("a.toml")) == [f"./a.toml: {expected}"]
        assert problems(tmp_path, PENSTOCK_CONFIG="b.toml") == [f"./b.toml: {expected}"]

    def test_a_directory_is_no_file(self, tmp_path):
        assert problems(tmp_path, config=tmp_path) == [".: expected a TOML file that can be read: Is a directory"]

    def test_a_file_that_is_not_utf8(self, tmp_path):
        (tmp_path / "penstock.toml").write_bytes(b"[server]\n# \xff\n")
        assert problems(tmp_path) == ["./penstock.toml:2: expected TOML in UTF-8"]

    def test_a_file_that_everybody_may_write(self, tmp_path):
        (tmp_path / "penstock.toml").touch()
        (tmp_path / "penstock.toml").chmod(0o666)
        [said] = problems(tmp_path)
        assert said.startswith("./penstock.toml: every user of this machine may write to it")
        (tmp_path / "penstock.toml").chmod(stat.S_IRUSR | stat.S_IWUSR)
        assert load(tmp_path).settings == Settings()


class TestRules:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.example"])
    def test_open_stays_on_this_machine(self, tmp_path, host):
        [said] = problems(tmp_path, PENSTOCK_SERVER__HOST=host)
        assert said.startswith('auth.mode: "open" asks nobody for a key, so server.host must be a loopback address')
        assert host in said
        assert load(tmp_path, PENSTOCK_SERVER__HOST=host, PENSTOCK_AUTH__MODE="forward").settings.server.host == host

    @pytest.mark.parametrize(
        "name", [{"PENSTOCK_SERVER__PUBLIC_URL": "https://gw.example"}, {"PENSTOCK_SERVER__ALLOWED_HOSTS": "localhost,gw.example"}]
    )
    def test_open_has_no_other_name(self, tmp_path, name):
        [said] = problems(tmp_path, **name)
        assert said.startswith('auth.mode: "open" asks nobody for a key, so it answers under loopback names alone')
        assert load(tmp_path, PENSTOCK_AUTH__MODE="forward", **name).settings.auth.mode == "forward"

    def test_open_may_name_this_machine(self, tmp_path):
        local: dict[str, Any] = {"PENSTOCK_SERVER__PUBLIC_URL": "http://localhost:9000", "PENSTOCK_SERVER__ALLOWED_HOSTS": "localhost,::1"}
        assert load(tmp_path, **local).settings.auth.mode == "open"

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
    def test_open_on_loopback(self, tmp_path, host):
        assert load(tmp_path, PENSTOCK_SERVER__HOST=host).settings.server.host == host

    @pytest.mark.parametrize("url", ["https://a.example", "http://a.example:8080/gateway/", "https://[2001:db8::1]:1"])
    def test_public_url(self, tmp_path, url):
        assert load(tmp_path, PENSTOCK_SERVER__PUBLIC_URL=url, PENSTOCK_AUTH__MODE="forward").settings.server.public_url == url

    @pytest.mark.parametrize(
        "url",
        [
            "a.example",
            "ftp://a.example",
            "https://",
            "https://a.example?x=1",
            "https://a.example#x",
            "https://u:p@a",
            "http://a:x",
            "http://[",
            "http://a b",
        ],
    )
    def test_not_a_public_url(self, tmp_path, url):
        [said] = problems(tmp_path, PENSTOCK_SERVER__PUBLIC_URL=url)
        assert said.startswith("server.public_url: expected https://host or http://host")

    def test_tls_pair(self, tmp_path):
        (tmp_path / "cert.pem").write_text(CERTIFICATE)
        (tmp_path / "key.pem").write_text(KEY)
        server = load(tmp_path, '[server]\ntls_cert = "cert.pem"\ntls_key = "key.pem"').settings.server
        assert (server.tls_cert, server.tls_key) == ("cert.pem", "key.pem")

    @pytest.mark.parametrize(("given", "missing"), [("tls_cert", "tls_key"), ("tls_key", "tls_cert")])
    def test_half_a_tls_pair(self, tmp_path, given, missing):
        assert problems(tmp_path, f'[server]\n{given} = "a.pem"') == [f"server.{missing}: expected a PEM file, since server.{given} is set"]

    def test_tls_files_that_are_not_there(self, tmp_path):
        assert problems(tmp_path, PENSTOCK_SERVER__TLS_CERT="a.pem", PENSTOCK_SERVER__TLS_KEY="b.pem") == [
            'server.tls_cert: expected a PEM file that can be read, got "./a.pem": No such file or directory (from PENSTOCK_SERVER__TLS_CERT)',
            'server.tls_key: expected a PEM file that can be read, got "./b.pem": No such file or directory (from PENSTOCK_SERVER__TLS_KEY)',
        ]

    @pytest.mark.parametrize(
        ("certificate", "key"), [(CERTIFICATE, KEY_OF_ANOTHER), (CERTIFICATE, ENCRYPTED_KEY), (KEY, CERTIFICATE), ("", KEY), ("no PEM", "no PEM")]
    )
    def test_tls_files_that_are_no_pair(self, tmp_path, certificate, key):
        (tmp_path / "cert.pem").write_text(certificate)
        (tmp_path / "key.pem").write_text(key)
        [said] = problems(tmp_path, '[server]\ntls_cert = "cert.pem"\ntls_key = "key.pem"')
        assert said.startswith('server.tls_cert: expected a certificate chain in "./cert.pem" and its key, not encrypted, in "./key.pem", both PEM')
        assert said.endswith("of another certificate (from ./penstock.toml)") == (key == KEY_OF_ANOTHER)


WORDS = ["kind", "targets", "tools", "port", "base_url", "headers", "profile", "pass_fields", "keys", "name", "hash", "models", "mode"]
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
tables = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        names,
        st.sampled_from(["captured", "composer", "sdk-bridge", "website", "openai-chat", "keys"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names | st.sampled_from(WORDS), inner, max_size=3)),
)


@hypothesis_settings(deadline=None)
@given(st.dictionaries(st.sampled_from(Settings.__struct_fields__), tables))
def test_what_passes_the_check_converts_and_nothing_raises(tree):
    if not list(check(tree, Settings)):
        assert isinstance(msgspec.convert(tree, Settings), Settings)
    else:
        # a name is never empty: the one thing that msgspec does not look at
        try:
            msgspec.convert(tree, Settings)
        except msgspec.ValidationError:
            return
        assert all("a name that is not empty" in line for line in map(str, check(tree, Settings)))


@hypothesis_settings(deadline=None, max_examples=50)
@given(
    port=st.integers(0, 65535),
    idle=st.floats(min_value=1e-6, max_value=86_400),
    hosts=st.lists(st.from_regex(r"\A[a-z]{1,8}\.example\Z"), max_size=3),
    models=st.lists(names.filter(lambda name: name != "*"), min_size=2, max_size=4, unique=True).filter(lambda models: models[0][0] != "~"),
    price=st.none() | st.tuples(st.floats(0, 1000), st.floats(0, 1000)),
    window=st.none() | st.integers(1, 1_000_000),
    upstream=names,
)
def test_what_show_prints_reads_back_as_the_same_settings(tmp_path_factory, port, idle, hosts, models, price, window, upstream):
    first, *others = models
    targets = tuple(Target(upstream=upstream, model=model, price=price) for model in models)
    settings = Settings(
        server=Server(port=port, allowed_hosts=tuple(hosts)),
        auth=Auth(mode="forward"),
        timeouts=Timeouts(idle_seconds=idle),
        upstreams={upstream: Captured()},
        routes={first: Route(targets=targets, context_window=window, display_reasoning="details")},
        aliases=dict.fromkeys(others, first),
    )
    cwd = tmp_path_factory.mktemp("show")
    file = cwd / "penstock.toml"
    file.write_text(show(Loaded(settings)), newline="")
    loaded = load_settings(overrides={}, config=None, environ={}, cwd=cwd)
    assert loaded.settings == settings
    file.write_text(show(loaded), newline="")
    assert load_settings(overrides={}, config=None, environ={}, cwd=cwd).settings == settings


class Another(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="another"):
    url: str


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"kind": "another", "url": "x"}, []),
        ({"kind": "captured", "pace_seconds": 1}, []),
        ({"kind": "captured", "url": "x"}, ["u.url: no such setting. There are pace_seconds and tools."]),
        ({"kind": "another", "pace_seconds": 1}, ["u.url: expected text, it is missing", "u.pace_seconds: no such setting. There is url."]),
        ({"url": "x"}, ['u.kind: expected "captured" or "another", it is missing']),
    ],
)
def test_a_table_of_several_kinds_is_checked_as_the_one_that_it_names(raw, expected):
    assert list(map(str, check(raw, Captured | Another, ("u",)))) == expected


def test_show_says_where_values_were_set(tmp_path):
    text = show(load(tmp_path, "[server]\nworkers = 2", PORT="1", overrides={"server.host": "::1"})).replace(str(tmp_path), ".")
    head, server, auth, *_ = text.split("\n\n")
    assert head == "# file: ./penstock.toml"
    assert server.splitlines()[:5] == [
        "# set by ./penstock.toml: workers",
        "# set by PORT: port",
        "# set by the command line: host",
        "[server]",
        'host = "::1"',
    ]
    assert auth == '# defaults\n[auth]\nmode = "open"\nkeys = []'


def test_the_reference_in_the_docs_is_what_the_program_prints():
    docs = Path(__file__).parents[2] / "docs" / "settings.md"
    assert docs.read_text() == reference(), "run: penstock config docs > docs/settings.md"


def test_the_example_in_the_reference_is_a_good_file(tmp_path):
    toml = reference().partition("```toml\n")[2].partition("```")[0]
    settings = load(tmp_path, toml).settings
    assert (settings.server.port, list(settings.upstreams), settings.aliases) == (9000, ["demo", "local"], {"composer": "composer-2.5"})


def structs(annotation):
    """Every struct in an annotation, at any depth."""
    for struct in structs_of(without_metadata(annotation)):
        yield struct
        for field in msgspec.structs.fields(struct):
            yield from structs(field.type)
    for argument in get_args(without_metadata(annotation)):
        yield from structs(argument)


def test_every_setting_is_described_and_in_the_reference():
    text = reference()
    found = set(structs(Settings))
    assert found >= {Server, Captured, Composer, OpenAIChat, Profile, ToolPolicy, Target}
    for struct in found:
        assert struct.__struct_config__.frozen
        assert struct.__struct_config__.forbid_unknown_fields
        for field in settings_of(struct):
            assert description(field.type), f"{struct.__name__}.{field.name}"
            assert f"{field.encode_name}`" in text or f"[{field.encode_name}]" in text or f"`{field.encode_name}." in text
