"""Makes a folder that runs gridsidecar on any Linux: with its own Python, libraries and loader, in any place."""
