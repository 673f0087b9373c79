"""What the site's generator calls."""

from __future__ import annotations

from typing import Any

from pymdownx.slugs import slugify


def on_config(config: Any) -> Any:
    """Anchors as the pages' links have them: in lower case, with the letters of any language."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")
    return config
