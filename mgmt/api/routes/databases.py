"""Routes of databases."""

from __future__ import annotations

from mgmt.api import schema, schema_activity
from mgmt.api import schema_databases as requests
from mgmt.api import schema_sessions as sessions
from mgmt.api import schema_worksheet as sql
from mgmt.api.app import Route
from mgmt.ops.runner import Progress
from mgmt.service import database_status
from mgmt.service.activity import ActivityService
from mgmt.service.connections import ConnectionService
from mgmt.service.context import Management
from mgmt.service.databases import DatabaseService
from mgmt.service.distribution import DistributionService
from mgmt.service.transactions import transactions
from mgmt.service.worksheet import WorksheetService


def routes(management: Management) -> list[Route]:
    """dbCreate, dbLoad, dbOpen, dbClose, dbUnload, dbDestroy, dbDistribute, dbList, dbStatus,
    dbTransactions."""
    databases, distribution = DatabaseService(management), DistributionService(management)

    connections = ConnectionService(management)
    worksheet = WorksheetService(management, databases.reach)
    doing = ActivityService(management, databases.reach)

    async def listed(request: requests.DbList, progress: Progress) -> schema.Reply:
        return await database_status.listed(management, databases.reach)

    async def status(request: requests.DbStatus, progress: Progress) -> schema.Reply:
        return await database_status.status(management, databases.reach, request)

    async def open_transactions(
        request: requests.DbTransactions, progress: Progress
    ) -> schema.Reply:
        return await transactions(management, databases.reach, request)

    return [
        Route(requests.DbCreate, databases.create),
        Route(requests.DbLoad, databases.load),
        Route(requests.DbOpen, databases.open),
        Route(requests.DbClose, databases.close),
        Route(requests.DbUnload, databases.unload),
        Route(requests.DbDestroy, databases.destroy),
        Route(requests.DbDistribute, distribution.distribute),
        Route(requests.DbList, listed),
        Route(requests.DbStatus, status),
        Route(sessions.DbDisconnect, connections.disconnect),
        Route(sessions.DbDisconnectStatus, connections.status),
        Route(requests.DbTransactions, open_transactions),
        Route(schema_activity.DbActivity, doing.activity),
        Route(schema_activity.DbStatements, doing.statements),
        Route(sql.SqlRun, worksheet.run),
        Route(sql.SqlCancel, worksheet.cancel),
        Route(sql.DbBalance, worksheet.balance),
        Route(sql.DbThrottle, worksheet.throttle),
    ]
