"""The line splitter against a reference: any bytes, cut anywhere, in bounded memory."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gridsidecar.handler.lines import MAX_LINE_BYTES, LineSplitter, MessageScanner

LIMIT = 8
pieces = st.sampled_from([b"\n", b"{", b"\r", b'{"gs":1}', b"\\u0067", b"abc", b"12345678", b"\xff\x00", b""])
output = st.lists(st.one_of(pieces, st.binary(max_size=20))).map(b"".join)
chunked = st.tuples(output, st.lists(st.integers(0, 300)))


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def lines(data: bytes) -> list[bytes]:
    """A last line without an LF counts, unless it is empty."""
    found = data.split(b"\n")
    return found if found[-1] else found[:-1]


@given(chunked)
def test_any_bytes_in_any_chunks(given: tuple[bytes, list[int]]) -> None:
    data, cuts = given
    discarded: list[tuple[bytes, bytes]] = []
    splitter = LineSplitter(LIMIT, lambda head, tail: discarded.append((head, tail)))
    got: list[bytes] = []
    for chunk in chunks(data, cuts):
        got += splitter.feed(chunk)
        assert len(splitter._held) <= LIMIT
    got += splitter.finish()
    expected = lines(data)
    assert got == [line for line in expected if len(line) <= LIMIT]
    lost = [line for line in expected if len(line) > LIMIT]
    assert len(discarded) == len(lost)
    for (head, tail), line in zip(discarded, lost, strict=True):
        assert line.startswith(head)
        assert line.endswith(tail)
        assert min(len(head), len(tail)) > LIMIT


@given(chunked)
def test_stdout_is_text_but_for_lines_that_may_be_messages(given: tuple[bytes, list[int]]) -> None:
    data, cuts = given
    text: list[bytes] = []
    candidates: list[bytes] = []
    everything: list[bytes] = []

    def on_text(part: bytes) -> None:
        text.append(part)
        everything.append(part)

    def on_line(line: bytes) -> None:
        candidates.append(line)
        everything.append(line + b"\n")

    scanner = MessageScanner(on_text, on_line)
    for chunk in chunks(data, cuts):
        scanner.feed(chunk)
    scanner.finish()
    whole = b"".join(everything)
    assert whole in (data, data + b"\n")  # nothing lost, nothing moved
    assert all(line.startswith(b"{") for line in candidates)
    marked = [line for line in lines(data) if line.startswith(b"{") and (b'"gs"' in line or b"\\u00" in line)]
    assert [line for line in candidates if line in marked] == marked


def test_a_line_of_exactly_the_limit_is_whole() -> None:
    splitter = LineSplitter()
    line = b"x" * MAX_LINE_BYTES
    assert splitter.feed(line + b"\n" + line + b"x\n" + line) == [line]
    assert splitter.finish() == [line]


def test_the_rest_of_an_oversize_line_is_never_a_line() -> None:
    splitter = LineSplitter(LIMIT)
    assert splitter.feed(b"123456789") == []
    assert len(splitter._held) == 0
    assert splitter.feed(b'{"gs":1}') == []
    assert splitter.feed(b"{}\nnext\n") == [b"next"]
    splitter.feed(b"123456789")
    assert splitter.finish() == []
