"""certificateRenew -membershipTls: a new certificate for the membership servers, for all instances.

It is made by `ttMembership certify -renew`, of the authority that the servers trust already: so the
old and the new one are good at the same time, and nothing has to be restarted.
"""

from __future__ import annotations

from mgmt import certificates
from mgmt.api import schema
from mgmt.api import schema_certificates as requests
from mgmt.certificates import About
from mgmt.service.context import Management
from mgmt.service.instance_files import push_secrets_to
from mgmt.transport.port import HostTransport
from protocol import instance_file
from protocol.errors import ModelError, OperationError, ParameterError
from protocol.instance_file import InstanceSettings

WALLET = "membershipWallet"


def in_use(settings: InstanceSettings) -> About | None:
    """The certificate with which all instances ask the membership servers; None: without TLS."""
    files = settings.membership_tls()
    return None if files is None else certificates.about(files[1].read_text("ascii"))


async def renew(management: Management, request: requests.CertificateRenew) -> schema.Done:
    """Give it to every instance of the model in force. Connections that there are go on."""
    settings = management.settings
    old = in_use(settings)
    if old is None:
        raise ModelError("this grid asks its membership servers without TLS")
    if certificates.about(request.membership_certificate).authority != old.authority:
        raise ParameterError(
            "this certificate is not of the authority that the membership servers trust",
            hint="ttMembership certify -renew -out DIR makes one in the folder that holds its key.",
        )
    model = management.models.current()
    own = model.instance(settings.name)
    assert own is not None, "the active management instance is in the model"
    host = model.host(own.host)
    assert host is not None, "an instance stands below its host"
    await _keep(management.transports.to(host), settings, request)
    if failed := await push_secrets_to(management, model.instances):
        raise OperationError("; ".join(failed), hint="Mend it, then repeat the command.")
    return schema.Done(messages=tuple(f"{i.full_name}: received it" for i in model.instances))


async def _keep(
    transport: HostTransport, settings: InstanceSettings, request: requests.CertificateRenew
) -> None:
    for file, text in (
        (instance_file.MEMBERSHIP_ROOT_FILE, request.membership_root),
        (instance_file.MEMBERSHIP_PEM_FILE, request.membership_certificate),
    ):
        await transport.put_file(str(settings.path(file)), text.encode(), mode=0o600)
