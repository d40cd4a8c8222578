"""A list that is cut off says how many entries it leaves out."""

import json
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from backups_portal.accounts.models import Account
from backups_portal.projectdb.files import put_file, spool_file
from backups_portal.projects.models import Project
from backups_portal.transfers.csv_files import csv_job
from backups_portal.transfers.pages.outcome_sentences import change_text
from backups_portal.transfers.transfer_requests import start_move
from restores.snapshot_loader import Target
from tests.transfers.engine import Transfer
from tests.transfers.projects import DEVICE, add_truck, open_project, run_csv
from tests.transfers.test_device_settings import ONLY, add
from tests.transfers.test_transfer_run import ask, run


def test_a_key_with_many_values(source: Target, target: Target) -> None:
    """The values that the other side lacks are among the first ones."""
    values = [f"{number:02}" for number in range(57)]
    add(source, [("site", value) for value in values], [])
    add(target, [("site", value) for value in values[:-1]], [])
    plan = Transfer(source, target, ONLY).dry_run()
    assert plan.settings
    ((change,),) = [line["changes"] for line in plan.settings.lines]
    assert (len(change["before"]), change["before_total"]) == (20, 56)
    assert (len(change["after"]), change["after_total"], change["after"][0]) == (20, 57, "56")
    said = change_text(change)
    assert "“19” (20 of 56 shown) → “56”, “00”" in said
    assert said.endswith("“18” (20 of 57 shown)")


def test_a_key_of_secrets_is_one_value(source: Target, target: Target) -> None:
    add(source, [("password", f"{number}") for number in range(57)], [])
    add(target, [], [])
    plan = Transfer(source, target, ONLY).dry_run()
    assert plan.settings
    ((change,),) = [line["changes"] for line in plan.settings.lines]
    assert change_text(change) == "tag password: none → not shown"


def test_a_change_of_an_older_version_has_no_totals() -> None:
    change = {"what": "tag", "key": "site", "before": ["A"], "after": ["B"]}
    assert change_text(change) == "tag site: “A” → “B”"


def test_devices_that_have_gone_since_the_dry_run(
    backup: Project, live: Project, owner: Account
) -> None:
    for letter in "bcdef":
        add_truck(backup, letter * 24)
    transfer = run(ask(backup, live, owner))
    with open_project(backup) as connection:
        connection.execute("DELETE FROM device")
    start_move(transfer=transfer, actor=owner)
    assert f"Truck ({'e' * 24}) and 1 more. Make" in run(transfer).reason


def bad_file(bad: int) -> bytes:
    return b"variable,value\n" + b",1\n" * bad


@pytest.mark.parametrize(("bad", "says"), [(100, None), (101, "and 1 more bad row")])
def test_bad_rows_in_the_command(
    backup: Project, tmp_path: Path, bad: int, says: str | None
) -> None:
    file, out = tmp_path / "in.csv", StringIO()
    file.write_bytes(bad_file(bad))
    with pytest.raises(CommandError, match=f"{bad} rows are bad"):
        call_command("import_csv", backup.slug, DEVICE, str(file), stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[99].startswith("line 101: ")
    assert (lines[100] if says else None) == says


def test_the_command_previews_the_same_in_both_formats(backup: Project, tmp_path: Path) -> None:
    (file := tmp_path / "in.csv").write_bytes(b"variable,value,unit,time\nt,1,C,2026-03-01\n")
    told = {}
    for form in ((), ("--json",)):
        call_command(
            *("import_csv", backup.slug, DEVICE, str(file), "--preview", *form),
            stdout=(out := StringIO()),
        )
        told[form] = out.getvalue()
    assert told[()].splitlines()[0] == "2026-03-01 00:00:00  t = 1.0 C"
    assert json.loads(told["--json",])["preview"] == [
        {"time": "2026-03-01 00:00:00+00:00", "variable": "t", "value": 1.0, "unit": "C"}
    ]


def test_bad_lines_of_a_clients_file(backup: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_job, "TOLD", 2)
    with open_project(backup) as connection:
        put_file(connection, path="in.csv", content=bad_file(5))
    run_csv(backup, "import", "in.csv")
    with open_project(backup) as connection, spool_file(connection, "in.csv.errors.txt") as file:
        lines = BytesIO(file.read()).read().decode().splitlines()
    assert (len(lines), lines[-1]) == (3, "And 3 more bad lines.")
