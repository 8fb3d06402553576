"""Who approved the browser of a consent, asked of the API server right before something is spent for it.

The gateway has looked before. It faces the internet, and who takes it over can write any record: without this look,
a grant of an account of theirs could be put behind any Connection.
"""

from lanyard.api.meta import CONSENT_ANNOTATION
from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError, LanyardError
from lanyard.flows.sweep import object_path
from lanyard.flows.world import Record
from lanyard.reasons import Reason
from lanyard.rules.consent import Consent, approval_of
from lanyard.stores.consents import ConsentRecord, record_name


async def hold_approved(kube: Kube, record: Record, held: ConsentRecord, consent: Consent) -> None:
    """LanyardError AUTHORIZATION_OUTDATED when nobody approves this browser now; other KubernetesErrors pass."""
    try:
        metadata = (await kube.get(object_path(record.key), metadata_only=True))["metadata"]
    except KubernetesError as error:
        if error.code != 404:
            raise
        raise LanyardError(Reason.AUTHORIZATION_OUTDATED) from None
    approval = approval_of((metadata.get("annotations") or {}).get(CONSENT_ANNOTATION))
    fits = approval is not None and (record_name(approval.hash), approval.user) == (held.name, consent.approved_by)
    if metadata["uid"] != record.uid or not fits:
        raise LanyardError(Reason.AUTHORIZATION_OUTDATED)
