"""Routes of the certificates."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.api import schema_certificates as requests
from mgmt.api.app import Route
from mgmt.ops.runner import Progress
from mgmt.service import certificates, grids
from mgmt.service.context import Management


def routes(management: Management) -> list[Route]:
    """certificateList, certificateRenew, certificateExport, gridClientExportAll."""

    async def listed(request: requests.CertificateList, progress: Progress) -> schema.Reply:
        return certificates.listed(management)

    async def renew(request: requests.CertificateRenew, progress: Progress) -> schema.Reply:
        return await certificates.renew(management, request)

    async def export(request: requests.CertificateExport, progress: Progress) -> schema.Reply:
        return certificates.root_text(management)

    async def export_all(request: requests.ClientExportAll, progress: Progress) -> schema.Reply:
        return grids.client_export_all(management, request)

    return [
        Route(requests.CertificateList, listed),
        Route(requests.CertificateRenew, renew),
        Route(requests.CertificateExport, export),
        Route(requests.ClientExportAll, export_all),
    ]
