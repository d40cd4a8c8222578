"""What a browser would send for a served page's form."""

from html.parser import HTMLParser


class _Form(HTMLParser):
    """Collects the values of the only form with this `action`."""

    def __init__(self, action: str) -> None:
        super().__init__()
        self.action = action
        self.found = 0
        self.values: dict[str, str] = {}
        self.inside = False
        self.select: str | None = None
        self.area: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.inside = given.get("action", self.action) == self.action
            self.inside &= given.get("method", "get") == "post"
            self.found += self.inside
        elif self.inside and tag == "input":
            self._input(given)
        elif self.inside and tag == "select":
            self.select = given["name"]
        elif self.inside and tag == "textarea":
            self.area = given["name"]
            self.values[self.area] = ""
        elif self.select and tag == "option" and "selected" in given:
            self.values[self.select] = given["value"]

    def _input(self, given: dict[str, str]) -> None:
        is_box = given.get("type") in ("checkbox", "radio")
        name = given.get("name")
        if not name or "disabled" in given or (is_box and "checked" not in given):
            return
        self.values[name] = given.get("value", "on" if is_box else "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.inside = False
        elif tag == "select":
            self.select = None
        elif tag == "textarea":
            self.area = None

    def handle_data(self, data: str) -> None:
        if self.area:
            self.values[self.area] += data


def form_of(html: str, action: str) -> dict[str, str]:
    """Return what the form with this `action` would send, without the CSRF token.

    A form without an action is sent to the page's own URL. Of several values under one name, only
    the last one is returned.
    """
    form = _Form(action)
    form.feed(html)
    assert form.found == 1, f"{form.found} forms are sent to {action}"
    form.values.pop("csrfmiddlewaretoken", None)
    return form.values
