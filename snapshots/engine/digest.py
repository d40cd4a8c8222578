"""Digest rows, independently of their order and how they are stored.

Every value becomes 64 bits; the values of a row are mixed with constants of their columns, so that
the same value in another column counts as a different one; the rows are added up in two lanes of 64
bits. It finds faults, not forgery: anybody who can write to the storage can also write a matching
digest. The mixing is SplitMix64's finaliser (Steele, Lea, Flood: "Fast splittable pseudorandom
number generators", OOPSLA 2014).
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
LANE_2 = np.uint64(0xD6E8FEB86659FD93)
# The word of a missing value.
NULL = np.uint64(0xA0761D6478BD642F)
LANE = 1 << 64
FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
# An operation on whole arrays takes as long as on this many single words.
TOGETHER = 8
MASK = int(FULL)
GAMMA_1, FIRST_1, SECOND_1 = int(GAMMA), int(MIX_1), int(MIX_2)
# Bytes of long values that are processed at a time.
BLOCK_BYTES = 1 << 16
# Rows whose words are mixed at a time: a dozen arrays of them stay in the cache of a core.
BLOCK_ROWS = 1 << 15


@dataclass(frozen=True)
class Digest:
    """A sum over rows, 128 bits; digests of disjoint sets of rows add up."""

    low: int = 0
    high: int = 0

    def __add__(self, other: "Digest") -> "Digest":
        return Digest((self.low + other.low) % LANE, (self.high + other.high) % LANE)

    def __str__(self) -> str:
        return f"{self.high:016x}{self.low:016x}"

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """Read 32 hex digits."""
        return cls(int(text[16:], 16), int(text[:16], 16))


def mix(words: Words) -> Words:
    """Apply SplitMix64's finaliser to each word."""
    spare = words >> np.uint64(30)
    spare ^= words
    spare *= MIX_1
    words = spare >> np.uint64(27)
    words ^= spare
    words *= MIX_2
    np.right_shift(words, np.uint64(31), out=spare)
    words ^= spare
    return words


def row_words(table: pa.Table, columns: tuple[str, ...]) -> tuple[Words, Words]:
    """Compute two words per row of the table, from the named columns."""
    low = np.zeros(table.num_rows, np.uint64)
    high = np.zeros(table.num_rows, np.uint64)
    if not table.num_rows:
        return low, high
    words = [_words_or_null(table[name]) for name in columns]
    constants = [column_constants(name) for name in columns]
    for start in range(0, table.num_rows, BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        _add_columns([column[rows] for column in words], constants, low[rows], high[rows])
    return low, high


def _words_or_null(column: pa.ChunkedArray) -> Words:
    """Compute one word per value; a column of nulls repeats a single word."""
    if column.null_count < len(column):
        return column_words(column)
    return np.broadcast_to(NULL, len(column))


def _add_columns(
    columns: list[Words],
    constants: list[tuple[np.uint64, np.uint64]],
    low: Words,
    high: Words,
) -> None:
    """Combine the words of the columns into each row's two words, in place."""
    for words, (key, factor) in zip(columns, constants, strict=True):
        # A word that all rows share is mixed only once.
        words = mix((words if words.strides[0] else words[:1]) + key)
        low += words
        words *= factor
        high += words
    low += GAMMA
    high ^= LANE_2
    low[:], high[:] = mix(low), mix(high)


def table_digest(table: pa.Table, columns: tuple[str, ...]) -> Digest:
    """Digest all rows of the table, over the named columns."""
    return words_digest(*row_words(table, columns))


def words_digest(low: Words, high: Words) -> Digest:
    """Digest the rows that have these words."""
    return Digest(int(low.sum(dtype=np.uint64)), int(high.sum(dtype=np.uint64)))


def column_constants(name: str) -> tuple[np.uint64, np.uint64]:
    """Derive a key and an odd factor from a column's name."""
    digest = hashlib.md5(name.encode(), usedforsecurity=False).digest()
    key, factor = np.frombuffer(digest, ">u8")
    return np.uint64(key), np.uint64(factor) | np.uint64(1)


def column_words(column: pa.ChunkedArray) -> Words:
    """Compute one word per value: bits of numbers, a hash of text and bytes."""
    # Avoid copying a single chunk.
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if 2 * array.null_count > len(array):
        # Texts next to numbers are mostly missing: hash only those that exist.
        words = np.full(len(array), NULL)
        words[np.asarray(array.is_valid())] = _plain_words(array.drop_null())
        return words
    words = _plain_words(array)
    if array.null_count:
        words = np.where(np.asarray(array.is_null()), NULL, words)
    return words


def _plain_words(array: pa.Array) -> Words:
    kind = array.type
    if pa.types.is_boolean(kind):
        return np.asarray(array.fill_null(False)).astype(np.uint64)
    if pa.types.is_integer(kind):
        return np.asarray(array.fill_null(0)).astype(np.int64).view(np.uint64)
    if pa.types.is_timestamp(kind):
        return np.asarray(array.cast(pa.int64()).fill_null(0)).view(np.uint64)
    if pa.types.is_floating(kind):
        return np.asarray(array.fill_null(0.0)).astype(np.float64).view(np.uint64)
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or _has_wide_offsets(kind):
        return _text_words(array)
    raise TypeError(f"no digest is defined for {kind}")


def _text_words(array: pa.Array) -> Words:
    """Hash each value's length, then its bytes as little-endian words.

    All values advance together, longest first, so that finished ones form a tail; the last few, too
    few for whole-array operations, are hashed one by one.
    """
    kind = np.int64 if _has_wide_offsets(array.type) else np.int32
    _, offsets_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offsets_buffer, kind, len(array) + 1, array.offset * kind().itemsize)
    data = np.frombuffer(data_buffer or b"", np.uint8)
    lengths = np.diff(offsets).astype(np.int64)
    if len(lengths) >= TOGETHER and (lengths == lengths[0]).all():
        whole = data[offsets[0] : offsets[-1]].reshape(len(lengths), lengths[0])
        return _blocks_words(whole, int(lengths[0]))
    order = _longest_first(lengths)
    starts, lengths = offsets[:-1][order].astype(np.int64), lengths[order]
    state = lengths.astype(np.uint64)
    step = _hash_together(data, starts, lengths, state)
    for row in range(int(np.count_nonzero(lengths > 8 * step))):
        start, end = int(starts[row]) + 8 * step, int(starts[row] + lengths[row])
        state[row] = _hash_alone(data[start:end], int(state[row]))
    words = np.empty(len(array), np.uint64)
    words[order] = state
    return words


def _blocks_words(values: Bytes, length: int) -> Words:
    """Hash values of equal length, as most groups are."""
    if length % 8:
        values = np.pad(values, ((0, 0), (0, -length % 8)))
    state = np.full(len(values), length, np.uint64)
    _advance(state, values.view("<u8").T)
    return state


def _advance(state: Words, words: Iterable[Words]) -> None:
    """Hash the next words of all values in place, with few calls."""
    spare = np.empty_like(state)
    gamma, first, second, s30, s27, s31 = (
        np.broadcast_to(np.uint64(constant), state.shape)
        for constant in (GAMMA, MIX_1, MIX_2, 30, 27, 31)
    )
    xor, add, multiply, shift = np.bitwise_xor, np.add, np.multiply, np.right_shift
    for word in words:
        add(xor(state, word, state), gamma, state)
        multiply(xor(state, shift(state, s30, spare), state), first, state)
        multiply(xor(state, shift(state, s27, spare), state), second, state)
        xor(state, shift(state, s31, spare), state)


def _longest_first(lengths: Places) -> Places:
    """Order values by their number of words; sorting 16 bits is fast."""
    keys = -((lengths + 7) // 8)
    if len(keys) and keys.min() >= -(1 << 15):
        keys = keys.astype(np.int16)
    return np.argsort(keys, kind="stable")


def _has_wide_offsets(kind: pa.DataType) -> bool:
    return bool(pa.types.is_large_string(kind) or pa.types.is_large_binary(kind))


def _hash_together(data: Bytes, starts: Places, lengths: Places, state: Words) -> int:
    """Hash values while many are unfinished; return how many words were used.

    Args:
        starts: Where each value begins in the data, the longest value first.
        lengths: In bytes.
        state: One word per value, changed in place.
    """
    words = (lengths + 7) // 8
    step, count = 0, int(np.count_nonzero(words))
    reader = _WordReader(data)
    while count >= TOGETHER:
        # No value ends before the last word of the shortest one.
        if (last := int(words[count - 1]) - 1) > step:
            _advance(state[:count], reader.read_whole(starts[:count], step, last))
            step = last
        block = reader.read(starts[:count] + 8 * step)
        going = int(np.searchsorted(-words[:count], -step - 1))
        # Keep only the value's own bytes of its last word.
        spare = 8 * (8 * (step + 1) - lengths[going:count])
        block[going:] &= FULL >> spare.astype(np.uint64)
        state[:count] = mix((state[:count] ^ block) + GAMMA)
        step, count = step + 1, going
    return step


class _WordReader:
    """Reads 8-byte words at any offset of some bytes, padded with zeros."""

    def __init__(self, data: Bytes) -> None:
        if len(data) < 8:
            data = np.concatenate([data, np.zeros(8 - len(data), np.uint8)])
        self._words: Words = np.ndarray((len(data) - 7,), np.dtype("<u8"), data, strides=(1,))

    def read_whole(self, starts: Places, step: int, end: int) -> Iterator[Words]:
        """Yield the words from one step to another, of long enough values."""
        together = max(1, BLOCK_BYTES // (8 * len(starts)))
        for first in range(step, end, together):
            steps = np.arange(first, min(first + together, end))
            yield from self._words[starts + 8 * steps[:, None]]

    def read(self, places: Places) -> Words:
        """Return the word at each offset."""
        inside = np.minimum(places, len(self._words) - 1)
        return self._words[inside] >> (8 * (places - inside)).astype(np.uint64)


def _hash_alone(data: Bytes, state: int) -> int:
    """Hash one value, at 0.6 µs per word."""
    for start in range(0, len(data), BLOCK_BYTES):
        block = data[start : start + BLOCK_BYTES].tobytes()
        for word in memoryview(block + bytes(-len(block) % 8)).cast("Q"):
            state = (state ^ word) + GAMMA_1 & MASK
            state = (state ^ state >> 30) * FIRST_1 & MASK
            state = (state ^ state >> 27) * SECOND_1 & MASK
            state ^= state >> 31
    return state
