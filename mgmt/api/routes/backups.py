"""Routes of repositories, backups, restores, exports and imports."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.api import schema_backups as requests
from mgmt.api.app import Route
from mgmt.ops.runner import Progress
from mgmt.service.backups import BackupService
from mgmt.service.context import Management
from mgmt.service.log_collection import collect
from mgmt.service.repositories import Repositories
from mgmt.service.restores import RestoreService
from mgmt.service.transfers import Transfers


def routes(management: Management) -> list[Route]:
    """repositoryCreate, -Attach, -Detach, -List; dbBackup, dbRestore, dbExport, dbImport and what
    belongs to them."""
    repositories, transfers = Repositories(management), Transfers(management)
    backups, restores = BackupService(management), RestoreService(management)

    async def create(request: requests.RepositoryCreate, progress: Progress) -> schema.Reply:
        return await repositories.create(request)

    async def attach(request: requests.RepositoryAttach, progress: Progress) -> schema.Reply:
        return await repositories.attach(request)

    async def detach(request: requests.RepositoryDetach, progress: Progress) -> schema.Reply:
        return repositories.detach(request)

    async def listed(request: requests.RepositoryList, progress: Progress) -> schema.Reply:
        return await repositories.listed(request)

    async def delete(request: requests.DbCollectionDelete, progress: Progress) -> schema.Reply:
        return await backups.delete(request)

    async def status(request: requests.DbTransferStatus, progress: Progress) -> schema.Reply:
        return transfers.status(request)

    async def logs(request: requests.GridLogCollect, progress: Progress) -> schema.Reply:
        return await collect(management, request, progress)

    return [
        Route(requests.RepositoryCreate, create),
        Route(requests.RepositoryAttach, attach),
        Route(requests.RepositoryDetach, detach),
        Route(requests.RepositoryList, listed),
        Route(requests.GridLogCollect, logs),
        Route(requests.DbBackup, backups.backup),
        Route(requests.DbExport, backups.export),
        Route(requests.DbRestore, restores.restore),
        Route(requests.DbImport, restores.import_),
        Route(requests.DbCollectionDelete, delete),
        Route(requests.DbTransferStatus, status),
    ]
