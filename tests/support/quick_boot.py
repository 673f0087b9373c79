"""What halves the work of a RabbitMQ's start: it loads some 1,100 modules and looks for each in 70 folders in turn."""

from __future__ import annotations

from pathlib import Path

ERLANG = Path("/usr/lib/erlang/lib")
RABBITMQ = Path("/usr/lib/rabbitmq/lib")
# Nearly all that is loaded is in these, most in the first.
NEEDED = (
    *("kernel", "rabbit_common", "stdlib", "ssl", "inets", "compiler", "ra", "xmerl", "mnesia", "cuttlefish"),
    *("rabbitmq_prelaunch", "ranch", "sasl", "osiris", "tools", "observer_cli", "public_key", "jsx", "syntax_tools"),
)


def quick_boot(folder: Path) -> dict[str, str]:
    """Variables for a server without plugins, which would look through all of them first; `folder` is its own."""
    server = next(RABBITMQ.glob("rabbitmq_server-*/plugins/rabbit-*"), None)
    if server is None:
        return {}
    plugins = folder / "no-plugins"
    plugins.mkdir(exist_ok=True)
    if not (link := plugins / server.name).is_symlink():
        link.symlink_to(server)
    folders = [
        found
        for name in reversed(NEEDED)  # each goes before those that are there already
        for place in (server.parent, ERLANG)
        for found in place.glob(f"{name}-[0-9]*/ebin")
    ]
    return {"RABBITMQ_PLUGINS_DIR": str(plugins), "ERL_ZFLAGS": " ".join(["-pa", *map(str, folders)])}
