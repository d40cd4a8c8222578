"""The form of a project's objectives, which the service validates."""

from django import forms

from backups_portal.objectives.objective_settings import LABELS, LOSS, MAX_TARGETS, RESTORE
from backups_portal.ui.loaded_form import LoadedForm

MAX_TEXT_LENGTH = 64


def _number(name: str, help_text: str) -> forms.CharField:
    return forms.CharField(
        label=LABELS[name],
        help_text=help_text,
        max_length=MAX_TEXT_LENGTH,
        required=False,
        widget=forms.NumberInput(attrs={"min": 1, "max": MAX_TARGETS[name], "step": 1}),
    )


class ObjectivesForm(LoadedForm):
    """The objectives: hours of data, minutes of a restore; each optional."""

    max_loss_hours = _number(
        LOSS,
        "Recovery point: how old the newest good backup may get. Leave empty for no objective.",
    )
    max_restore_minutes = _number(
        RESTORE,
        "Recovery time: how long restoring a backup may take. Leave empty for no objective.",
    )
