"""The version of project databases' schema, in a module that loads fast."""

SCHEMA_VERSION = 1
