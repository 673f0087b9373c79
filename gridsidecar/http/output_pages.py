"""What a handler said, in whole lines where names are to be hidden: a half of one may begin within what is secret."""

from __future__ import annotations

from msgspec.structs import replace

from gridsidecar.http.redaction import Hiding
from gridsidecar.store import Output, OutputPage, Piece

LONGEST_HELD = 16 * 1024  # characters of an unfinished line that are held back while it may go on


async def output_page(
    output: Output, hiding: Hiding, task_id: str, attempt: int | None, since: int
) -> OutputPage | None:
    """As `Output.page`; with names to hide, the end of a line that begins before `since` is left out."""
    if not hiding.active:
        return await output.page(task_id, attempt, since)
    found = await output.page(task_id, attempt, max(0, since - 1))
    if found is None:
        return None
    pieces = [_whole_lines(piece, cut=since > 0 and not at) for at, piece in enumerate(found.pieces)]
    held = ""
    if found.running and pieces and (rest := pieces[-1].text.rpartition("\n")[2]) and len(rest) <= LONGEST_HELD:
        held = rest
        pieces[-1] = replace(pieces[-1], text=pieces[-1].text.removesuffix(rest))
    shown = tuple(replace(piece, text=hiding.text(piece.text)) for piece in pieces)
    return replace(found, pieces=shown, next=max(since, found.next - len(held.encode())))


def _whole_lines(piece: Piece, *, cut: bool) -> Piece:
    """Without the end of a line whose beginning is not here: of the first piece, and behind a gap."""
    if not cut and not piece.left_out:
        return piece
    return replace(piece, text=piece.text.partition("\n")[2])
