"""The command that makes the pictures of the page still does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.page.conftest import chromium
from tests.page.pictures.__main__ import main
from tests.support import services


def test_a_picture_is_made(
    tmp_path: Path, amqp_url: str, mysql_server_url: str, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if chromium()["executable_path"] is None:
        pytest.skip("no chromium")
    monkeypatch.setenv(services.AMQP_VARIABLE, amqp_url)
    monkeypatch.setenv(services.MYSQL_VARIABLE, mysql_server_url)
    main(["--output", str(tmp_path), "handlers-dark"], queue)
    (made,) = tmp_path.iterdir()
    picture = made.read_bytes()
    assert (made.name, picture[:4], picture[8:12]) == ("handlers-dark.webp", b"RIFF", b"WEBP")
    assert 20_000 < len(picture) < 60_000, "it is neither empty nor large"
