"""Ways to use a page: with a mouse, with the keyboard alone, with a finger on a phone."""

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Enter

# So often Tab is pressed before somebody gives up.
PATIENCE = 120
PHONE = {"width": 390, "height": 844}
# Whether an element has the focus, and its ring; it is gone where another one has its place.
FOCUS = """element => {
  const { outlineStyle: outline, boxShadow: shadow } = getComputedStyle(element);
  const has_it = element === document.activeElement;
  return { is_gone: !element.isConnected, has_it, outline, shadow };
}"""
WAYS = ("mouse", "keyboard", "phone", "no scripts")


class Hand:
    """With a mouse. `name` is what a thing is called on the page, for eyes and screen readers.

    Attributes:
        clicks: How often it has pressed something, until now.
    """

    def __init__(self, page: Page, way: str) -> None:
        self.page, self.way, self.clicks = page, way, 0

    def press(self, name: str, role: str = "button") -> None:
        """Press a button, or follow a link."""
        self.act(self.page.get_by_role(role, name=name, exact=True).first)

    def navigate(self, name: str) -> None:
        """Follow a line of the sidebar."""
        self.act(in_navigation(self.page, name))

    def write(self, label: str, text: str) -> None:
        """Write into a field, in place of what is there."""
        field = self.page.get_by_label(label)
        # Where the page waits for it, nobody has to click into the field.
        self.clicks += not has_focus(field)
        self.put(field, text)

    def put(self, field: Locator, text: str) -> None:
        """What writing does."""
        field.fill(text)

    def choose(self, label: str, option: str) -> None:
        """Choose from a list."""
        self.page.get_by_label(label, exact=True).select_option(label=option)

    def tick(self, label: str) -> None:
        """Tick a box."""
        self.clicks += 1
        self.check(self.page.get_by_label(label))

    def check(self, box: Locator) -> None:
        """What ticking does."""
        box.check()

    def tick_device(self, name: str) -> None:
        """Tick a device to move; scripts bring the list, else a button does."""
        if self.way == "no scripts":
            self.press("Show the devices")
        self.tick(name)

    def act(self, target: Locator) -> None:
        """Press whatever it is."""
        self.clicks += 1
        self.click(target)

    def click(self, target: Locator) -> None:
        """What a click does."""
        target.click()


class Keyboard(Hand):
    """Tab, Enter, Space and letters; whoever has the focus must be seen to have it."""

    def put(self, field: Locator, text: str) -> None:
        self._reach(field)
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.type(text)

    def choose(self, label: str, option: str) -> None:
        chooser = self.page.get_by_label(label, exact=True)
        self._reach(chooser)
        # A list that has the focus goes to what is typed.
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
        # Found once: to look for its name again after each key goes through the whole page.
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
    """On a phone, where the sidebar hides behind a button; nothing may be wider than the screen."""

    def navigate(self, name: str) -> None:
        self.press("Open navigation")
        super().navigate(name)

    def click(self, target: Locator) -> None:
        self.page.wait_for_load_state()
        target.wait_for()
        assert self.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        target.tap()


def has_focus(target: Locator) -> bool:
    """Whether keys go to it, once the page is there."""
    target.wait_for()
    target.page.wait_for_load_state()
    if target.get_attribute("autofocus") is not None:
        # The page gives it before it draws its first frame.
        expect(target).to_be_focused()
    return bool(target.evaluate("element => element === document.activeElement"))


def hand(way: str, enter: Enter) -> Hand:
    """A browser that nobody has signed in with, and a way to use it."""
    kind, options = {
        "mouse": (Hand, {}),
        "keyboard": (Keyboard, {}),
        "phone": (Finger, {"viewport": PHONE, "has_touch": True}),
        "no scripts": (Hand, {"java_script_enabled": False}),
    }[way]
    return kind(enter(**options).new_page(), way)


def in_navigation(page: Page, name: str) -> Locator:
    """A line of the sidebar."""
    return page.get_by_role("navigation", name="Main").get_by_role("link", name=name, exact=True)
