"""The terminal of ttIsql: lines, their history, completion, colour.

With prompt_toolkit and pygments (the extra `terminal`) keywords are coloured and names are offered
as they are typed; without them readline gives line editing, history and completion by Tab.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

FILE = Path("~/.ttisql_history")
LINES = 1000
SECRETS = ("identified by", "pwd=")
_KEYWORDS = """
    SELECT INSERT INTO VALUES UPDATE SET DELETE MERGE FROM WHERE GROUP BY ORDER HAVING JOIN LEFT
    OUTER INNER ON AND OR NOT NULL IN EXISTS BETWEEN LIKE AS DISTINCT UNION CREATE ALTER DROP TABLE
    INDEX VIEW SEQUENCE PROCEDURE FUNCTION PACKAGE SYNONYM USER GRANT REVOKE TO PRIMARY KEY UNIQUE
    FOREIGN REFERENCES CONSTRAINT DISTRIBUTE HASH REFERENCE DUPLICATE BEGIN DECLARE END COMMIT
    ROLLBACK EXPLAIN NUMBER VARCHAR2 DATE TIMESTAMP ROWNUM FETCH FIRST ROWS ONLY
"""
KEYWORDS = tuple(_KEYWORDS.split())
_WORD = re.compile(r"[\w$#]+\Z")  # of a qualified name its last part
Names = Callable[[], Iterable[str]]  # what there is to complete beside keywords


class Terminal(Protocol):
    """Where a person types."""

    def line(self, prompt: str) -> str:
        """With its end; "" at the end of the input. Raises KeyboardInterrupt."""
        ...

    def history(self) -> list[str]:
        """What was kept, oldest first."""
        ...

    def keep(self, command: str) -> None:
        """Keep a whole command or statement, of however many lines, for later sessions too."""
        ...


def is_secret(line: str) -> bool:
    """True: it holds a password and is not kept."""
    return any(word in line.lower() for word in SECRETS)


def completions(before: str, names: Iterable[str]) -> list[str]:
    """What the word that ends `before` may become, in the case that was begun with. Pure."""
    found = _WORD.search(before)
    if found is None:
        return []
    begun = found.group()
    lower = begun.islower()
    fitting = {w for w in (*KEYWORDS, *names) if w.upper().startswith(begun.upper())}
    return sorted(word.lower() if lower else word for word in fitting)


def open_terminal(names: Names) -> Terminal:
    """The best there is on this machine."""
    with contextlib.suppress(ImportError):
        return _Toolkit(names)
    return _Readline(names)


def _file() -> Path:
    """The history, for its owner's eyes only."""
    file = FILE.expanduser()
    with contextlib.suppress(OSError):
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
    return file


class _Toolkit:
    """prompt_toolkit."""

    def __init__(self, names: Names) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import CompleteEvent, Completer, Completion
        from prompt_toolkit.document import Document
        from prompt_toolkit.history import FileHistory
        from prompt_toolkit.lexers import PygmentsLexer
        from pygments.lexers.sql import SqlLexer

        class Lines(FileHistory):  # type: ignore[misc]
            def append_string(self, string: str) -> None:
                """Not lines: whole commands are kept, see `keep`."""

            def keep(self, string: str) -> None:
                if not is_secret(string):
                    super().append_string(string)

        class Words(Completer):  # type: ignore[misc]
            def get_completions(self, document: Document, event: CompleteEvent) -> Any:
                before = document.text_before_cursor
                begun = len(document.get_word_before_cursor(WORD=True))
                for word in completions(before, names()):
                    yield Completion(word, start_position=-min(begun, _begun(before)))

        self._lines = Lines(str(_file()))
        self._session: PromptSession[str] = PromptSession(
            history=self._lines,
            lexer=PygmentsLexer(SqlLexer),
            completer=Words(),
            complete_while_typing=False,
            enable_open_in_editor=True,
        )

    def line(self, prompt: str) -> str:
        """See Terminal."""
        try:
            return f"{self._session.prompt(prompt)}\n"
        except EOFError:
            return ""

    def history(self) -> list[str]:
        """See Terminal."""
        return list(self._lines.get_strings())

    def keep(self, command: str) -> None:
        """See Terminal."""
        self._lines.keep(command)


def _begun(before: str) -> int:
    found = _WORD.search(before)
    return len(found.group()) if found else 0


class _Readline:
    """readline, or nothing but input() where even that is missing."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._module: Any = None
        with contextlib.suppress(ImportError):
            import readline

            self._module = readline
            file = _file()
            with contextlib.suppress(OSError):
                readline.read_history_file(file)
            readline.set_history_length(LINES)
            readline.set_auto_history(False)
            readline.set_completer_delims(" \t\n,;()=<>'")
            readline.set_completer(self._complete)
            readline.parse_and_bind("tab: complete")
            atexit.register(self._save, file)

    def _save(self, file: Path) -> None:
        with contextlib.suppress(OSError):
            self._module.write_history_file(file)

    def _complete(self, begun: str, number: int) -> str | None:
        found = completions(begun, self._names())
        return found[number] if number < len(found) else None

    def line(self, prompt: str) -> str:
        """See Terminal."""
        try:
            line = input(prompt)
        except EOFError:
            print()
            return ""
        return line + "\n"

    def history(self) -> list[str]:
        """See Terminal."""
        if self._module is None:
            return []
        count = self._module.get_current_history_length()
        return [str(self._module.get_history_item(n)) for n in range(1, count + 1)]

    def keep(self, command: str) -> None:
        """See Terminal: here each line is an entry, since readline shows one line at a time."""
        if self._module is not None and not is_secret(command):
            for line in command.splitlines():
                self._module.add_history(line)
