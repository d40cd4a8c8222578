"""Schemas of requests and answers: times in UTC (ISO 8601), money as text."""

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from ninja import Field, Schema
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    StrictBool,
    StrictInt,
)

from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.json_types import JsonObject
from backups_portal.transfers.plan.selection import KINDS, DeviceSettings, Rule, Unmatched


def _no_nul(text: str) -> str:
    """Refuse the NUL character, which PostgreSQL does not store."""
    if "\0" in text:
        raise ValueError("Remove the NUL character.")
    return text


def _as_written(moment: object) -> object:
    """Refuse a number, which pydantic takes for seconds since 1970.

    The date 20261101 would be a day in August 1970.
    """
    try:
        float(moment)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return moment
    raise ValueError("Write a time with its time zone, such as 2026-01-31T08:00:00Z.")


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("That time is out of range.") from error


def money(amount: Decimal) -> str:
    """Format an amount with at least two decimals."""
    plain = amount.normalize()
    exponent = plain.as_tuple().exponent
    is_fine = isinstance(exponent, int) and exponent < -2
    return f"{plain if is_fine else amount.quantize(Decimal('0.01')):f}"


Text = Annotated[str, Field(max_length=200), AfterValidator(_no_nul)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Moment = Annotated[AwareDatetime, BeforeValidator(_as_written), AfterValidator(_in_utc)]
TransferState = Literal[
    "queued", "running", "ready", "paused", "cancelled", "completed", "failed", "undone"
]
Kind = Literal[KINDS]  # type: ignore[valid-type] # one list for forms and API


# Not an enumeration, so that existing clients accept causes that are added later.
FAILURE_CAUSE: Any = Field(
    description=f"Code for programs: {', '.join(Cause)}; more may follow. Empty if nothing failed."
)


class Body(Schema):
    """A request body; unknown members are refused as typing errors."""

    model_config = ConfigDict(extra="forbid")


class Problem(Schema):
    """Why a request failed (RFC 9457). Programs tell errors apart by `code`."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str = Field(description="A message for people")
    errors: list[dict[str, str]] = Field([], description="For 422: each invalid field, and why")


class Project(Schema):
    """A project that the account is a member of."""

    slug: str
    name: str
    state: Literal["active", "shut_down", "removed"]
    role: Literal["owner", "collaborator"]
    created_at: datetime
    last_backup_at: datetime | None = Field(
        description="When the newest backup that can be restored was taken; owners only"
    )
    restored_from: str | None = Field(
        description="Name of the project it was restored from; owners only"
    )


class Settings(Schema):
    """When a project is backed up, and for how long backups are kept."""

    backup_time: str = Field(description="HH:MM, in the time zone")
    backup_time_zone: str = Field(description="An IANA time zone, such as Europe/Berlin")
    retention_days: int
    proof_policy: Literal["every", "weekly", "off"]
    next_backup_at: datetime | None


class SettingsChange(Body):
    """The settings to change; those left out stay."""

    backup_time: Text | None = Field(None, description="HH:MM")
    backup_time_zone: Text | None = Field(None, description="An IANA time zone")
    retention_days: StrictInt | None = Field(None, ge=1, le=365)
    proof_policy: Literal["every", "weekly", "off"] | None = None
    accept_deletion: StrictBool = Field(
        False, description="Agree to delete the backups that a shorter period removes; see 409"
    )


class Standing(Schema):
    """Whether a recovery objective is met."""

    state: Literal["met", "missed", "unmeasured"] = Field(
        description="unmeasured: no backup is due yet, no restore was measured, or the project is "
        "shut down"
    )
    missed_since: datetime | None
    seconds: float | None = Field(
        description="The age of the newest backup that can be restored, or how long the last "
        "measured restore took"
    )


class Objectives(Schema):
    """How much data may be lost at most, and how soon it must be back."""

    max_loss_hours: int | None
    max_restore_minutes: int | None
    recovery_point: Standing | None
    recovery_time: Standing | None
    warnings: list[dict[str, str]] = Field(
        description="Each objective (field) that cannot be met as things are, and why (message)"
    )


class ObjectivesChange(Body):
    """The objectives to change; null withdraws one, and those left out stay."""

    max_loss_hours: StrictInt | None = Field(
        None, ge=1, le=8_760, description="Recovery point: how old the newest backup may get"
    )
    max_restore_minutes: StrictInt | None = Field(
        None, ge=1, le=10_080, description="Recovery time: how long a restore may take"
    )


class CheckRequest(Body):
    """A check to make in every proof; which fields it needs depends on its kind."""

    kind: Literal["newest", "devices", "between"] = Field(
        description="newest: the device has a record younger than so many hours (device, hours). "
        "devices: there are at least so many (at_least). between: all numbers of a variable are "
        "in a range (variable, low, high; device, hours)"
    )
    device: Text | None = Field(
        None, description="Its name or id in the newest backup; for between, null for all"
    )
    variable: Text | None = None
    hours: StrictInt | None = Field(
        None, description="Before the backup was taken; for between, null for all records"
    )
    at_least: StrictInt | None = None
    low: Finite | None = None
    high: Finite | None = None


class Check(Schema):
    """What is checked in every proof."""

    id: uuid.UUID
    kind: Literal["newest", "devices", "between"]
    sentence: str = Field(description="The check in words")
    device: str | None = Field(description="Id of the device; null for all, or none")
    device_name: str | None
    variable: str | None
    hours: int | None
    at_least: int | None
    low: float | None
    high: float | None
    created_at: datetime


class CheckCounts(Schema):
    """How many checks were made, and what became of them."""

    made: int
    failed: int
    not_run: int = Field(description="What they ask for is not there, or took too long")


class Backup(Schema):
    """A backup of a project's main database."""

    id: uuid.UUID
    state: Literal["queued", "running", "completed", "failed", "expired"]
    is_restorable: bool
    local_date: date = Field(
        description="The day of the backup, in the project's time zone; a day has two if one of "
        "them turned out to be bad"
    )
    scheduled_for: datetime
    taken_at: datetime | None = Field(description="The instant whose state it contains")
    finished_at: datetime | None
    kept_until: datetime | None
    kept_because: str = Field(description="Why it is kept, if not only because of its age")
    is_held: bool
    rows: int | None
    logical_bytes: int | None = Field(description="Size of its rows")
    stored_bytes: int | None = Field(description="Everything it uses in storage")
    new_bytes: int | None = Field(description="Of these, stored for this backup alone")
    verdict: Literal["unproven", "passed", "failed"]
    verdict_reason: str
    proven_at: datetime | None
    restore_seconds: float | None = Field(description="How long a restore took when measured")
    checks: CheckCounts | None = Field(
        description="Checks of its newest proof; null if none were made. A check that fails does "
        "not change the verdict"
    )
    reason: str = Field(description="Why it failed, or why its last attempt did")
    cause: str = FAILURE_CAUSE


class CheckResult(Schema):
    """What a check found in the newest proof of a backup."""

    check: str = Field(description="Its id; the check may have been changed or removed since")
    sentence: str
    outcome: Literal["passed", "failed", "not_run"]
    finding: str = Field(description="What was found, or why it could not be run")


class BackupDetail(Backup):
    """A backup and its contents."""

    table_rows: dict[str, int]
    check_results: list[CheckResult] = Field(
        description="Of the newest proof, those that failed first; empty if none were made"
    )


class Evidence(Schema):
    """Backup evidence of a period, signed; store it as it is to verify it later."""

    format: str
    signed_by: str = Field(description="SHA-256 of the public key, in hex digits")
    public_key: str = Field(
        description="PEM of the Ed25519 key; verify with the one that you know from elsewhere"
    )
    signature: str = Field(description="Base64, of the UTF-8 bytes of the payload")
    payload: str = Field(description="The evidence as JSON: times in UTC, days in the zone")


class Quote(Schema):
    """What a new project from this backup costs, and a name for it."""

    is_restorable: bool
    creation_fee: str
    running_fee_per_hour: str
    projected_month: str = Field(description="The running fee of a month of 730 hours")
    currency: str
    terms: str = Field(description="These prices; send them as accepted_terms with a restore")
    suggested_name: str


class RestoreRequest(Body):
    """A new project to create from a backup."""

    name: Text | None = Field(None, description="The project's name; null for the suggested one")
    accept_charges: StrictBool = Field(
        False, description="Must be true: you accept the charges that the quote lists"
    )
    accepted_terms: Text | None = Field(
        None,
        min_length=1,
        description="Terms of the quote that you saw; 409 if prices have changed. null: any price",
    )


class Restore(Schema):
    """A restore of a backup into a new project."""

    id: uuid.UUID
    state: Literal["queued", "running", "completed", "failed"]
    step: Literal["waiting", "creating", "loading", "indexing", "proving", "publishing", "done"]
    backup_id: uuid.UUID
    source: str = Field(description="Slug of the project that was backed up")
    name: str = Field(
        description="Name of the new project; “another project” if you have no access to it"
    )
    project: str | None = Field(
        description="Slug of the new project once it exists, if you have access to it"
    )
    reason: str = Field(description="Why it failed, or why its last attempt did")
    cause: str = FAILURE_CAUSE
    rows_done: int
    rows_total: int | None
    creation_fee: str
    running_fee_per_hour: str
    currency: str
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class RestoreDetail(Restore):
    """A restore, and what to do afterwards."""

    report: JsonObject


class TransferRequest(Body):
    """Data to move into another project, after a dry run."""

    target: Text = Field(description="Slug of the project to move data into")
    devices: list[Text] | None = Field(None, description="Their ids; null for all, [] for none")
    variables: list[Text] | None = Field(None, description="Their names; null for all")
    since: Moment | None = Field(None, description="From this time on")
    until: Moment | None = Field(None, description="Before this time")
    kinds: list[Kind] = Field([], description="Resources besides devices")
    rule: Rule = Field(Rule.SKIP, description="If a record exists with a different value")
    unmatched: Unmatched = Field(Unmatched.CREATE, description="If the target lacks a device")
    tag: Text = Field("", description="Also match devices by the tag with this key")
    device_settings: DeviceSettings = Field(
        DeviceSettings.KEEP,
        description="Tags and parameters of devices that the target has: keep them, bring_back "
        "those of the source, or bring back only these and move no records",
    )


class Transfer(Schema):
    """A transfer of data from one project into another."""

    id: uuid.UUID
    source: str | None = Field(
        description="Slug; null if the project is gone or you have no access to it"
    )
    target: str | None
    source_name: str = Field(description="“another project” if you have no access to it")
    target_name: str
    state: TransferState
    work: Literal["plan", "move", "undo"]
    reason: str
    cause: str = FAILURE_CAUSE
    rows_done: int = Field(description="Of the current work; for an undo, records taken back")
    rows_total: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    undo_until: datetime | None


class TransferDetail(Transfer):
    """A transfer with what was chosen, what the dry run found, and the report of the move."""

    choice: JsonObject
    dry_run: JsonObject | None
    report: JsonObject | None
