"""Write the places of copies as settings are read now: without what means nothing in a path."""

from posixpath import normpath

from django.db import migrations


def normalized(place):
    address, at, endpoint = place, "", ""
    if " at http" in place:
        address, at, endpoint = place.rpartition(" at ")
    scheme, separator, rest = address.partition("://")
    bucket, _, path = rest.partition("/")
    path = normpath(f"/{path}").lstrip("/")
    return f"{scheme}{separator}{bucket}{f'/{path}' if path else ''}{at}{endpoint}"


def rewrite(apps, schema_editor):
    copies = apps.get_model("snapshots", "SnapshotCopy").objects
    for place in copies.order_by().values_list("place", flat=True).distinct():
        if place and normalized(place) != place:
            copies.filter(place=place).update(place=normalized(place))


class Migration(migrations.Migration):

    dependencies = [
        ("snapshots", "0012_check_counts"),
    ]

    operations = [migrations.RunPython(rewrite, migrations.RunPython.noop)]
