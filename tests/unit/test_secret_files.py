"""Secrets in files: where they are named, what is wrong with them, and that they are read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridsidecar.config.load import recipes_of, renew_by_files
from gridsidecar.config.secret_files import InFile
from tests.unit.test_config_load import LEAST, Write, faults, settings, the_fault, write

__all__ = ["write"]

ODD = "p@ss/w:rd #1?%41$€"
ENCODED = "p%40ss%2Fw%3Ard%20%231%3F%2541%24%E2%82%AC"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{ODD}\n")
    return path


def test_a_file_stands_anywhere_in_a_text(write: Write, secret: Path) -> None:
    text = LEAST.replace("sqlite:///q.db", f"mysql://${{USER}}:${{file:{secret}}}@h/db").replace(
        'broker: {url: "mysql', 'broker: {url: "amqps'
    )
    path = write(text + f"callbacks: {{signing_secret: '${{file:{secret}}}'}}\n")
    loaded = settings(path, {"USER": "$u$$r"})
    assert loaded.store.url == f"mysql://$u$$r:{ENCODED}@h/db"
    assert loaded.broker.url == f"amqps://$u$$r:{ENCODED}@h/db"
    assert loaded.callbacks.signing_secret == ODD, "only in a URL it is encoded"


def test_a_secret_of_digits_stays_text(write: Write, secret: Path) -> None:
    secret.write_bytes(b"\xef\xbb\xbf0123456789012345678\r\n")  # as some editors mark UTF-8
    path = write(LEAST + f"http: {{token: '${{file:{secret}}}'}}\n")
    assert settings(path).http.token == "0123456789012345678"


def test_a_new_connection_gets_what_the_files_hold_then(write: Write, secret: Path) -> None:
    loaded = settings(write(LEAST.replace("sqlite:///q.db", f"amqp://u:${{file:{secret}}}@h/$$x", 1)))
    assert loaded.broker.url == loaded.broker.urls_now[0] == f"amqp://u:{ENCODED}@h/$x"
    secret.write_text("n€w")
    assert loaded.broker.urls_now[0] == "amqp://u:n%E2%82%ACw@h/$x"
    secret.unlink()
    assert loaded.broker.urls_now[0] == f"amqp://u:{ENCODED}@h/$x", "what was read at the start, where there is no file"


@pytest.mark.parametrize("part", ["PASSWORD", "USERNAME", "USER"])
def test_parts_of_a_url_in_files(secret: Path, part: str) -> None:
    environ = {
        **{f"{server}_HOST": "h" for server in ("RABBITMQ", "MYSQL")},
        **{f"{server}_{part}_FILE": str(secret) for server in ("RABBITMQ", "MYSQL")},
        "MYSQL_DATABASE": "db$1",
        "RABBITMQ_VHOST": "v",
    }
    loaded = settings(None, environ, overrides={"handlers.default.command": ["cat"]})
    encoded = ENCODED
    assert encoded in loaded.broker.url
    assert encoded in loaded.store.url
    secret.write_text("renewed")
    assert loaded.broker.urls_now[0] == loaded.broker.urls[0].replace(encoded, "renewed")
    assert loaded.store.url_now == loaded.store.url.replace(encoded, "renewed")


@pytest.mark.parametrize("source", ["environment", ".env"])
def test_a_whole_url_in_a_file(secret: Path, tmp_path: Path, source: str) -> None:
    secret.write_text("amqp://u:p@h/\n")
    given = {"GRID_ASYNC_TASK_AMQP_URL_FILE": str(secret)}
    dotenv = tmp_path / ".env"
    dotenv.write_text("".join(f"{name}={value}\n" for name, value in given.items()))
    told: list[tuple[str, str]] = []
    overrides: dict[str, object] = {"store.url": "sqlite:///x", "handlers.default.command": ["cat"]}
    loaded = settings(
        None,
        given if source == "environment" else {},
        dotenv=str(dotenv) if source == ".env" else None,
        overrides=overrides,
        warn=lambda *found: told.append(found),
    )
    assert loaded.broker.url == "amqp://u:p@h/"
    secret.write_text("amqp://u:p2@h2/\n")
    assert loaded.broker.urls_now[0] == "amqp://u:p2@h2/"
    assert told == [], "it has an effect"


def test_a_url_in_a_file_named_by_a_flag(write: Write, secret: Path) -> None:
    secret.write_text("amqp://u:p@h/")
    loaded = settings(write(LEAST), overrides={"broker.url": InFile(str(secret))})
    assert loaded.broker.url == "amqp://u:p@h/"
    secret.write_text("amqp://u:p2@h/")
    assert loaded.broker.urls_now[0] == "amqp://u:p2@h/"


def test_what_is_set_later_forgets_the_file(write: Write, secret: Path) -> None:
    path = write(LEAST.replace("sqlite:///q.db", f"amqp://u:${{file:{secret}}}@h/", 1))
    loaded = settings(path, overrides={"broker.url": "amqp://flag/"})
    assert loaded.broker.urls_now[0] == "amqp://flag/"


def test_another_process_can_be_told(write: Write, secret: Path) -> None:
    loaded = settings(write(LEAST.replace("sqlite:///q.db", f"amqp://u:${{file:{secret}}}@h/", 1)))
    copy = type(loaded).model_validate(loaded.model_dump(by_alias=True))
    renew_by_files(copy, recipes_of(loaded))
    secret.write_text("new")
    assert copy.broker.urls_now[0] == "amqp://u:new@h/"
    assert ODD not in str(recipes_of(loaded))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file or directory"),
        (b"", "is empty"),
        (b" \r\n", "is empty"),
        (b"\xff\xfe", "holds no text in UTF-8"),
        (b"a\0b", "longer than 65536 bytes, or binary"),
        (b"x" * 70_000, "longer than 65536 bytes, or binary"),
    ],
)
def test_a_file_that_is_no_use(write: Write, tmp_path: Path, content: bytes | None, problem: str) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    fault = the_fault(write(LEAST + f"callbacks: {{signing_secret: '${{file:{file}}}'}}\n"))
    assert (fault.key, fault.line) == ("callbacks.signing_secret", 4)
    assert str(file) in fault.problem
    assert problem in fault.problem
    for environ in (
        {"GRID_ASYNC_TASK_AMQP_URL_FILE": str(file)},
        {"RABBITMQ_HOST": "h", "RABBITMQ_PASSWORD_FILE": str(file)},
    ):
        (fault, *_) = [each for each in faults(None, environ) if each.key == "broker.url"]
        assert problem in fault.problem
        assert fault.source in environ
    (fault,) = faults(write(LEAST), overrides={"broker.url": InFile(str(file))})
    assert problem in fault.problem


def test_a_variable_and_its_file_exclude_each_other(secret: Path) -> None:
    for name in ("GRID_ASYNC_TASK_AMQP_URL", "RABBITMQ_PASSWORD"):
        environ = {"RABBITMQ_HOST": "h", name: "amqp://h/", f"{name}_FILE": str(secret)}
        told = [fault.problem for fault in faults(None, environ) if fault.key == "broker.url"]
        assert told == [f"{name} and {name}_FILE exclude each other"]


@pytest.mark.parametrize("listed", [True, False])
def test_each_url_of_a_cluster_is_renewed(tmp_path: Path, write: Write, secret: Path, listed: bool) -> None:
    other = tmp_path / "other"
    other.write_text("1")
    urls = [f"amqp://u:${{file:{other}}}@a/", "amqp://u:p@b/", f"amqp://u:${{file:{secret}}}@c/"]
    given = f"[{', '.join(map(repr, urls))}]" if listed else repr(", ".join(urls))
    loaded = settings(write(LEAST.replace('"sqlite:///q.db"', given, 1)))
    assert loaded.broker.urls == ["amqp://u:1@a/", "amqp://u:p@b/", f"amqp://u:{ENCODED}@c/"]
    copy = type(loaded).model_validate(loaded.model_dump(by_alias=True))
    renew_by_files(copy, recipes_of(loaded))
    secret.write_text("ne,w")
    for each in (loaded, copy):
        assert each.broker.urls_now == ["amqp://u:1@a/", "amqp://u:p@b/", "amqp://u:ne%2Cw@c/"]


def test_a_flag_forgets_the_files_of_a_whole_list(write: Write, secret: Path) -> None:
    urls = repr([f"amqp://u:${{file:{secret}}}@a/", f"amqp://u:${{file:{secret}}}@b/"])
    loaded = settings(write(LEAST.replace('"sqlite:///q.db"', urls, 1)), overrides={"broker.url": "amqp://flag/"})
    assert loaded.broker.recipes == {}
    assert loaded.broker.urls_now == ["amqp://flag/"]
