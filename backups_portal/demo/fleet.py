"""Seed a fleet: resources of every kind, and weeks of readings."""

import secrets
from datetime import datetime, timedelta

from psycopg import Connection
from psycopg.types.json import Jsonb

from backups_portal.demo.past_records import date_back, store_past
from backups_portal.demo.readings import Truck, in_requests, readings, trucks
from backups_portal.lib.crypto import Keyring
from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb import analyses, credentials, devices, files, resource_writer
from backups_portal.projectdb.ids import new_resource_id

TRUCKS, ALERTS = 36, 40
WEEK = timedelta(weeks=1)
# The fleet was set up this long before its first reading.
SET_UP_BEFORE = timedelta(days=1)
ALERT_SCRIPT = b"""const { Analysis, Resources, Utils } = require("@tago-io/sdk");

// Warns the dispatcher when a load gets warm.
async function coldChainAlert(context, scope) {
  const reading = scope.find((item) => item.variable === "temperature");
  const { limit } = Utils.envToJson(context.environment);
  if (!reading || reading.value < Number(limit)) return;
  context.log(`Load too warm: ${reading.value} at the ramp`);
  await Resources.notifications.create({ title: "Cold chain broken", message: reading.device });
}
Analysis.use(coldChainAlert);
"""
REPORT_SCRIPT = b"""from base64 import b64encode

from tagoio_sdk import Analysis, Resources

# Writes the weekly temperature report into the files of the project.
def weekly_report(context, scope):
    trucks = Resources().devices.listDevice({"amount": 100, "fields": ["name"]})
    lines = ["truck,violations", *(f"{truck['name'][-2:]},0" for truck in trucks)]
    content = b64encode("\\n".join(lines).encode()).decode()
    report = {"filename": "reports/latest.csv", "file": content, "public": False}
    Resources().files.uploadBase64([report])
    context.log([f"weekly report: {len(trucks)} trucks, 0 violations"])

Analysis.use(weekly_report)
"""
FLOOR_PLAN = b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 80 40'><text>Depot</text></svg>"
DELIVERY_NOTE = b"Delivery note 0417: 24 pallets of strawberries, 3.8 C at the ramp"


def fill_fleet(connection: Connection, *, keys: Keyring, start: datetime, end: datetime) -> int:
    """Create the fleet's resources and readings; return the number of records.

    The resources are dated a day before the first reading. This is one transaction, so that an
    interrupted seeding leaves nothing.
    """
    with connection.transaction():
        network, connector = _integration(connection)
        device_ids = [
            _create_truck(connection, keys, truck, network, connector) for truck in trucks(TRUCKS)
        ]
        _create_analyses(connection, keys)
        _create_dashboards(connection, device_ids)
        _create_people(connection)
        _create_entities(connection)
        credentials.create_secret(connection, keys=keys, key="WEATHER_API", value="sk-demo-4711")
        _create_files(connection, device_ids[0])
        date_back(connection, start - SET_UP_BEFORE)
        _date_work(connection, start, end)
        by_device = dict(zip(device_ids, trucks(TRUCKS), strict=True))
        return _send_all(connection, by_device, start, end)


def grow_fleet(connection: Connection, *, start: datetime, end: datetime) -> int:
    """Add the readings of another period; return the number of records."""
    by_number = {truck.number: truck for truck in trucks(TRUCKS)}
    rows = connection.execute("SELECT id, (settings->>'number')::integer FROM device").fetchall()
    with connection.transaction():
        return _send_all(
            connection,
            {device_id: by_number[number] for device_id, number in rows if number is not None},
            start,
            end,
        )


def _send_all(
    connection: Connection, by_device: dict[str, Truck], start: datetime, end: datetime
) -> int:
    """Store readings in chronological order, a week of each truck at a time."""
    count = 0
    while start < end:
        until = min(start + WEEK, end)
        for device_id, truck in by_device.items():
            for request in in_requests(readings(truck, start, until)):
                count += store_past(connection, device_id, request)
        start = until
    return count


def _integration(connection: Connection) -> tuple[str, str]:
    network = resource_writer.create(connection, "network", name="LTE-M gateway")
    connector = resource_writer.create(
        connection, "connector", name="CoolTrack CT-200", settings={"networks": [network]}
    )
    return network, connector


def _create_truck(
    connection: Connection, keys: Keyring, truck: Truck, network: str, connector: str
) -> str:
    cargo = {-20.0: "frozen", 4.0: "fresh", 12.0: "flowers"}[truck.set_point]
    kind: JsonObject = (
        {"type": "immutable", "chunk_period": "month", "chunk_retention": 12}
        if truck.number % 4 == 0
        else {"type": "mutable"}
    )
    device_id, _ = devices.create_device(
        connection,
        keys=keys,
        name=f"Truck {truck.number:02d}",
        description=f"Carries {cargo} goods",
        network_id=network,
        connector_id=connector,
        tags=[{"key": "fleet", "value": "north"}, {"key": "cargo", "value": cargo}],
        settings={"number": truck.number},
        parameters=[
            {"key": "set_point", "value": f"{truck.set_point}", "sent": True},
            {"key": "interval", "value": "1800", "sent": truck.number % 7 != 0},
        ],
        serie_number=f"CT200-{truck.number:05d}",
        **kind,
    )
    return device_id


def _create_analyses(connection: Connection, keys: Keyring) -> None:
    alert, _ = analyses.create_analysis(
        connection,
        keys=keys,
        name="Cold chain alert",
        variables=[{"key": "limit", "value": "8"}],
        tags=[{"key": "team", "value": "dispatch"}],
    )
    report, _ = analyses.create_analysis(
        connection, keys=keys, name="Weekly report", runtime="python-rt2025", interval="1 week"
    )
    analyses.upload_script(
        connection, analysis_id=alert, file_name="alert.js", content=ALERT_SCRIPT
    )
    analyses.upload_script(
        connection,
        analysis_id=report,
        file_name="report.py",
        content=REPORT_SCRIPT,
        language="python",
    )
    analyses.write_console(
        connection,
        alert,
        [f"Load too warm: {8 + number / 10} at the ramp" for number in range(ALERTS)],
    )
    resource_writer.create(
        connection,
        "action",
        name="Door open for ten minutes",
        settings={
            "type": "condition",
            "trigger": [{"variable": "door", "is": "=", "value": "true"}],
            "action": {"type": "script", "script": [alert]},
        },
    )


def _create_dashboard(
    connection: Connection, *, label: str, widgets: list[JsonObject], **values: object
) -> None:
    """Create a dashboard with its widgets, placed one below the other."""
    ids = [new_resource_id() for _ in widgets]
    places = [
        {"widget_id": widget, "x": 0, "y": row, "width": 4, "height": 2}
        for row, widget in enumerate(ids)
    ]
    board = resource_writer.create(
        connection, "dashboard", label=label, arrangement=places, **values
    )
    for widget, shown in zip(ids, widgets, strict=True):
        resource_writer.create(connection, "widget", id=widget, dashboard_id=board, settings=shown)


def _create_dashboards(connection: Connection, device_ids: list[str]) -> None:
    _create_dashboard(
        connection,
        label="Fleet overview",
        tags=[{"key": "audience", "value": "dispatch"}],
        settings={"background": "files/depot/floor-plan.svg"},
        widgets=[
            {
                "label": f"Temperature of truck {number + 1:02d}",
                "type": "line",
                "data": [{"origin": device_id, "variables": ["temperature"]}],
            }
            for number, device_id in enumerate(device_ids[:6])
        ],
    )
    _create_dashboard(
        connection,
        label="Depot",
        widgets=[
            {"label": "Floor plan", "type": "image", "image": "depot/floor-plan.svg"},
            {"label": "Doors", "type": "display", "data": []},
        ],
    )


def _create_people(connection: Connection) -> None:
    resource_writer.create(
        connection,
        "access_rule",
        name="Drivers see their truck",
        permissions=[{"effect": "allow", "action": ["access"], "resource": ["device"]}],
        targets=[["run_user", "tag_match", "role", "driver"]],
    )
    dictionary = resource_writer.create(
        connection, "dictionary", name="Portal texts", slug="PORTAL", fallback="en-US"
    )
    for code, texts in (
        ("en-US", {"DOOR": "Door", "TEMPERATURE": "Temperature"}),
        ("de-DE", {"DOOR": "Tür", "TEMPERATURE": "Temperatur"}),
    ):
        values = {"dictionary_id": dictionary, "code": code, "texts": texts}
        resource_writer.create(connection, "dictionary_language", **values)
    for name in ("Ana Silva", "Ben Okafor", "Chiara Rossi"):
        credentials.create_run_user(
            connection,
            name=name,
            email=f"{name.split()[0].lower()}@fleet.example.com",
            # Nobody signs in as this user.
            password=secrets.token_urlsafe(),
            timezone="Europe/Berlin",
            tags=[{"key": "role", "value": "driver"}],
        )
    connection.execute(
        "UPDATE run_settings SET settings = %s",
        [Jsonb({"sidebar_buttons": [], "signin_buttons": [], "email_templates": {}})],
    )


def _create_files(connection: Connection, device_id: str) -> None:
    files.put_file(
        connection,
        path="depot/floor-plan.svg",
        content=FLOOR_PLAN,
        content_type="image/svg+xml",
        public=True,
    )
    lines = ["truck,violations", *(f"{number:02d},0" for number in range(1, TRUCKS + 1)), ""]
    files.put_file(
        connection,
        path="reports/latest.csv",
        content="\n".join(lines).encode(),
        content_type="text/csv",
    )
    resource_writer.insert(
        connection,
        "attachment",
        {
            "id": new_resource_id(),
            "device_id": device_id,
            "name": "delivery-note.txt",
            "content_type": "text/plain",
            "size": len(DELIVERY_NOTE),
            "content": DELIVERY_NOTE,
        },
    )


def _date_work(connection: Connection, start: datetime, end: datetime) -> None:
    """Date console lines, runs and files to the time of the readings."""
    delivered = start + (end - start) / 2
    for attachment, device_id in connection.execute(
        "UPDATE attachment SET created_at = %s RETURNING id, device_id", [delivered]
    ).fetchall():
        metadata = {"file": {"attachment": attachment, "type": "text/plain"}}
        note = {"variable": "delivery_note", "value": "delivery-note.txt", "metadata": metadata}
        store_past(connection, device_id, [{**note, "time": delivered}])
    connection.execute(
        """UPDATE analysis_console SET time = %s::timestamptz + line.number * %s::interval
           FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM analysis_console) AS line
           WHERE line.id = analysis_console.id""",
        [start, (end - start) / (ALERTS + 1)],
    )
    connection.execute(
        "UPDATE analysis SET last_run = coalesce((SELECT max(time) FROM analysis_console"
        " WHERE analysis_id = analysis.id), %s)",
        [end],
    )
    connection.execute(
        "UPDATE action SET last_triggered = (SELECT max(time) FROM analysis_console)"
    )
    connection.execute(
        "UPDATE file SET created_at = %(end)s, updated_at = %(end)s WHERE path ~ '^reports/'",
        {"end": end},
    )


def _create_entities(connection: Connection) -> None:
    entity = resource_writer.create(
        connection,
        "entity",
        name="Trips",
        schema={"truck": {"type": "string", "required": True}, "km": {"type": "int"}},
    )
    trips = [
        {"truck": f"Truck {number % TRUCKS + 1:02d}", "km": 40 + number * 7} for number in range(60)
    ]
    resource_writer.add_rows(connection, entity_id=entity, rows=trips)
