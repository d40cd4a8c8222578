"""The README of a downloaded snapshot."""

from backups_portal.projectdb.catalogue import BY_NAME
from snapshots.engine.manifest import Manifest

TEXT = """\
# {name}: backup of {taken_at} (UTC)

{rows:,} rows: the project's database as it was at that moment. You can read everything in here
without the portal that created it.

| folder | what it contains |
|---|---|
| `data/<table>/` | the rows, as Parquet files; together, the files in a folder are the table |
| `resources/` | devices, dashboards and all other resources as JSON, laid out as a TagoIO backup |
| `contents/` | rows by device and day (UTC), the devices, and the names of what was left out |
| `manifest.json` | every file with its size, SHA-256, rows and digest |

The name of each Parquet file contains the first twelve digits of its SHA-256. The manifest has all
of them, under the key of the file in the portal's storage. A short list of devices is no file
there: the manifest has its bytes as `inline`, in base64.

## Open it

The records are in `data/variable`. What they share (device, variable name, type and unit) is in
`data/series`. Times are in UTC. A boolean is 1 or 0 in `number_value`.

With DuckDB, in this folder:

```sql
SELECT device.name, series.variable, variable.time,
       variable.number_value, variable.text_value, series.unit
FROM 'data/variable/*.parquet' AS variable
JOIN 'data/series/*.parquet' AS series ON series.id = variable.series_id
JOIN 'data/device/*.parquet' AS device ON device.id = series.device_id
WHERE variable.time >= '2026-01-01'
ORDER BY variable.time;
```

With pandas:

```python
import pandas as pd

variables = pd.read_parquet("data/variable")
series = pd.read_parquet("data/series").set_index("id")
records = variables.join(series[["device_id", "variable", "unit"]], on="series_id")
```

## What it contains

| table | rows | |
|---|---|---|
{tables}

## What it leaves out

- Analysis console logs and code, uploaded files and file attachments: no backup contains them.
  `contents/excluded` lists those that existed.
- Tokens. `data/token` lists them with a keyed hash and the last four characters of each, which
  give no access.
- The values of secrets: `data/secret` has them sealed with the key of the installation, and
  `resources/secrets.json` without values. To get them back, create a new project from the backup.
- Ids of variables are numbers of this backup; a restore gives new ones.

Protect it as you protect the project itself: it contains all of its data, and the salted password
hashes of its users (`data/run_user`).
"""


def readme(manifest: Manifest, project_name: str) -> str:
    """Write the README for a snapshot."""
    tables = "\n".join(
        f"| `{table}` | {rows:,} | {BY_NAME[table].label if table in BY_NAME else ''} |"
        for table, rows in manifest.table_rows.items()
    )
    return TEXT.format(
        name=project_name,
        taken_at=f"{manifest.taken_at:%Y-%m-%d %H:%M:%S}",
        rows=manifest.rows,
        tables=tables,
    )
