"""Template helpers of every page."""

from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.forms import BaseForm, BoundField, CheckboxInput, Select
from django.template import engines
from django.template.context import RequestContext
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backups_portal.ui import formats
from backups_portal.ui.focus import errors_of_the_whole, fields_with_errors, first_focus
from backups_portal.ui.zones import viewers_zone

register = template.Library()

# In what is remembered, where the token of each request goes.
FORM_TOKEN = SafeString("<!-- form token -->")

HOUR, HOURS_OF_A_DAY = timedelta(hours=1), 24
STATE_TONES = {
    "active": "good",
    "completed": "good",
    "passed": "good",
    "sent": "good",
    "stored": "kept",
    "running": "busy",
    "queued": "waiting",
    "ready": "waiting",
    "paused": "waiting",
    "failed": "bad",
}


@register.filter
def data_size(size: int | None) -> str:
    """Bytes for people; an em dash where they are not known."""
    return "\N{EM DASH}" if size is None else formats.data_size(size)


@register.filter
def in_unit(amount: int, unit: str) -> str:
    """An amount of "rows" or of "bytes"."""
    return f"{amount:,}" if unit == "rows" else formats.data_size(amount)


@register.filter
def duration(length: timedelta | None) -> str:
    """A length of time for people; an em dash where it is not known."""
    return "\N{EM DASH}" if length is None else formats.duration(length)


@register.filter
def roughly(length: timedelta) -> str:
    """An estimated length of time, without more digits than it deserves."""
    return formats.roughly(length)


@register.filter
def money(amount: Decimal, currency: str) -> str:
    """An amount in cents with its currency."""
    return formats.money(amount, currency)


@register.filter
def price(amount: Decimal, currency: str) -> str:
    """A unit price with its currency."""
    return formats.price(amount, currency)


@register.filter
def tone(state: str) -> str:
    """How a state looks: good, kept, busy, waiting, bad or quiet."""
    return STATE_TONES.get(state, "quiet")


@register.filter
def message_kind(level_tag: str) -> str:
    """The kind of note that shows one of Django's messages."""
    return {"error": "danger", "debug": "info"}.get(level_tag, level_tag)


@register.simple_tag
@cache
def icon(name: str) -> SafeString:
    """An inline icon that screen readers skip; files in templates/_components/icons/.

    Remembered: a page has dozens of them, and rendering each took half of the page's time.
    """
    return render_to_string(f"_components/icons/{name}.svg")


@register.filter
def focus(form: BaseForm) -> str | None:
    """Which field has the focus when a form came back with errors, or "form" for its message."""
    return first_focus(form)


@register.filter
def whole_errors(form: BaseForm) -> list[str]:
    """What is said of a form as a whole."""
    return errors_of_the_whole(form)


@register.filter
def wrong_fields(form: object) -> list[BoundField]:
    """The fields that were wrong, of a form or of nothing."""
    return fields_with_errors(form) if isinstance(form, BaseForm) else []


@register.filter
def first_control(bound: BoundField) -> str:
    """The id of what a link to a field goes to: of the first box where there are several."""
    return bound.id_for_label or bound.subwidgets[0].id_for_label


@register.simple_tag
def moment(when: datetime | None, zone: str | None = None) -> str:
    """Date and time on the viewer's clocks, with seconds and UTC on hover.

    Args:
        zone: Whose clocks are shown while the viewer's are not known; UTC without one.
    """
    return clock(when, viewers_zone() or zone)


@register.simple_tag
@lru_cache(maxsize=8192)
def clock(when: datetime | None, zone: str | None = None) -> str:
    """Date and time on the clocks of just this zone (UTC without one), with UTC on hover.

    Remembered: a list that is looked at again has the same moments, three in a line.
    """
    if when is None:
        return "\N{EM DASH}"
    there = formats.local(when, zone)
    return _time(
        when,
        f"{_in_utc(when)} UTC",
        f'{formats.day_and_time(there)} <span class="zone">{formats.zone_label(there)}</span>',
    )


@register.simple_tag
def in_utc(when: datetime | None, zone: str | None = None) -> str:
    """The moment in UTC, in words for those who cannot point; "" where `moment` says it already."""
    shown = viewers_zone() or zone or "UTC"
    if when is None or formats.zone_label(formats.local(when, shown)) == "UTC":
        return ""
    text = formats.full(formats.local(when, None))
    return SafeString(f'<time datetime="{when.isoformat()}">{text}</time>')


@register.simple_tag
def day(when: datetime, zone: str | None = None) -> str:
    """The date of a moment, as `moment` has it, with the moment in UTC on hover."""
    there = formats.local(when, viewers_zone() or zone)
    return _time(when, f"{_in_utc(when)} UTC", f"{there.day} {there:%b %Y}")


@register.simple_tag
def ago(when: datetime, zone: str | None = None) -> str:
    """How far a moment is from now, with the moment itself on hover."""
    return _time(when, _in_full(when, viewers_zone() or zone), _from_now(when))


def _from_now(when: datetime) -> str:
    hours = (timezone.now() - when) // HOUR
    return _days_ago(when, hours) if hours >= HOURS_OF_A_DAY else naturaltime(when)


@lru_cache(maxsize=8192)
def _days_ago(when: datetime, hours: int) -> str:
    # It reads the same for an hour, in which lists refresh themselves many times.
    del hours
    return naturaltime(when)


@lru_cache(maxsize=8192)
def _in_full(when: datetime, zone: str | None) -> str:
    return f"{formats.full(formats.local(when, zone))} ({_in_utc(when)} UTC)"


def _in_utc(when: datetime) -> str:
    return f"{formats.local(when, None):%Y-%m-%d %H:%M:%S}"


def _time(when: datetime, hover: str, shown: str) -> SafeString:
    # Of moments and names of zones alone: nothing to escape, and a page has a hundred of them.
    return SafeString(f'<time datetime="{when.isoformat()}" title="{hover}">{shown}</time>')


@register.simple_tag
@cache
def badge(state: str, label: str) -> SafeString:
    """What a thing's state is called, in the tone of the state.

    Args:
        state: The model's word for it.
        label: What it is called on screen.
    """
    return format_html('<span class="state state-{}">{}</span>', tone(state), label)


@register.simple_tag(takes_context=True)
def jinja(context: RequestContext, template: str, **values: Any) -> SafeString:
    """A part of the page that Jinja2 renders, with all that the page has, `values`, and a
    `form_token` for forms of its own.
    """
    known: dict[Any, Any] = context.flatten()
    return _rendered(template, {**known, **values, "form_token": _form_token(known)})


@register.simple_tag
@cache
def head() -> SafeString:
    """What all pages tell browsers first: styles, scripts and how to show them."""
    return render_to_string("_head.html")


@register.simple_tag
@lru_cache(maxsize=4096)
def url(name: str, *arguments: object) -> str:
    """The address of a page. Remembered, unlike by Django's own: a page has ten and more."""
    return reverse(name, args=arguments)


@register.simple_tag
def crumb(label: object, href: str = "") -> SafeString:
    """A step of the way to a page; one without an address is the page itself."""
    if href:
        return format_html('<li class="crumb"><a href="{}">{}</a></li>', href, label)
    return format_html('<li class="crumb"><span aria-current="page">{}</span></li>', label)


@register.simple_tag(takes_context=True)
def project_crumbs(context: RequestContext) -> SafeString:
    """The way to the pages of a project."""
    project = context["project"]
    return _project_crumbs(project.slug, project.name)


@lru_cache(maxsize=1024)
def _project_crumbs(slug: str, name: str) -> SafeString:
    return SafeString(crumb("Projects", url("projects")) + crumb(name, url("project", slug)))


@register.simple_tag(takes_context=True)
def topbar_actions(context: RequestContext) -> SafeString:
    """The choice of light and dark, and what one may do with one's account."""
    user: Any = context.get("user")
    made = _topbar_actions(str(user), user.email if getattr(user, "name", "") else "")
    return SafeString(made.replace(FORM_TOKEN, _form_token(context)))


@lru_cache(maxsize=1024)
def _topbar_actions(user: str, email: str) -> SafeString:
    known = {"user": user, "email": email, "form_token": FORM_TOKEN}
    return _rendered("_components/topbar_actions.jinja", known)


@register.simple_tag(takes_context=True)
def sidebar(context: RequestContext) -> SafeString:
    """The way around; remembered, since most pages of a project are asked for again."""
    match, project = getattr(context.get("request"), "resolver_match", None), context.get("project")
    of_project = (project.slug, project.name) if project else ("", "")
    return _sidebar(match.url_name if match else "", *of_project, bool(context.get("is_owner")))


@lru_cache(maxsize=1024)
def _sidebar(here: str, slug: str, name: str, is_owner: bool) -> SafeString:
    known = {"here": here, "slug": slug, "name": name, "is_owner": is_owner}
    return _rendered("_components/sidebar.jinja", known)


def _form_token(known: dict[Any, Any] | RequestContext) -> SafeString:
    """The hidden field that forms send along, made once for all forms of a page."""
    request, name = known.get("request"), "portal_form_token"
    if request is None:
        return SafeString("")
    if not hasattr(request, name):
        field = '<input type="hidden" name="csrfmiddlewaretoken" value="{}">'
        setattr(request, name, format_html(field, str(known.get("csrf_token"))))
    token: SafeString = getattr(request, name)
    return token


@register.simple_tag
@cache
def asset(path: str) -> str:
    """The address of a style, a script or a picture, which is the same on every page."""
    return static(path)


@register.simple_tag
def field(bound: BoundField, suffix: str = "") -> SafeString:
    """A form field with its label, help and errors; `suffix` is a unit shown behind it."""
    widget = bound.field.widget
    is_checkbox = isinstance(widget, CheckboxInput)
    base = "form-select" if isinstance(widget, Select) else "form-control"
    css = "form-check-input" if is_checkbox else base
    if bound.errors:
        css += " is-invalid"
    attributes: dict[str, Any] = {"class": css}
    if first := first_focus(bound.form):
        attributes["autofocus"] = bound.name == first
    shown = {"widget": bound.as_widget(attrs=attributes), "is_checkbox": is_checkbox}
    return _rendered("_components/field.jinja", {"field": bound, "suffix": suffix, **shown})


@register.simple_block_tag
def card(content: str, title: str = "", subtitle: str = "", flush: bool = False) -> str:
    """A titled surface; `flush` leaves the padding to the content, as tables want it."""
    texts = {"title": title, "subtitle": subtitle}
    return _rendered("_components/card.jinja", {"content": content, "flush": flush, **texts})


def _rendered(template: str, values: dict[Any, Any]) -> SafeString:
    # Without the wrapper of Django's, which is made anew for each of the dozen parts of a page.
    backend: Any = engines["jinja"]
    return SafeString(backend.env.get_template(template).render(values))
