"""How far each attempt in flight has got, in memory that outlives the process.

One file per writer, mapped shared: a store into it costs as much as any store, needs no system call, and is in the
kernel's hands at once, so that after SIGKILL the drainer reads the last count that was set. (Losing power loses it;
such an attempt is then recorded by its intent's estimate alone.)

The file is an array of 32-byte slots: the attempt's id (16 bytes; zeros when the slot is free), then the input and the
output tokens seen so far, 4 bytes each in the machine's order, and 8 bytes to spare.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apps.gateway.ledger import files
from apps.gateway.ledger.errors import SpoolError

SLOT_BYTES: Final = 32
_WORDS: Final = SLOT_BYTES // 4
_INPUT: Final = 4
_OUTPUT: Final = 5
_FREE: Final = bytes(16)
_MOST: Final = 0xFFFFFFFF

NO_SLOT: Final = -1


@dataclass(frozen=True, slots=True)
class Progress:
    input_tokens: int
    output_tokens: int


class ProgressTable:
    """The writer's side. Not thread-safe: it belongs to the event loop.

    The table grows by ``step`` slots up to ``most``. Beyond that, or when the disk is full, ``acquire`` gives
    ``NO_SLOT``, which the other calls accept and ignore: the attempt goes on, and is only estimated more coarsely if
    the process dies. Counts above 4 billion are kept as that.
    """

    def __init__(self, directory: Path | str, writer: str, *, step: int = 4096, most: int = 65_536) -> None:
        """Make the file of ``writer`` (``Spool.writer``, whose lock guards it too). Raises ``SpoolError``."""
        path = Path(directory) / files.progress_name(writer)
        self._step = step
        self._most = max(most, step)
        self._ready = 0
        self._free: list[int] = []
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(self._fd, self._most * SLOT_BYTES)
                self._map = mmap.mmap(self._fd, self._most * SLOT_BYTES)
            except BaseException:
                os.close(self._fd)
                raise
        except OSError as error:
            raise SpoolError(f"{path.name} cannot be made: {error.strerror or error}.") from error
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("I")
        self._grow()

    def acquire(self, attempt_id: str, input_tokens: int = 0) -> int:
        """A slot for an attempt (32 hexadecimal digits) whose input is thought to have so many tokens."""
        if not self._free and not self._grow():
            return NO_SLOT
        slot = self._free.pop()
        word = slot * _WORDS
        self._words[word + _INPUT] = min(input_tokens, _MOST)
        self._words[word + _OUTPUT] = 0
        # The id comes last: a slot that is half written when the process dies names no attempt.
        self._bytes[slot * SLOT_BYTES : slot * SLOT_BYTES + 16] = bytes.fromhex(attempt_id)
        return slot

    def set_output(self, slot: int, tokens: int) -> None:
        """So many output tokens have come so far."""
        if slot >= 0:
            self._words[slot * _WORDS + _OUTPUT] = min(tokens, _MOST)

    def set_input(self, slot: int, tokens: int) -> None:
        """The upstream has said how many input tokens it counts."""
        if slot >= 0:
            self._words[slot * _WORDS + _INPUT] = min(tokens, _MOST)

    def release(self, slot: int) -> None:
        """The attempt is settled: call it when its settlement is in the spool, not before."""
        if slot >= 0:
            self._bytes[slot * SLOT_BYTES : slot * SLOT_BYTES + 16] = _FREE
            self._free.append(slot)

    def close(self) -> None:
        self._free.clear()
        self._ready = self._most
        self._words.release()
        self._bytes.release()
        self._map.close()
        os.close(self._fd)

    def _grow(self) -> bool:
        """Ready another step of slots, their blocks reserved: a store into a hole of a full disk is a SIGBUS."""
        count = min(self._step, self._most - self._ready)
        if count <= 0:
            return False
        try:
            os.posix_fallocate(self._fd, self._ready * SLOT_BYTES, count * SLOT_BYTES)
        except OSError:
            return False
        # Popped from the end: low slots are used first, and the pages in use stay few.
        self._free.extend(range(self._ready + count - 1, self._ready - 1, -1))
        self._ready += count
        return True


def read_progress(path: Path) -> dict[str, Progress]:
    """What a dead writer's table holds, by attempt id. A missing file is an empty table. Raises ``OSError``."""
    found: dict[str, Progress] = {}
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return found
    with file:
        while block := file.read(SLOT_BYTES * 4096):
            if not block.strip(b"\0"):
                continue
            words = memoryview(block[: len(block) // SLOT_BYTES * SLOT_BYTES]).cast("I")
            for offset in range(0, len(words) * 4, SLOT_BYTES):
                attempt = block[offset : offset + 16]
                if attempt != _FREE:
                    word = offset // 4
                    found[attempt.hex()] = Progress(words[word + _INPUT], words[word + _OUTPUT])
    return found
