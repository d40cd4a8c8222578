"""The form of a project's objectives, which the service validates."""

from django import forms

from backups_portal.objectives.objective_settings import LABELS, LOSS, MOST, RESTORE
from backups_portal.ui.loaded_form import LoadedForm

LONGEST_TEXT = 64


def _number(name: str, help_text: str) -> forms.CharField:
    return forms.CharField(
        label=LABELS[name],
        help_text=help_text,
        max_length=LONGEST_TEXT,
        required=False,
        widget=forms.NumberInput(attrs={"min": 1, "max": MOST[name], "step": 1}),
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
