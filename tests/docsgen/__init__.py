"""Generated pages of `docs/`: one module per page, one registry. `python -m docsgen` writes them, a test compares.

Renderers are pure functions of the project's own data: no clock, no network, the same text on every machine.
"""
