"""The charges page."""

import csv
import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from backups_portal.accounts.models import Account
from backups_portal.billing.charges_export import months_chart
from backups_portal.billing.models import Charge
from backups_portal.billing.statement import Total, statement
from backups_portal.projects.models import Project
from tests import factories

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def owner() -> Account:
    return factories.make_account()


@pytest.fixture
def project(owner: Account) -> Project:
    return factories.make_project_row(owner=owner)


def add(project: Project, kind: str, price: str, starts: datetime, **fields: object) -> None:
    Charge.objects.create(
        project_id=project.pk,
        project_name=project.name,
        kind=kind,
        unit_price=price,
        starts_at=starts,
        **{"currency": "USD", **fields},
    )


def read(client: Client, account: Account, project: Project) -> str:
    client.force_login(account)
    page = client.get(f"/projects/{project.slug}/charges/").content.decode()
    return page.replace("\N{NO-BREAK SPACE}", " ")


def test_project_without_charges_says_so(client: Client, owner: Account, project: Project) -> None:
    assert "No charges yet" in read(client, owner, project)


def test_on_paper_it_says_whose_charges_and_until_when(
    client: Client, owner: Account, project: Project
) -> None:
    add(project, "creation", "25", NOW)
    page = read(client, owner, project)
    (line,) = re.findall(r'<p class="print-only">(.*?)</p>', page, re.DOTALL)
    assert project.name in line
    assert "charges up to" in line


def test_owner_reads_every_line_and_total(client: Client, owner: Account, project: Project) -> None:
    add(project, "creation", "25", datetime(2026, 1, 1, tzinfo=UTC), reason="Restored from Fleet")
    start, end = datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 2, 1, 12, tzinfo=UTC)
    add(project, "running", "0.1", start, ends_at=end)
    page = read(client, owner, project)
    for text in ("Restored from Fleet", "25.00 USD", "0.10 USD", "2.40 USD", "27.40 USD"):
        assert text in page
    assert page.index(">February 2026<") < page.index(">January 2026<")
    assert "26.20 USD" in page


def test_statement_projects_what_runs(project: Project) -> None:
    add(project, "running", "0.068", datetime(2026, 3, 1, tzinfo=UTC))
    result = statement(project.pk, NOW)
    assert [total.amount for total in result.projected] == [Decimal("49.64")]
    assert [total.amount for total in result.this_month] == [Decimal("1.63")]


def test_currencies_are_not_added_up(project: Project) -> None:
    add(project, "creation", "25", NOW)
    add(project, "running", "1", NOW, ends_at=NOW.replace(hour=1), currency="EUR")
    totals = [(total.currency, total.amount) for total in statement(project.pk, NOW).totals]
    assert totals == [("USD", Decimal("25.00"))]
    later = statement(project.pk, NOW.replace(hour=2)).totals
    assert [total.currency for total in later] == ["EUR", "USD"]


def test_only_owners_read_charges(client: Client, project: Project) -> None:
    collaborator, stranger = factories.make_account(), factories.make_account()
    factories.make_membership(project, collaborator)
    for account, status in ((collaborator, 403), (stranger, 404)):
        client.force_login(account)
        assert client.get(f"/projects/{project.slug}/charges/").status_code == status


def test_page_only_reads(client: Client, owner: Account, project: Project) -> None:
    client.force_login(owner)
    assert client.post(f"/projects/{project.slug}/charges/").status_code == 405


def test_months_are_drawn_from_the_first_on(
    client: Client, owner: Account, project: Project
) -> None:
    add(project, "creation", "25", datetime(2026, 1, 1, tzinfo=UTC))
    assert "Charges: January 2026 25.00 USD" in read(client, owner, project)
    add(project, "running", "1", NOW, ends_at=NOW.replace(hour=10))
    page = read(client, owner, project)
    assert "Charges: January 2026 25.00 USD, March 2026 10.00 USD" in page


def test_chart_shows_a_year_and_one_currency() -> None:
    months = [
        Total("USD", Decimal(year * 12 + month), date(year, month, 1))
        for year in (2026, 2025)
        for month in range(12, 0, -1)
    ]
    drawn = months_chart(months)
    assert drawn is not None
    assert [value.label for value in drawn.values][:2] == [
        "January 2026: 24,313.00\N{NO-BREAK SPACE}USD",
        "February 2026: 24,314.00\N{NO-BREAK SPACE}USD",
    ]
    assert len(drawn.values) == 12
    assert months_chart([Total("EUR", Decimal(1), date(2027, 1, 1)), *months]) is None
    assert months_chart([]) is None


def test_yen_add_up_on_page_and_in_the_file(
    client: Client, owner: Account, project: Project
) -> None:
    start = datetime(2022, 6, 30, 23, 10, tzinfo=UTC)
    add(project, "creation", "2500", start, currency="JPY")
    # 53 months, each rounded to whole yen.
    add(project, "running", "6.77", start, currency="JPY", ends_at=start.replace(2026, 10, 5))
    page = read(client, owner, project)
    found = statement(project.pk, timezone.now())
    rows = list(
        csv.DictReader(client.get(f"/projects/{project.slug}/charges/csv/").text.split("\r\n"))
    )
    assert {row["amount"] for row in rows if "." in row["amount"]} == set()
    (total,) = found.totals
    assert len(found.months) == 53
    assert sum(Decimal(row["amount"]) for row in rows) == total.amount
    assert sum(line.amount for line in found.lines) == total.amount
    assert sum(month.amount for month in found.months) == total.amount
    assert f"{total.amount:,.0f} JPY" in page


def test_csv_adds_up_to_the_statement(client: Client, owner: Account, project: Project) -> None:
    add(project, "creation", "25", datetime(2026, 1, 1, tzinfo=UTC), reason="=evil()")
    start, end = datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 2, 1, 12, tzinfo=UTC)
    add(project, "running", "0.1", start, ends_at=end)
    client.force_login(owner)
    answer = client.get(f"/projects/{project.slug}/charges/csv/")
    assert "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(answer.content.decode().splitlines()))
    assert [row["month"] for row in rows] == ["2026-01", "2026-01", "2026-02"]
    assert rows[0]["reason"] == "'=evil()"
    total = sum(Decimal(row["amount"]) for row in rows)
    assert [total] == [one.amount for one in statement(project.pk, NOW).totals]


class TestAllProjects:
    """The combined costs of an owner's projects."""

    def read(self, client: Client, account: Account) -> str:
        client.force_login(account)
        text = re.sub(r"<[^>]*>", " ", client.get("/charges/").text)
        return " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())

    def test_months_are_added_up(self, client: Client, owner: Account) -> None:
        one = factories.make_project_row(owner=owner, name="One")
        other = factories.make_project_row(owner=owner, name="Other")
        idle = factories.make_project_row(owner=owner, name="Zero")
        add(one, "creation", "25", datetime(2026, 1, 5, tzinfo=UTC))
        add(other, "creation", "15", datetime(2026, 1, 6, tzinfo=UTC))
        add(other, "running", "0", timezone.now())
        text = self.read(client, owner)
        assert "Charged so far 40.00 USD" in text
        assert "January 2026 40.00 USD" in text
        assert f"{one} Nothing {other} 0.00 USD {idle} Nothing" in text

    def test_those_of_others_are_not_told(
        self, client: Client, owner: Account, project: Project
    ) -> None:
        add(project, "creation", "25", NOW)
        account = factories.make_account()
        factories.make_membership(project, account)
        text = self.read(client, account)
        assert "No charges yet" in text
        assert project.name not in text

    def test_csv_has_the_lines_of_all_owned_projects(
        self, client: Client, owner: Account, project: Project
    ) -> None:
        second = factories.make_project_row(owner=owner, name="=Second()")
        add(project, "creation", "25", datetime(2026, 1, 5, tzinfo=UTC))
        add(second, "creation", "15", datetime(2026, 2, 6, tzinfo=UTC))
        foreign = factories.make_project_row()
        factories.make_membership(foreign, owner)
        add(foreign, "creation", "99", datetime(2026, 2, 7, tzinfo=UTC))
        client.force_login(owner)
        assert 'href="/charges/csv/"' in client.get("/charges/").text
        answer = client.get("/charges/csv/")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="charges.csv"'
        rows = list(csv.DictReader(answer.text.splitlines()))
        assert [(row["project"], row["amount"]) for row in rows] == [
            (project.name, "25.00"),
            ("'=Second()", "15.00"),
        ]

    @pytest.mark.parametrize("address", ["/charges/", "/charges/csv/"])
    @pytest.mark.parametrize("projects", [1, 40])
    def test_it_asks_as_often_for_one_as_for_many(
        self,
        client: Client,
        owner: Account,
        django_assert_num_queries: DjangoAssertNumQueries,
        projects: int,
        address: str,
    ) -> None:
        for _ in range(projects):
            add(factories.make_project_row(owner=owner), "creation", "25", NOW)
        client.force_login(owner)
        client.get("/account/")
        # The session, the account, the projects, and their charges; a file also needs the projects
        # of restores, because some readers may not see their names.
        queries = 5 if address.endswith("/csv/") else 4
        with django_assert_num_queries(queries):
            client.get(address)
