"""Templates: what they take, what they refuse and where, and what they find in values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsidecar.config.addresses import Allowed, MailAddress
from gridsidecar.config.template import KNOWN, TemplateError, look_up, parse


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("", ()),
        ("plain", ("plain",)),
        ("{error}", (("error",),)),
        ("{data.user.name} – {result.ids.0}", (("data", "user", "name"), " – ", ("result", "ids", "0"))),
        ("{{{error}}}", ("{", ("error",), "}")),
        ("{{error}}", ("{", "error", "}")),
        ("{data.用户}", (("data", "用户"),)),
    ],
)
def test_what_is_read(written: str, parts: tuple[Any, ...]) -> None:
    assert parse(written).parts == parts


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("a {", "the { at character 3 opens no field: write {{ for a brace"),
        ("a } b", "the } at character 3 closes none: write }} for a brace"),
        ("{data.{error}}", "the { at character 1 opens no field"),
        ("{}", "{} at character 1 is no field: write names with dots between"),
        ("x {error!r}", "{error!r} at character 3 is no field"),
        ("{attempt:>9}", "is no field"),
        ("{data[0]}", "is no field"),
        ("{data.}", "is no field"),
        ("{data..x}", "is no field"),
        ("{ error }", "is no field"),
        ("{eror}", "{eror} at character 1 begins with no known field; these are known: task_id, task_type, status"),
        ("{error.__class__}", "error has no fields of its own, only data, callback_data, result have"),
    ],
)
def test_what_is_refused_and_where(written: str, problem: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse(written)
    assert problem in str(caught.value)


@given(st.text(alphabet="{}ab.error_data0! \n"))
def test_every_text_is_read_or_refused(written: str) -> None:
    try:
        template = parse(written)
    except TemplateError:
        return
    assert template.fill(lambda path: "".join(path)).count("{") == written.count("{{")


@given(st.text())
def test_braces_survive(text: str) -> None:
    assert parse(text.replace("{", "{{").replace("}", "}}")).fill(str) == text


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b", 1),
        ("l.1", "y"),
        ("l.2", None),
        ("l.-1", None),
        ("l.x", None),
        ("l.99999999999999999999", None),
        ("l.٣", None),
        ("a.__class__", None),
        ("t.upper", None),
        ("n.x", None),
        ("7", "seven"),
    ],
)
def test_what_is_found(path: str, found: Any) -> None:
    value = {"a": {"b": 1}, "l": ["x", "y"], "t": "text", "n": None, "7": "seven"}
    assert look_up(value, tuple(path.split("."))) == found


def test_all_known_fields_are_readable() -> None:
    assert parse("".join(f"{{{name}}}" for name in KNOWN)).has_fields


@pytest.mark.parametrize(
    "written",
    [
        "",
        "@",
        "a",
        "a@",
        "@b.org",
        "a@b@c.org",
        "a@b.org, c@b.org",
        "a@b.org;c@b.org",
        "a@b.org c@b.org",
        "A <a@b.org>",
        "<a@b.org>",
        '"a b"@b.org',
        "a@b.org\r\nBcc: v@b.org",
        "a@b.org\n",
        "a\n@b.org",
        "a@b.org\x00",
        "a@[127.0.0.1]",
        "a%evil.example@b.org",
        "evil!a@b.org",
        "a(c)@b.org",
        "=?utf-8?q?a=2Cevil=40evil.test=2Cb?=@b.org",
        "=?utf-8?q?evil=40evil.test=3E?=@b.org",
        "a..b@b.org",
        ".a@b.org",
        "a@-b.org",
        "a@b..org",
        "a@.org",
        "ü@b.org",
        "a" * 65 + "@b.org",
        "a@" + "b" * 260,
        "a@xn--",
    ],
)
def test_what_is_no_single_plain_address(written: str) -> None:
    with pytest.raises(ValueError, match=r"it is no single plain address|its domain is no host name"):
        MailAddress.read(written)


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("a@b.org", "a@b.org"),
        (" Ann.Lee+x@Example.ORG ", "Ann.Lee+x@example.org"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("o'neil@localhost", "o'neil@localhost"),
    ],
)
def test_what_is_one(written: str, address: str) -> None:
    assert str(MailAddress.read(written)) == address


def test_who_is_allowed() -> None:
    allowed = Allowed.read(["Example.org", "*.Corp.example", "only@other.org", "bücher.example"])
    for address in ("a@EXAMPLE.org", "a@x.corp.example", "a@x.y.corp.example", "only@OTHER.org", "a@bücher.example"):
        assert allowed.takes(MailAddress.read(address)), address
    for address in (
        *("a@sub.example.org", "a@corp.example", "a@notcorp.example", "a@other.org", "Only@other.org"),
        *("a@example.org.evil.net", "a@evilexample.org"),
    ):
        assert not allowed.takes(MailAddress.read(address)), address
