"""Every limit of wires and queues, in one place; what follows from another is asserted."""

from __future__ import annotations

from typing import Final

from protocol.errors import TooLargeError

KIB: Final = 1024
MIB: Final = 1024 * KIB

WIRE_MESSAGE_BYTES_MAX: Final = 64 * MIB  # one message of a SQL client
STATEMENT_CHARS_MAX: Final = 409_600  # of a text to compile (as TimesTen): parsing holds others up
CATALOG_QUERY_CHARS_MAX: Final = 64 * KIB  # of a query of system tables: they run on the event loop
SCRIPT_CHARS_MAX: Final = 2 * MIB  # of several statements in one message
VALUE_CHARS_MAX: Final = 4 * MIB  # a text that a function makes; as TimesTen's VARCHAR2
RESULT_COLUMNS_MAX: Final = 1664  # as PostgreSQL
ROW_BYTES_MAX: Final = 16 * MIB  # one row, all columns together
RPC_FRAME_BYTES_MAX: Final = 20 * MIB  # a frame of the internal network; more is streamed
RPC_BATCH_BYTES: Final = 256 * KIB  # rows per streamed batch stop growing here
RPC_IN_FLIGHT_MAX: Final = 4096  # requests one peer may have open with another
RPC_HANDSHAKE_FRAME_BYTES_MAX: Final = 4 * KIB  # nobody unproven may make us hold more
RPC_HANDSHAKES_MAX: Final = 256  # connections of the internal network that are not proven yet
RPC_FLUSH_BYTES: Final = 256 * KIB  # a frame that grew to this does not wait for the turn's end
RPC_QUEUE_BYTES_MAX: Final = 24 * MIB  # waiting for a slow peer; above it new requests are refused
RPC_QUEUE_BYTES_FATAL: Final = 96 * MIB  # answers too: above it the connection ends
CLIENT_FLUSH_BYTES: Final = 256 * KIB  # results are written at the latest when so much has gathered
CLIENT_INPUT_BYTES_HIGH: Final = 256 * KIB  # a client that pipelines more than this has to wait
CLIENT_CONNECTIONS_MAX: Final = 1000  # per data instance
CLIENT_CONNECTIONS_RESERVED: Final = 5  # of those, kept for administrators
BUCKET_COUNT: Final = 4096  # stored on disk, shared by all instances: may never change
K_MAX: Final = 5

assert ROW_BYTES_MAX < RPC_FRAME_BYTES_MAX < WIRE_MESSAGE_BYTES_MAX
assert RPC_FRAME_BYTES_MAX < RPC_QUEUE_BYTES_MAX < RPC_QUEUE_BYTES_FATAL
assert RPC_BATCH_BYTES < RPC_FRAME_BYTES_MAX
assert CLIENT_CONNECTIONS_RESERVED < CLIENT_CONNECTIONS_MAX
assert VALUE_CHARS_MAX < ROW_BYTES_MAX


def check_value_length(length: int) -> None:
    """Before a function makes a text of so many characters. Raises TooLargeError."""
    if length > VALUE_CHARS_MAX:
        raise TooLargeError(f"a value of {length} characters, limit {VALUE_CHARS_MAX}")
