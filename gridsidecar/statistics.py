"""Figures of this run: what ended how, and what is left; a line now and then, and at the end."""
