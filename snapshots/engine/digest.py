"""A digest of rows that does not depend on their order, nor on how they are stored.

Every value becomes 64 bits; the values of a row are mixed with constants of their columns, so that
a value in another column counts as another value; the rows are added up in two lanes of 64 bits.
It finds faults, not forgery: whoever can write storage can also write a matching digest. The
mixing is SplitMix64's finaliser (Steele, Lea, Flood: "Fast splittable pseudorandom number
generators", OOPSLA 2014).
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Words = npt.NDArray[np.uint64]

GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
LANE_2 = np.uint64(0xD6E8FEB86659FD93)
# What a missing value counts as.
NULL = np.uint64(0xA0761D6478BD642F)
NULL_WORD = np.array([NULL])
LANE = 1 << 64


@dataclass(frozen=True)
class Digest:
    """The sum over rows, 128 bits; digests of disjoint sets of rows add up."""

    low: int = 0
    high: int = 0

    def __add__(self, other: "Digest") -> "Digest":
        return Digest((self.low + other.low) % LANE, (self.high + other.high) % LANE)

    def __str__(self) -> str:
        return f"{self.high:016x}{self.low:016x}"

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """The digest behind 32 hex digits."""
        return cls(int(text[16:], 16), int(text[:16], 16))


def mix(words: Words) -> Words:
    """SplitMix64's finaliser, applied to each word."""
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
    """Two words per row of the table, from the named columns."""
    low = np.zeros(table.num_rows, np.uint64)
    high = np.zeros(table.num_rows, np.uint64)
    for name in columns:
        key, factor = column_constants(name)
        # A column without a value has one word for all rows.
        words = column_words(table[name]) if table[name].null_count < table.num_rows else NULL_WORD
        words = mix(words + key)
        low += words
        words *= factor
        high += words
    low += GAMMA
    high ^= LANE_2
    return mix(low), mix(high)


def table_digest(table: pa.Table, columns: tuple[str, ...]) -> Digest:
    """The digest of all rows of the table, over the named columns."""
    return words_digest(*row_words(table, columns))


def words_digest(low: Words, high: Words) -> Digest:
    """The digest of rows whose words these are."""
    return Digest(int(low.sum(dtype=np.uint64)), int(high.sum(dtype=np.uint64)))


def column_constants(name: str) -> tuple[np.uint64, np.uint64]:
    """A key and an odd factor that belong to a column's name."""
    digest = hashlib.md5(name.encode(), usedforsecurity=False).digest()
    key, factor = np.frombuffer(digest, ">u8")
    return np.uint64(key), np.uint64(factor) | np.uint64(1)


def column_words(column: pa.ChunkedArray) -> Words:
    """One word per value: the bits of numbers and times, a hash of text and bytes."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    words = _plain_words(array)
    if array.null_count:
        words = np.where(np.asarray(array.is_null()), NULL, words)
    return words


def _plain_words(array: Any) -> Words:
    kind = array.type
    if pa.types.is_boolean(kind):
        return np.asarray(array.fill_null(False)).astype(np.uint64)
    if pa.types.is_integer(kind):
        return np.asarray(array.fill_null(0)).astype(np.int64).view(np.uint64)
    if pa.types.is_timestamp(kind):
        return np.asarray(array.cast(pa.int64()).fill_null(0)).view(np.uint64)
    if pa.types.is_floating(kind):
        return np.asarray(array.fill_null(0.0)).astype(np.float64).view(np.uint64)
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return _text_words(array)
    raise TypeError(f"no digest is defined for {kind}")


def _text_words(array: Any) -> Words:
    """A hash of each value's bytes: its length, then its words of 8 bytes, little-endian."""
    _, offsets_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32, len(array) + 1, array.offset * 4)
    lengths = np.diff(offsets)
    data = np.frombuffer(data_buffer or b"", np.uint8)
    if len(lengths) and lengths[0] == lengths[-1] and (lengths == lengths[0]).all():
        return _blocks_words(
            data[offsets[0] : offsets[-1]].reshape(len(array), lengths[0]), int(lengths[0])
        )
    words = np.empty(len(array), np.uint64)
    for length in np.unique(lengths):
        rows = np.nonzero(lengths == length)[0]
        places = offsets[rows][:, None] + np.arange(length, dtype=np.int32)
        words[rows] = _blocks_words(data[places], int(length))
    return words


def _blocks_words(values: npt.NDArray[np.uint8], length: int) -> Words:
    """Hashes of values that are equally long: one row of bytes each."""
    count = len(values)
    padded = np.zeros((count, -(-length // 8) * 8), np.uint8)
    padded[:, :length] = values
    state = np.full(count, length, np.uint64)
    for column in padded.view("<u8").T:
        state ^= column
        state += GAMMA
        state = mix(state)
    return state
