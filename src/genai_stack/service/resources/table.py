"""Every route over what a tenant keeps, and the handlers behind them."""

from __future__ import annotations

from ...config import StackConfig
from ...ports import Services
from ..charging import Charges
from ..exchange import Handler
from ..limits import Limiter
from . import batch_routes, file_routes, tuning_routes, upload_routes
from .batches import Batches
from .files import Files
from .once import Once
from .tuning import Tuning
from .uploads import Uploads


def table(
    services: Services, config: StackConfig, charges: Charges, limiter: Limiter
) -> dict[str, dict[str, Handler]]:
    """By path and method. None of these handlers asks for a key: the application does, before them."""
    once = Once(services.records)
    files = Files(services.objects, services.records, once)
    uploads = Uploads(files, services.records, once, config.service.max_file_bytes)
    batches = Batches(files, services.records, services.jobs, services.registry, once, charges)
    tuning = Tuning(files, services.records, services.jobs, services.registry, once, charges)
    most = config.service.max_body_bytes
    return {
        **file_routes.routes(files, config.service.max_file_bytes),
        **upload_routes.routes(uploads, files, most),
        **batch_routes.routes(batches, limiter, most),
        **tuning_routes.routes(tuning, limiter, most),
    }
