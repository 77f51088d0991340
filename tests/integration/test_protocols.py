"""One port for HTTP/1.1, HTTP/2 and TLS; odd clients; the end of a connection."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import resource
import signal
import socket
import ssl
import threading
import time
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import SSLError
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
INFO = "/_localstack/info"
DATA = hashlib.shake_128(b"seed").digest(5 << 20)
# name -> scheme, what httpx offers, what it must end up with
SPOKEN = {
    "plain-1.1": ("http", {"http1": True, "http2": False}, "HTTP/1.1"),
    "plain-2": ("http", {"http1": False, "http2": True}, "HTTP/2"),
    "tls-1.1": ("https", {"http1": True, "http2": False}, "HTTP/1.1"),
    "tls-2": ("https", {"http1": True, "http2": True}, "HTTP/2"),
}


@pytest.fixture(scope="module")
def server(start_in_module, tmp_path_factory):
    """One server for all tests of this file, with a bucket anybody writes to."""
    found = start_in_module(tmp_path_factory.mktemp("state"))
    found.client("s3").create_bucket(Bucket="wire")
    return found


def certificate(server):
    return Path(server.env["DATA_DIR"]) / "tls.crt"


def trusting(server):
    return ssl.create_default_context(cafile=str(certificate(server)))


def client(server, spoken):
    scheme, offered, _ = SPOKEN[spoken]
    return httpx.Client(
        base_url=f"{scheme}://localhost:{server.port}",
        verify=trusting(server),
        trust_env=False,
        timeout=30,
        **offered,
    )


def boto(server, service, verify):
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=f"https://localhost:{server.port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        verify=verify,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


@contextlib.contextmanager
def dialogue(server, data=b"", *, tls=None):
    """A raw connection, through TLS if there is a context; ``data`` is sent."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        if tls is None:
            connection.sendall(data)
            yield connection
            return
        with tls.wrap_socket(connection, server_hostname="localhost") as secured:
            secured.sendall(data)
            yield secured


def sockets_of(server):
    """How many sockets the server's process has open."""
    count = 0
    for entry in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            count += os.readlink(entry).startswith("socket:")
    return count


@contextlib.contextmanager
def nothing_left(server):
    """The server has no more connections open after than before, and met nothing unexpected."""
    time.sleep(0.1)  # those of the test before are being closed
    before = sockets_of(server)
    yield
    server.wait_until(lambda: sockets_of(server) <= before, "rid of its connections")
    assert server.health()["version"]
    assert "Traceback" not in server.log


class Speaker:
    """An HTTP/2 client by hand, to do what no library does."""

    def __init__(self, connection):
        self.connection = connection
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        with contextlib.suppress(BrokenPipeError):
            self.connection.sendall(self.h2.data_to_send())

    def ask(self, method, path, *, end=True, **headers):
        number = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "x")]
        more = [(name.replace("_", "-"), value) for name, value in headers.items()]
        self.h2.send_headers(number, pseudo + more, end_stream=end)
        self.flush()
        return number

    def events(self):
        """What the server says, until it closes."""
        while data := self.connection.recv(65536):
            yield from self.h2.receive_data(data)
            self.flush()

    def answers(self, count):
        """Status and body of the next answers, by stream."""
        found = {}
        for event in self.events():
            if isinstance(event, ResponseReceived):
                found[event.stream_id] = [int(dict(event.headers)[b":status"]), b""]
            elif isinstance(event, DataReceived):
                found[event.stream_id][1] += event.data
            elif isinstance(event, StreamEnded):
                count -= 1
                if count == 0:
                    break
        return found


# ----------------------------------------------------------------- protocols


@pytest.mark.parametrize("spoken", SPOKEN)
def test_one_port_speaks_all(server, spoken):
    """HTTP/1.1 and HTTP/2, each plain and through TLS, are answered on the same port."""
    with client(server, spoken) as http:
        for _ in range(2):
            answer = http.get(INFO)
            assert (answer.status_code, answer.http_version) == (200, SPOKEN[spoken][2])


@pytest.mark.parametrize("spoken", SPOKEN)
def test_bodies_are_whole(server, spoken):
    """A body of 5 MB goes in and comes out unchanged, HEAD and an error have their own."""
    with client(server, spoken) as http:
        assert http.put(f"/wire/{spoken}", content=DATA).status_code == 200
        assert http.get(f"/wire/{spoken}").content == DATA
        head = http.head(f"/wire/{spoken}")
        assert (head.headers["content-length"], head.content) == (str(len(DATA)), b"")
        missing = http.get("/wire/none")
        assert missing.status_code == 404
        assert b"NoSuchKey" in missing.content
        assert missing.headers["x-localstack"]
        assert http.delete(f"/wire/{spoken}").status_code == 204


def test_streamed_and_long_bodies_over_http2(server):
    """A body sent in pieces of any size arrives in order; flow control lets all of it through."""
    pieces = [DATA[at : at + 7919] for at in range(0, 3 << 20, 7919)]
    with client(server, "plain-2") as http:
        assert http.put("/wire/pieces", content=iter(pieces)).status_code == 200
        assert http.get("/wire/pieces").content == b"".join(pieces)


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_boto3_through_tls(server):
    """boto3 works without verification and with the server's own certificate as authority."""
    boto(server, "sqs", verify=False).create_queue(QueueName="unverified")
    sqs = boto(server, "sqs", verify=str(certificate(server)))
    url = sqs.create_queue(QueueName="verified")["QueueUrl"]
    assert url == f"https://localhost:{server.port}/000000000000/verified"
    sqs.send_message(QueueUrl=url, MessageBody="x")
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "x"
    with pytest.raises(SSLError):
        boto(server, "sqs", verify=True).list_queues()


def test_many_streams_at_once(server):
    """A hundred calls on one HTTP/2 connection at once each get their own answer."""

    async def talk():
        url = f"http://localhost:{server.port}"
        async with httpx.AsyncClient(
            base_url=url, http1=False, http2=True, timeout=30, trust_env=False
        ) as http:
            bodies = {f"/wire/stream-{n}": bytes([n]) * (n * 997) for n in range(100)}
            await asyncio.gather(*(http.put(path, content=body) for path, body in bodies.items()))
            found = await asyncio.gather(*(http.get(path) for path in bodies))
        return [answer.content for answer in found] == list(bodies.values())

    assert asyncio.run(talk())


def test_a_long_poll_holds_no_stream_up(server):
    """While one stream waits for a message, others on the connection are answered."""
    url = server.client("sqs").create_queue(QueueName="waits")["QueueUrl"]
    form = "application/x-www-form-urlencoded"
    with dialogue(server) as connection:
        speaker = Speaker(connection)
        poll = speaker.ask("POST", "/000000000000/waits", end=False, content_type=form)
        query = b"Action=ReceiveMessage&Version=2012-11-05&WaitTimeSeconds=15"
        speaker.h2.send_data(poll, query, end_stream=True)
        quick = speaker.ask("GET", INFO)
        assert list(speaker.answers(1)) == [quick]
        server.client("sqs").send_message(QueueUrl=url, MessageBody="at last")
        status, body = speaker.answers(1)[poll]
        assert status == 200
        assert b"at last" in body


def test_mixed_load(server):
    """Clients of all kinds at once lose and mix up nothing."""
    failures = []

    def work(spoken):
        try:
            with client(server, spoken) as http:
                for number in range(20):
                    body = f"{spoken}-{number}".encode() * 200
                    assert http.put(f"/wire/{spoken}-{number}", content=body).status_code == 200
                    assert http.get(f"/wire/{spoken}-{number}").content == body
        except Exception as error:  # noqa: BLE001 - told below
            failures.append((spoken, error))

    threads = [threading.Thread(target=work, args=(spoken,)) for spoken in [*SPOKEN] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
def test_offered_upgrade_is_declined(server, split):
    """A request that offers HTTP/2 by ``Upgrade`` is answered in HTTP/1.1 and keeps its body."""
    head = (
        b"PUT /wire/offered HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
    )
    with dialogue(server, head if split else head + b"hello") as connection:
        if split:
            time.sleep(0.1)
            connection.sendall(b"hello")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /wire/offered HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b"hello"):
            part = connection.recv(1000)
            assert part, answer
            answer += part
        assert answer.startswith(b"HTTP/1.1 200")


# ------------------------------------------------------------------ bad input

HELLO = b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03"
BAD = {
    "garbage": (b"\x00\x01\x02\x03\r\n\r\n", b"HTTP/1.1 400"),
    "no-tls": (b"\x16\x03\x01\x00\x05hello and more", None),
    "old-tls": (b"\x16\x02\x00\x00\x05\x01\x00\x00\x01\x00", None),
    "not-quite-http2": (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"HTTP/1.1 400"),
    "http2-junk": (PREFACE + b"\xff" * 64, b"\x00\x00"),
    "http2-frame-too-large": (PREFACE + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", b"\x00\x00"),
    "connect": (b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", b"HTTP/1.1 4"),
    "many-headers": (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 2000, b"HTTP/1.1 431"),
    "huge-declared": (
        b"PUT /wire/k HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n",
        b"HTTP/1.1 413",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_first_bytes(server, name):
    """What is no request is told so or hung up on, and leaves nothing behind."""
    sent, expected = BAD[name]
    with nothing_left(server), dialogue(server, sent) as connection:
        found = b""
        with contextlib.suppress(ConnectionResetError):
            found = connection.recv(1000)
        assert found.startswith(expected) if expected else b"HTTP" not in found


def test_what_is_refused_for_its_head_is_not_run(server):
    """A write with too many headers, sent in one piece, is told 431 and changes nothing."""
    body = b"Action=CreateQueue&QueueName=refused"
    head = b"POST / HTTP/1.1\r\nHost: sqs.us-east-1.localhost.localstack.cloud\r\n"
    head += b"Content-Type: application/x-www-form-urlencoded\r\n"
    head += b"Content-Length: %d\r\n" % len(body) + b"a: b\r\n" * 2000
    with dialogue(server, head + b"\r\n" + body) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 431")
    assert server.client("sqs").list_queues(QueueNamePrefix="refused").get("QueueUrls") is None


@pytest.mark.parametrize(
    "sent", [b"", HELLO, b"P", PREFACE[:10], PREFACE, b"GET / HT"], ids=lambda sent: repr(sent[:9])
)
def test_client_that_leaves_before_it_asked(server, sent):
    """A client that goes away within its first bytes leaves nothing behind."""
    with nothing_left(server):
        for _ in range(20):
            with dialogue(server, sent):
                pass


def test_bytes_one_by_one(server):
    """A preface, a handshake and a request that arrive byte by byte are understood."""
    request = b"GET /_localstack/info HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with dialogue(server) as connection:
        for byte in request:
            connection.sendall(bytes([byte]))
            time.sleep(0.001)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    with dialogue(server) as connection:
        for byte in PREFACE:
            connection.sendall(bytes([byte]))
            time.sleep(0.001)
        assert connection.recv(9)[3] == 4  # a SETTINGS frame
    with dialogue(server) as connection:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inside = trusting(server).wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            inside.do_handshake()
        for byte in outgoing.read():
            connection.sendall(bytes([byte]))
        assert connection.recv(1000)[0] == 0x16


def test_head_without_end(server):
    """A head that goes on and on is a 431 and no growing buffer, over HTTP/2 the end."""
    with nothing_left(server), dialogue(server, b"GET / HTTP/1.1\r\nX: ") as connection:
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                connection.sendall(b"y" * 10_000)
                time.sleep(0.002)
        assert connection.recv(100).startswith(b"HTTP/1.1 431")
    with nothing_left(server), dialogue(server) as connection:
        speaker = Speaker(connection)
        speaker.ask("GET", INFO, **{f"x-{n}": "y" * 1000 for n in range(100)})
        assert any(isinstance(event, ConnectionTerminated) for event in speaker.events())


def test_body_larger_than_any_service_takes_over_http2(server):
    """A body declared too large is a 413 before it is sent, and the stream ends."""
    with dialogue(server) as connection:
        speaker = Speaker(connection)
        number = speaker.ask("PUT", "/wire/k", end=False, content_length="99999999999999")
        assert speaker.answers(1)[number][0] == 413
        again = speaker.ask("GET", INFO)
        assert speaker.answers(1)[again][0] == 200


@pytest.mark.parametrize("how", ["tls", "http2", "reset"])
def test_client_that_leaves_within_its_body(server, how):
    """A client that disconnects half way through a body stores nothing and leaves nothing."""
    with nothing_left(server):
        if how == "tls":
            head = b"PUT /wire/left HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
            with dialogue(server, head + b"x" * 500, tls=trusting(server)):
                pass
        else:
            with dialogue(server) as connection:
                speaker = Speaker(connection)
                number = speaker.ask("PUT", "/wire/left", end=False, content_length="1000")
                speaker.h2.send_data(number, b"x" * 500)
                if how == "reset":
                    speaker.h2.reset_stream(number)
                speaker.flush()
        with client(server, "plain-1.1") as http:
            assert http.get("/wire/left").status_code == 404


def test_bodies_nobody_takes_use_up_no_room(server):
    """Bodies that are reset half way leave a connection's window whole for the next ones."""
    with dialogue(server) as connection:
        speaker = Speaker(connection)
        list(zip(range(3), speaker.events(), strict=False))  # its settings, with more room
        for _ in range(60):
            number = speaker.ask("PUT", "/wire/left", end=False)
            for _ in range(30):
                speaker.h2.send_data(number, bytes(16_000))
            speaker.flush()
            speaker.h2.reset_stream(number)
            speaker.flush()
            again = speaker.ask("GET", INFO)
            assert speaker.answers(1)[again][0] == 200
        assert speaker.h2.outbound_flow_control_window > 8 << 20


def test_streams_taken_back(server):
    """Thousands of streams opened and reset at once neither fill memory nor hold others up."""
    with nothing_left(server), dialogue(server) as connection:
        speaker = Speaker(connection)
        for _ in range(3000):
            number = speaker.ask("GET", INFO)
            speaker.h2.reset_stream(number)
        with contextlib.suppress(ConnectionError):
            speaker.flush()
        started = time.monotonic()
        server.health()
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("seed", range(8))
def test_damaged_conversations(server, seed):
    """HTTP/2 frames with flipped, lost and repeated bytes end in no error of ours."""
    chance = random.Random(seed)
    with nothing_left(server):
        for _ in range(25):
            h2 = H2Connection(H2Configuration(client_side=True))
            h2.initiate_connection()
            said = bytearray(h2.data_to_send())
            for number in range(1, 9, 2):
                pseudo = [(":method", "PUT"), (":path", "/wire/f"), (":scheme", "http")]
                h2.send_headers(number, [*pseudo, (":authority", "x")])
                h2.send_data(number, bytes(chance.randrange(200)), end_stream=True)
                said += h2.data_to_send()
            for _ in range(chance.randrange(1, 6)):
                at = chance.randrange(len(PREFACE), len(said))
                match chance.randrange(3):
                    case 0:
                        said[at] ^= 1 << chance.randrange(8)
                    case 1:
                        del said[at : at + chance.randrange(20)]
                    case 2:
                        said[at:at] = said[at : at + 40]
            with contextlib.suppress(ConnectionError), dialogue(server, said) as connection:
                connection.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    while connection.recv(65536):
                        pass


@pytest.mark.parametrize("path", ["*", "nowhere", "http://x/"])
def test_path_that_is_none(server, path):
    """A path over HTTP/2 that does not begin with a slash is a 400."""
    with dialogue(server) as connection:
        speaker = Speaker(connection)
        number = speaker.ask("GET", path)
        assert speaker.answers(1)[number][0] == 400


def test_a_thousand_silent_connections(server):
    """A thousand connections that say nothing, and a hundred through TLS, hold nobody up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1400:
        if hard != resource.RLIM_INFINITY and hard < 1400:
            pytest.skip(f"this user may open {hard} files only")
        resource.setrlimit(resource.RLIMIT_NOFILE, (1400, hard))
    tls = trusting(server)
    with nothing_left(server), contextlib.ExitStack() as stack:
        for number in range(1100):
            stack.enter_context(dialogue(server, tls=None if number < 1000 else tls))
        started = time.monotonic()
        for spoken in SPOKEN:
            with client(server, spoken) as http:
                assert http.get(INFO).status_code == 200
        assert time.monotonic() - started < 4


# ------------------------------------------------------------------- the end


def test_client_that_says_goodbye_gets_its_answers(server):
    """After a client's GOAWAY what it has asked is still answered, then the connection ends."""
    server.client("sqs").create_queue(QueueName="goodbye")
    with dialogue(server) as connection:
        speaker = Speaker(connection)
        poll = speaker.ask(
            "GET",
            "/000000000000/goodbye?Action=ReceiveMessage&Version=2012-11-05&WaitTimeSeconds=1",
        )
        # What ``close_connection`` sends, without this side's refusal to listen any more.
        goodbye = b"\0\0\x08\x07\0\0\0\0\0" + b"\0" * 8
        connection.sendall(goodbye + b"\0\0\x04\x08\0\0\0\0\0" + b"\0\0\1\0")  # more room
        said = list(speaker.events())
        (answer,) = (event for event in said if isinstance(event, ResponseReceived))
        assert (answer.stream_id, dict(answer.headers)[b":status"]) == (poll, b"200")
        assert isinstance(said[-1], ConnectionTerminated)


@pytest.mark.parametrize("spoken", SPOKEN)
def test_stop_answers_what_is_in_flight(start, tmp_path, spoken):
    """At a stop a call in flight is answered and idle connections are closed, without a wait."""
    server = start(tmp_path / "state")
    server.client("sqs").create_queue(QueueName="q")
    found = []

    def poll():
        with client(server, spoken) as http:
            query = "Action=ReceiveMessage&Version=2012-11-05&WaitTimeSeconds=20"
            found.append(http.get(f"/000000000000/q?{query}").status_code)

    with client(server, "tls-1.1") as idle, client(server, "tls-2") as idle_too:
        assert (idle.get(INFO).status_code, idle_too.get(INFO).status_code) == (200, 200)
        waiting = threading.Thread(target=poll)
        waiting.start()
        time.sleep(1)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        waiting.join(10)
        assert server.process.wait(10) == 0
        assert time.monotonic() - started < 2.5
    assert found == [200]


def test_stream_after_the_stop_began_is_refused(start, tmp_path):
    """A stream opened while the server stops is refused in a way that a client may repeat."""
    server = start(tmp_path / "state")
    server.client("sqs").create_queue(QueueName="q")
    with dialogue(server) as connection:
        speaker = Speaker(connection)
        # A body that does not come keeps the stream, and the connection, open.
        speaker.ask("PUT", "/bucket/key", end=False)
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        late = speaker.ask("GET", INFO)
        refused = [e for e in speaker.events() if isinstance(e, StreamReset)]
        assert (refused[0].stream_id, refused[0].error_code) == (late, 7)
    assert server.process.wait(10) == 0


def test_goodbye_before_a_large_answer(server):
    """A client that says goodbye and then reads slowly gets a large answer whole."""
    with client(server, "plain-1.1") as http:
        http.put("/wire/slow", content=DATA)
    with dialogue(server) as connection:
        speaker = Speaker(connection)
        number = speaker.ask("GET", "/wire/slow")
        connection.sendall(b"\0\0\x08\x07\0\0\0\0\0" + b"\0" * 8)
        body = b""
        for event in speaker.events():
            if isinstance(event, DataReceived):
                body += event.data
                speaker.h2.acknowledge_received_data(event.flow_controlled_length, number)
                time.sleep(0.0005)
    assert body == DATA


# --------------------------------------------------------------- certificate


def test_certificate_is_kept(start, tmp_path):
    """The certificate is made once: a restart serves the same, which clients trust already."""
    server = start(tmp_path / "state")
    first = certificate(server).read_bytes()
    private = tmp_path / "state" / "tls.pem"
    assert private.stat().st_mode & 0o077 == 0
    server.restart()
    assert certificate(server).read_bytes() == first
    with client(server, "tls-2") as http:
        assert http.get(INFO).status_code == 200


def test_certificate_is_for_every_local_name(server):
    """The names LocalStack's clients use are all in the certificate."""
    names = ["localhost", "localhost.localstack.cloud", "sqs.localhost.localstack.cloud"]
    names += ["bucket.s3.localhost.localstack.cloud", "127.0.0.1"]
    for name in names:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            trusting(server).wrap_socket(connection, server_hostname=name).close()


def test_own_certificate(start, tmp_path):
    """CUSTOM_SSL_CERT_PATH is what TLS answers with; one that cannot be used stops the start."""
    from perdure.gateway.certificate import create

    combined, public = create(["my.example"])
    own = tmp_path / "own.pem"
    own.write_bytes(combined)
    server = start(CUSTOM_SSL_CERT_PATH=str(own))
    with dialogue(server, tls=ssl._create_unverified_context()) as connection:
        assert connection.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(public.decode())
    server.stop()
    own.write_bytes(public)
    code, said = server.refuse()
    assert code == 2
    assert "CUSTOM_SSL_CERT_PATH" in said
    assert str(own) in said
