"""What the parts of a broker's or a store's URL say, and URLs made of their parts."""

from __future__ import annotations

from urllib.parse import quote, unquote


def sqlite_path(url: str) -> str:
    """The file that `sqlite:///relative.db` or `sqlite:////absolute.db` names; ValueError when it names none."""
    if not url.startswith("sqlite:///"):
        raise ValueError("write sqlite:///file.db for a file in this folder, sqlite:////folder/file.db for any other")
    path = unquote(url.removeprefix("sqlite:///"))
    if not path or path.endswith("/") or path == ":memory:":
        raise ValueError("the URL must name a file: every process and every restart needs the same one")
    if "?" in path or "#" in path or "\0" in path:
        raise ValueError("a sqlite URL takes no parameters: only sqlite:/// and the file")
    return path


def joined_url(scheme: str, host: str, port: int, username: str | None, password: str | None, path: str) -> str:
    """A URL of its parts, each percent-encoded; `path` comes without its leading slash."""
    login = ""
    if username:
        login = quote(username, safe="") + (f":{quote(password, safe='')}" if password else "") + "@"
    bracketed = f"[{host}]" if ":" in host else host
    return f"{scheme}://{login}{bracketed}:{port}/{quote(path, safe='')}"
