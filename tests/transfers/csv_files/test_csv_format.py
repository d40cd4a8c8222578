"""The page and jobs alike describe what is wrong with a file of another format."""

import io

import pytest

from backups_portal.transfers.csv_files.csv_format import CsvError, open_text, read_rows
from tests.transfers.test_csv_round_trip import NOW

COMMAS = "variable,value\nt,1\n"


def read(content: bytes, *, others: bool = False) -> int:
    """Return the number of records in a file."""
    with open_text(io.BytesIO(content)) as text:
        return len(list(read_rows(text, now=NOW, group="g", others=others)))


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"variable;value\nt;1\n", "has semicolons between its columns instead of commas"),
        (b"Value; Variable\n1;t\n", "has semicolons"),
        (b"sep=;\nvariable;value\nt;1\n", "has semicolons"),
        (b"\xef\xbb\xbfvariable;value,5\n", "has semicolons"),
        (b"variable\tvalue\nt\t1\n", "has tabs"),
        (b"variable|value\nt|1\n", "has bars"),
        ("variable\tvalue\nt\t1\n".encode("utf-16"), "is UTF-16 text"),
        (COMMAS.encode("utf-16-le"), "is UTF-16 text"),
        (COMMAS.encode("utf-16-be"), "is UTF-16 text"),
        (COMMAS.encode("utf-32"), "is UTF-16 text"),
        (b"variable,value\nt,\xe9\n", "is not UTF-8 text"),
        (b"PK\x03\x04rest", "is a workbook"),
        (b"\xd0\xcf\x11\xe0rest", "is a workbook"),
        (b"\x1f\x8brest", "is compressed"),
        (b"t,1.5\nt,2\n", "must name the columns: variable, value, .*It begins with 't'"),
        (b"varible,value\nt,1\n", "Is 'varible' the column “variable”"),
        (b"", "must name the columns: .* It is empty."),
        (b"\n", "must name the columns"),
        (b"variable,variable\na,b\n", "names a column twice"),
        (b'variable,value\nt,"1\n', "Line 2 is not CSV"),
    ],
)
def test_a_file_of_another_kind_is_told_which(content: bytes, says: str, others: bool) -> None:
    with pytest.raises(CsvError, match=says):
        read(content, others=others)


def test_a_column_that_is_not_known_is_told_what_was_meant() -> None:
    with pytest.raises(CsvError, match=r"no column 'metadta'.* Is it 'metadata'\?"):
        read(b"variable,metadta\nt,{}\n")
    assert read(b"variable,metadta\nt,{}\n", others=True) == 1


@pytest.mark.parametrize(
    "content",
    [
        COMMAS.encode(),
        COMMAS.encode("utf-8-sig"),
        b"sep=,\n" + COMMAS.encode(),
        b"sep=,\r\nVARIABLE , Value\r\nt,1\r\n",
        b'id,variable,location\n1,t,"{""type"":""Point"",""coordinates"":[3,-8.5]}"\n',
    ],
)
def test_these_are_read(content: bytes) -> None:
    assert read(content) == 1
