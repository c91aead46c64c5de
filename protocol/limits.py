"""Every limit of wires and queues, in one place; what follows from another is asserted."""

from __future__ import annotations

from protocol.errors import TooLargeError

KIB = 1024
MIB = 1024 * KIB

WIRE_MESSAGE_BYTES_MAX = 64 * MIB  # one message of a SQL client
STATEMENT_CHARS_MAX = 409_600  # of a text to compile (as TimesTen): parsing more holds others up
CATALOG_QUERY_CHARS_MAX = 64 * KIB  # of a query of system tables: they run on the event loop
SCRIPT_CHARS_MAX = 2 * MIB  # of several statements in one message
VALUE_CHARS_MAX = 4 * MIB  # a text that a function makes; as TimesTen's VARCHAR2
RESULT_COLUMNS_MAX = 1664  # as PostgreSQL
ROW_BYTES_MAX = 16 * MIB  # one row, all columns together
RPC_FRAME_BYTES_MAX = 20 * MIB  # one frame of the internal network; larger results are streamed
RPC_BATCH_BYTES = 256 * KIB  # rows per streamed batch stop growing here
RPC_IN_FLIGHT_MAX = 4096  # requests one peer may have open with another
RPC_HANDSHAKE_FRAME_BYTES_MAX = 4 * KIB  # nobody unproven may make us hold more
RPC_HANDSHAKES_MAX = 256  # connections of the internal network that are not proven yet
RPC_FLUSH_BYTES = 256 * KIB  # a frame that grew to this is sent without waiting for the turn's end
RPC_QUEUE_BYTES_MAX = 24 * MIB  # waiting for a slow peer; above it new requests are refused
RPC_QUEUE_BYTES_FATAL = 96 * MIB  # answers too: above it the connection ends
CLIENT_CONNECTIONS_MAX = 1000  # per data instance
CLIENT_CONNECTIONS_RESERVED = 5  # of those, kept for administrators
BUCKET_COUNT = 4096  # stored on disk, shared by all instances: may never change
K_MAX = 5

assert ROW_BYTES_MAX < RPC_FRAME_BYTES_MAX < WIRE_MESSAGE_BYTES_MAX
assert RPC_FRAME_BYTES_MAX < RPC_QUEUE_BYTES_MAX < RPC_QUEUE_BYTES_FATAL
assert RPC_BATCH_BYTES < RPC_FRAME_BYTES_MAX
assert CLIENT_CONNECTIONS_RESERVED < CLIENT_CONNECTIONS_MAX
assert VALUE_CHARS_MAX < ROW_BYTES_MAX


def check_value_length(length: int) -> None:
    """Before a function makes a text of so many characters. Raises TooLargeError."""
    if length > VALUE_CHARS_MAX:
        raise TooLargeError(f"a value of {length} characters, limit {VALUE_CHARS_MAX}")
