import base64
from typing import Any

import pytest

from lanyard.errors import KubernetesError, KubernetesStatus, SourceError
from lanyard.reasons import Reason
from lanyard.stores import secrets
from lanyard.stores.value import VALUE_LIMIT, StoreValue

READABLE = {"lanyard.dev/readable": "true"}


def secret(data: dict[str, bytes], labels: dict[str, str] | None) -> secrets.GetSecret:
    async def get(namespace: str, name: str) -> dict[str, Any]:
        metadata: dict[str, Any] = {"namespace": namespace, "name": name, "uid": "u-1", "resourceVersion": "42"}
        if labels is not None:
            metadata["labels"] = labels
        return {"metadata": metadata, "data": {key: base64.b64encode(one).decode() for key, one in data.items()}}

    return get


def refusing(code: int) -> secrets.GetSecret:
    async def get(namespace: str, name: str) -> dict[str, Any]:
        raise KubernetesError(KubernetesStatus(code))

    return get


@pytest.mark.spec("A10")
async def test_a_readable_secret_is_read() -> None:
    value = await secrets.read(secret({"password": b"p4ss"}, READABLE), "sales", "crm", labels_required=True)
    assert value.fields["password"].reveal() == "p4ss"
    assert value.version == "u-1/42"
    assert "p4ss" not in repr(value)


@pytest.mark.parametrize(
    "labels", [None, {}, {"lanyard.dev/readable": "false"}, {"lanyard.dev/readable": "True"}], ids=str
)
async def test_a_secret_that_is_not_marked_is_not_read(labels: dict[str, str] | None) -> None:
    with pytest.raises(SourceError) as caught:
        await secrets.read(secret({"password": b"p"}, labels), "sales", "crm", labels_required=True)
    assert caught.value.reason is Reason.SECRET_NOT_READABLE
    assert "kubectl label secret crm -n sales lanyard.dev/readable=true" in caught.value.message
    assert (await secrets.read(secret({"password": b"p"}, labels), "sales", "crm", labels_required=False)).fields


async def test_a_secret_that_does_not_exist_is_told_from_an_api_server_that_fails() -> None:
    with pytest.raises(SourceError) as caught:
        await secrets.read(refusing(404), "sales", "crm", labels_required=True)
    assert caught.value.reason is Reason.SECRET_NOT_FOUND
    with pytest.raises(KubernetesError):
        await secrets.read(refusing(500), "sales", "crm", labels_required=True)


@pytest.mark.parametrize(
    ("content", "usable"),
    [
        pytest.param(b"with a newline\n", True, id="a trailing newline is part of the value"),
        pytest.param("pässwörd".encode(), True, id="any UTF-8 text is a value"),
        pytest.param(b"x" * VALUE_LIMIT, True, id="64 KiB are a value"),
        pytest.param(b"x" * (VALUE_LIMIT + 1), False, id="more than 64 KiB are not"),
        pytest.param(b"a\0b", False, id="a NUL is not"),
        pytest.param(b"\xff\xfe", False, id="bytes that are no text are not"),
    ],
)
async def test_only_text_is_a_value(content: bytes, usable: bool) -> None:
    data = {"value": content, "other": b"good"}
    value = await secrets.read(secret(data, READABLE), "sales", "crm", labels_required=True)
    assert value.fields["other"].reveal() == "good"
    assert ("value" in value.fields) is usable
    assert value.unusable == (frozenset() if usable else {"value"})
    if usable:
        assert value.fields["value"].reveal().encode() == content


async def test_a_secret_without_data_has_no_fields() -> None:
    async def empty(namespace: str, name: str) -> dict[str, Any]:
        return {"metadata": {"uid": "u", "resourceVersion": "1", "labels": READABLE}}

    assert (await secrets.read(empty, "sales", "crm", labels_required=True)).fields == {}


def test_numbers_and_objects_are_not_taken_for_text() -> None:
    value = StoreValue.sort({"a": "1", "b": 1, "c": True, "d": None, "e": {"x": "y"}, "f": "\ud800"}, "v")
    assert set(value.fields) == {"a"}
    assert value.unusable == {"b", "c", "d", "e", "f"}
