"""Snippets that point a TagoIO client at this installation."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

PLACEHOLDER = "YOUR-PROFILE-TOKEN"
# Keys of the command line's configuration that are not environments.
TAKEN = frozenset({"default"})


@dataclass(frozen=True)
class Snippet:
    """One client's configuration; `key` names it in URLs."""

    key: str
    client: str
    note: str
    text: str


def environment_of(slug: str) -> str:
    """Name a project in the command line's configuration."""
    return f"project-{slug}" if slug in TAKEN else slug


def snippets(
    *,
    api_url: str,
    environment: str,
    profile_id: str,
    token: str,
    others: Mapping[str, str] = MappingProxyType({}),
) -> list[Snippet]:
    """Return the configuration of every client that the tests run.

    Args:
        api_url: The origin of the API, without a trailing slash.
        environment: The project's name in the command line's configuration.
        token: A profile token, or PLACEHOLDER.
        others: The profile ids of the account's other projects, by environment.
    """
    return [
        Snippet("javascript", "JavaScript SDK", "@tago-io/sdk 12", _javascript(api_url, token)),
        Snippet("python", "Python SDK", "tagoio-sdk 5", _python(api_url, token)),
        Snippet(
            "cli",
            "TagoIO CLI",
            "version 3",
            _cli(api_url, environment, {**others, environment: profile_id}, token),
        ),
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


def _cli(api_url: str, environment: str, profiles: Mapping[str, str], token: str) -> str:
    """Write a script that adds to existing files, keeping what they have."""
    listed = ",\n".join(f"  {json.dumps(name)}: {json.dumps(profiles[name])}" for name in profiles)
    return f"""\
node - <<'JS'
const fs = require("fs");
const projects = {{
{listed}
}};
const file = "tagoconfig.json";
const known = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")) : {{}};
const config = {{ analysisPath: "./src/analysis", buildPath: "./build", ...known }};
for (const [name, id] of Object.entries(projects))
  config[name] = {{ analysisList: [], profileName: name, email: "", ...config[name], id,
    tagoAPIURL: "{api_url}", tagoSSEURL: "{api_url}/events" }};
config.default = "{environment}";
fs.writeFileSync(file, JSON.stringify(config, null, 2));
const token = Buffer.from("{token}").toString("hex");
fs.writeFileSync(".tago-lock.{environment}.lock", token, {{ mode: 0o600 }});
JS
export TAGOIO_DEFAULT={environment} TAGOIO_API={api_url} TAGOIO_SSE={api_url}/events
tagoio device-list"""
