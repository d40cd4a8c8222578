"""Compression of pages; downloads are skipped, as they stream or are compressed already."""

import re
import secrets

import brotli
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers

ACCEPTS_BROTLI = re.compile(r"\bbr\b")
# Compresses a page as well as gzip does, in a third of the time.
QUALITY = 3
# Shorter pages are not worth it; this is Django's own limit.
MIN_BYTES = 200
# Django adds as much to gzipped pages.
MAX_RANDOM_BYTES = GZipMiddleware.max_random_bytes


class PageCompressionMiddleware(GZipMiddleware):
    """Compresses with Brotli if the browser accepts it, else with Django's gzip.

    Browsers accept Brotli over HTTPS only. Both hide the true length of HTML, from which attackers
    could guess secrets (BREACH).
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if not response.headers.get("Content-Type", "").startswith("text/html"):
            return response
        if not isinstance(response, HttpResponse) or not ACCEPTS_BROTLI.search(
            request.headers.get("Accept-Encoding", "")
        ):
            return super().process_response(request, response)
        if len(response.content) >= MIN_BYTES and not response.has_header("Content-Encoding"):
            patch_vary_headers(response, ("Accept-Encoding",))
            response.content = brotli.compress(
                response.content + _noise(), quality=QUALITY, mode=brotli.MODE_TEXT
            )
            response.headers["Content-Length"] = str(len(response.content))
            response.headers["Content-Encoding"] = "br"
        return response


def _noise() -> bytes:
    """Make an HTML comment of random length that does not compress."""
    return f"<!--{secrets.token_urlsafe(secrets.randbelow(MAX_RANDOM_BYTES))}-->".encode()
