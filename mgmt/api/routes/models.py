"""Routes of the model and of the membership file in it."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.api.app import Route
from mgmt.ops.runner import Progress
from mgmt.service import apply, models
from mgmt.service.context import Management


def routes(management: Management) -> list[Route]:
    """modelApply, modelList, modelExport, modelImport, modelCompare, modelDelete, membership."""

    async def run_apply(request: schema.ModelApply, progress: Progress) -> schema.Reply:
        return await apply.apply(management, request, progress)

    async def rows(request: schema.ModelList, progress: Progress) -> schema.Reply:
        return models.rows(management)

    async def export(request: schema.ModelExport, progress: Progress) -> schema.Reply:
        return models.export(management, request.version)

    async def import_model(request: schema.ModelImport, progress: Progress) -> schema.Reply:
        return models.import_model(management, request)

    async def compare(request: schema.ModelCompare, progress: Progress) -> schema.Reply:
        return models.compare_models(management, request)

    async def delete(request: schema.ModelDelete, progress: Progress) -> schema.Reply:
        return models.delete(management, request.number)

    async def import_membership(
        request: schema.MembershipConfigImport, progress: Progress
    ) -> schema.Reply:
        return models.import_membership(management, request)

    async def export_membership(
        request: schema.MembershipConfigExport, progress: Progress
    ) -> schema.Reply:
        return models.export_membership(management.models.chosen(request.version))

    return [
        Route(schema.ModelApply, run_apply),
        Route(schema.ModelList, rows),
        Route(schema.ModelExport, export),
        Route(schema.ModelImport, import_model),
        Route(schema.ModelCompare, compare),
        Route(schema.ModelDelete, delete),
        Route(schema.MembershipConfigImport, import_membership),
        Route(schema.MembershipConfigExport, export_membership),
    ]
