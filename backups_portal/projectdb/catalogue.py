"""Classify every table, column and setting of a project database.

Settings are the keys of the JSON column `settings`: fields that clients send and that have no
column. A test compares the columns with the live schema, so that a new one is neither silently left
out of backups nor silently let in.
"""

from collections.abc import Collection
from dataclasses import dataclass

from backups_portal.projectdb.columns import Column, ColumnType


@dataclass(frozen=True)
class Exclusion:
    """Columns that a snapshot lacks or that a restore regenerates, and why.

    Attributes:
        is_noted: Whether the snapshot keeps the old value for the old → new map; the new database
            makes its own.
    """

    reason: str
    columns: tuple[str, ...]
    is_noted: bool = False


@dataclass(frozen=True)
class Table:
    """One table of a project database.

    Attributes:
        columns: The columns that a snapshot holds as they are, in segment order.
        key: The columns that order its rows.
        exclusions: All other columns, with the reason.
        excluded: Why the whole table is excluded, or "" if it is backed up.
        label: The name of its rows on pages, in the plural.
        settings: The keys of its column `settings` that are kept; None: all that are not excluded,
            for tables in which clients store what they like.
        excluded_settings: Keys that are not kept besides EXCLUDED_SETTINGS, with the reason.
    """

    name: str
    label: str
    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ("id",)
    exclusions: tuple[Exclusion, ...] = ()
    excluded: str = ""
    settings: tuple[str, ...] | None = ()
    excluded_settings: tuple[Exclusion, ...] = ()

    def keeps_setting(self, key: str) -> bool:
        """Tell whether a client's key without a column is kept as a setting."""
        return key not in self.unkept_settings() if self.settings is None else key in self.settings

    def unkept_settings(self) -> frozenset[str]:
        """List the keys that neither backups nor the database may hold.

        Keys that are merely unknown are not among them, as an older version may have stored them.
        """
        exclusions = (*EXCLUDED_SETTINGS, *self.excluded_settings)
        named = {key for exclusion in exclusions for key in exclusion.columns}
        return frozenset(named.difference(self.settings or ()))

    def noted(self) -> tuple[str, ...]:
        """List the columns that a snapshot holds only for the old → new map."""
        return tuple(
            column
            for exclusion in self.exclusions
            if exclusion.is_noted
            for column in exclusion.columns
        )

    def stored(self) -> tuple[str, ...]:
        """Return the columns that a snapshot reads."""
        return self.columns + self.noted()


def columns(text: str) -> tuple[str, ...]:
    """Split a line of names."""
    return tuple(text.split())


CODE = "Analysis code and console logs are not part of backups."
FILES = "Uploaded files and file attachments are not part of backups."
INTERNAL = "Belongs to this one database; a new database writes its own."
TOKENS = "Tokens are not restored: every resource gets a new one."
COMPUTED = "The portal derives it from other data whenever it is read."
VARIABLE_IDS = "A restore gives every variable a new id."

# Keys that clients read with an object, or know from elsewhere, and send back with it.
EXCLUDED_SETTINGS = (
    Exclusion(CODE, columns("console script scripts content code file_name version versions")),
    Exclusion(FILES, columns("file files attachment attachments")),
    Exclusion(
        TOKENS,
        columns("token tokens anonymous_token analysis_token password password_hash sealed_value"),
    ),
    Exclusion(
        COMPUTED,
        columns(
            "id profile account bucket created_at updated_at last_access last_triggered last_run"
            " last_login last_input last_output last_authorization inspected_at locked_at"
        ),
    ),
)

# The only list of the columns of data records, in the order of segments and of COPY. Statements,
# readers and writers of whole rows are generated from it.
VARIABLE_COLUMNS = (
    Column("series_id", ColumnType.INTEGER),
    Column("time", ColumnType.MOMENT),
    Column("created_at", ColumnType.MOMENT),
    Column("number_value", ColumnType.DOUBLE, is_nullable=True),
    Column("text_value", ColumnType.TEXT, is_nullable=True),
    Column("group_key", ColumnType.TEXT),
    Column("location", ColumnType.POINT, is_nullable=True, is_rare=True),
    Column("metadata", ColumnType.JSON, is_nullable=True, is_rare=True),
    Column("id", ColumnType.BIGINT),
)

# Tables in the order in which a restore loads them: referenced tables first.
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
        "transfer_returned",
        "records brought back to transfers",
        key=("transfer_id", "number", "xid"),
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
    Table(
        "network",
        "networks",
        columns("id name tags settings created_at updated_at"),
        settings=columns(
            "description logo logo_url icon icon_url banner_url device_parameters"
            " middleware_endpoint payload_encoder payload_decoder public documentation_url"
            " serial_number require_devices_access"
        ),
    ),
    Table(
        "connector",
        "connectors",
        columns("id name tags settings created_at updated_at"),
        settings=columns(
            "description logo logo_url icon_url device_parameters networks payload_encoder"
            " payload_decoder install_text install_end_text device_annotation public categories"
        ),
    ),
    Table(
        "device",
        "devices",
        columns(
            "id name description type active visible network_id connector_id chunk_period"
            " chunk_retention tags settings created_at updated_at last_input last_output"
            " inspected_at"
        ),
        settings=columns(
            "payload_decoder parse_function connector_parse mutable_variable_regex rpm"
            " data_retention"
        ),
    ),
    Table(
        "device_parameter",
        "configuration parameters",
        columns("id device_id key value sent"),
    ),
    Table("series", "variable names of devices", columns("id device_id variable type unit")),
    Table(
        "variable",
        "variables",
        tuple(column.name for column in VARIABLE_COLUMNS if column.name != "id"),
        key=("series_id", "time", "id"),
        exclusions=(Exclusion(VARIABLE_IDS, ("id",), is_noted=True),),
    ),
    Table(
        "dashboard",
        "dashboards",
        columns("id label tags visible arrangement tabs settings created_at updated_at"),
        settings=None,
        excluded_settings=(Exclusion(COMPUTED, columns("widgets shared")),),
    ),
    Table(
        "widget",
        "widgets",
        columns("id dashboard_id settings"),
        settings=None,
        excluded_settings=(Exclusion(COMPUTED, columns("dashboard dashboard_id")),),
    ),
    Table(
        "action",
        "actions",
        columns("id name active tags settings created_at updated_at last_triggered"),
        settings=columns("description lock type trigger action trigger_when_unlock"),
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
        settings=("description",),
    ),
    Table(
        "dictionary",
        "dictionaries",
        columns("id name slug fallback settings created_at updated_at"),
        settings=("description", "tags"),
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
        settings=None,
        excluded_settings=(Exclusion(COMPUTED, ("url",)),),
        exclusions=(Exclusion(TOKENS, ("anonymous_token_hash",)),),
    ),
    Table(
        "run_user",
        "run users",
        columns(
            "id name email password_hash timezone company phone language active tags settings"
            " created_at updated_at last_login"
        ),
        settings=columns("options newsletter force_password_change"),
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
        settings=columns("description payload_decoder"),
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
            # Only its keyed hash and its last four characters are kept; neither grants access.
            Exclusion(TOKENS, ("hash", "last_four"), is_noted=True),
            Exclusion(TOKENS, ("sealed_value", "last_used_at")),
        ),
    ),
)

BY_NAME = {table.name: table for table in TABLES}
VARIABLE = BY_NAME["variable"]
# Tables that a snapshot reads whole, in load order.
RESOURCE_TABLES = tuple(table for table in TABLES if not table.excluded and table is not VARIABLE)


def digest_columns(table: Table) -> tuple[str, ...]:
    """List the columns of segments that a restore must reproduce exactly."""
    if table is not VARIABLE:
        return table.columns
    return tuple(
        name for column in VARIABLE_COLUMNS if column.name != "id" for name in column.segment_names
    )


def variable_columns(*, without: Collection[str] = (), of: str = "") -> str:
    """Write the columns of `variable` as a list in SQL.

    Args:
        without: Names of columns that are left out.
        of: The table's alias in the query.
    """
    names = [column.name for column in VARIABLE_COLUMNS if column.name not in without]
    return ", ".join(f"{of}.{name}" if of else name for name in names)


def variable_scalars(*, without: Collection[str], of: str = "") -> list[str]:
    """Write comparable expressions of the columns of `variable`."""
    columns = (column for column in VARIABLE_COLUMNS if column.name not in without)
    return [scalar for column in columns for scalar in column.scalars(of)]


def copy_variables(*, without: Collection[str] = ()) -> str:
    """Write the statement that stores rows of `variable` in binary form."""
    return f"COPY variable ({variable_columns(without=without)}) FROM STDIN (FORMAT binary)"
