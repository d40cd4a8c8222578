"""The commands that write and verify evidence."""

import json
import resource
import secrets
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from backups_portal.audit.models import AuditEvent
from backups_portal.evidence.evidence_key import public_key
from backups_portal.evidence.signed_envelope import fingerprint
from backups_portal.projects.models import Project
from tests import factories
from tests.evidence.conftest import HOUR, NOW, Q4, fill
from tests.manual.pages import ROOT, fence

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("now")]


def said(*words: object) -> str:
    out = StringIO()
    call_command(*(str(word) for word in words), stdout=out, stderr=StringIO())
    return out.getvalue()


@pytest.fixture
def file(project: Project, tmp_path: Path) -> Path:
    fill(project, Q4.first, Q4.first)
    path = tmp_path / "evidence.json"
    said("evidence", project.slug, "--from", Q4.first, "--to", Q4.last, "--output", path)
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """This installation's public key, as an auditor received it."""
    path = tmp_path / "evidence-key.pem"
    path.write_text(said("verify_evidence", "--print-key"))
    return path


def test_a_file_that_was_written_is_valid(file: Path, project: Project) -> None:
    found = said("verify_evidence", file)
    assert found.startswith("Valid: “Backup evidence, Cold Chain, Q4 2026”, as of 2026-11-29T09:00")
    assert "signed by this installation" in found
    answer = json.loads(said("verify_evidence", file, "--json"))
    assert answer["is_valid"] is True
    assert answer["project"]["slug"] == project.slug
    (event,) = AuditEvent.objects.filter(action="evidence.downloaded", project_id=project.pk)
    assert event.who.startswith("operator (")


def test_standard_output_has_the_same_file(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "evidence.json"
    path.write_text(said("evidence", project.slug))
    assert "Q4 2026" in said("verify_evidence", path)


def test_an_auditor_needs_the_public_key_only(file: Path, key: Path, settings: Settings) -> None:
    settings.INSTALLATION_KEY = secrets.token_hex(32)
    assert f"signed by the key in {key}" in said("verify_evidence", file, "--public-key", key)


def test_evidence_outlives_the_installation_key(
    file: Path, key: Path, project: Project, settings: Settings, tmp_path: Path
) -> None:
    settings.INSTALLATION_KEY = secrets.token_hex(32)
    with pytest.raises(CommandError, match="signed by another key"):
        said("verify_evidence", file)
    newer = tmp_path / "newer.json"
    said("evidence", project.slug, "--output", newer)
    said("verify_evidence", newer)
    said("verify_evidence", file, "--public-key", key)
    with pytest.raises(CommandError, match="signed by another key"):
        said("verify_evidence", newer, "--public-key", key)


@pytest.mark.skipif(not shutil.which("jq") or not shutil.which("openssl"), reason="no openssl")
def test_openssl_agrees_as_it_is_printed(file: Path, key: Path) -> None:
    script = fence("storage-and-keys.md", "jq -j .payload evidence.json")

    def run() -> subprocess.CompletedProcess[str]:
        shell = ["bash", "-euo", "pipefail", "-c", script]
        return subprocess.run(shell, cwd=file.parent, capture_output=True, text=True)

    done = run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Signature Verified Successfully",
        f"{fingerprint(public_key())}  -",
    ]
    file.write_text(file.read_text().replace("Cold Chain", "Warm Chain"))
    assert run().returncode != 0


def test_no_portal_has_to_be_set_up(file: Path, key: Path) -> None:
    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "backups_portal.evidence", *map(str, words)]
        # Verification needs no settings at all.
        return subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True)

    done = run(file, key)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Valid: “Backup evidence, Cold Chain, Q4 2026”")
    assert f"signed by the key in {key}" in done.stdout
    done = run(key, key)
    assert (done.returncode, done.stderr) == (1, f"{key}: This is not an evidence file.\n")


def test_a_changed_file_fails(file: Path) -> None:
    members = json.loads(file.read_text())
    members["payload"] = members["payload"].replace("Cold Chain", "Warm Chain")
    file.write_text(json.dumps(members))
    with pytest.raises(CommandError) as refused:
        said("verify_evidence", file)
    assert str(refused.value) == f"{file}: This file was changed after it was signed."
    assert refused.value.returncode == 1


def test_what_cannot_be_read_is_named(file: Path, tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(secrets.token_bytes(1_000_000))
    for words, why in (
        ((tmp_path / "none",), "cannot be read: No such file"),
        ((tmp_path,), "cannot be read: Is a directory"),
        ((binary,), "not an evidence file"),
        ((file, "--public-key", tmp_path / "none"), "none cannot be read"),
        ((file, "--public-key", binary), "binary is not a public key of evidence"),
        ((), "Name the file"),
    ):
        with pytest.raises(CommandError, match=why):
            said("verify_evidence", *words)


@pytest.mark.parametrize(
    ("days", "why"),
    [
        (("2026-11-02", "2026-11-01"), "last day is before the first"),
        (("2024-01-01", "2026-11-01"), "two years at most"),
        (("2027-01-01", "2027-03-31"), "has not begun"),
        (("2026-07-01", "2026-09-29"), "was created on 30 Sep 2026, after this period"),
    ],
)
def test_days_without_evidence_are_explained(
    project: Project, days: tuple[str, str], why: str
) -> None:
    with pytest.raises(CommandError, match=why):
        said("evidence", project.slug, "--from", days[0], "--to", days[1])


def test_wrong_words_are_explained(project: Project, file: Path) -> None:
    with pytest.raises(CommandError, match="There is no project nothing"):
        said("evidence", "nothing")
    with pytest.raises(CommandError, match="is not a day"):
        said("evidence", project.slug, "--from", "yesterday")
    with pytest.raises(CommandError, match="is there already"):
        said("evidence", project.slug, "--output", file)
    with pytest.raises(CommandError, match="cannot be written"):
        said("evidence", project.slug, "--output", file / "inside")


def test_names_that_no_owner_may_read_are_left_out(project: Project) -> None:
    """The operator's file goes to the project's owners, and one of them restored privately."""
    snapshot = factories.make_snapshot(project)
    other = factories.make_account()
    hers = factories.make_project_row(owner=other, name="Secret plan")
    factories.make_restore(
        snapshot,
        requested_by=other,
        name=hers.name,
        project=hers,
        state="completed",
        created_at=NOW - HOUR,
    )
    written = said("evidence", project.slug)
    assert "Secret plan" not in written
    assert "another project" in written


def test_a_disk_that_gets_full_leaves_no_part_of_a_file(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "evidence.json"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(CommandError, match="cannot be written: File too large"):
            said("evidence", project.slug, "--output", path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not path.exists()
    said("evidence", project.slug, "--output", path)
