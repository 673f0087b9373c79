"""Tells the language of data.text by its commonest words: what is slow to load is loaded once, for many tasks."""

import re

from gridsidecar_sdk import Permanent, run

COMMON = {"en": "the of and to in is", "de": "der die und in den ist", "fr": "le la et les des est"}


async def load(state):
    state["languages"] = {name: set(words.split()) for name, words in COMMON.items()}


async def language(ctx, data):
    if not isinstance((data or {}).get("text"), str):
        raise Permanent("data.text must be a text", error_type="BadInput")
    words = re.findall(r"[^\W\d_]+", data["text"].lower())
    hits = {name: sum(word in common for word in words) for name, common in ctx["languages"].items()}
    best = max(hits, key=hits.get)
    return {"language": best if hits[best] else None}


run({"default": language}, on_startup=load)
