"""Every page is accessible in both themes and all widths, and loads from one host only."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from playwright.sync_api import Browser, Page, ViewportSize, expect

from backups_portal.accounts.models import Account
from backups_portal.projects.database_dsn import project_dsn
from restores.models import Restore
from tests.access.table import TABLE
from tests.accounts.test_security import shown_by_app
from tests.browser.conftest import MIN_SHIFT, Enter, Portal, open_context
from tests.browser.page_states import STATES
from tests.browser.pagechecks import assert_fits, judge
from tests.browser.scene import Scene
from tests.factories import make_restore
from tests.projectdatabases import DEVICE, Target, open_database

# These answers are not pages: they are for programs, partial refreshes or downloads.
NO_PAGES = {
    *("healthz", "readyz"),
    *("restore-status", "transfer-status"),
    *("favicon", "activity-csv", "all-charges-csv", "charges-csv"),
    *("evidence-json", "evidence-key"),
    # The same page under a second name.
    "mfa_index",
    *("data-export", "tokens-csv", "ids-variables", "transfer-report-json", "transfer-report-csv"),
    "snapshot-device-export",
}
OWNED = {
    name
    for name, row in TABLE.items()
    if row["owner"]["GET"] in (200, 503) and name not in NO_PAGES
}
ERRORS = ("400", "403", "403_csrf", "403_origin", "404", "405", "413", "500")
USUAL: ViewportSize = {"width": 1280, "height": 860}
FIRST_VISIT_BYTES = 150_000


@pytest.fixture(scope="module")
def scene(portal: Portal) -> Scene:
    return Scene()


def assert_still(page: Page, address: str, looks: int = 3) -> None:
    """Assert that nothing moves during loading; a busy machine may shift it once, not always."""
    for _ in range(looks - 1):
        if page.evaluate("window.shift") < MIN_SHIFT:
            return
        page.goto(address, wait_until="load")
    assert page.evaluate("window.shift") < MIN_SHIFT, page.evaluate("window.shifted")


@dataclass
class Window:
    """A browser page in which one address is inspected after the other.

    Attributes:
        asked: The addresses of all requests since the last reset.
        broken: Script errors since then.
    """

    page: Page
    asked: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda said: self._hear(said.type, said.text))
        self.page.on("pageerror", lambda error: self.broken.append(str(error)))

    def _hear(self, kind: str, text: str) -> None:
        # Chromium also reports the error status of a page that explains an error.
        if kind == "error" and "Failed to load resource" not in text:
            self.broken.append(text)

    def renewed(self) -> Page:
        """Return the page reset to the usual width, the light theme and no recorded requests."""
        # Stay on the previous page to keep its process, which has compiled all scripts.
        self.page.set_viewport_size(USUAL)
        self.page.emulate_media(color_scheme="light")
        self.asked.clear()
        self.broken.clear()
        return self.page

    def inspect(self, portal: Portal, address: str, status: int = 200) -> None:
        """Load a page once, and check it in both themes and at both ends of the widths."""
        page = self.renewed()
        response = page.goto(address)
        assert response is not None
        assert response.status == status
        assert page.title().endswith(" · Backups Portal")
        assert [url for url in self.asked if not url.startswith(f"{portal.url}/")] == []
        assert self.broken == []
        assert_still(page, address)
        # Lists that the page loads afterwards are checked as well.
        page.wait_for_function("() => !document.querySelector('[hx-trigger=load]')")
        expect(page.get_by_role("main")).to_have_count(1)
        if page.locator(".nav-project").count():
            expect(page.locator(".sidebar [aria-current]")).to_have_count(1)
        judge(page)


# Opens a window of an account, or of an anonymous visitor.
Open = Callable[[Account | None], Window]
# Inspects the page at an address as an account.
Look = Callable[[Account | None, str], None]


@pytest.fixture(scope="module")
def windows() -> Iterator[dict[int | None, Window]]:
    """One window per account: a new one takes as long as a page, and has no cached files."""
    opened: dict[int | None, Window] = {}
    yield opened
    for window in opened.values():
        window.page.context.close()


@pytest.fixture
def window(
    transactional_db: None, browser: Browser, portal: Portal, windows: dict[int | None, Window]
) -> Open:
    def opened(account: Account | None) -> Window:
        key = account.pk if account else None
        if key not in windows:
            windows[key] = Window(open_context(browser, portal, account).new_page())
        return windows[key]

    return opened


@pytest.fixture
def look(window: Open, portal: Portal) -> Look:
    return lambda account, address: window(account).inspect(portal, address)


@pytest.mark.parametrize("name", sorted(OWNED))
def test_page_of_the_table(look: Look, scene: Scene, name: str) -> None:
    look(scene.owner, scene.url(name))


@pytest.mark.parametrize("name", STATES)
def test_page_in_another_state(look: Look, scene: Scene, name: str) -> None:
    account, address = STATES[name]
    look(account(scene), address(scene))


def test_restore_at_the_limit(window: Open, portal: Portal, scene: Scene) -> None:
    more = [
        make_restore(scene.snapshot, requested_by=scene.owner)
        for _ in range(settings.RESTORES_AT_ONCE)
    ]
    try:
        window(scene.owner).inspect(portal, scene.url("restore-confirm"))
        said = window(scene.owner).page.get_by_text(f"can have {len(more)} at a time.")
        expect(said).to_be_visible()
    finally:
        Restore.objects.filter(pk__in=[one.pk for one in more]).delete()


@pytest.mark.parametrize(
    "name",
    [
        *("project", "main-database", "backups", "transfers", "members", "charges", "shut-down"),
        *("projects", "all-charges", "snapshot-restores", "restore", "evidence"),
    ],
)
def test_long_name_without_spaces_fits(window: Open, scene: Scene, name: str) -> None:
    page = window(scene.owner).renewed()
    # A backup's page names the project that was restored from it.
    project = scene.project if name == "snapshot-restores" else scene.wordy
    response = page.goto(scene.url(name, slug=project.slug, restore=scene.wordy_restore.pk))
    assert response is not None
    assert response.ok
    assert scene.wordy.name in page.content()
    page.wait_for_function("() => !document.querySelector('[hx-trigger=load]')")
    assert_fits(page)


def test_long_device_name_fits(window: Open, scene: Scene) -> None:
    target = Target(project_dsn(scene.project), scene.project.prefix)
    insert = "INSERT INTO device (id, name, type) VALUES (%s, %s, 'mutable')"
    wordy = "e" * 24
    with open_database(target) as connection:
        connection.execute(insert, [wordy, "W" * 100])
    page = window(scene.owner).renewed()
    try:
        for address in (scene.url("data"), f"{scene.url('data')}?device={wordy}"):
            page.goto(address)
            page.wait_for_function("() => !document.querySelector('[hx-trigger=load]')")
            assert "W" * 100 in page.content()
            assert_fits(page)
    finally:
        with open_database(target) as connection:
            connection.execute("DELETE FROM device WHERE id = %s", [wordy])


def test_preview_of_a_file(window: Open, scene: Scene) -> None:
    page = window(scene.owner).renewed()
    page.goto(f"{scene.url('data')}?device={DEVICE}")
    rows = b"variable,value,time\ntemperature_1,21.5,2026-03-01T00:00:00Z\nhumidity,many,never\n"
    page.get_by_label("CSV file").set_input_files(
        {"name": "rows.csv", "mimeType": "text/csv", "buffer": rows}
    )
    page.get_by_label("Skip bad rows").check()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="First rows")).to_be_visible()
    judge(page)


def test_a_file_without_commas_is_refused_in_place(window: Open, scene: Scene) -> None:
    page = window(scene.owner).renewed()
    page.goto(f"{scene.url('data')}?device={DEVICE}")
    rows = b"variable;value;time\ntemperature_1;21.5;2026-03-01T00:00:00Z\n"
    page.get_by_label("CSV file").set_input_files(
        {"name": "rows.csv", "mimeType": "text/csv", "buffer": rows}
    )
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("The file has semicolons between its columns")).to_be_visible()
    judge(page)


def test_evidence_prints_as_a_document(window: Open, scene: Scene) -> None:
    page = window(scene.owner).renewed()
    page.goto(scene.url("evidence"))
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Backup evidence, Cold"))
    expect(page.get_by_text("As of")).to_be_visible()
    for part in (".sidebar", ".topbar", ".page-actions", ".evidence-choice", ".copy-button"):
        assert not any(one.is_visible() for one in page.locator(part).all()), part
    expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    expect(page.locator(".evidence-days tbody tr").first).to_have_css("break-inside", "avoid")
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="screen")


def sent(page: Page, address: str, button: str, **values: str) -> None:
    """Fill in and send a form of the page at the address, or of the open page without one."""
    if address:
        page.goto(address)
    for label, value in values.items():
        page.get_by_label(label.replace("_", " ")).first.fill(value)
    page.get_by_role("button", name=button).first.click()


# Answers to forms: the page, the button, the values, and the text that follows.
ANSWERS = {
    "wrong filter": (
        "snapshot-device",
        "Show",
        {"From": "2026-03-02T00:00", "Before": "2026-03-01T00:00"},
        "Choose a time after the first one",
    ),
    "wrong check": (
        "backups-check",
        "Save",
        {"Number_of_devices": "0"},
        "Enter a whole number from 1",
    ),
    "retention preview": (
        "main-database",
        "Save backup settings",
        {"Backup_retention_period": "1"},
        "This will delete",
    ),
    "wrong settings": (
        "main-database",
        "Save backup settings",
        {"Backup_retention_period": "0"},
        "is not a retention period",
    ),
    "impossible objective": (
        "objectives",
        "Save objectives",
        {"Data_lost_at_most": "12"},
        "can't be met",
    ),
    "charges not accepted": (
        "restore-confirm",
        "Create project from backup",
        {},
        "Accept the charges",
    ),
    "wrong name": ("shut-down", "Shut down", {"Project_name": "Another"}, "s name. Type"),
    "unknown guest": ("members", "Invite", {"E-mail": "nobody"}, "Enter an e-mail"),
    "new token": ("api", "Create token", {"Name": "For a script"}, "won't see it again"),
    "revealed token": ("tokens", "Reveal", {}, "Copy"),
    "wrong password": (
        "account_reauthenticate",
        "Continue",
        {"Your_password": "x"},
        "Wrong password",
    ),
    "wrong code": ("mfa_activate_totp", "Turn on", {"Code_from_your_app": "1"}, "code is wrong"),
    "wrong old password": (
        "account_change_password",
        "Change password",
        {"Your_password": "x", "New_password": "a new one, and long"},
        "Wrong password",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_to_a_form(window: Open, scene: Scene, name: str) -> None:
    where, button, values, said = ANSWERS[name]
    page = window(scene.owner).renewed()
    sent(page, scene.url(where), button, **values)
    expect(page.get_by_text(said).first).to_be_visible()
    judge(page)


def test_recovery_codes_are_copied_and_downloaded(enter: Enter, scene: Scene) -> None:
    page = enter(scene.guest, permissions=["clipboard-read", "clipboard-write"]).new_page()
    page.goto(scene.url("mfa_activate_totp"))
    code = shown_by_app(page.locator("pre").inner_text())
    sent(page, "", "Turn on", Code_from_your_app=code)
    shown = page.locator("#recovery-codes code")
    codes = shown.all_inner_texts()
    columns = {box["x"] for code in shown.all() if (box := code.bounding_box())}
    assert (len(codes), len(columns)) == (10, 2)
    judge(page)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").split() == codes
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.path().read_text().split() == codes


@pytest.mark.parametrize("name", ERRORS)
def test_error_page(window: Open, portal: Portal, name: str) -> None:
    status, body = int(name[:3]), render_to_string(f"{name}.html", {"status": name, "megabytes": 1})
    nobodys, address = window(None), f"/broken/{name}/"
    nobodys.page.route(
        f"{portal.url}{address}",
        lambda route: route.fulfill(status=status, content_type="text/html", body=body),
    )
    nobodys.inspect(portal, address, status)


@pytest.mark.parametrize("name", ["account_login", "backups", "main-database"])
def test_first_visit_is_light_and_kept(
    enter: Enter, portal: Portal, scene: Scene, name: str
) -> None:
    page = enter(None if name == "account_login" else scene.owner).new_page()
    answers: dict[str, dict[str, Any]] = {}
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.on("Network.responseReceived", lambda e: answers.setdefault(e["requestId"], e))
    network.on("Network.loadingFinished", lambda e: answers[e["requestId"]].update(e))
    # Count what the page loads afterwards, too.
    page.goto(scene.url(name), wait_until="networkidle")
    assert sum(answer["encodedDataLength"] for answer in answers.values()) <= FIRST_VISIT_BYTES
    responses = [answer["response"] for answer in answers.values()]
    static = [response for response in responses if "/static/" in response["url"]]
    assert len(static) >= 5
    for response in responses:
        headers = {name.lower(): value for name, value in response["headers"].items()}
        # Compression would not help here: an icon of a few hundred bytes, a single line.
        is_short = int(headers.get("content-length", FIRST_VISIT_BYTES)) < 200
        if response["mimeType"] != "image/svg+xml" and not is_short:
            assert headers["content-encoding"] in ("gzip", "br"), response["url"]
        assert response not in static or "immutable" in headers["cache-control"]
