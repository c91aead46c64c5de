"""The sample schema's statements, for tests that load it themselves."""

from __future__ import annotations

import re
from pathlib import Path

import deploy.sample

SCHEMA = (Path(deploy.sample.__file__).parent / "schema.sql").read_text()


def statements(script: str) -> list[str]:
    """The statements of a script without comments; no semicolon stands inside a string."""
    bare = re.sub(r"--[^\n]*", "", script)
    return [text.strip() for text in bare.split(";") if text.strip()]
