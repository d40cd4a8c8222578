"""Programs fetch the signed evidence of a period."""

import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import Settings

from backups_portal.audit.models import AuditEvent
from backups_portal.evidence.evidence_key import public_key
from backups_portal.evidence.signed_envelope import read_evidence
from backups_portal.projects.models import Project
from tests import factories
from tests.conftest import database_of_this_test
from tests.contract.server import running
from tests.manual.pages import fence
from tests.portal_api.conftest import Program

pytestmark = pytest.mark.django_db
PATH = "/projects/cold-chain/evidence"


def test_the_answer_is_a_file_that_is_valid(
    program: Program, project: Project, tmp_path: Path
) -> None:
    snapshot = factories.make_snapshot(project)
    answer = program.get(PATH)
    evidence = read_evidence(io.BytesIO(json.dumps(answer).encode()), public_key())
    backups = [line["backup"] for line in evidence.document["days"]]
    assert [backup["id"] for backup in backups] == [str(snapshot.pk)]
    (event,) = AuditEvent.objects.filter(action="evidence.downloaded")
    assert event.details["via"].startswith("API token ")
    file = tmp_path / "evidence.json"
    file.write_bytes(program.ask("GET", PATH).content)
    call_command("verify_evidence", file)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(not shutil.which("jq") or not shutil.which("curl"), reason="no jq or no curl")
def test_a_script_fetches_it_as_it_is_printed(
    project: Project, settings: Settings, tmp_path: Path
) -> None:
    factories.make_snapshot(project)
    token = factories.make_token(project.created_by, "evidence:read")
    environment = {**database_of_this_test(), "SNAPSHOT_STORAGE": settings.SNAPSHOT_STORAGE}
    with running("backups_portal.asgi", environment, tmp_path / "web.log") as url:
        script = fence("portal-api.md", "evidence=https")
        # This project is younger than the documented quarter.
        script = script.replace("https://portal.example.com", url).replace(
            "?from=2026-10-01&to=2026-12-31", ""
        )
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env={**os.environ, "BACKUPS_TOKEN": token},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["with_backup"] == 1
    call_command("verify_evidence", tmp_path / "evidence.json")


def test_days_are_chosen_by_from_and_to(program: Program, project: Project) -> None:
    day = factories.make_snapshot(project).local_date
    answer = program.get(PATH, **{"from": day, "to": day})
    assert json.loads(answer["payload"])["period"]["from"] == str(day)


@pytest.mark.parametrize(
    ("query", "field", "why"),
    [
        ("from=2026-02-01&to=2026-01-01", "to", "before the first day"),
        ("from=2024-01-01&to=2026-12-31", "to", "two years at most"),
        ("from=2999-01-01", "from", "has not begun"),
        ("to=2020-01-01", "from", "was created on"),
        ("from=soon", "from", "From must be a day, such as 2026-01-31."),
    ],
)
def test_a_period_without_evidence_is_a_problem(
    program: Program, project: Project, query: str, field: str, why: str
) -> None:
    problem = program.refused(422, "GET", f"{PATH}?{query}")
    assert problem["errors"][0]["field"] == field
    assert why in problem["detail"]


def test_it_needs_a_scope_of_its_own(project: Project) -> None:
    program = Program(factories.make_token(project.created_by, "backups:read", "settings:read"))
    assert program.refused(403, "GET", PATH)["needed_scope"] == "evidence:read"
