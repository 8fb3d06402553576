"""Where a Connection's credentials go: into its Secret or, with `secret.publish: false`, into its token copy alone.

On a change from one to the other the new place is written before the old one is taken away.
"""

from lanyard.errors import KubernetesError, LanyardError
from lanyard.flows.copies import Copies
from lanyard.flows.publish import Publisher, Target, Written, refused
from lanyard.flows.world import Record, SecretVersion
from lanyard.reasons import Reason
from lanyard.rules.publish import Content
from lanyard.stores.copies import SeenCopy, copy_of

ALONE = "nothing else"
"""What a copy says that it was made from where there is no Secret."""


class Outlet:
    """One instance a process. `copies` is None where there is no gateway to hand tokens out."""

    def __init__(self, publisher: Publisher, copies: Copies | None) -> None:
        self._publisher = publisher
        self._copies = copies

    @property
    def copies_tokens(self) -> bool:
        return self._copies is not None

    def standing(self, record: Record, target: Target, before: Written | None) -> SecretVersion | None:
        """What is published as the watch shows it, None when nothing is."""
        if target.publish:
            return self._publisher.standing(record, target, before)
        seen = self._copies.standing(record) if self._copies is not None else None
        return _version(record, seen) if seen is not None else None

    async def is_intact(self, record: Record, target: Target, written: Written) -> bool:
        """Whether another version has the content that was written. A copy is not compared but written again."""
        return target.publish and await self._publisher.is_intact(record, target, written)

    async def confirm(self, record: Record, target: Target) -> None:
        """Look at a copy as it is now. KubernetesError when the API server does not say."""
        if not target.publish and self._copies is not None:
            await self._copies.look(record)

    async def publish(
        self, record: Record, target: Target, content: Content, former: str | None, before: Written | None
    ) -> Written:
        """LanyardError when it cannot be written now. `former` is the name of the Secret in the status."""
        if target.publish:
            written = await self._publisher.publish(record, target, content, former, before)
            if self._copies is not None:
                self._copies.hold(record, written.version, content)
            return written
        copy = copy_of(content)
        if copy is None or self._copies is None:
            raise LanyardError(Reason.INTERNAL_ERROR, fault="nothing to exchange")
        try:
            seen = await self._copies.write(record, copy, made_from=ALONE)
        except KubernetesError as error:
            raise refused(error, target.name) from None
        if former is not None:
            await self._publisher.withdraw(record, former, before)
        return Written(_version(record, seen), frozenset(), b"")


def _version(record: Record, seen: SeenCopy) -> SecretVersion:
    return SecretVersion("", seen.name, seen.secret_uid, seen.version, record.uid)
