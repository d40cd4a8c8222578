"""`python -m backups_portal.evidence FILE KEY`: check a file where no portal is set up."""

import sys
from argparse import ArgumentParser
from pathlib import Path

from backups_portal.evidence.evidence_check import CheckError, check_file, read_key, verdict


def main(words: list[str] | None = None) -> str | None:
    """Check a file: print that it is valid, or return what is wrong with it."""
    parser = ArgumentParser(prog="python -m backups_portal.evidence", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="the signed JSON")
    parser.add_argument("key", type=Path, metavar="KEY", help="PEM of the key that you trust")
    options = parser.parse_args(words)
    try:
        evidence = check_file(options.file, read_key(options.key))
    except CheckError as error:
        return str(error)
    sys.stdout.write(f"{verdict(evidence, f'the key in {options.key}')}\n")
    return None


if __name__ == "__main__":
    sys.exit(main())
