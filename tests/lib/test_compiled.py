"""Queries that are put together once."""

from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.db.models import Count, QuerySet

from backups_portal.audit.models import AuditEvent
from backups_portal.audit.services import record
from backups_portal.lib.compiled import compiled
from backups_portal.projects.models import Membership, Project
from snapshots.models import Snapshot
from tests import factories

pytestmark = pytest.mark.django_db

built: list[str] = []


@compiled
def named(name: str) -> QuerySet[Project]:
    built.append(name)
    return Project.objects.filter(name=name).select_related("server").order_by("slug")


@compiled
def among(ids: list[UUID]) -> QuerySet[Project, str]:
    return Project.objects.filter(pk__in=ids).order_by("name").values_list("name", flat=True)


@compiled
def between(project_id: UUID, first: date, last: date) -> QuerySet[Snapshot]:
    found = Snapshot.objects.filter(project_id=project_id, local_date__range=(first, last))
    return found.only("local_date").order_by("local_date")


@compiled
def counted(account_id: int) -> QuerySet[Membership]:
    found = Membership.objects.filter(account_id=account_id).select_related("project")
    return found.annotate(members=Count("project__memberships")).order_by("project__name")


@compiled
def of_percent(name: str) -> QuerySet[Project, tuple[str, str]]:
    # A constant with what is a placeholder elsewhere.
    found = Project.objects.filter(name__in=["100 %", "%s"]).exclude(name=name)
    return found.order_by("name").values_list("name", "state")


@compiled
def details(action: str) -> QuerySet[AuditEvent, dict[str, Any]]:
    return AuditEvent.objects.filter(action=action).values_list("details", flat=True)


@compiled
def as_dicts(name: str) -> QuerySet[Project, Any]:
    return Project.objects.filter(name=name).values("name")


def prepared(part: str) -> list[int]:
    """How often each prepared statement with this in its text was asked."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT generic_plans + custom_plans FROM pg_prepared_statements "
            "WHERE position(%s IN statement) > 0",
            [part],
        )
        return [times for (times,) in cursor.fetchall()]


@pytest.fixture
def projects():
    return {name: factories.make_project_row(name=name) for name in ("Farm", "Mill", "Port")}


class TestValues:
    def test_the_same_query_answers_for_other_values(self, projects):
        assert list(named("Farm")) == [projects["Farm"]]
        assert list(named("Mill")) == [projects["Mill"]]
        assert list(named("Nothing")) == []

    def test_it_is_put_together_once(self, projects):
        list(named("Farm"))
        built.clear()
        assert list(named("Port")) == [projects["Port"]]
        assert built == []

    def test_values_stay_values(self, projects):
        assert list(named("Farm' OR '1' = '1")) == []

    def test_a_list(self, projects):
        ids = [projects["Port"].pk, projects["Farm"].pk, uuid4()]
        assert list(among(ids)) == ["Farm", "Port"]

    def test_a_list_of_nothing(self, projects):
        assert list(among([])) == []

    def test_a_range_of_days(self):
        project = factories.make_project_row()
        for day in (1, 2, 3, 4):
            factories.make_snapshot(project, local_date=date(2026, 3, day))
        found = between(project.pk, date(2026, 3, 2), date(2026, 3, 3))
        assert [snapshot.local_date.day for snapshot in found] == [2, 3]

    def test_constants_are_a_part_of_the_text(self):
        for name in ("100 %", "%s", "Other"):
            factories.make_project_row(name=name)
        assert list(of_percent("100 %")) == [("%s", "active")]
        assert list(of_percent("Other")) == [("%s", "active"), ("100 %", "active")]
        assert prepared("('100 %', '%s')"), "PostgreSQL sees them when it plans"

    def test_it_is_prepared_once(self, projects):
        for name in projects:
            list(named(name))
        (before,) = prepared('"name" = ($1) ORDER BY')
        list(named("Farm"))
        assert prepared('"name" = ($1) ORDER BY') == [before + 1]

    def test_a_missing_value_is_refused(self):
        with pytest.raises(TypeError, match="name"):
            named()


class TestRows:
    def test_related_rows_come_along(self, projects, django_assert_num_queries):
        with django_assert_num_queries(1):
            assert [project.server.name for project in named("Farm")]

    def test_what_was_left_out_is_read_when_asked_for(self, django_assert_num_queries):
        snapshot = factories.make_snapshot(factories.make_project_row())
        (found,) = between(snapshot.project_id, snapshot.local_date, snapshot.local_date)
        with django_assert_num_queries(1):
            assert found.state == snapshot.state

    def test_values_are_read_as_their_fields_read_them(self):
        record(action="test.done", actor=None, details={"size": 3})
        assert list(details("test.done")) == [{"size": 3}]

    def test_dicts_are_refused(self):
        with pytest.raises(TypeError, match="ValuesIterable"):
            list(as_dicts("Farm"))

    def test_what_is_reckoned_comes_along(self):
        owner = factories.make_account()
        project = factories.make_project_row(owner=owner)
        factories.make_membership(project, factories.make_account())
        (membership,) = counted(owner.pk)
        assert (membership.project, membership.members) == (project, 2)

    def test_they_are_read_anew_each_time(self, projects):
        found = named("Farm")
        assert found.count() == 1
        projects["Farm"].delete()
        assert list(found) == []
        assert found.count() == 0


class TestParts:
    @pytest.fixture
    def found(self):
        project = factories.make_project_row()
        for day in range(1, 8):
            factories.make_snapshot(project, local_date=date(2026, 3, day))
        return between(project.pk, date(2026, 3, 1), date(2026, 3, 31))

    def test_a_slice(self, found):
        assert [snapshot.local_date.day for snapshot in found[2:5]] == [3, 4, 5]
        assert [snapshot.local_date.day for snapshot in found[5:99]] == [6, 7]

    def test_an_empty_slice_asks_nothing(self, found, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert found[0:0] == []

    def test_one_row(self, found):
        assert found[1].local_date.day == 2
        with pytest.raises(IndexError):
            found[7]

    def test_the_first_or_none(self, found):
        first = found.first()
        assert first is not None
        assert first.local_date.day == 1
        assert named("Nothing").first() is None

    def test_how_many(self, found, django_assert_num_queries):
        with django_assert_num_queries(1):
            assert found.count() == 7

    def test_how_many_groups(self):
        owner = factories.make_account()
        for _ in range(3):
            factories.make_membership(
                factories.make_project_row(owner=owner), factories.make_account()
            )
        assert counted(owner.pk).count() == 3

    def test_a_page_and_how_many_there_are_are_one_query(self, found, django_assert_num_queries):
        with django_assert_num_queries(1):
            page = found.page("2", 3)
            assert [snapshot.local_date.day for snapshot in page] == [4, 5, 6]
            assert (page.paginator.count, page.paginator.num_pages) == (7, 3)
            assert (page.has_previous(), page.has_next()) == (True, True)

    def test_a_page_of_nothing_is_one_query(self, django_assert_num_queries):
        with django_assert_num_queries(1):
            page = named("Nothing").page(None, 3)
            assert (list(page), page.number, page.paginator.count) == ([], 1, 0)

    @pytest.mark.parametrize(
        ("asked", "number"),
        [(None, 1), ("", 1), ("x", 1), ("-1", 3), ("0", 3), ("4", 3), ("9" * 30, 3), (" 2", 2)],
    )
    def test_a_wrong_number_is_the_nearest_page(self, found, asked, number):
        assert found.page(asked, 3).number == number
