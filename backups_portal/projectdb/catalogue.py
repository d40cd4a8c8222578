"""Every table and column of a project database, and what backups do with it.

A test compares this with the live schema, so that a new column is neither silently left out of
backups nor silently let in.
"""

from dataclasses import dataclass, field
from enum import Enum

SCHEMA_VERSION = 1


class Treatment(Enum):
    """What happens to a column on the way from a database through a snapshot into a new one."""

    KEPT = "kept"
    # The snapshot notes the old one for the old → new map; the new database makes its own.
    REGENERATED = "regenerated"
    EXCLUDED = "excluded"


@dataclass(frozen=True)
class Exclusion:
    """Columns that a snapshot does not hold, or that a restore makes anew, and why."""

    treatment: Treatment
    reason: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """One table of a project database.

    Attributes:
        columns: The columns that a snapshot holds as they are, in segment order.
        key: The columns that order its rows.
        exclusions: All other columns with the reason.
        excluded: Why the whole table stays out, or "" where it is backed up.
        label: What its rows are called on a page, in the plural.
    """

    name: str
    label: str
    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ("id",)
    exclusions: tuple[Exclusion, ...] = field(default=())
    excluded: str = ""

    def noted(self) -> tuple[str, ...]:
        """Columns that the snapshot notes only for the old → new map."""
        return tuple(
            column
            for exclusion in self.exclusions
            if exclusion.treatment is Treatment.REGENERATED
            for column in exclusion.columns
        )

    def stored(self) -> tuple[str, ...]:
        """Columns of the table's segments."""
        return self.columns + self.noted()


def columns(text: str) -> tuple[str, ...]:
    """The names in a line of names."""
    return tuple(text.split())


CODE = "Analysis code and console logs are not part of backups."
FILES = "Uploaded files and file attachments are not part of backups."
INTERNAL = "Belongs to this one database; a new database writes its own."
TOKENS = "Tokens are not restored: every resource gets a new one."
VARIABLE_IDS = "A restore gives every variable a new id."

# In the order in which a restore loads them: referred-to tables first.
TABLES: tuple[Table, ...] = (
    Table("instance", "instance", key=("singleton",), excluded=INTERNAL),
    Table("change_mark", "change marks", key=("chunk",), excluded=INTERNAL),
    Table("token_origin", "token origins", key=("token_id",), excluded=INTERNAL),
    Table("transfer_run", "transfers", key=("transfer_id",), excluded=INTERNAL),
    Table(
        "transfer_batch", "batches of transfers", key=("transfer_id", "number"), excluded=INTERNAL
    ),
    Table(
        "transfer_replaced",
        "records replaced by transfers",
        key=("transfer_id", "id"),
        excluded=INTERNAL,
    ),
    Table(
        "transfer_resource",
        "resources made by transfers",
        key=("transfer_id", "kind", "id"),
        excluded=INTERNAL,
    ),
    Table(
        "profile",
        "profile settings",
        columns("singleton name logo_url banner_url settings created_at updated_at"),
        key=("singleton",),
    ),
    Table("network", "networks", columns("id name tags settings created_at updated_at")),
    Table("connector", "connectors", columns("id name tags settings created_at updated_at")),
    Table(
        "device",
        "devices",
        columns(
            "id name description type active visible network_id connector_id chunk_period"
            " chunk_retention tags settings created_at updated_at last_input last_output"
            " inspected_at"
        ),
    ),
    Table(
        "device_parameter",
        "configuration parameters",
        columns("id device_id key value sent"),
    ),
    Table("series", "series", columns("id device_id variable type unit")),
    Table(
        "variable",
        "variables",
        columns("series_id time created_at number_value text_value group_key location metadata"),
        key=("series_id", "time", "id"),
        exclusions=(Exclusion(Treatment.REGENERATED, VARIABLE_IDS, ("id",)),),
    ),
    Table(
        "dashboard",
        "dashboards",
        columns("id label tags visible arrangement tabs settings created_at updated_at"),
    ),
    Table("widget", "widgets", columns("id dashboard_id settings")),
    Table(
        "action",
        "actions",
        columns("id name active tags settings created_at updated_at last_triggered"),
    ),
    Table(
        "analysis",
        "analyses",
        columns(
            "id name description active run_on runtime interval variables tags settings"
            " created_at updated_at last_run"
        ),
    ),
    Table("analysis_script", "analysis scripts", key=("analysis_id", "version"), excluded=CODE),
    Table("analysis_console", "console lines", excluded=CODE),
    Table(
        "access_rule",
        "access rules",
        columns("id name active tags permissions targets settings created_at updated_at"),
    ),
    Table(
        "dictionary",
        "dictionaries",
        columns("id name slug fallback settings created_at updated_at"),
    ),
    Table(
        "dictionary_language",
        "dictionary languages",
        columns("dictionary_id code active texts"),
        key=("dictionary_id", "code"),
    ),
    Table(
        "run_settings",
        "run settings",
        columns("singleton name settings updated_at"),
        key=("singleton",),
        exclusions=(Exclusion(Treatment.EXCLUDED, TOKENS, ("anonymous_token_hash",)),),
    ),
    Table(
        "run_user",
        "run users",
        columns(
            "id name email password_hash timezone company phone language active tags settings"
            " created_at updated_at last_login"
        ),
    ),
    Table(
        "secret",
        "secrets",
        columns("id key sealed_value value_length tags created_at updated_at"),
    ),
    Table(
        "entity",
        "entities",
        columns("id name schema index tags settings created_at updated_at"),
    ),
    Table(
        "entity_record",
        "entity records",
        columns("entity_id id data created_at updated_at"),
        key=("entity_id", "id"),
    ),
    Table("file", "files", key=("path",), excluded=FILES),
    Table("attachment", "file attachments", excluded=FILES),
    Table(
        "token",
        "tokens",
        columns("id kind device_id analysis_id name permission serie_number expires_at created_at"),
        exclusions=(
            # Only its keyed hash and its last four characters are noted; neither opens anything.
            Exclusion(Treatment.REGENERATED, TOKENS, ("hash", "last_four")),
            Exclusion(Treatment.EXCLUDED, TOKENS, ("sealed_value", "last_used_at")),
        ),
    ),
)

BY_NAME = {table.name: table for table in TABLES}
VARIABLE = BY_NAME["variable"]
# Tables that a snapshot reads whole, in load order.
RESOURCE_TABLES = tuple(table for table in TABLES if not table.excluded and table is not VARIABLE)
