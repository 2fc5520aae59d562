"""azure-servicebus 0.21.1, Microsoft's REST client for Python, against the queues of `goldsmith up`.

What it proves: paths, headers, names and quoting of properties, statuses, the error body, and shared
access signatures are what Microsoft's client sends and understands. Run it with tests/clients/run.
"""

import os
import sys
import time
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests
from azure.common import AzureHttpError
from azure.servicebus import Message, ServiceBusService
from azure.servicebus.servicebusservice import ServiceBusSASAuthentication

BUS = urlsplit(os.environ["UP_BUS"])
KEY_NAME, KEY = "tester", "a+key/of=ours"
RFC_1123 = "%a, %d %b %Y %H:%M:%S GMT"
failures = 0


def check(sentence, holds, seen=""):
    global failures
    failures += not holds
    print(f"ok {sentence}" if holds else f"FAIL {sentence} (seen: {seen})", flush=True)


class Loopback(requests.Session):
    """The client knows https only; the desk is on this machine."""

    def request(self, method, url, **how):
        return super().request(method, url.replace("https://", "http://", 1), **how)


class Bearer:
    def __init__(self, token):
        self.token = token

    def sign_request(self, request, _client):
        request.headers.append(("Authorization", f"Bearer {self.token}"))


class Unsigned:
    def sign_request(self, request, _client):
        pass


class Expired(ServiceBusSASAuthentication):
    def _get_expiry(self):
        return int(time.time()) - 60


class ForQueue(ServiceBusSASAuthentication):
    """Signs for one resource, whatever is asked for."""

    path = ""

    def _get_authorization(self, request, client):
        class Fixed:
            def get_uri(_, __):
                return f"https://{request.host}{self.path}"

        return super()._get_authorization(request, Fixed())


def client(authentication=None, **how):
    how = how or {"shared_access_key_name": KEY_NAME, "shared_access_key_value": KEY}
    return ServiceBusService(
        service_namespace=BUS.hostname,
        host_base=f":{BUS.port}",
        authentication=authentication,
        request_session=Loopback(),
        **how,
    )


bus = client()
numbers = iter(range(1, 1_000_000))


def message(body="x", properties=None, custom=None, kind="text/plain"):
    properties = {"MessageId": f"m-{next(numbers)}", **(properties or {})}
    return Message(body.encode(), type=kind, broker_properties=properties, custom_properties=custom)


def send(queue, *how, **more):
    sent = message(*how, **more)
    bus.send_queue_message(queue, sent)
    return sent.broker_properties["MessageId"]


def peek(queue, wait=0):
    """The next message, locked; None when there is none."""
    got = bus.peek_lock_queue_message(queue, timeout=str(wait))
    return got if got.broker_properties else None


def take(queue, wait=0):
    got = bus.read_delete_queue_message(queue, timeout=str(wait))
    return got if got.broker_properties else None


def refusal(call, *how):
    """The status and the body of a refusal; 0 when it was none."""
    try:
        call(*how)
        return 0, ""
    except AzureHttpError as error:
        return error.status_code, str(error)


def status(call, *how):
    return refusal(call, *how)[0]


def instant(text):
    return parsedate_to_datetime(text).replace(tzinfo=None)


def desk_now():
    """The namespace's time, by a message that is enqueued now."""
    send("dups", "probe")
    return instant(take("dups", 5).broker_properties["EnqueuedTimeUtc"])


def empty(queue):
    while take(queue):
        pass


def sends_and_completes():
    when = datetime(2026, 9, 8, 6, 30)
    custom = {"priority": 'High "!"', "attempt": 3, "share": 1.5, "urgent": True, "at": when}
    custom["path"] = "C:\\temp\\new"
    said = {"Label": "wörld", "CorrelationId": "c", "ReplyTo": "r", "To": "t", "SessionId": "s"}
    name = send("builds", "héllo", said, custom, "application/json; charset=utf-8")
    got = peek("builds")
    broker = got.broker_properties
    check("a message is received with its body", got.body.decode() == "héllo", got.body)
    check("its content type comes back", got.type == "application/json; charset=utf-8", got.type)
    check("its id comes back", broker["MessageId"] == name, broker)
    check(
        "what its sender said comes back, outside ASCII too",
        all(broker.get(key) == value for key, value in said.items()),
        broker,
    )
    check(
        "it is active and delivered once",
        (broker["DeliveryCount"], broker["State"]) == (1, "Active"),
        broker,
    )
    check(
        "its numbers are whole numbers",
        type(broker["SequenceNumber"]) is int and type(broker["EnqueuedSequenceNumber"]) is int,
        broker,
    )
    check("it lives for ever", broker["TimeToLive"] == 922337203685.4775, broker["TimeToLive"])
    locked = instant(broker["LockedUntilUtc"]) - instant(broker["EnqueuedTimeUtc"])
    check("its lock is told", timedelta() < locked <= timedelta(seconds=3), locked)
    check(
        "custom properties come back with their kinds",
        all(got.custom_properties.get(key) == value for key, value in custom.items()),
        got.custom_properties,
    )
    check("a locked message is not given to another", peek("builds") is None)
    check("a lock is renewed", status(got.renew_lock) == 0)
    check("a message is completed", status(got.delete) == 0)
    code, text = refusal(got.delete)
    check("a completed message is not there any more (404)", code == 404, code)
    check("a refusal is XML", "<Error><Code>404</Code><Detail>" in text, text)


def unlocks():
    name = send("builds", "first")
    send("builds", "second")
    first = peek("builds")
    check("a message is unlocked", status(first.unlock) == 0)
    again = peek("builds")
    check(
        "it is there again at once, before the others, counted",
        (again.broker_properties["MessageId"], again.broker_properties["DeliveryCount"])
        == (name, 2),
        again.broker_properties,
    )
    check(
        "an unlocked message's old lock opens nothing",
        status(first.delete) == 404,
    )
    token = again.broker_properties["LockToken"]
    check(
        "a message is completed by its message id as by its number",
        status(bus.delete_queue_message, "BUILDS", name, token) == 0,
    )
    empty("builds")


def loses_a_lock():
    send("builds")
    lost = peek("builds")
    again = peek("builds", 20)
    check("a lock that ends gives the message to another", again is not None)
    check("and counts as a delivery", again.broker_properties["DeliveryCount"] == 2)
    check("a lost lock is not renewed (404)", status(lost.renew_lock) == 404)
    check("a message is not completed by a lost lock (404)", status(lost.delete) == 404)
    check("the other completes it", status(again.delete) == 0)

    send("builds")
    kept = peek("builds")
    end = desk_now() + timedelta(seconds=5)
    renewed = []
    while desk_now() < end:
        time.sleep(0.7)
        renewed.append(status(kept.renew_lock))
    check("a lock of 2 s is kept for 5 s by renewing it", set(renewed) == {0}, renewed)
    check("and is still good then", status(kept.delete) == 0)


def dead_letters():
    name = send("builds", "poison", {"Label": "p"}, {"kept": "yes"})
    deliveries = []
    while got := peek("builds"):
        deliveries.append(got.broker_properties["DeliveryCount"])
        got.unlock()
    check("a message is delivered three times", deliveries == [1, 2, 3], deliveries)
    dead = peek("builds/$DeadLetterQueue")
    check("then it is in the dead-letter queue", dead.broker_properties["MessageId"] == name)
    said = dead.custom_properties
    check(
        "with the reason",
        said.get("deadletterreason") == "MaxDeliveryCountExceeded"
        and "3" in said.get("deadlettererrordescription", ""),
        said,
    )
    check("with its own properties", (said.get("kept"), dead.body) == ("yes", b"poison"), said)
    check(
        "nothing is sent to a dead-letter queue (400)",
        status(bus.send_queue_message, "builds/$DeadLetterQueue", message()) == 400,
    )
    check("a dead letter is unlocked and completed", status(dead.unlock) == 0)
    check("by whoever locks it again", status(peek("builds/$deadletterqueue").delete) == 0)
    check("then it is gone", peek("builds/$DeadLetterQueue") is None)


def takes_away():
    send("builds", "gone")
    got = take("builds")
    check("a message is received and deleted at once", got.body == b"gone")
    check("without a lock", "LockToken" not in got.broker_properties and not got.location)
    check("an empty queue has nothing (204)", take("builds") is None and peek("builds") is None)


def sends_batches():
    batch = [message(f"{n}", {"Label": f"l{n}"}, {"number": n}) for n in range(3)]
    bus.send_queue_message_batch("builds", batch)
    got = [take("builds") for _ in batch]
    check("a batch arrives in order", [it.body for it in got] == [b"0", b"1", b"2"])
    check(
        "with the properties of each",
        [it.broker_properties["Label"] for it in got] == ["l0", "l1", "l2"]
        # This client makes texts of them in a batch.
        and [it.custom_properties.get("number") for it in got] == ["0", "1", "2"],
        [it.custom_properties for it in got],
    )


def drops_duplicates():
    for body in ["first", "second"]:
        bus.send_queue_message("dups", message(body, {"MessageId": "same"}))
    got = peek("dups")
    check("a repeated id is accepted and dropped", got.body == b"first" and not peek("dups"))
    got.delete()
    bus.send_queue_message("dups", message("third", {"MessageId": "same"}))
    check("also after the first was completed", peek("dups") is None)
    due = (desk_now() + timedelta(hours=1)).strftime(RFC_1123)
    later = {"MessageId": "later", "ScheduledEnqueueTimeUtc": due}
    bus.send_queue_message("dups", message("scheduled", later))
    bus.send_queue_message("dups", message("now", {"MessageId": "later"}))
    check("a scheduled message is remembered too", peek("dups") is None)


def schedules():
    due = desk_now() + timedelta(seconds=4)
    send("builds", "later", {"ScheduledEnqueueTimeUtc": due.strftime(RFC_1123)})
    send("builds", "sooner")
    check("a scheduled message is not there before its time", take("builds").body == b"sooner")
    check("whoever asks then is told that there is nothing", take("builds") is None)
    got = take("builds", 30)
    enqueued = instant(got.broker_properties["EnqueuedTimeUtc"])
    check("it comes at its time", got.body == b"later" and enqueued == due, enqueued)
    check(
        "under a new number",
        got.broker_properties["SequenceNumber"] > got.broker_properties["EnqueuedSequenceNumber"],
        got.broker_properties,
    )
    past = (desk_now() - timedelta(days=1)).strftime(RFC_1123)
    send("builds", "past", {"ScheduledEnqueueTimeUtc": past})
    check("a schedule in the past means now", take("builds").body == b"past")


def expires():
    name = send("short", "aged", {"TimeToLive": 1})
    send("builds", "aged", {"TimeToLive": 1})
    end = desk_now() + timedelta(seconds=3)
    while desk_now() < end:
        time.sleep(0.5)
    check("a message does not outlive its time to live", peek("short") is None)
    dead = take("short/$DeadLetterQueue")
    check(
        "it is dead-lettered where the queue says so",
        dead
        and dead.broker_properties["MessageId"] == name
        and dead.custom_properties.get("deadletterreason") == "TTLExpiredException",
        dead and dead.custom_properties,
    )
    check("and else dropped", not peek("builds") and not peek("builds/$DeadLetterQueue"))


def refuses_sessions():
    session = {"SessionId": "s"}
    other = {"SessionId": "s", "PartitionKey": "p"}
    sent = bus.send_queue_message
    check("a queue with sessions wants a session id (400)", status(sent, "sess", message()) == 400)
    check("takes a message with one", status(sent, "sess", message("x", session)) == 0)
    check("no other partition key (400)", status(sent, "sess", message("x", other)) == 400)
    check("and gives nothing over REST (400)", status(peek, "sess") == 400)
    check("neither takes it away (400)", status(take, "sess") == 400)


def knows_who_asks():
    def sending(authentication=None, queue="builds", **how):
        made = client(authentication, **how)
        code, text = refusal(made.send_queue_message, queue, message())
        return code

    def key(name, value):
        return {"shared_access_key_name": name, "shared_access_key_value": value}

    check("the key signs", sending(**key(KEY_NAME, KEY)) == 0)
    check("a wrong key does not (401)", sending(**key(KEY_NAME, "wrong")) == 401)
    check("nor another policy's (401)", sending(**key("dev", KEY)) == 401)
    check("an expired signature is refused (401)", sending(Expired(KEY_NAME, KEY)) == 401)
    signed = ForQueue(KEY_NAME, KEY)
    for path, queue, code in [
        ("/builds", "builds", 0),
        ("/", "builds", 0),
        ("/dups", "builds", 401),
        ("/build", "builds", 401),
    ]:
        signed.path = path
        said = f"a signature for `{path}` {'opens' if code == 0 else 'does not open'} `/{queue}`"
        got = sending(signed, queue)
        check(f"{said} ({code or 201})", got == code, got)
    check("a bearer token is accepted", sending(Bearer("some.token.here")) == 0)
    check("an empty one is not (401)", sending(Bearer("")) == 401)
    check("nor is nobody (401)", sending(Unsigned()) == 401)
    empty("builds")


def refuses():
    sent = bus.send_queue_message
    code, text = refusal(sent, "nothing", message())
    check("a queue that is not there is gone (410)", code == 410, code)
    check("and named", "nothing" in text, text)
    check("for receivers too (410)", status(peek, "nothing") == 410)
    large = message("x" * (256 * 1024 + 1))
    check("a message that is too large is refused (403)", status(sent, "builds", large) == 403)
    check(
        "a lock that never was is not found (404)",
        status(bus.unlock_queue_message, "builds", 1, "00000000-0000-0000-0000-000000000000")
        == 404,
    )
    check(
        "an id of 129 letters is refused (400)",
        status(sent, "builds", message("x", {"MessageId": "x" * 129})) == 400,
    )


for part in [
    sends_and_completes,
    unlocks,
    loses_a_lock,
    dead_letters,
    takes_away,
    sends_batches,
    drops_duplicates,
    schedules,
    expires,
    refuses_sessions,
    knows_who_asks,
    refuses,
]:
    try:
        part()
    except Exception as error:  # The other parts still have something to say.
        check(f"{part.__name__} goes through", False, repr(error))
sys.exit(1 if failures else 0)
