"""Is the tail of a SQLite WAL damaged? Looked at once, when an element is opened.

SQLite reads its WAL up to the first frame whose checksum is wrong and takes that for the end: right
after a crash, wrong when the disk has lost a piece in the middle, because the element would then
hold a shorter log than it acknowledged without knowing it. Frames of one life of the WAL carry
the same two salts (https://sqlite.org/fileformat2.html, "The Write-Ahead Log"); what stands behind
the end with these salts was written after it.
"""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER = struct.Struct(">8I")  # magic, format, page size, checkpoint number, salts, checksum
_FRAME = struct.Struct(">6I")  # page, pages after commit (0: not the last of it), salts, checksum
_WORD = 0xFFFFFFFF


def damage(wal: Path, frames: int, *, same_boot: bool) -> str:
    """What is wrong behind the first `frames` ones, which SQLite takes for all; "" if nothing.

    Commits are written in order while the machine runs (`same_boot`), and with synchronous=FULL
    each is flushed before the next begins: a crash can leave the last commit unfinished, in any
    shape, but nothing behind it.
    """
    try:
        with wal.open("rb") as file:
            head = file.read(_HEADER.size)
            if not head:
                return ""
            if len(head) < _HEADER.size or not _header_is_good(head):
                return "its header is damaged" if same_boot else ""
            _, _, page_bytes, _, *salts, _, _ = _HEADER.unpack(head)
            ended = False  # a commit ended behind the frames that count
            at = _HEADER.size + frames * (_FRAME.size + page_bytes)
            while True:
                file.seek(at)
                frame = file.read(_FRAME.size)
                if len(frame) < _FRAME.size:
                    return ""
                page, pages_after, *its_salts, _, _ = _FRAME.unpack(frame)
                if page and its_salts == salts:
                    if ended:
                        return f"its frame {frames + 1} is damaged and newer ones follow"
                    ended = pages_after > 0
                at += _FRAME.size + page_bytes
    except FileNotFoundError:
        return ""


def _header_is_good(head: bytes) -> bool:
    """The checksum over its first 24 bytes, as the page named above has it."""
    words = struct.unpack(">6I" if head[3] & 1 else "<6I", head[:24])
    first = second = 0
    for at in range(0, 6, 2):
        first = (first + words[at] + second) & _WORD
        second = (second + words[at + 1] + first) & _WORD
    return _HEADER.unpack(head)[6:] == (first, second)
