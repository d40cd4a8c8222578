"""The filter of Django's error reports, on the DEBUG page."""

import re

from django.views.debug import SafeExceptionReporterFilter


class AddressHidingFilter(SafeExceptionReporterFilter):
    """Also hides settings that are addresses, which contain passwords."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|URL|STORAGE|_REDIS|_DATABASE",
        re.IGNORECASE,
    )
