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
from lanyard.rules.consent import Consent, approval_of, approved_at, is_in_time
from lanyard.stores.consents import ConsentRecord, record_name


async def hold_approved(kube: Kube, record: Record, held: ConsentRecord, consent: Consent) -> None:
    """LanyardError AUTHORIZATION_OUTDATED when nobody approves this browser now, AUTHORIZATION_EXPIRED when that was
    too long ago; other KubernetesErrors pass.

    The annotation stays when a consent is over, and its record goes: by its age alone an old approval is told from one
    that was just given.
    """
    try:
        metadata, now = await kube.dated_metadata(object_path(record.key))
    except KubernetesError as error:
        if error.code != 404:
            raise
        raise LanyardError(Reason.AUTHORIZATION_OUTDATED) from None
    approval = approval_of((metadata.get("annotations") or {}).get(CONSENT_ANNOTATION))
    fits = approval is not None and (record_name(approval.hash), approval.user) == (held.name, consent.approved_by)
    if metadata["uid"] != record.uid or not fits:
        raise LanyardError(Reason.AUTHORIZATION_OUTDATED)
    if not is_in_time(approved_at(metadata.get("managedFields") or ()), now):
        raise LanyardError(Reason.AUTHORIZATION_EXPIRED)
