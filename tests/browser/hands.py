"""Ways to use a page: with a mouse, with the keyboard alone, with a finger on a phone."""

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Enter

# Tab presses before a user would give up.
PATIENCE = 120
PHONE = {"width": 390, "height": 844}
# Reports whether an element has the focus, the style of its ring, and whether it was replaced.
FOCUS = """element => {
  const { outlineStyle: outline, boxShadow: shadow } = getComputedStyle(element);
  const has_it = element === document.activeElement;
  return { is_gone: !element.isConnected, has_it, outline, shadow };
}"""
WAYS = ("mouse", "keyboard", "phone", "no scripts")


class Hand:
    """A user with a mouse. `name` is a thing's accessible name on the page.

    Attributes:
        clicks: The number of clicks so far.
    """

    def __init__(self, page: Page, way: str) -> None:
        self.page, self.way, self.clicks = page, way, 0

    def press(self, name: str, role: str = "button") -> None:
        """Press a button, or follow a link."""
        self.act(self.page.get_by_role(role, name=name, exact=True).first)

    def navigate(self, name: str) -> None:
        """Follow a link of the sidebar."""
        self.act(in_navigation(self.page, name))

    def write(self, label: str, text: str) -> None:
        """Write into a field, replacing its text."""
        field = self.page.get_by_label(label)
        # A field that the page has focused needs no click.
        self.clicks += not has_focus(field)
        self.put(field, text)

    def put(self, field: Locator, text: str) -> None:
        """Type the text."""
        field.fill(text)

    def choose(self, label: str, option: str) -> None:
        """Choose from a list."""
        self.page.get_by_label(label, exact=True).select_option(label=option)

    def tick(self, label: str) -> None:
        """Tick a checkbox."""
        self.clicks += 1
        self.check(self.page.get_by_label(label))

    def check(self, box: Locator) -> None:
        """Check the box."""
        box.check()

    def tick_device(self, name: str) -> None:
        """Tick a device to move; scripts load the list, otherwise a button does."""
        if self.way == "no scripts":
            self.press("Show the devices")
        self.tick(name)

    def act(self, target: Locator) -> None:
        """Activate a control of any kind."""
        self.clicks += 1
        self.click(target)

    def click(self, target: Locator) -> None:
        """Click the target."""
        target.click()


class Keyboard(Hand):
    """Tab, Enter, Space and letters; the focus must be visible."""

    def put(self, field: Locator, text: str) -> None:
        self._reach(field)
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.type(text)

    def choose(self, label: str, option: str) -> None:
        chooser = self.page.get_by_label(label, exact=True)
        self._reach(chooser)
        # A focused list selects the option that is typed.
        self.page.keyboard.type(option)
        assert chooser.evaluate("list => list.selectedOptions[0].label") == option

    def check(self, box: Locator) -> None:
        self._reach(box)
        self.page.keyboard.press("Space")

    def click(self, target: Locator) -> None:
        self._reach(target)
        self.page.keyboard.press("Enter")

    def _reach(self, target: Locator) -> None:
        target.wait_for()
        # Look it up once: searching by name after each key goes through the whole page.
        element = target.element_handle()
        for _ in range(PATIENCE):
            focus = element.evaluate(FOCUS)
            if focus["is_gone"]:
                element = target.element_handle()
            elif focus["has_it"]:
                assert focus["outline"] != "none" or focus["shadow"] != "none", target
                return
            else:
                self.page.keyboard.press("Tab")
        raise AssertionError(f"the keyboard does not reach {target}")


class Finger(Hand):
    """A phone, whose sidebar hides behind a button; nothing may be wider than the screen."""

    def navigate(self, name: str) -> None:
        self.press("Open navigation")
        super().navigate(name)

    def click(self, target: Locator) -> None:
        self.page.wait_for_load_state()
        target.wait_for()
        assert self.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        target.tap()


def has_focus(target: Locator) -> bool:
    """Return whether the target has the focus, once the page is loaded."""
    target.wait_for()
    target.page.wait_for_load_state()
    if target.get_attribute("autofocus") is not None:
        # The page focuses it before it draws its first frame.
        expect(target).to_be_focused()
    return bool(target.evaluate("element => element === document.activeElement"))


def hand(way: str, enter: Enter) -> Hand:
    """A browser without a session, and a way to use it."""
    kind, options = {
        "mouse": (Hand, {}),
        "keyboard": (Keyboard, {}),
        "phone": (Finger, {"viewport": PHONE, "has_touch": True}),
        "no scripts": (Hand, {"java_script_enabled": False}),
    }[way]
    return kind(enter(**options).new_page(), way)


def in_navigation(page: Page, name: str) -> Locator:
    """Return a link of the sidebar."""
    return page.get_by_role("navigation", name="Main").get_by_role("link", name=name, exact=True)
