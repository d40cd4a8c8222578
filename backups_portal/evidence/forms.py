"""The form that chooses a period."""

from datetime import date

from django import forms

from backups_portal.evidence.evidence_period import PeriodRefusedError, parse_quarter

DAY_INPUT = forms.DateInput(attrs={"type": "date"})


class DaysForm(forms.Form):
    """A first and a last day, as URLs name them; `quarter` stands for both."""

    quarter = forms.CharField(required=False, max_length=20, widget=forms.HiddenInput)
    first = forms.DateField(label="From", required=False, widget=DAY_INPUT)
    last = forms.DateField(label="To", required=False, widget=DAY_INPUT)
    # `from` is a keyword of Python.
    FIELDS = {"from": "first", "to": "last"}

    def add_prefix(self, field_name: str) -> str:
        """Return the field's name in URLs."""
        names = {name: sent for sent, name in self.FIELDS.items()}
        return names.get(field_name, field_name)

    def days(self) -> tuple[date | None, date | None]:
        """Return the requested first and last day.

        Raises:
            PeriodRefusedError: the quarter is invalid.
        """
        if quarter := self.cleaned_data["quarter"]:
            return parse_quarter(quarter)
        return self.cleaned_data["first"], self.cleaned_data["last"]

    def refuse(self, error: PeriodRefusedError) -> None:
        """Show an error of the period at its field."""
        self.add_error(self.FIELDS.get(error.field or ""), str(error))
