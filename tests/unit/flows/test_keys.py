from lanyard.flows.keys import Key, What


def test_a_key_reads_as_kind_namespace_and_name() -> None:
    assert str(Key(What.CONNECTION, "sales", "crm")) == "Connection/sales/crm"
    assert f"{Key(What.STORE, '', 'team-vault')}" == "CredentialStore/team-vault"


def test_keys_of_different_kinds_are_different() -> None:
    assert Key(What.ASSET, "sales", "crm") != Key(What.CONNECTION, "sales", "crm")
