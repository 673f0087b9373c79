"""The pictures of the page in `docs/page`: a shop's fleet at work, and a browser that looks at it."""
