"""One reader for `store.url`: what `config validate` accepts, a worker can use, and what it refuses has its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gridsidecar.cli.config import app
from gridsidecar.config.mysql_url import parse_mysql_url
from gridsidecar.errors import ConfigError
from gridsidecar.store import make_store
from tests.support.certificates import Authority
from tests.unit.test_config_load import LEAST, Write, settings, the_fault, write

__all__ = ["write"]

SQLITE = 'store: {url: "sqlite:///q.db"}'


def on_mysql(options: str) -> str:
    return LEAST.replace(SQLITE, f'store: {{url: "mysql://u:p@h/db?{options}"}}')


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("charset=utf8", "charset has no effect: text is sent and read as utf8mb4"),
        ("autocommit=true", "autocommit has no effect"),
        ("connect_timeout=5", "connect_timeout has no effect"),
        ("pool_recycle=3600", "pool_recycle has no effect"),
        ("ssl_mode=disabled&ssl_ca=/no/such/ca.pem", "ssl_ca has no effect: ssl_mode=disabled"),
    ],
)
def test_what_has_no_effect_is_accepted_and_told(write: Write, option: str, says: str) -> None:
    path, told = write(on_mysql(option)), []
    loaded = settings(path, unusual=lambda *found: told.append(" ".join(found)))
    make_store(loaded.store, "q")
    assert [text for text in told if text.startswith(f"store.url {says}")], told


@pytest.mark.parametrize("option", ["charset=utf8mb4", "charset=UTF8MB4", "ssl_mode=preferred", "ssl_mode=REQUIRED"])
def test_what_means_what_it_says_is_accepted_in_silence(write: Write, option: str) -> None:
    path, told = write(on_mysql(option)), []
    make_store(settings(path, unusual=lambda *found: told.append(found)).store, "q")
    assert told == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("ssl_ca=/nonexistent", "cannot read ssl_ca=/nonexistent: No such file or directory"),
        ("ssl_ca=", "ssl_ca is empty"),
        ("ssl_mode=maybe", "ssl_mode must be one of disabled, preferred, required, verify_ca, verify_identity"),
        ("sslmode=required", "unknown option 'sslmode'"),
        ("charset=latin1", "charset must be utf8mb4"),
        ("ssl_key=/k.pem", "ssl_key means nothing without ssl_cert"),
        (
            "ssl_mode=required&ssl_mode=disabled",
            "ssl_mode stands there twice, once as 'required' and once as 'disabled'",
        ),
        ("ssl_cert=/nonexistent", "cannot read ssl_cert=/nonexistent: no such file"),
    ],
)
def test_what_a_worker_refuses_is_a_fault_with_file_and_line(write: Write, options: str, problem: str) -> None:
    path = write(on_mysql(options))
    fault = the_fault(path)
    assert (fault.key, fault.source, fault.line) == ("store.url", path, 2)
    assert fault.problem.startswith(problem)


def test_a_file_that_is_no_certificate(write: Write, tmp_path: Path) -> None:
    authority, garbage = Authority(tmp_path), tmp_path / "garbage"
    garbage.write_text("no certificate")
    mine, other = authority.files("mine"), authority.files("other")
    locked = authority.files("locked", passphrase=b"sesame")
    for options, problem in {
        f"ssl_ca={garbage}": "holds no certificate in PEM",
        f"ssl_cert={garbage}": "is no certificate and key in PEM",
        f"ssl_cert={mine.cert}&ssl_key={other.key}": "is not that of the certificate",
        f"ssl_cert={locked.cert}&ssl_key={locked.key}": "is encrypted",
    }.items():
        assert problem in the_fault(write(on_mysql(options))).problem
    settings(write(on_mysql(f"ssl_ca={authority.pem}&ssl_cert={mine.cert}&ssl_key={mine.key}")))


def test_an_authority_is_asked_by_name_and_chain(tmp_path: Path) -> None:
    """`required` keeps its meaning until somebody names an authority."""
    ca = Authority(tmp_path).pem
    modes = {
        "ssl_mode=required": "required",
        "ssl_mode=preferred": "preferred",
        f"ssl_ca={ca}": "verify_identity",
        f"ssl_mode=required&ssl_ca={ca}": "verify_identity",
        f"ssl_mode=preferred&ssl_ca={ca}": "verify_identity",
        f"ssl_mode=verify_ca&ssl_ca={ca}": "verify_ca",
    }
    for options, mode in modes.items():
        tls = parse_mysql_url(f"mysql://u@h/db?{options}").tls
        assert tls is not None
        assert tls.mode == mode
        assert tls.context().check_hostname == (mode == "verify_identity")


@pytest.mark.parametrize(
    ("change", "key", "says"),
    [
        ("[cat]", "", ""),
        ("[/nowhere/program]", "handlers.default.command", "/nowhere/program does not exist; create it"),
        ("[no-such-program]", "handlers.default.command", "no-such-program is not in PATH"),
        ("[sh, ./none.sh]", "handlers.default.command", "there is no ./none.sh for /usr/bin/sh to run, seen from /"),
        ("[cat], cwd: /nowhere", "handlers.default.command", "the directory /nowhere does not exist"),
        ("[cat]}}\nhooks: {on_startup: [/nowhere/hook]", "hooks.on_startup", "/nowhere/hook does not exist"),
    ],
)
def test_validate_says_which_commands_are_not_here(write: Write, change: str, key: str, says: str) -> None:
    text = LEAST.replace("[cat]", change)
    text = text.replace("hook]}}", "hook]}")
    result = CliRunner().invoke(app, ["validate", "-c", write(text)])
    assert result.exit_code == 0, result.exception
    told = [line for line in result.stderr.splitlines() if "cannot be started here" in line]
    assert len(told) == bool(key)
    if key:
        assert told[0].startswith(f"{key} cannot be started here: {says}")


@pytest.mark.parametrize(
    ("settings", "key", "says"),
    [
        ("http: {listen: '127.0.0.1:1', token_file: FOLDER/none}", "http.token_file", "FOLDER/none cannot be read: No"),
        (
            "http: {listen: '127.0.0.1:1', read_token_file: /dev/null}",
            "http.read_token_file",
            "/dev/null holds no token",
        ),
        ("http: {token_file: FOLDER/none}", None, ""),
        ("broker: {url: 'sqlite:///FOLDER/none/q.db'}", "broker.url", "the folder FOLDER/none does not exist; create"),
        ("store: {url: 'sqlite:///FOLDER'}", "store.url", "FOLDER is a folder; name a file"),
        ("store: {url: 'sqlite:///FOLDER/none.db'}", None, ""),
    ],
)
def test_validate_says_which_files_are_not_here(
    write: Write, tmp_path: Path, settings: str, key: str | None, says: str
) -> None:
    least = {"broker": "{url: 'sqlite:///q.db'}", "store": "{url: 'sqlite:///t.db'}"}
    text = "".join(f"{name}: {value}\n" for name, value in least.items() if not settings.startswith(name))
    path = write(f"{text}{settings}\nhandlers: {{default: {{command: [cat]}}}}\n".replace("FOLDER", str(tmp_path)))
    told = CliRunner().invoke(app, ["validate", "-c", path])
    found = [line for line in told.stderr.splitlines() if "cannot be used here" in line]
    assert told.exit_code == 0, told.exception
    assert len(found) == (key is not None)
    if key is not None:
        assert found[0].startswith(f"{key} cannot be used here: {says}".replace("FOLDER", str(tmp_path)))


def test_validate_fails_where_the_start_would(write: Write) -> None:
    result = CliRunner().invoke(app, ["validate", "-c", write(on_mysql("ssl_ca=/nonexistent"))])
    assert isinstance(result.exception, ConfigError)
    assert ':2: store.url = "mysql://u:***@h/db?ssl_ca=/nonexistent": cannot read ssl_ca' in str(result.exception)
