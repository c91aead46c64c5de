"""What a program can do about an error: TimesTen's four grid error classes, and two more.

TimesTen tells the programs of a grid one of four numbers (ORA-57005 ... 57008; its SQLSTATE is
TT005 for the first): is it the transaction or the statement that has to be run again, and is it
worth to do so at once or only when an element is back. SQL clients get the number in the detail
and, where the error has no hint of its own, the sentence here as the hint.
"""

from __future__ import annotations

from enum import Enum


class Remedy(Enum):
    """`number` is TimesTen's, 0 where it has none; `hint` says what to do next."""

    NONE = (0, "")
    TRANSACTION = (57005, "Roll back and run the transaction again.")
    TRANSACTION_LATER = (
        57006,
        "Connect to another data instance, or wait until this one is back; then run the "
        "transaction again.",
    )
    STATEMENT = (57007, "Run the statement again.")
    STATEMENT_LATER = (
        57008,
        "Wait a moment and run the statement again; ttGridAdmin dbStatus shows what is missing.",
    )
    LOOK = (-1, "Look whether the change is there before running it again.")
    ROLL_BACK = (-2, "ROLLBACK ends the transaction; the session goes on.")

    def __init__(self, number: int, hint: str) -> None:
        self.number = max(number, 0)  # negative ones only tell members apart
        self.hint = hint

    def added_to(self, detail: str) -> str:
        """A detail that names the class, as TimesTen does."""
        if not self.number:
            return detail
        name = "transaction" if self.number < Remedy.STATEMENT.number else "statement"
        when = "wait for element" if self.number in (57006, 57008) else "retry"
        return f"{detail} (TimesTen ORA-{self.number}: {name}, {when})".lstrip()
