"""Pages are sent compressed; downloads, which are compressed already or stream, are left alone."""

import re
import secrets

import brotli
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers

ACCEPTS_BROTLI = re.compile(r"\bbr\b")
# As small as gzip makes a page, in a third of the time.
QUALITY = 3
# What is so short is not worth it; Django's own measure.
SHORTEST = 200
# As much as Django adds to what gzip makes of a page.
MOST_RANDOM_BYTES = GZipMiddleware.max_random_bytes


class PageCompressionMiddleware(GZipMiddleware):
    """By Brotli for browsers that know it, which do over HTTPS, by Django's middleware for others.

    Both hide the true length of HTML from who would guess secrets by it (BREACH).
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
        if len(response.content) >= SHORTEST and not response.has_header("Content-Encoding"):
            patch_vary_headers(response, ("Accept-Encoding",))
            response.content = brotli.compress(
                response.content + _noise(), quality=QUALITY, mode=brotli.MODE_TEXT
            )
            response.headers["Content-Length"] = str(len(response.content))
            response.headers["Content-Encoding"] = "br"
        return response


def _noise() -> bytes:
    """A comment that no compression shortens, of a length that nobody foresees."""
    return f"<!--{secrets.token_urlsafe(secrets.randbelow(MOST_RANDOM_BYTES))}-->".encode()
