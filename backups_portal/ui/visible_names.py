"""Checks that names of projects, tokens, devices, members and files are visible."""

import unicodedata

# Unicode categories that show nothing by themselves: control and format characters, unassigned
# ones, surrogates, combining marks and all kinds of blanks.
UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Cs", "Mn", "Me", "Zl", "Zp", "Zs"})
# Letters and symbols that are drawn blank: Hangul fillers and the empty Braille cell.
DRAWN_AS_NOTHING = frozenset("\u115f\u1160\u3164\uffa0\u2800")
# Bidirectional controls, which can make a name look like another one or reverse the text next to
# it.
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

NOTHING_TO_SEE = "This name has no visible characters. Use at least one letter, digit or symbol."
TURNED = "This name has characters that change the direction of text. Remove them."
BROKEN = "This name has line breaks or control characters. Remove them."


def is_seen(text: str) -> bool:
    """Tell whether a text has any visible character."""
    return any(
        unicodedata.category(character) not in UNSEEN_CATEGORIES
        and character not in DRAWN_AS_NOTHING
        for character in text
    )


def name_problem(name: str) -> str:
    """Explain what is wrong with a name; "" if nothing is."""
    if not is_seen(name):
        return NOTHING_TO_SEE
    if TURNING.intersection(name):
        return TURNED
    return BROKEN if any(unicodedata.category(one) == "Cc" for one in name) else ""


def seen_name(name: object) -> str:
    """Return a name that can be seen and clicked on, whatever was stored."""
    text = str(name)
    if text.isascii() and text.isprintable() and text.strip():
        return text
    if not is_seen(text):
        codes = " ".join(f"U+{ord(one):04X}" for one in text[:3])
        return f"(nothing to see: {codes})" if text else "(no name)"
    shown = "".join(" " if unicodedata.category(one) == "Cc" else one for one in text)
    return "".join(one for one in shown if one not in TURNING)
