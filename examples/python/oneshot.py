"""Counts how often each word of data.text occurs: one process for each task."""

import re
from collections import Counter

from gridsidecar_sdk import Permanent, run, task


@task()
def count_words(ctx, data):
    text = (data or {}).get("text")
    if not isinstance(text, str):
        raise Permanent("data.text must be a text", error_type="BadInput")
    words = re.findall(r"\w+", text.lower())
    ctx.report_progress(50, "split")
    return {"words": len(words), "counts": Counter(words)}


run()
