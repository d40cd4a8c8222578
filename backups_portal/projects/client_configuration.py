"""What an owner pastes into a TagoIO client, so that it talks to this installation."""

from dataclasses import dataclass

PLACEHOLDER = "YOUR-PROFILE-TOKEN"


@dataclass(frozen=True)
class Snippet:
    """One client's configuration; `key` names it in a page's addresses."""

    key: str
    client: str
    note: str
    text: str


def snippets(*, api_url: str, environment: str, profile_id: str, token: str) -> list[Snippet]:
    """The configuration of every client that the contract tests run.

    Args:
        api_url: The origin of the API, without a slash at its end.
        environment: What the project is called in the command line's configuration.
        token: A profile token, or PLACEHOLDER.
    """
    return [
        Snippet("javascript", "JavaScript SDK", "@tago-io/sdk 12", _javascript(api_url, token)),
        Snippet("python", "Python SDK", "tagoio-sdk 5", _python(api_url, token)),
        Snippet("cli", "TagoIO CLI", "version 3", _cli(api_url, environment, profile_id, token)),
    ]


def _javascript(api_url: str, token: str) -> str:
    return f"""\
const {{ Resources }} = require("@tago-io/sdk");

const resources = new Resources({{
  token: "{token}",
  region: {{ api: "{api_url}", sse: "{api_url}/events" }},
}});
resources.devices.list().then(console.log, console.error);"""


def _python(api_url: str, token: str) -> str:
    return f"""\
from tagoio_sdk import Resources

resources = Resources({{
    "token": "{token}",
    "region": {{"api": "{api_url}", "sse": "{api_url}/events"}},
}})
print(resources.devices.listDevice())"""


def _cli(api_url: str, environment: str, profile_id: str, token: str) -> str:
    return f"""\
cat > tagoconfig.json <<'JSON'
{{
  "analysisPath": "./src/analysis", "buildPath": "./build", "default": "{environment}",
  "{environment}": {{
    "analysisList": [], "id": "{profile_id}", "profileName": "{environment}", "email": "",
    "tagoAPIURL": "{api_url}", "tagoSSEURL": "{api_url}/events"
  }}
}}
JSON
printf %s "{token}" | xxd -p | tr -d '\\n' > .tago-lock.{environment}.lock
export TAGOIO_DEFAULT={environment} TAGOIO_API={api_url} TAGOIO_SSE={api_url}/events
tagoio device-list"""
