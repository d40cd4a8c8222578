"""The steps of a restore or a proof, in order."""

from django.db import models


class Step(models.TextChoices):
    """A step, with its label on pages."""

    WAITING = "waiting", "Waiting for a worker"
    CREATING = "creating", "Creating an isolated database"
    LOADING = "loading", "Loading rows"
    INDEXING = "indexing", "Building indexes"
    PROVING = "proving", "Comparing every row with the backup"
    PUBLISHING = "publishing", "Opening the project"
    DONE = "done", "Done"
