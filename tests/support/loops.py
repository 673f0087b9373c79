"""The event loop of tests: what is left open on it fails the test that did so, and not a later one."""

from __future__ import annotations

import asyncio

PATIENCE_S = 5.0  # for what is closing, which nobody can see under TLS until the other side has answered


class TidyLoop(asyncio.SelectorEventLoop):
    """Closes once the sockets of its transports have closed.

    Raises:
        ResourceWarning: by `close`, when some were still open after a while.
    """

    def close(self) -> None:
        left = [] if self.is_closed() else self.run_until_complete(self._left_open())
        super().close()
        if left:
            raise ResourceWarning(f"left open on the event loop: {', '.join(left)}")

    async def _left_open(self) -> list[str]:
        """What they are; they are gone afterwards."""
        until = self.time() + PATIENCE_S
        left = []
        while found := self._open():
            for each in found:
                if self.time() > until:
                    left.append(f"{each!r} to {each.get_extra_info('peername')}")
                    each.abort()
            await asyncio.sleep(0.001)
        return left

    def _open(self) -> list[asyncio.WriteTransport]:
        known: list[asyncio.WriteTransport] = list(self._transports.values())  # type: ignore[attr-defined]
        return [each for each in known if each.get_extra_info("socket").fileno() != -1]
