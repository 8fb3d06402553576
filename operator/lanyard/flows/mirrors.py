"""What the metadata watches write into the world: versions of Secrets and labels of namespaces, never their data."""

import sys
from typing import Any

from lanyard.flows.keys import Key, What
from lanyard.flows.world import NOT_YET, GrantSeen, SecretVersion, World
from lanyard.stores.copies import SeenCopy
from lanyard.stores.grants import Held
from lanyard.stores.issuer_keys import StoredKeys


class ReadableSecrets:
    """Mirror of the Secrets that Lanyard may read: a new version wakes what is made from them."""

    def __init__(self, world: World, namespace: str = "") -> None:
        self._world = world
        self._namespace = namespace

    def slim(self, metadata: dict[str, Any]) -> SecretVersion:
        return SecretVersion.of(metadata)

    def replace(self, everything: list[SecretVersion], version: str) -> None:  # noqa: ARG002 - what is gone is gone
        now = {Key(What.SECRET, one.namespace, one.name): one for one in everything}
        before = _within(self._world.readable, self._namespace)
        for gone in before.keys() - now.keys():
            del self._world.readable[gone]
        self._world.readable.update(now)
        for key in before.keys() | now.keys():
            if before.get(key) != now.get(key):
                self._world.touch(key)

    def change(self, one: SecretVersion) -> None:
        key = Key(What.SECRET, one.namespace, one.name)
        if self._world.readable.get(key) != one:
            self._world.readable[key] = one
            self._world.touch(key)

    def forget(self, one: SecretVersion) -> None:
        key = Key(What.SECRET, one.namespace, one.name)
        if self._world.readable.pop(key, None) is not None:
            self._world.touch(key)


class PublishedSecrets:
    """Mirror of the Secrets that carry our owner label: a change wakes the Connection that published it."""

    def __init__(self, world: World, namespace: str = "") -> None:
        self._world = world
        self._namespace = namespace

    def slim(self, metadata: dict[str, Any]) -> SecretVersion:
        return SecretVersion.of(metadata)

    def replace(self, everything: list[SecretVersion], version: str) -> None:
        now = {Key(What.SECRET, one.namespace, one.name): one for one in everything}
        before = _within(self._world.published, self._namespace)
        for gone in before.keys() - now.keys():
            # What was written after the list was taken is not in it and yet is there.
            if not is_after(before[gone].version, version):
                self.forget(before[gone])
        for one in now.values():
            self.change(one)

    def change(self, one: SecretVersion) -> None:
        key = Key(What.SECRET, one.namespace, one.name)
        known = self._world.published.get(key)
        # Our own write is known before the watch tells of it, and of what came before it.
        if known is None or (known != one and not is_older(one, known)):
            self._world.published[key] = one
            self._wake(one)

    def forget(self, one: SecretVersion) -> None:
        key = Key(What.SECRET, one.namespace, one.name)
        known = self._world.published.get(key)
        if known is not None and known.uid == one.uid:
            del self._world.published[key]
            self._world.nudge(key)

    def _wake(self, one: SecretVersion) -> None:
        for key in self._world.dependents(Key(What.SECRET, one.namespace, one.name)):
            self._world.wake(key)


class StoredGrants:
    """Mirror of the state Secrets' metadata: a consent, its end, or its loss wakes the Connection it belongs to."""

    def __init__(self, world: World) -> None:
        self._world = world

    def slim(self, metadata: dict[str, Any]) -> tuple[Key, GrantSeen]:
        held = Held.of(metadata)
        namespace, _, name = held.owner.partition("/")
        key = Key(What.CONNECTION, sys.intern(namespace), name)
        return key, GrantSeen(held.name, sys.intern(held.uid), held.consented, held.ended, held.adopt_for)

    def replace(self, everything: list[tuple[Key, GrantSeen]], version: str) -> None:  # noqa: ARG002 - names only
        now: dict[Key, tuple[GrantSeen, ...]] = {}
        for key, one in everything:
            now[key] = (*now.get(key, ()), one)
        before, self._world.grants = self._world.grants, now
        for key in before.keys() | now.keys():
            if set(before.get(key, ())) != set(now.get(key, ())):
                self._world.wake(key)

    def change(self, change: tuple[Key, GrantSeen]) -> None:
        key, one = change
        before = self._world.grants.get(key, ())
        if one not in before:
            self._world.grants[key] = (*(other for other in before if other.name != one.name), one)
            self._world.wake(key)

    def forget(self, change: tuple[Key, GrantSeen]) -> None:
        key, one = change
        left = tuple(other for other in self._world.grants.get(key, ()) if other.name != one.name)
        if left:
            self._world.grants[key] = left
        else:
            self._world.grants.pop(key, None)
        self._world.wake(key)


class KeptCopies:
    """Mirror of this install's token copies, by their metadata: a change that is not ours wakes the Connection."""

    def __init__(self, world: World) -> None:
        self._world = world

    def slim(self, metadata: dict[str, Any]) -> SeenCopy:
        return SeenCopy.of(metadata)

    def replace(self, everything: list[SeenCopy], version: str) -> None:
        now = {one.secret_uid for one in everything}
        before = [one for copies in self._world.copies.values() for one in copies]
        for one in before:
            # What was written after the list was taken is not in it and yet is there.
            if one.secret_uid not in now and not is_after(one.version, version):
                self.forget(one)
        for one in everything:
            self.change(one)

    def change(self, one: SeenCopy) -> None:
        key = self._world.owner_of(one)
        known = self._world.copy_of(key, one.uid)
        # Our own write is known before the watch tells of it, and of what came before it.
        if known is None or (known != one and not is_after(known.version, one.version)):
            self._world.keep_copy(one)
            self._world.wake(key)

    def forget(self, one: SeenCopy) -> None:
        key = self._world.owner_of(one)
        known = self._world.copy_of(key, one.uid)
        if known is not None and known.secret_uid == one.secret_uid:
            self._world.drop_copy(known)
            self._world.wake(key)


class OpenConsents:
    """Mirror of the consent records with which the operator has something to do."""

    def __init__(self, world: World) -> None:
        self._world = world

    def slim(self, metadata: dict[str, Any]) -> Key:
        return Key(What.CONSENT, "", metadata["name"])

    def replace(self, everything: list[Key], version: str) -> None:  # noqa: ARG002 - names only
        self._world.consents = set(everything)
        for key in everything:
            self._world.wake(key)

    def change(self, one: Key) -> None:
        self._world.consents.add(one)
        self._world.wake(one)

    def forget(self, one: Key) -> None:
        self._world.consents.discard(one)


class StoredKeySets:
    """Mirror of the issuers' key sets, of their metadata: a question for newer keys, or the loss of some, wakes it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known = world.issuer_sets

    def slim(self, metadata: dict[str, Any]) -> StoredKeys:
        return StoredKeys.of(metadata)

    def replace(self, everything: list[StoredKeys], version: str) -> None:
        now = {one.name for one in everything}
        for gone in [one for one in self._known.values() if one.name not in now]:
            # What was written after the list was taken is not in it and yet is there.
            if not is_after(gone.version, version):
                self.forget(gone)
        for one in everything:
            self.change(one)

    def change(self, one: StoredKeys) -> None:
        known = self._known.get(one.name)
        if known is not None and known.uid == one.uid and is_after(known.version, one.version):
            return
        self._known[one.name] = one
        if self._world.issuer_problem(one.name) is NOT_YET:
            self._world.settle_issuer(one.name, None)
        if known is None or one.asked:
            self._world.wake(Key(What.ISSUER, "", one.name))

    def forget(self, one: StoredKeys) -> None:
        known = self._known.get(one.name)
        if known is not None and known.uid == one.uid:
            del self._known[one.name]
            self._world.issuer_problems.pop(one.name, None)
            self._world.wake(Key(What.ISSUER, "", one.name))


class Namespaces:
    """Mirror of the labels of namespaces; a change wakes what lives there and what is shared."""

    def __init__(self, world: World) -> None:
        self._world = world

    def slim(self, metadata: dict[str, Any]) -> tuple[str, dict[str, str]]:
        return metadata["name"], metadata.get("labels") or {}

    def replace(self, everything: list[tuple[str, dict[str, str]]], version: str) -> None:  # noqa: ARG002 - names only
        before, self._world.namespaces = self._world.namespaces, dict(everything)
        for name, labels in everything:
            if before.get(name) != labels:
                self._wake(name)

    def change(self, one: tuple[str, dict[str, str]]) -> None:
        name, labels = one
        before = self._world.namespaces.get(name)
        self._world.namespaces[name] = labels
        if before != labels:
            self._wake(name)

    def forget(self, one: tuple[str, dict[str, str]]) -> None:
        self._world.namespaces.pop(one[0], None)

    def _wake(self, name: str) -> None:
        for what in (What.CONNECTION, What.ASSET):
            for key in [key for key in self._world.objects[what] if key.namespace == name]:
                self._world.wake(key)
                self._world.touch(key)


def is_older(one: SecretVersion, than: SecretVersion) -> bool:
    """Versions of one kind compare as numbers (KEP-5504); what does not is taken as news."""
    return one.uid == than.uid and is_after(than.version, one.version)


def is_after(version: str, than: str) -> bool:
    """Whether one resourceVersion came after another; not where they do not compare."""
    return version.isdigit() and than.isdigit() and int(version) > int(than)


def _within(known: dict[Key, SecretVersion], namespace: str) -> dict[Key, SecretVersion]:
    """What is known of one namespace, of all when it is empty."""
    return {key: one for key, one in known.items() if not namespace or key.namespace == namespace}
