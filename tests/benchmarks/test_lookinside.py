"""The benchmark of looking inside measures what it claims, at a small size."""

from tests.benchmarks.lookinside import A_DAY, LINES, Size, measure


def test_each_case_finds_what_is_there() -> None:
    size = Size(rows=20_000, devices=10, variables=4, days=5)
    result = measure(size)
    for place in ("folder", "folder, encrypted", "S3 on loopback"):
        assert result[f"first page of records, {place}"]["found"] == LINES
        assert A_DAY < result[f"chart, {place}"]["found"] <= A_DAY * size.days
        rows = (A_DAY + size.each * (size.variables - 1)) * size.days
        assert result[f"variables, {place}"]["found"] == rows
        assert result[f"CSV, {place}"]["found"] > 50 * rows
