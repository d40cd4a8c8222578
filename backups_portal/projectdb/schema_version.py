"""Version of the schema of project databases, apart from what takes long to load."""

SCHEMA_VERSION = 1
