"""azure-storage-blob 12.26.0, Microsoft's client for Python, against the blobs of `goldsmith up`.

What it proves: paths, conditions, ranges, pages of a listing, statuses and the error body are what
Microsoft's client sends and understands, with a token of the desk's own identity endpoint. Run it
with tests/clients/run.
"""

import json
import os
import sys
import urllib.request

from azure.core import MatchConditions
from azure.core.credentials import AccessToken
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobServiceClient

BLOB, IDENTITY = os.environ["UP_BLOB"], os.environ["UP_IDENTITY"]
STORAGE = "https://storage.azure.com"
failures = 0


def check(sentence, holds, seen=""):
    global failures
    failures += not holds
    print(f"ok {sentence}" if holds else f"FAIL {sentence} (seen: {seen})", flush=True)


class Loopback(RequestsTransport):
    """The client sends tokens over https only; the desk is on this machine."""

    def send(self, request, **how):
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, **how)


class ManagedIdentity:
    """Asks the desk as a virtual machine asks its metadata service."""

    def __init__(self, resource):
        self.resource = resource

    def get_token(self, *_scopes, **_how):
        url = f"{IDENTITY}/metadata/identity/oauth2/token?resource={self.resource}"
        request = urllib.request.Request(url, headers={"Metadata": "true"})
        with urllib.request.urlopen(request) as answer:
            said = json.load(answer)
        return AccessToken(said["access_token"], int(said["expires_on"]))


def service(resource):
    url = BLOB.replace("http://", "https://", 1) + "/clients"
    credential = ManagedIdentity(resource)
    return BlobServiceClient(url, credential=credential, transport=Loopback(), retry_total=0)


def refused(kind, code, what):
    """Whether `what` is refused with this exception and this code, and what was seen."""
    try:
        what()
    except HttpResponseError as error:
        seen = getattr(error, "error_code", None)
        return isinstance(error, kind) and seen == code, f"{type(error).__name__} {seen}"
    return False, "nothing was refused"


container = service(STORAGE).get_container_client("box")
container.create_container()
check("a container is there once it was made", container.exists())

blob = container.get_blob_client("a/one.json")
made = blob.upload_blob(b"0123456789")
check("a blob is created", bool(made["etag"]), made)
holds, seen = refused(ResourceExistsError, "BlobAlreadyExists", lambda: blob.upload_blob(b"other"))
check("a second creation of it is refused as BlobAlreadyExists", holds, seen)
check("its content is the first one's", blob.download_blob().readall() == b"0123456789")
part = blob.download_blob(offset=2, length=3).readall()
check("a part of it is read by its range", part == b"234", part)

facts = blob.get_blob_properties()
check("its size is known", facts.size == 10, facts.size)
check("its entity tag is the one it was given", facts.etag == made["etag"], facts.etag)
check("its time is known", facts.last_modified is not None)


def replace(etag):
    how = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
    return blob.upload_blob(b"new", overwrite=True, **how)


holds, seen = refused(ResourceModifiedError, "ConditionNotMet", lambda: replace('"0x0"'))
check("a replacement under another entity tag is refused as ConditionNotMet", holds, seen)
replace(made["etag"])
check("a replacement under its own is not", blob.download_blob().readall() == b"new")

for number in range(7):
    container.upload_blob(f"b/{number}.json", b"x")
pages = [[it.name for it in page] for page in
         container.list_blobs(name_starts_with="b/", results_per_page=3).by_page()]
check("a listing comes in pages", [len(page) for page in pages] == [3, 3, 1], pages)
names = sorted(name for page in pages for name in page)
check("and names every blob once", names == [f"b/{it}.json" for it in range(7)], names)
folders = [it.name for it in container.walk_blobs()]
check("folders are told by their prefix", folders == ["a/", "b/"], folders)

blob.delete_blob()
holds, seen = refused(ResourceNotFoundError, "BlobNotFound", blob.download_blob)
check("a blob that was deleted is BlobNotFound", holds, seen)
check("and does not exist", not blob.exists())

snapshot = container.get_blob_client("b/0.json").create_snapshot
holds, seen = refused(HttpResponseError, "UnsupportedHttpVerb", snapshot)
check("what the desk does not have is refused in Azure's own words", holds, seen)
other = service("https://management.azure.com").get_container_client("box").get_blob_client("b/0.json")
holds, seen = refused(ClientAuthenticationError, "InvalidAuthenticationInfo", other.download_blob)
check("a token for another service is refused", holds, seen)

sys.exit(failures > 0)
