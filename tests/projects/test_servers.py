"""New projects go to servers with room; unreachable servers are noticed, and named."""

import json
import threading
import traceback
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client, override_settings
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.lib import pgsession
from backups_portal.projectdb.provisioning import ProvisioningError
from backups_portal.projects import servers
from backups_portal.projects.database_dsn import (
    SERVER_PURPOSE,
    ServerDownError,
    keyring,
    project_dsn,
    server_url,
)
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.projects.servers import check_servers, choose_server, register_server
from tests.at_once import at_once
from tests.factories import NOWHERE, make_account, make_project_row

pytestmark = [pytest.mark.django_db, pytest.mark.server_version]


def server(name: str, *, url: str = NOWHERE, **fields: Any) -> DatabaseServer:
    return DatabaseServer.objects.create(
        name=name, sealed_url=keyring().seal(url, SERVER_PURPOSE), **fields
    )


def place(count: int, on: DatabaseServer | None = None) -> list[str]:
    """Choose servers for this many projects one after another; return their names."""
    names = []
    for _ in range(count):
        chosen = on or choose_server()
        make_project_row(server=chosen)
        names.append(chosen.name)
    return names


def run(*arguments: str) -> Any:
    said = StringIO()
    call_command("database_servers", *arguments, "--json", stdout=said)
    return json.loads(said.getvalue())


def test_the_server_of_the_settings_is_registered_when_none_is() -> None:
    assert server_url(choose_server()) == settings.PROJECT_DATABASE_URL
    assert DatabaseServer.objects.count() == 1


def test_projects_are_spread_by_weight() -> None:
    server("small", weight=100)
    server("large", weight=300)
    names = place(8)
    assert (names.count("small"), names.count("large")) == (2, 6)


def test_a_full_server_and_a_closed_one_take_nothing() -> None:
    server("full", max_projects=2)
    server("closed", is_open=False)
    assert place(2) == ["full", "full"]
    with pytest.raises(ProvisioningError, match=r"^No database server is accepting new projects"):
        choose_server()
    for name in ("full", "closed"):
        with pytest.raises(ProvisioningError, match=f"“{name}” is not accepting new projects"):
            choose_server(name)
    with pytest.raises(ProvisioningError, match="There is no database server “unheard of”"):
        choose_server("unheard of")


def test_one_that_is_named_is_taken_however_full_the_others_are() -> None:
    busy = server("busy")
    server("idle")
    place(3, on=busy)
    assert choose_server().name == "idle"
    assert choose_server("busy").name == "busy"


class TestAServerThatIsAway:
    @pytest.fixture
    def project(self) -> Project:
        register_server("main", settings.PROJECT_DATABASE_URL)
        return make_project_row(server=server("away"))

    def test_is_noticed_and_written_down_once(self, project: Project) -> None:
        found = check_servers()
        assert found["main"] == ""
        assert "refused" in found["away"]
        check_servers()
        actions = AuditEvent.objects.filter(subject="away").values_list("action", flat=True)
        assert list(actions) == ["server.away"]

    @pytest.mark.django_db(transaction=True)
    def test_is_written_down_once_by_beats_in_step(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        together, trouble = threading.Barrier(2), "It is down."

        def in_step(server: DatabaseServer) -> str:
            if server.name == "away":
                together.wait(10)
                return trouble
            return ""

        monkeypatch.setattr(servers, "_trouble", in_step)
        at_once(check_servers, check_servers)
        trouble = ""
        at_once(check_servers, check_servers)
        actions = AuditEvent.objects.filter(subject="away").order_by("at")
        assert [*actions.values_list("action", flat=True)] == ["server.away", "server.back"]

    def test_takes_no_projects_and_is_not_waited_for(self, project: Project) -> None:
        check_servers()
        assert {choose_server().name for _ in range(3)} == {"main"}
        project.server.refresh_from_db()
        with pytest.raises(ServerDownError, match="has not answered since"):
            project_dsn(project)

    def test_may_be_the_only_one_with_room(self, project: Project) -> None:
        DatabaseServer.objects.filter(name="main").update(max_projects=0)
        check_servers()
        message = "^No database server with room is responding right now"
        with pytest.raises(ProvisioningError, match=message):
            choose_server()

    def test_is_shown_to_its_members_alone(self, project: Project, client: Client) -> None:
        check_servers()
        other = make_project_row(
            owner=project.created_by, server=DatabaseServer.objects.get(name="main")
        )
        client.force_login(project.created_by)
        message = "database server is not responding"
        assert message in client.get(f"/projects/{project.slug}/").text
        assert message not in client.get(f"/projects/{other.slug}/").text
        client.force_login(make_account())
        assert client.get(f"/projects/{project.slug}/").status_code == 404

    def test_is_asked_again_when_nobody_has_looked_for_a_while(self, project: Project) -> None:
        check_servers()
        long_ago = timezone.now() - timedelta(minutes=4)
        DatabaseServer.objects.update(checked_at=long_ago, unreachable_since=long_ago)
        project.server.refresh_from_db()
        assert project_dsn(project)

    def test_that_answers_again_is_used_again(self, project: Project) -> None:
        check_servers()
        register_server("away", settings.PROJECT_DATABASE_URL)
        assert check_servers()["away"] == ""
        project.server.refresh_from_db()
        assert project_dsn(project)
        assert AuditEvent.objects.filter(action="server.back", subject="away").count() == 1


class TestTheCommand:
    def test_adds_changes_and_lists(self) -> None:
        run("add", "second", "--url", settings.PROJECT_DATABASE_URL, "--weight", "50")
        (changed,) = run("set", "second", "--close", "--max-projects", "500")
        assert (changed["weight"], changed["max_projects"], changed["open"]) == (50, 500, False)
        server("gone")
        gone, second = run("list")
        assert "refused" in gone["trouble"]
        assert gone["unreachable_since"]
        assert (second["name"], second["projects"], second["trouble"]) == ("second", 0, "")

    def test_a_new_url_changes_nothing_else(self) -> None:
        run("add", "second", "--url", settings.PROJECT_DATABASE_URL, "--weight", "50")
        (again,) = run("add", "second", "--url", settings.PROJECT_DATABASE_URL)
        assert again["weight"] == 50

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("set", "unheard-of", "--open"), "There is no database server “unheard-of”"),
            (("add", "second", "--url", NOWHERE), "cannot take projects: .*refused"),
            (("add", "second", "--url", "no url"), "cannot take projects"),
            (("add", "second", "--url", "mysql://u:p@h"), "write postgresql://"),
            (("add", "second", "--url", "postgresql://u:p/w@h"), "A port is a number"),
            (("add", "second", "--url", " "), "^Give the server's address"),
            (("add", "", "--url", settings.PROJECT_DATABASE_URL), "no visible characters"),
            (("add", "a\nb", "--url", settings.PROJECT_DATABASE_URL), "line breaks"),
            (
                ("add", " second", "--url", settings.PROJECT_DATABASE_URL),
                "begin or end with a space",
            ),
            (("add", "s" * 101, "--url", settings.PROJECT_DATABASE_URL), "at most 100 characters"),
            (
                ("add", "second", "--url", NOWHERE, "--max-projects", "2147483648"),
                "from 0 .no limit. to 2147483647",
            ),
        ],
    )
    def test_refuses_what_cannot_be(self, arguments: tuple[str, ...], message: str) -> None:
        with pytest.raises(CommandError, match=message):
            run(*arguments)
        assert not DatabaseServer.objects.exists()
        assert not AuditEvent.objects.exists()

    def test_what_changes_nothing_is_refused_and_not_written_down(self) -> None:
        server("second")
        with pytest.raises(CommandError, match=r"^Name what to change of “second”, such as"):
            run("set", "second")
        assert not AuditEvent.objects.exists()

    def test_a_server_that_is_known_is_changed_by_being_added_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stdin", StringIO(f"{settings.PROJECT_DATABASE_URL}\n" * 2))
        run("add", "second")
        run("add", "second")
        events = AuditEvent.objects.order_by("pk").values_list("action", "details__address")
        assert list(events) == [("server.added", "changed"), ("server.changed", "changed")]

    def test_an_error_does_not_repeat_the_password(self) -> None:
        for url in ("psql+x://u:s3cret@h/d", "postgresql://u:%s3cret@h/d", "x s3cret"):
            with pytest.raises(CommandError) as refused:
                run("add", "second", "--url", url)
            shown = "".join(traceback.format_exception(refused.value))
            assert "cannot take projects" in shown
            assert "s3cret" not in shown.replace(repr(url), "")

    def test_nor_does_what_is_wrong_with_a_server(self) -> None:
        register_server("broken", "psql+x://u:s3cret@h/d")
        assert "s3cret" not in check_servers()["broken"]
        (shown,) = run("list")
        assert shown["trouble"]
        assert "s3cret" not in shown["trouble"]

    def test_an_address_is_kept_as_libpq_reads_it(self) -> None:
        alias = settings.PROJECT_DATABASE_URL.replace("postgresql://", "psql://", 1)
        run("add", "second", "--url", alias)
        assert server_url(DatabaseServer.objects.get()) == settings.PROJECT_DATABASE_URL

    @pytest.mark.parametrize("command", ["add", "set"])
    def test_a_server_has_one_name(self, live_project: Project, command: str) -> None:
        if command == "set":
            server("second")
        with pytest.raises(CommandError, match="The databases of “main” are there"):
            run(command, "second", "--url", settings.PROJECT_DATABASE_URL + "?sslmode=prefer")
        known = DatabaseServer.objects.filter(name="second").first()
        assert known is None or server_url(known) == NOWHERE
        assert not AuditEvent.objects.exists()

    @pytest.mark.parametrize("command", ["add", "set"])
    def test_one_without_projects_has_one_name_too(self, command: str) -> None:
        server("away")
        server("broken", url="psql+x://u:s3cret@h/d")
        register_server("main", settings.PROJECT_DATABASE_URL)
        if command == "set":
            server("second")
        other = settings.PROJECT_DATABASE_URL + "?sslmode=prefer"
        with pytest.raises(CommandError, match="“main” is the same server"):
            run(command, "second", "--url", other)
        run("set", "main", "--url", other)
        assert server_url(DatabaseServer.objects.get(name="main")) == other

    def test_refuses_numbers_that_mean_nothing(self) -> None:
        server("second")
        for arguments in (("--weight", "0"), ("--max-projects", "-1")):
            with pytest.raises(CommandError):
                run("set", "second", *arguments)


def test_an_older_server_takes_no_projects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgsession, "OLDEST", 99)
    sentence = r"PostgreSQL \d+\.\d+ is too old: Backups Portal needs 99 or newer\.$"
    with pytest.raises(CommandError, match=f"^The server cannot take projects: {sentence}"):
        run("add", "old", "--url", settings.PROJECT_DATABASE_URL)
    assert not DatabaseServer.objects.exists()
    owner = make_account()
    with pytest.raises(CommandError, match=f"^{sentence}"):
        call_command("create_project", "Cold Chain", "--owner", owner.email)
    assert not Project.objects.exists()


def test_with_another_installation_key_nothing_is_made_and_commands_say_so() -> None:
    wrong = "INSTALLATION_KEY is not the one that this portal was set up with"
    register_server("main", settings.PROJECT_DATABASE_URL)
    owner = make_account()
    with override_settings(INSTALLATION_KEY="0f" * 32):
        for command in (["create_project", "New", "--owner", owner.email], ["upgrade_databases"]):
            with pytest.raises(CommandError, match=wrong):
                call_command(*command, stdout=StringIO())
        assert wrong in run("list")[0]["trouble"]
        with pytest.raises(ProvisioningError, match="No database server with room is responding"):
            choose_server()
    assert not Project.objects.exists()
    assert check_servers() == {"main": ""}
    assert choose_server().name == "main"
