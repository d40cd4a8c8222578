"""The pages' expected answers: every URL, every method, every actor; all forms are valid."""

from collections.abc import Mapping

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
READING = ("GET", "HEAD")

Answers = Mapping[str, int]


def always(status: int) -> dict[str, int]:
    """Return one answer for every method."""
    return dict.fromkeys(METHODS, status)


def only(**statuses: int) -> dict[str, int]:
    """Return the answers of these methods, and 405 for the others."""
    return {**always(405), **statuses}


def reads(**others: int) -> dict[str, int]:
    """Return the answers of a readable page; `others` are additional methods."""
    return only(GET=200, HEAD=200, **others)


def row(
    *, owner: Answers, collaborator: Answers, stranger: Answers, anonymous: Answers
) -> dict[str, Answers]:
    """Return the answers of one URL."""
    return {
        "owner": owner,
        "collaborator": collaborator,
        "stranger": stranger,
        "anonymous": anonymous,
    }


def everybody(answers: Answers) -> dict[str, Answers]:
    """Return the answers of a URL that is the same for everybody."""
    return row(owner=answers, collaborator=answers, stranger=answers, anonymous=answers)


def signed_in(answers: Answers) -> dict[str, Answers]:
    """Return the answers of an account URL; anonymous visitors are sent to sign in."""
    return {**everybody(answers), "anonymous": always(302)}


def members(answers: Answers, collaborator: Answers | None = None) -> dict[str, Answers]:
    """Return the answers of a project URL that collaborators may read."""
    return row(
        owner=answers,
        collaborator=collaborator or answers,
        stranger=always(404),
        anonymous=always(302),
    )


def owners(answers: Answers) -> dict[str, Answers]:
    """Return the answers of a project URL that only owners may use."""
    return members(answers, collaborator=always(403))


# The project has a stored snapshot whose objects are missing from storage, and a failed restore of
# it: requesting or retrying a restore is a conflict.
TABLE: dict[str, dict[str, Answers]] = {
    "healthz": everybody(reads()),
    "favicon": everybody(reads()),
    "readyz": everybody(reads()),
    # Without its token the endpoint is hidden.
    "metrics": everybody(only(GET=404, HEAD=404)),
    # Visitors who are already signed in are redirected.
    "account_login": {
        **everybody(always(302)),
        "anonymous": reads(POST=302),
    },
    "account_logout": everybody(only(POST=302)),
    # No sign-in is waiting for a code, so it starts over.
    "mfa_authenticate": everybody(always(302)),
    "mfa_login_webauthn": {
        **everybody(always(302)),
        "anonymous": only(GET=302, HEAD=302, POST=302, PUT=302, OPTIONS=200),
    },
    # No identity provider is configured.
    **{
        name: everybody(only(GET=404, HEAD=404))
        for name in ("single-sign-on", "single-sign-on-callback")
    },
    "account_reset_password": everybody(reads(POST=400)),
    "account_reset_password_done": everybody(reads(OPTIONS=200)),
    # Without a valid link no password can be set.
    **{
        name: everybody(always(410)) for name in ("account_reset_password_from_key", "new-password")
    },
    **{name: signed_in(reads()) for name in ("security", "mfa_index")},
    "account_email": signed_in(reads(POST=302)),
    "account_confirm_email": everybody(reads(POST=404, OPTIONS=200)),
    **{
        name: signed_in(reads(POST=400, PUT=400, OPTIONS=200))
        for name in (
            "account_change_password",
            "account_reauthenticate",
            "mfa_activate_totp",
            "mfa_add_webauthn",
        )
    },
    # Every account here has a password, and none has a second factor.
    "account_set_password": signed_in(always(302)),
    "mfa_reauthenticate": signed_in(always(302)),
    "mfa_reauthenticate_webauthn": signed_in(always(302)),
    "mfa_deactivate_totp": signed_in(always(404)),
    "mfa_remove_webauthn": signed_in(only(GET=404, HEAD=404, POST=404, DELETE=404, OPTIONS=200)),
    "mfa_view_recovery_codes": signed_in(only(GET=404, HEAD=404, OPTIONS=200)),
    "mfa_generate_recovery_codes": signed_in(reads(POST=400, PUT=400, OPTIONS=200)),
    "access-tokens": signed_in(reads()),
    "access-token-new": signed_in(reads(POST=200)),
    "access-token-revoke": signed_in(only(POST=302)),
    "portal-api-docs": everybody(reads()),
    "session-end": signed_in(only(POST=302)),
    "usersessions_list": signed_in(only(POST=302)),
    "projects": signed_in(reads(OPTIONS=200)),
    "all-charges": signed_in(reads()),
    "all-charges-csv": signed_in(reads()),
    "project": members(reads(OPTIONS=200)),
    "charges": owners(reads(OPTIONS=200)),
    "charges-csv": owners(reads(OPTIONS=200)),
    "shut-down": owners(reads(POST=302, OPTIONS=200)),
    "start-again": owners(only(POST=302, OPTIONS=200)),
    "members": owners(reads(POST=302, OPTIONS=200)),
    "member-remove": owners(only(POST=302, OPTIONS=200)),
    "invitation-withdraw": owners(only(POST=302, OPTIONS=200)),
    # The invitation is for another address, and the answer must not reveal that it exists.
    **{
        f"invitation-{verb}": signed_in(only(POST=404, OPTIONS=200))
        for verb in ("accept", "decline")
    },
    "activity": owners(reads(OPTIONS=200)),
    "activity-csv": owners(reads(OPTIONS=200)),
    **{name: owners(reads()) for name in ("evidence", "evidence-json", "evidence-key")},
    # A new webhook shows its secret once; there is no webhook whose secret could be replaced.
    "notifications": owners(reads(POST=200, OPTIONS=200)),
    "notifications-secret": owners(only(POST=409, OPTIONS=200)),
    # The link lacks a valid signature.
    "digest-off": everybody(only(GET=404, HEAD=404, POST=404)),
    "notifications-test": owners(only(POST=302, OPTIONS=200)),
    # The world's main database does not answer.
    "api": owners(reads(POST=503, OPTIONS=200)),
    "api-reference": owners(reads()),
    "api-token-revoke": owners(only(POST=302, OPTIONS=200)),
    "main-database": members(
        reads(POST=302),
        collaborator={method: 200 if method in READING else 403 for method in METHODS},
    ),
    "objectives": owners(reads(POST=302)),
    "backups": owners(reads()),
    "backups-find": owners(reads()),
    "backups-checks": owners(reads(POST=302)),
    "backups-check": owners(reads(POST=302)),
    "backups-check-remove": owners(only(POST=302)),
    "snapshot": owners(reads()),
    "snapshot-devices": owners(reads()),
    # The snapshot's objects are missing from storage.
    "snapshot-device": owners(reads()),
    "snapshot-device-variables": owners(reads()),
    "snapshot-device-chart": owners(reads()),
    "snapshot-device-export": owners(only(GET=409, HEAD=200)),
    "snapshot-resources": owners(reads()),
    "snapshot-excluded": owners(reads()),
    "snapshot-restores": owners(reads()),
    "snapshot-compare": owners(reads()),
    "snapshot-download": owners(reads(POST=409)),
    "snapshot-hold": owners(only(POST=302)),
    "snapshot-release": owners(only(POST=302)),
    "restore-confirm": owners(reads(POST=409)),
    "restore": owners(reads()),
    "restore-status": owners(reads()),
    "restore-retry": owners(only(POST=409)),
    # The failed restore has made no project to move data from.
    "restore-move-back": owners(only(POST=409)),
    # The transfer is being undone, so that every request to it conflicts.
    "transfers": owners(reads(POST=302)),
    "transfer": owners(reads()),
    "transfer-status": owners(reads()),
    # The database of this project does not answer.
    "data": owners(reads(POST=400)),
    "data-export": owners(only(GET=503, HEAD=200)),
    "ids": owners(reads(POST=400)),
    # The page loads the list afterwards.
    "tokens": owners(reads(POST=503)),
    "tokens-csv": owners(only(GET=503, HEAD=200)),
    "ids-variables": owners(reads()),
    "transfer-report-json": owners(reads()),
    "transfer-report-csv": owners(reads()),
    **{f"transfer-{verb}": owners(only(POST=409)) for verb in ("start", "plan", "pause")},
    "transfer-cancel": owners(only(POST=302)),
    # It is being undone already, and a second click is not an error.
    "transfer-undo": owners(only(POST=302)),
}
