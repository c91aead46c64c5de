"""Run an SQL script as the instance administrator: SOCKET_FOLDER PORT DATABASE FILE."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

import psycopg

from deploy.sample.load import statements


def main() -> int:
    """Entry point; prints the first error and stops there."""
    if len(sys.argv) != 5:
        print("usage: python -m deploy.sql_script SOCKET_FOLDER PORT DATABASE FILE")
        return 2
    folder, port, database, file = sys.argv[1:]
    text = Path(file).read_text(encoding="utf-8")
    try:
        connection = psycopg.connect(
            host=folder, port=int(port), user=getpass.getuser(), dbname=database, autocommit=True
        )
    except psycopg.OperationalError as error:
        print(f"not connected to {database}, nothing of {file} was run: {error}")
        return 1
    with connection:
        for statement in statements(text + "\n"):
            try:
                connection.execute(statement.encode())
            except psycopg.Error as error:
                print(f"{error.sqlstate}: {error}\nin: {statement}")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
