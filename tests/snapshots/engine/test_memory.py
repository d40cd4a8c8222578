"""The memory for a backup and its restore does not depend on the length of texts."""

import json
import subprocess
import sys

import pytest

# 390 to 520 MB were seen for any amount of data: 160 of them are the interpreter and its libraries,
# and the rest depends on how often loaders work at the same moment. Read whole it is 770 MB and
# more.
MAX_BYTES = 620_000_000


@pytest.mark.parametrize(("kind", "length"), [("text", 2_000), ("metadata", 20_000)])
def test_long_texts_are_read_and_loaded_in_parts(kind: str, length: int) -> None:
    command = [
        *(sys.executable, "-m", "tests.benchmarks.texts", "--kind", kind),
        *("--megabytes", "160", "--length", str(length)),
    ]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    found = json.loads(ran.stdout)
    assert found["logical bytes"] > 150_000_000
    assert found["segments"] >= 22
    assert max(size for name, size in found.items() if name.endswith("peak bytes")) < MAX_BYTES
