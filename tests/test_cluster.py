"""Cluster, PasswordAuth and Tls as values: what they accept, what they show, where they may go. Nothing connects."""

import copy
import datetime
import pickle
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import tfcass
from tfcass import _ops, _secrets

SECRET = "hunter2, with = and \n in it"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, ca.key, other.key, encrypted.key, and text.pem, which is none."""
    folder = tmp_path_factory.mktemp("pem")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    plain = serialization.NoEncryption()
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "ca.key").write_bytes(key.private_bytes(*form, plain))
    (folder / "other.key").write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(*form, plain))
    (folder / "encrypted.key").write_bytes(key.private_bytes(*form, serialization.BestAvailableEncryption(b"x")))
    (folder / "text.pem").write_text("not a certificate\n")
    return folder


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("10.0.0.1", r"pass Cluster\(\['10.0.0.1'\]\)"),
        ("a, b", r"pass Cluster\(\['a', 'b'\]\)"),
        ([], "contact_points is empty"),
        (None, "contact_points must be a list of addresses"),
        ({"a"}, "contact_points must be a list of addresses"),
        (["a", ""], r"contact_points\[1\]=''\): must be one address"),
        (["a,b"], "must be one address"),
        (["http://a"], "must be one address"),
        ([7], r"contact_points\[0\]=7\): must be one address"),
        (["10.0.0.1:9043"], r"the port goes apart; pass Cluster\(\['10.0.0.1'\], port=9043\)"),
    ],
)
def test_contact_points_that_are_no_list_of_addresses_are_refused(points: object, message: str) -> None:
    with pytest.raises(tfcass.OptionError, match=message):
        tfcass.Cluster(points)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", 0),
        ("port", 65536),
        ("port", "9042"),
        ("port", True),
        ("local_dc", ""),
        ("local_dc", 1),
        ("tls", True),
        ("connect_timeout_s", 0),
        ("connect_timeout_s", -1),
        ("connect_timeout_s", float("nan")),
        ("connect_timeout_s", float("inf")),
        ("connect_timeout_s", "10"),
    ],
)
def test_a_bad_field_is_named_with_its_value(field: str, value: object) -> None:
    with pytest.raises(tfcass.OptionError) as raised:
        tfcass.Cluster(["a"], **{field: value})

    assert f"{field}={value!r}" in str(raised.value)


def test_credentials_of_another_type_are_refused_without_showing_them() -> None:
    with pytest.raises(tfcass.OptionError, match="must be a tfcass.PasswordAuth or None, got tuple") as raised:
        tfcass.Cluster(["a"], auth=("reader", SECRET))

    assert SECRET not in str(raised.value)


def test_ip6_addresses_are_not_taken_for_a_host_with_a_port() -> None:
    assert tfcass.Cluster(["::1", "fe80::1"]).contact_points == ("::1", "fe80::1")


def test_equal_settings_are_equal_and_hash_alike() -> None:
    def make(password: str = SECRET) -> tfcass.Cluster:
        return tfcass.Cluster(["a", "b"], local_dc="dc1", auth=tfcass.PasswordAuth("reader", password=password))

    assert make() == make() and hash(make()) == hash(make())
    assert make() != make("another password")
    assert make() != tfcass.Cluster(["a", "b"], local_dc="dc1")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        tfcass.Cluster(["a"]).port = 1


@pytest.mark.parametrize(
    "given",
    [{}, {"password": "p", "password_env": "E"}, {"password": "p", "password_env": "E", "password_file": "f"}],
)
def test_exactly_one_password_argument_is_needed(given: dict[str, str]) -> None:
    with pytest.raises(tfcass.OptionError, match="needs exactly one of") as raised:
        tfcass.PasswordAuth("reader", **given)

    assert str(raised.value).endswith(" and ".join(given) or "none")


@pytest.mark.parametrize("name", ["password", "password_env", "password_file"])
@pytest.mark.parametrize("value", ["", 5])
def test_a_password_argument_that_is_no_text_is_refused(name: str, value: object) -> None:
    with pytest.raises(tfcass.OptionError, match=name):
        tfcass.PasswordAuth("reader", **{name: value})


@pytest.mark.parametrize("username", ["", None])
def test_a_user_without_a_name_is_refused(username: object) -> None:
    with pytest.raises(tfcass.OptionError, match="username must be a text"):
        tfcass.PasswordAuth(username, password="p")


def test_no_text_form_shows_the_password() -> None:
    auth = tfcass.PasswordAuth("reader", password=SECRET)
    cluster = tfcass.Cluster(["a"], auth=auth)

    for text in (repr(auth), str(auth), repr(cluster), str(cluster), f"{cluster}"):
        assert "hunter2" not in text and "reader" in text


def test_a_password_in_the_clear_is_not_pickled() -> None:
    cluster = tfcass.Cluster(["a"], auth=tfcass.PasswordAuth("reader", password=SECRET))

    with pytest.raises(tfcass.OptionError, match="pass PasswordAuth\\(password_env=...\\)") as raised:
        pickle.dumps(cluster)

    assert "hunter2" not in str(raised.value)
    assert copy.deepcopy(cluster) == cluster and copy.copy(cluster.auth) == cluster.auth


def test_a_password_by_reference_is_pickled_by_reference(monkeypatch: pytest.MonkeyPatch, pem: Path) -> None:
    monkeypatch.setenv("READER_PW", SECRET)
    auth = tfcass.PasswordAuth("reader", password_env="READER_PW")
    cluster = tfcass.Cluster(["a"], auth=auth, tls=tfcass.Tls(pem / "ca.pem"))

    pickled = pickle.dumps(cluster)

    assert b"hunter2" not in pickled
    assert pickle.loads(pickled) == cluster


def test_the_password_is_read_when_it_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    by_env = tfcass.PasswordAuth("reader", password_env="READER_PW")
    by_file = tfcass.PasswordAuth("reader", password_file=tmp_path / "pw")
    monkeypatch.setenv("READER_PW", "from env")
    (tmp_path / "pw").write_text("from file \n")

    assert by_env.resolve() == "from env"
    assert by_file.resolve() == "from file "


def test_an_environment_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("READER_PW", raising=False)

    with pytest.raises(tfcass.OptionError, match="user 'reader' .* variable READER_PW is not set; export READER_PW"):
        tfcass.PasswordAuth("reader", password_env="READER_PW").resolve()


@pytest.mark.parametrize(
    ("content", "fault"),
    [(None, "No such file or directory"), (b"", "is empty"), (b"\n", "is empty"), (b"\xff\xfe", "is not UTF-8 text")],
)
def test_a_password_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, fault: str) -> None:
    path = tmp_path / "pw"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(tfcass.OptionError, match=fault) as raised:
        tfcass.PasswordAuth("reader", password_file=path).resolve()

    assert str(path) in str(raised.value)


def test_files_are_remembered_as_absolute_paths(pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pem)

    assert tfcass.Tls("ca.pem") == tfcass.Tls(pem / "ca.pem")
    assert tfcass.PasswordAuth("u", password_file="pw").password_file == str(pem / "pw")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"ca": "absent.pem"}, r"Tls\(ca='.*absent.pem'\) cannot be read: No such file"),
        ({"ca": "text.pem"}, r"Tls\(ca='.*text.pem'\): the file holds no readable certificate"),
        ({"ca": "."}, r"cannot be read: Is a directory"),
        ({"cert": "ca.pem"}, "pass both or none"),
        ({"key": "ca.key"}, "pass both or none"),
        ({"cert": "ca.pem", "key": "absent.key"}, r"Tls\(key='.*absent.key'\) cannot be read"),
        ({"cert": "text.pem", "key": "ca.key"}, "not a PEM certificate with its private key"),
        ({"cert": "ca.pem", "key": "other.key"}, r"not a PEM certificate .*KEY_VALUES_MISMATCH"),
        ({"cert": "ca.pem", "key": "encrypted.key"}, "the key is encrypted"),
    ],
)
def test_tls_files_that_cannot_be_used_are_named(pem: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(tfcass.OptionError, match=message):
        tfcass.Tls(**{name: pem / file for name, file in files.items()})


def test_tls_fields_of_another_type_are_refused() -> None:
    with pytest.raises(tfcass.OptionError, match=r"Tls\(ca=5\): must be the path of a file"):
        tfcass.Tls(ca=5)
    with pytest.raises(tfcass.OptionError, match="verify_hostname must be True or False"):
        tfcass.Tls(verify_hostname="no")


def test_the_text_for_the_op_holds_every_field_sorted_and_quoted(pem: Path) -> None:
    cluster = tfcass.Cluster(
        ["a", "b"],
        port=9043,
        local_dc="Köln 1",
        auth=tfcass.PasswordAuth("rea=der", password_env="READER_PW"),
        tls=tfcass.Tls(pem / "ca.pem", pem / "ca.pem", pem / "ca.key", verify_hostname=False),
        connect_timeout_s=2,
    )
    folder = str(pem).replace("/", "%2F")

    assert cluster._canonical().splitlines() == [
        "connect_timeout_s=2.0",
        "contact_points=a%2Cb",
        "local_dc=K%C3%B6ln%201",
        "password_ref=env%3AREADER_PW",
        "port=9043",
        "tls=1",
        f"tls_ca={folder}%2Fca.pem",
        f"tls_cert={folder}%2Fca.pem",
        f"tls_key={folder}%2Fca.key",
        "tls_verify_hostname=0",
        "username=rea%3Dder",
    ]


def test_the_text_for_the_op_of_a_plain_cluster() -> None:
    assert tfcass.Cluster(["a"])._canonical() == (
        "connect_timeout_s=10.0\ncontact_points=a\nlocal_dc=\npassword_ref=\nport=9042\ntls=0\nusername=\n"
    )


def test_a_password_in_the_clear_goes_to_the_op_by_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, str] = {}
    monkeypatch.setattr(_ops, "put_secret", told.__setitem__)
    monkeypatch.setattr(_secrets, "_id_of", {})

    def text(password: str) -> str:
        return tfcass.Cluster(["a"], auth=tfcass.PasswordAuth("reader", password=password))._canonical()

    first, again, other = text(SECRET), text(SECRET), text("another")

    assert first == again != other, "equal clusters share sessions, others do not"
    assert sorted(told.values()) == ["another", SECRET]
    assert all(f"password_ref=process%3A{name}\n" in first + other for name in told)
    assert "hunter2" not in first and "another" not in other
