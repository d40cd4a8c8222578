"""Each state of a transfer describes the present on its page, in its files, and in the API."""

import csv
import io
import json
import re
from collections.abc import Collection
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.billing.charge_ledger import start_running, stop_running
from backups_portal.billing.prices import Quote
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.move.batches import FATES, Outcome
from backups_portal.transfers.move.device_map import Match
from backups_portal.transfers.plan.dry_run import Plan
from backups_portal.transfers.plan.selection import Choice
from backups_portal.transfers.transfer_requests import request_undo, retry_plan, start_move
from backups_portal.transfers.views.transfer_pages import Verb
from tests import factories

pytestmark = pytest.mark.django_db
PLAN = Plan((Match("a" * 24, "Truck", "a" * 24, "id", ""),), (), (), Outcome(), 0).as_json()
FATE = {**dict.fromkeys(FATES, 0), "add": 12_270}
REPORT = {
    "summary": {
        **FATE,
        "chosen": 12_270,
        "stored": 12_270,
        "found": 12_270,
        "devices": 1,
        "created": 0,
        "is_equal": True,
        "seconds": 1.5,
    },
    "devices": [
        {
            "source": "a" * 24,
            "name": "Truck",
            "target": "a" * 24,
            "how": "id",
            "chosen": 12_270,
            "fates": FATE,
            "stored": 12_270,
            "is_equal": True,
        }
    ],
    "skipped": [],
    "resources": [],
    "tokens": 0,
}
UNDONE = {"removed": 12_270, "restored": 0, "left": 0, "resources": 0, "kept": []}
PART = {**UNDONE, "removed": 270}
MOVED = {"plan": PLAN, "report": REPORT, "rows_done": 12_270, "rows_total": 12_270}
BEGUN = {"plan": PLAN, "rows_done": 4_000, "rows_total": 12_270, "started_at": timezone.now()}
AGREE, ADDED = "Both sides agree", "12,270 records of 1 device were added"
FOUND = "No records match what you selected."
# Work, state and fields; texts that the page must and must not contain.
STATES: list[tuple[str, str, dict[str, Any], Collection[str], Collection[str]]] = [
    ("plan", "queued", {}, ["Dry run queued", "Nothing is moved yet"], [AGREE, FOUND]),
    ("plan", "running", {}, ["Cancel"], [AGREE, FOUND, "Pause"]),
    ("plan", "ready", {"plan": PLAN}, ["Nothing to move", FOUND], [AGREE, "Nothing was", "Ready"]),
    ("plan", "failed", {"reason": "No."}, ["Dry run failed", "Dry run again"], [AGREE]),
    ("plan", "cancelled", {"plan": PLAN}, ["Cancelled", "Nothing was moved."], [AGREE]),
    ("plan", "cancelled", {}, ["Cancelled", "Nothing was moved.", "Move data again"], [AGREE]),
    (
        "move",
        "queued",
        {**BEGUN, "rows_done": 0},
        ["Move queued", "begins as soon as"],
        [AGREE, "Added"],
    ),
    ("move", "running", BEGUN, ["Moving data", "4,000 of 12,270 records"], [AGREE, "Added"]),
    ("move", "paused", BEGUN, ["Of 12,270 chosen records, 4,000 were moved", "Continue"], [AGREE]),
    ("move", "cancelled", BEGUN, ["Of 12,270 chosen records, 4,000 were moved"], [AGREE]),
    ("move", "failed", {**BEGUN, "reason": "No."}, ["Move failed", "Continue"], [AGREE]),
    (
        *("move", "completed", MOVED),
        [AGREE, ADDED, "12,270 records are in Damaged", "Open Damaged"],
        ["To add", "undone", "Shut down", "back in"],
    ),
    (
        *("undo", "queued", {**MOVED, "rows_done": 0, "rows_total": None}),
        ["Undo queued", "everything that was moved is still in Damaged", "Was added"],
        [AGREE, ADDED, "12,270 of 12,270", "equal"],
    ),
    (
        *("undo", "queued", {**MOVED, "rows_done": 0, "report": {**REPORT, "undone": PART}}),
        ["Undo queued", "Undone so far"],
        [AGREE, ADDED, "everything that was moved is still"],
    ),
    (
        *("undo", "running", {**MOVED, "rows_done": 270, "report": {**REPORT, "undone": PART}}),
        ["Undoing", "270 of 12,270 records undone", "Undone so far", "Was added"],
        [AGREE, ADDED, "equal"],
    ),
    (
        *("undo", "failed", {**MOVED, "rows_done": 270, "reason": "No.", "has_ledger": True}),
        ["Undo failed", "270 records were undone before it stopped.", "Undo"],
        [AGREE, ADDED, "equal", "Continue"],
    ),
    (
        *("undo", "cancelled", {**MOVED, "rows_done": 0, "rows_total": None, "has_ledger": True}),
        ["Undo cancelled", "Nothing was undone: everything that was moved is still in Damaged."],
        [AGREE, ADDED, "equal", "Continue", "Move data again"],
    ),
    (
        *("undo", "undone", {**MOVED, "report": {**REPORT, "undone": UNDONE}}),
        [
            *(
                "This transfer is undone",
                "What it added to Damaged was removed",
                "12,270 records removed",
            ),
            *("Open Damaged", "Move data again", "Was added"),
        ],
        [AGREE, ADDED, "equal", "so far", "Continue"],
    ),
]


def text(content: bytes) -> str:
    plain = re.sub(r"<[^>]*>", " ", content.decode()).replace("\N{NO-BREAK SPACE}", " ")
    return " ".join(plain.split())


@pytest.mark.parametrize(("work", "state", "fields", "says", "does_not"), STATES)
def test_a_state_says_what_is_true_now(
    client: Client,
    work: str,
    state: str,
    fields: dict[str, Any],
    says: Collection[str],
    does_not: Collection[str],
) -> None:
    owner = factories.make_account()
    client.force_login(owner)
    source, target = (
        factories.make_project_row(owner=owner, name=name) for name in ("Rescued", "Damaged")
    )
    transfer = factories.make_transfer(
        *(source, target), requested_by=owner, work=work, state=state, **fields
    )
    address = f"/projects/{source.slug}/transfers/{transfer.pk}/"
    for part in ("", "status/"):
        response = client.get(f"{address}{part}")
        page = text(response.content)
        assert [word for word in says if word not in page] == []
        assert [word for word in does_not if word in page] == []
        # A meter is full only when all current work is done.
        full = re.search(r'<progress[^>]*value="(\d+)" max="\1"', response.content.decode())
        assert full is None

    told = json.loads(client.get(f"{address}report.json").content)
    assert (told["work"], told["state"]) == (work, state)
    is_true = True if state == "completed" else None
    if told["report"]:
        assert told["report"]["summary"]["is_equal"] is is_true
        assert told["report"]["devices"][0]["is_equal"] is is_true
        lines = b"".join(client.get(f"{address}report.csv").streaming_content).decode()
        first = next(csv.DictReader(io.StringIO(lines)))
        found = ("12270", "yes") if state == "completed" else ("", transfer.headline.lower())
        assert (first["found"], first["equal"]) == found


@pytest.mark.parametrize(
    ("state", "fields", "says"),
    [
        ("running", BEGUN, "still running"),
        ("undone", MOVED, "already undone"),
        ("ready", {"plan": PLAN}, "has changed nothing"),
        (
            "completed",
            {**MOVED, "report": {**REPORT, "summary": {**REPORT["summary"], "stored": 0}}},
            "has changed nothing",
        ),
        ("completed", {**MOVED, "started_at": timezone.now()}, "30 days, and they have passed"),
    ],
)
def test_what_cannot_be_undone_says_why(state: str, fields: dict[str, Any], says: str) -> None:
    owner = factories.make_account()
    source, target = (factories.make_project_row(owner=owner) for _ in range(2))
    transfer = factories.make_transfer(
        *(source, target), requested_by=owner, work="move", state=state, **fields
    )
    with pytest.raises(TransferRefusedError, match=says):
        request_undo(transfer=transfer, actor=owner)


def test_a_move_of_nothing_is_no_success(client: Client) -> None:
    owner = factories.make_account()
    client.force_login(owner)
    source, target = (factories.make_project_row(owner=owner) for _ in range(2))
    none = {**REPORT["summary"], **dict.fromkeys(("chosen", "add", "stored", "found"), 0)}
    transfer = factories.make_transfer(
        *(source, target),
        requested_by=owner,
        work=Transfer.Work.MOVE,
        state=Transfer.State.COMPLETED,
        plan=PLAN,
        report={**REPORT, "summary": none},
    )
    page = text(client.get(f"/projects/{source.slug}/transfers/{transfer.pk}/").content)
    assert "There was nothing to move" in page
    assert AGREE not in page


def test_what_came_back_from_a_backup_project_offers_to_end_it(client: Client) -> None:
    owner = factories.make_account()
    client.force_login(owner)
    home, rescued = (factories.make_project_row(owner=owner, name=n) for n in ("Home", "Rescued"))
    factories.make_restore(
        factories.make_snapshot(home),
        requested_by=owner,
        project=rescued,
        state="completed",
        step="done",
    )
    quote = Quote(Decimal("25.00"), Decimal("0.0680"), "USD")
    start_running(project=rescued, quote=quote, reason="")
    transfer = factories.make_transfer(
        *(rescued, home), requested_by=owner, work="move", state="completed", **MOVED
    )
    address = f"/projects/{home.slug}/transfers/{transfer.pk}/"
    page = client.get(address).content.decode()
    assert "12,270 records are back in Home" in text(page.encode())
    assert "Shut down the backup project \N{EN DASH} 0.068 USD an hour until then" in text(
        page.encode()
    )
    assert f'href="/projects/{rescued.slug}/shut-down/"' in page
    # It is shut down already, so there is no suggestion to do it.
    stop_running(project=rescued, at=timezone.now())
    assert "an hour until then" not in client.get(address).content.decode()
    # There is none either while the two sides differ, because it may be needed.
    start_running(project=rescued, quote=quote, reason="")
    differing = {**REPORT, "summary": {**REPORT["summary"], "is_equal": False}}
    Transfer.objects.update(report=differing)
    page = text(client.get(address).content)
    assert "The sides differ" in page
    assert "Open Home" in page
    assert "an hour until then" not in page


IDLE = {**REPORT["summary"], **dict.fromkeys(FATES, 0), "present": 12_270, "stored": 0}


def test_what_has_changed_nothing_offers_no_undo(client: Client) -> None:
    owner = factories.make_account()
    client.force_login(owner)
    source, target = (factories.make_project_row(owner=owner, name=n) for n in ("From", "Into"))
    transfer = factories.make_transfer(
        *(source, target), requested_by=owner, work="move", state="completed", has_ledger=True,
        **{**MOVED, "report": {**REPORT, "summary": IDLE}},
    )  # fmt: skip
    address = f"/projects/{source.slug}/transfers/{transfer.pk}/"
    page = text(client.get(address).content)
    assert "Into had all 12,270 records already" in page
    assert "Undo" not in page
    assert client.post(f"{address}undo/").status_code == 409
    created = {**REPORT, "summary": {**IDLE, "created": 1}}
    Transfer.objects.update(report=created)
    assert "Undo this transfer" in text(client.get(address).content)


def test_a_dry_run_without_a_change_offers_no_move(client: Client) -> None:
    owner = factories.make_account()
    client.force_login(owner)
    source, target = (factories.make_project_row(owner=owner, name=n) for n in ("From", "Into"))
    transfer = factories.make_transfer(
        *(source, target), requested_by=owner, state="ready", plan=PLAN
    )
    page = text(client.get(f"/projects/{source.slug}/transfers/{transfer.pk}/").content)
    assert "Open Into" in page
    assert "Move the data" not in page


@pytest.mark.parametrize(
    ("verb", "work", "state", "status"),
    [
        ("start", "move", "queued", 302),
        ("start", "move", "running", 302),
        ("start", "move", "completed", 302),
        ("start", "move", "cancelled", 409),
        ("start", "undo", "running", 409),
        ("undo", "undo", "queued", 302),
        ("undo", "undo", "running", 302),
        ("undo", "undo", "undone", 302),
        ("undo", "move", "running", 409),
        ("plan", "plan", "queued", 302),
        ("plan", "move", "queued", 409),
    ],
)
def test_a_second_press_finds_what_the_first_began(
    client: Client, verb: str, work: str, state: str, status: int
) -> None:
    owner = factories.make_account()
    client.force_login(owner)
    source, target = (factories.make_project_row(owner=owner, name=n) for n in ("From", "Into"))
    fields = {} if (work, state) == ("plan", "queued") else BEGUN
    transfer = factories.make_transfer(
        *(source, target), requested_by=owner, work=work, state=state, **fields
    )
    address = f"/projects/{source.slug}/transfers/{transfer.pk}/{verb}/"
    assert client.post(address).status_code == status
    transfer.refresh_from_db()
    assert (transfer.work, transfer.state) == (work, state)
    assert transfer.attempts == 0


@pytest.mark.parametrize("verb", ["start", "plan"])
def test_what_a_project_that_is_shut_down_refuses_is_said_with_the_cure(
    client: Client, verb: str
) -> None:
    owner = factories.make_account()
    client.force_login(owner)
    target = factories.make_project_row(owner=owner)
    source = factories.make_project_row(
        owner=owner, name="Rescued", state="shut_down", shut_down_at=timezone.now()
    )
    transfer = factories.make_transfer(source, target, requested_by=owner, **READY)
    answer = client.post(f"/projects/{source.slug}/transfers/{transfer.pk}/{verb}/")
    assert answer.status_code == 409
    assert "Rescued is shut down. Start it again on its Overview page" in text(answer.content)


READY = {"work": "plan", "state": "ready", "plan": PLAN}
FAILED = {"state": "failed", "reason": "A database refused."}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("verb", "shown", "meanwhile"),
    [
        (retry_plan, READY, {**FAILED, "work": "move", "started_at": timezone.now()}),
        (start_move, {**BEGUN, **FAILED, "work": "move"}, {"work": "undo"}),
        (
            request_undo,
            {**BEGUN, "work": "move", "state": "paused", "has_ledger": True},
            {"has_ledger": False},
        ),
    ],
    ids=["plan what has begun", "move what is half undone", "undo without a ledger"],
)
def test_what_another_tab_has_done_since_is_not_overwritten(
    verb: Verb, shown: dict[str, Any], meanwhile: dict[str, Any]
) -> None:
    owner = factories.make_account()
    source, target = (factories.make_project_row(owner=owner, name=n) for n in ("From", "Into"))
    transfer = factories.make_transfer(source, target, requested_by=owner, **shown)
    rows = Transfer.objects.filter(pk=transfer.pk)
    rows.update(**meanwhile)
    before = rows.values().get()
    with pytest.raises(TransferRefusedError) as refused:
        verb(transfer=transfer, actor=owner)
    assert refused.value.status == 409
    assert rows.values().get() == before


@pytest.mark.parametrize(
    ("devices", "said"),
    [(None, "All devices."), (["a" * 24], "Truck."), (["b" * 24], "1 device.")],
)
def test_the_page_says_what_was_chosen(
    client: Client, devices: list[str] | None, said: str
) -> None:
    owner = factories.make_account()
    client.force_login(owner)
    source, target = (factories.make_project_row(owner=owner, name=n) for n in ("From", "Into"))
    chosen = tuple(devices) if devices else None
    choice = Choice(devices=chosen, since=datetime(2024, 3, 1, 12, tzinfo=UTC)).as_json()
    transfer = factories.make_transfer(
        *(source, target), requested_by=owner, state="ready", plan=PLAN, choice=choice
    )
    page = text(client.get(f"/projects/{source.slug}/transfers/{transfer.pk}/").content)
    assert f"{said[:-1]}, from 1 Mar 2024, 12:00 UTC" in page
