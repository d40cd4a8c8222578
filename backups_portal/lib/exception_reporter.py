"""Filter of Django's own reports of an error, on the page that DEBUG has."""

import re

from django.views.debug import SafeExceptionReporterFilter


class AddressHidingFilter(SafeExceptionReporterFilter):
    """Hides settings that are addresses as well, which have passwords in them."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|URL|STORAGE|_REDIS|_DATABASE",
        re.IGNORECASE,
    )
