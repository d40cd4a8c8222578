"""Projects that were shut down or started again between two scans."""

import pytest

from backups_portal.objectives.breach_scan import find_breaches
from backups_portal.projects.models import Project
from backups_portal.projects.shutdown_periods import STARTED, STOPPED
from tests.evidence.conftest import happen
from tests.objectives.conftest import at, make_objective, spells_of
from tests.objectives.test_breach_scan import store, told

pytestmark = pytest.mark.django_db


def pause(project: Project, down: float, up: float | None) -> None:
    """Shut the project down at an hour, and start it again at another."""
    happen(project, STOPPED, at(down))
    Project.objects.filter(pk=project.pk).update(state="shut_down", shut_down_at=at(down))
    if up is not None:
        happen(project, STARTED, at(up))
        Project.objects.filter(pk=project.pk).update(state="active", shut_down_at=None)


@pytest.fixture(autouse=True)
def judged(project: Project) -> None:
    make_objective(project)
    store(project, 0)
    find_breaches(at(1))


def test_nothing_is_missed_while_it_is_shut_down(project: Project) -> None:
    pause(project, 2, 100)
    find_breaches(at(101))
    assert (spells_of(project), told(project)) == ([], [])
    find_breaches(at(126.1))
    assert spells_of(project) == [(126, None, "")], "an age counts from when it runs again"


@pytest.mark.parametrize("up", [None, 60])
def test_what_was_missed_before_it_was_shut_down_is_found(
    project: Project, up: float | None
) -> None:
    pause(project, 40, up)
    find_breaches(at(61))
    assert (spells_of(project), told(project)) == ([(26, 40, "stopped")], ["missed"])


def test_what_was_missed_after_it_was_started_again_is_found(project: Project) -> None:
    pause(project, 2, None)
    find_breaches(at(2.1))
    pause(project, 3, 10)
    store(project, 50)
    find_breaches(at(51))
    assert spells_of(project) == [(36, 50, "met")]


def test_each_of_several_counts(project: Project) -> None:
    pause(project, 2, 10)
    pause(project, 40, 50)
    find_breaches(at(51))
    assert spells_of(project) == [(36, 40, "stopped")]
