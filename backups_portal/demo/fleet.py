"""The seeded fleet: resources of every kind, and weeks of readings."""

import secrets
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from backups_portal.demo.readings import Truck, in_requests, readings, trucks
from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb import (
    analyses,
    credentials,
    dashboards,
    devices,
    dictionaries,
    entities,
    files,
    resources,
)
from backups_portal.projectdb.variables import send

TRUCKS = 36
WEEK = timedelta(weeks=1)
ALERT_SCRIPT = b"""const { Analysis, Resources } = require("@tago-io/sdk");

// Warns the dispatcher when a load gets warm.
async function coldChainAlert(context, scope) {
  const reading = scope.find((item) => item.variable === "temperature");
  if (!reading || reading.value < Number(context.environment.limit)) return;
  context.log(`Load too warm: ${reading.value}`);
  await Resources.notifications.create({ title: "Cold chain broken", message: reading.device });
}
Analysis.use(coldChainAlert);
"""
REPORT_SCRIPT = b"""from tagoio_sdk import Analysis, Resources

# Writes the weekly temperature report into the files of the project.
def weekly_report(context, scope):
    context.log("weekly report: 36 trucks, 0 violations")

Analysis.use(weekly_report)
"""
FLOOR_PLAN = b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 80 40'><text>Depot</text></svg>"
DELIVERY_NOTE = b"Delivery note 2026-0417: 24 pallets of strawberries, 3.8 C at the ramp"

Connected = Connection[Any]


def fill_fleet(connection: Connected, *, keys: Keyring, start: datetime, end: datetime) -> int:
    """Make the fleet's resources and its readings of a time; returns how many records.

    One transaction: a seeding that is interrupted leaves nothing.
    """
    with connection.transaction():
        network, connector = _integration(connection)
        device_ids = [
            _create_truck(connection, keys, truck, network, connector) for truck in trucks(TRUCKS)
        ]
        _create_analyses(connection, keys)
        _create_dashboards(connection, device_ids)
        _create_people(connection)
        _create_files(connection, device_ids[0])
        _create_entities(connection)
        credentials.create_secret(connection, keys=keys, key="WEATHER_API", value="sk-demo-4711")
        by_device = dict(zip(device_ids, trucks(TRUCKS), strict=True))
        return _send_all(connection, by_device, start, end)


def grow_fleet(connection: Connected, *, start: datetime, end: datetime) -> int:
    """Add the readings of a further time; returns how many records."""
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
    connection: Connected, by_device: dict[str, Truck], start: datetime, end: datetime
) -> int:
    """Send in the order of time, as devices would: a week of each truck after the other."""
    count = 0
    while start < end:
        until = min(start + WEEK, end)
        for device_id, truck in by_device.items():
            for request in in_requests(readings(truck, start, until)):
                count += send(connection, device_id=device_id, records=request, now=until)
        start = until
    return count


def _integration(connection: Connected) -> tuple[str, str]:
    network = resources.create(connection, "network", name="LTE-M gateway")
    connector = resources.create(
        connection, "connector", name="CoolTrack CT-200", settings={"networks": [network]}
    )
    return network, connector


def _create_truck(
    connection: Connected, keys: Keyring, truck: Truck, network: str, connector: str
) -> str:
    cargo = {-20.0: "frozen", 4.0: "fresh", 12.0: "flowers"}[truck.set_point]
    kind: dict[str, Any] = (
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
            {"key": "interval", "value": "1200", "sent": truck.number % 7 != 0},
        ],
        serie_number=f"CT200-{truck.number:05d}",
        **kind,
    )
    return device_id


def _create_analyses(connection: Connected, keys: Keyring) -> None:
    alert, _ = analyses.create_analysis(
        connection,
        keys=keys,
        name="Cold chain alert",
        variables=[{"key": "limit", "value": "8"}],
        tags=[{"key": "team", "value": "dispatch"}],
    )
    report, _ = analyses.create_analysis(
        connection, keys=keys, name="Weekly report", run_on="external", interval="1 week"
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
        connection, alert, [f"Load too warm: {8 + number / 10} at the ramp" for number in range(40)]
    )
    resources.create(
        connection,
        "action",
        name="Door open for ten minutes",
        settings={
            "type": "condition",
            "trigger": [{"variable": "door", "is": "=", "value": "true"}],
            "action": {"type": "script", "script": [alert]},
        },
    )


def _create_dashboards(connection: Connected, device_ids: list[str]) -> None:
    dashboards.create_dashboard(
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
    dashboards.create_dashboard(
        connection,
        label="Depot",
        widgets=[
            {"label": "Floor plan", "type": "image", "image": "depot/floor-plan.svg"},
            {"label": "Doors", "type": "display", "data": []},
        ],
    )


def _create_people(connection: Connected) -> None:
    resources.create(
        connection,
        "access_rule",
        name="Drivers see their truck",
        permissions=[{"effect": "allow", "action": ["access"], "resource": ["device"]}],
        targets=[["run_user", "tag_match", "role", "driver"]],
    )
    dictionaries.create_dictionary(
        connection,
        name="Portal texts",
        slug="PORTAL",
        fallback="en-US",
        languages={
            "en-US": {"DOOR": "Door", "TEMPERATURE": "Temperature"},
            "de-DE": {"DOOR": "Tür", "TEMPERATURE": "Temperatur"},
        },
    )
    for name in ("Ana Silva", "Ben Okafor", "Chiara Rossi"):
        credentials.create_run_user(
            connection,
            name=name,
            email=f"{name.split()[0].lower()}@fleet.example.com",
            # Known to nobody.
            password=secrets.token_urlsafe(),
            timezone="Europe/Berlin",
            tags=[{"key": "role", "value": "driver"}],
        )
    connection.execute(
        "UPDATE run_settings SET settings = %s",
        [Jsonb({"sidebar_buttons": [], "signin_buttons": [], "email_templates": {}})],
    )


def _create_files(connection: Connected, device_id: str) -> None:
    files.put_file(
        connection,
        path="depot/floor-plan.svg",
        content=FLOOR_PLAN,
        content_type="image/svg+xml",
        public=True,
    )
    files.put_file(
        connection, path="reports/2026-16.csv", content=b"truck,violations\n" + b"01,0\n" * 36
    )
    attachment = files.attach_file(
        connection,
        device_id=device_id,
        name="delivery-note.txt",
        content=DELIVERY_NOTE,
        content_type="text/plain",
    )
    send(
        connection,
        device_id=device_id,
        records=[
            {
                "variable": "delivery_note",
                "value": "delivery-note.txt",
                "metadata": {"file": {"attachment": attachment, "type": "text/plain"}},
            }
        ],
    )


def _create_entities(connection: Connected) -> None:
    entity = entities.create_entity(
        connection,
        name="Trips",
        schema={"truck": {"type": "string", "required": True}, "km": {"type": "int"}},
    )
    trips = [
        {"truck": f"Truck {number % TRUCKS + 1:02d}", "km": 40 + number * 7} for number in range(60)
    ]
    entities.add_rows(connection, entity_id=entity, rows=trips)
