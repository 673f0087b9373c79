"""Dead letters: list, show, replay, drop."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from gridsidecar.http.access import Access
from gridsidecar.http.answers import answer
from gridsidecar.http.api import Api
from gridsidecar.http.app import Endpoint
from gridsidecar.http.call import Call, Members, any_text, number
from gridsidecar.http.problems import Problem, bad_request
from gridsidecar.operations.dead_letters import Letter, Replay, letters_of, replay, wanted
from gridsidecar.operations.shapes import letter_in_full, letter_object
from gridsidecar.rules.task import Status

MOST_IDS = 500
TOLD = 10_000  # letters whose outcome is in one answer


async def letters(api: Api, call: Call) -> Response:
    """The dead letters, oldest first, each with its task's status."""
    call.only("limit")
    limit = call.one("limit", number(1, 200)) or 50
    found: list[Letter] = []
    async with letters_of(api.broker, api.settings.broker) as dead:
        async for letter in dead:
            found.append(letter)
            if len(found) > limit:
                break
    store = await api.store()
    shown = []
    for letter in found[:limit]:
        newest = await store.output.newest(letter.task_id) if letter.task_id else None
        shown.append(api.hiding.object(letter_object(letter)) | {"task_status": newest and newest[0]})
    return answer({"dead": shown, "more": len(found) > limit})


async def letter(api: Api, call: Call) -> Response:
    """The letters of one task_id or message_id, whole."""
    call.only()
    id_ = call.path("id")
    async with letters_of(api.broker, api.settings.broker) as dead:
        found = [_shown(api, one) async for one in dead if id_ in one.ids]
    if not found:
        raise _unknown(id_)
    return answer({"dead": found})


def _shown(api: Api, one: Letter) -> dict[str, Any]:
    """Whole; where something of its body is hidden, not byte for byte."""
    whole = letter_in_full(one)
    shown = api.hiding.object(whole) | {"body": api.hiding.json_text(whole["body"])}
    known = not api.hiding.active or shown["body"] == whole["body"] is not None
    return shown if known else shown | {"body_base64": None}


async def replay_letters(api: Api, call: Call) -> Response:
    """Put letters back on the work queue: `{ids}`, or `{all: true}` for those of this queue."""
    call.only()
    ids = _meant(await call.fields("ids", "all"))
    store, broker = await api.store(), await api.open_broker()
    told: list[dict[str, Any]] = []
    counts = dict.fromkeys(Replay, 0)
    unknown = set(ids)
    async for one in replay(broker, store, api.settings.broker, ids):
        unknown -= one.letter.ids
        counts[one.outcome] += 1
        if len(told) < TOLD:
            more = {
                "detail": api.hiding.text(one.detail) or None,
                "letter": api.hiding.object(letter_object(one.letter)),
            }
            told.append({"id": one.letter.id, "outcome": one.outcome, **more})
    return answer({"outcomes": counts, "letters": told, "unknown": sorted(unknown)})


async def drop_letters(api: Api, call: Call) -> Response:
    """Remove letters for good: `{ids}`, `{all: true}` for those of this queue, `{succeeded: true}` for those of them
    whose tasks have succeeded since."""
    call.only()
    asked = await call.fields("ids", "all", "succeeded")
    succeeded = asked.flag("succeeded")
    if succeeded and ("ids" in asked or "all" in asked):
        raise bad_request("succeeded, ids and all exclude each other.")
    ids = set() if succeeded else _meant(asked)
    dropped, unknown = 0, set(ids)
    told: list[dict[str, Any]] = []
    async with letters_of(api.broker, api.settings.broker) as dead:
        async for one in dead:
            if wanted(one, ids, api.settings.broker) and (not succeeded or await _succeeded(api, one)):
                await one.dead.remove()
                unknown -= one.ids
                dropped += 1
                if len(told) < TOLD:
                    told.append(api.hiding.object(letter_object(one)))
    return answer({"dropped": dropped, "letters": told, "unknown": sorted(unknown)})


async def _succeeded(api: Api, one: Letter) -> bool:
    newest = await (await api.store()).output.newest(one.task_id) if one.task_id else None
    return newest is not None and newest[0] is Status.SUCCESS


def _meant(asked: Members) -> set[str]:
    """Ids; none means all of this queue."""
    ids = set(asked.texts("ids", any_text))
    if bool(ids) == asked.flag("all"):
        raise bad_request("Give ids of letters, or all: true.")
    if len(ids) > MOST_IDS:
        raise bad_request(f"At most {MOST_IDS} ids can be given at once.")
    return ids


def _unknown(id_: str) -> Problem:
    return Problem(404, "unknown-letter", f"There is no dead letter {id_}.")


ENDPOINTS = (
    Endpoint("GET", "/v1/dead", Access.READ, letters),
    Endpoint("POST", "/v1/dead/replay", Access.CHANGE, replay_letters),
    Endpoint("POST", "/v1/dead/drop", Access.CHANGE, drop_letters),
    Endpoint("GET", "/v1/dead/{id}", Access.READ, letter),
)
