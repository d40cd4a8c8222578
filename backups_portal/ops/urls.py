"""Routes for load balancers and monitoring."""

from backups_portal.lib.health import health_paths
from backups_portal.ops.metrics import exposition
from backups_portal.ops.readiness import parts

urlpatterns = health_paths(parts, exposition)
