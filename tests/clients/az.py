"""The Azure CLI against `goldsmith up --tls`: what a person types to look at images, and at what uses
them.

What it proves: the lines that `up --tls` prints do point an `az` at the desk, and its commands for
groups, galleries, definitions, versions, templates, platform images, machines and tags understand
what the desk answers. Run it with tests/clients/run.
"""

import json
import os
import shlex
import subprocess
import sys
import time

with open(os.environ["UP_READY"]) as ready:
    READY = json.loads(ready.readline())

SUBSCRIPTION = READY["subscription"]
SHOP = "b7e0a2c4-5d1f-4f0a-9c3e-2f6d8a1b9e70"
GROUP, GALLERY, IMAGE, TEMPLATE = "rg-az", "galAz", "web", "it-az"
URN = "Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2"
GALLERY_ID = (f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Compute/"
              f"galleries/{GALLERY}")
IMAGE_ID = f"{GALLERY_ID}/images/{IMAGE}"
IN_GALLERY = f"-g {GROUP} -r {GALLERY}"
OF_IMAGE = f"{IN_GALLERY} -i {IMAGE}"

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
ENVIRONMENT |= {
    "AZURE_CORE_COLLECT_TELEMETRY": "no",
    "AZURE_CORE_NO_COLOR": "yes",
    "AZURE_CORE_ONLY_SHOW_ERRORS": "yes",
    "AZURE_CORE_DISABLE_PROGRESS_BAR": "yes",
    "AZURE_EXTENSION_USE_DYNAMIC_INSTALL": "no",
}
failures = 0


class Refused(Exception):
    """What az wrote to stderr; its exit code."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


def check(sentence, holds, seen=""):
    global failures
    failures += not holds
    print(f"ok {sentence}" if holds else f"FAIL {sentence} (seen: {seen})", flush=True)


def run(words):
    # Slower than a minute means: it was not told when to come back.
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=90)
    if done.returncode:
        raise Refused(done.returncode, done.stderr)
    return done.stdout


def az(command):
    """What `az COMMAND` prints: JSON when it is, nothing as None."""
    printed = run(["az", *shlex.split(command), "--output", "json"]).strip()
    return json.loads(printed) if printed else None


def refusal(command):
    """The exit code and the text of a refusal; (0, what was printed) when there is none."""
    try:
        return 0, str(az(command))
    except Refused as refused:
        return refused.code, refused.text


def log_in():
    export, *lines, _ = READY["az"]
    for setting in shlex.split(export)[1:]:
        name, value = setting.split("=", 1)
        ENVIRONMENT[name] = value
    login = lines.pop()
    for line in lines:
        run(shlex.split(line))
    # The wrong one first: az keeps the token that the right one gets.
    try:
        run(shlex.split(login.replace("--password desk", "--password guess")))
        seen = "it logged in"
    except Refused as refused:
        seen = refused.text
    check("a wrong secret does not log in", "AADSTS7000215" in seen, seen)
    accounts = json.loads(run(shlex.split(login)))
    check("the printed lines log in, and show the subscriptions that may be read",
          [it["id"] for it in accounts] == [SUBSCRIPTION, SHOP], accounts)
    code, text = refusal("login --use-device-code")
    check("who logs in as a person is told how to come in", code and "az login --service-principal" in text, text)

    az(f"account set --subscription {SUBSCRIPTION}")
    cloud = az("cloud show")
    check("the cloud is the desk", cloud["endpoints"]["resourceManager"].rstrip("/") == READY["https"], cloud)
    token = az("account get-access-token")
    check("a token can be had", token["tenant"] == READY["tenant"] and token["accessToken"].count(".") == 2)


def managed_identity():
    """As a machine of the desk's: the App Service's identity endpoint."""
    ENVIRONMENT["IDENTITY_ENDPOINT"] = f"{READY['identity']}/msi/token"
    ENVIRONMENT["IDENTITY_HEADER"] = "desk"
    accounts = az("login --identity")
    check("login --identity", [it["id"] for it in accounts] == [SUBSCRIPTION, SHOP], accounts)
    check("its token opens the desk", az("group exists -n rg-golden-images") is True)


def groups():
    check("group exists: no", az(f"group exists -n {GROUP}") is False)
    made = az(f"group create -n {GROUP} -l westeurope --tags by=az")
    check("group create", made["properties"]["provisioningState"] == "Succeeded", made)
    check("group exists: yes", az(f"group exists -n {GROUP}") is True)
    check("group show", az(f"group show -n {GROUP}")["tags"] == {"by": "az"})
    names = [it["name"] for it in az("group list --tag by=az")]
    check("group list --tag", names == [GROUP], names)
    az(f"group update -n {GROUP} --set tags.more=yes")
    check("group update --set", az(f"group show -n {GROUP}")["tags"] == {"by": "az", "more": "yes"})
    code, text = refusal("group show -n rg-none")
    check("a group that is not there: exit 3 and Azure's words",
          code == 3 and "ResourceGroupNotFound" in text, (code, text))


def gallery():
    made = az(f"sig create {IN_GALLERY} -l westeurope --soft-delete true")
    check("sig create", made["provisioningState"] == "Succeeded", made)
    names = [it["name"] for it in az("sig list")]
    check("sig list", GALLERY in names and "galContoso" in names, names)
    shown = az(f"sig show {IN_GALLERY}")
    check("sig show", shown["softDeletePolicy"]["isSoftDeleteEnabled"] is True, shown)
    az(f"sig update {IN_GALLERY} --set tags.team=images")
    check("sig update", az(f"sig show {IN_GALLERY}")["tags"] == {"team": "images"})
    made = az(f"sig image-definition create {OF_IMAGE} --publisher contoso --offer az --sku web "
              "--os-type Linux --os-state Generalized --hyper-v-generation V2")
    check("sig image-definition create", made["identifier"]["sku"] == "web", made)
    names = [it["name"] for it in az(f"sig image-definition list {IN_GALLERY}")]
    check("sig image-definition list", names == [IMAGE], names)
    shown = az(f"sig image-definition show {OF_IMAGE}")
    check("sig image-definition show", shown["osType"] == "Linux", shown)
    az(f"sig image-definition update {OF_IMAGE} --set description='A web server.'")
    shown = az(f"sig image-definition show {OF_IMAGE}")
    check("sig image-definition update", shown["description"] == "A web server.", shown)
    code, text = refusal(f"sig show -g {GROUP} -r none")
    check("a gallery that is not there: exit 3 ResourceNotFound",
          code == 3 and "ResourceNotFound" in text, (code, text))


def templates():
    identity = (f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/"
                "Microsoft.ManagedIdentity/userAssignedIdentities/id-builder")
    create = f"image builder create -g {GROUP} -n {TEMPLATE} --identity {identity} --image-source {URN}:latest"
    code, text = refusal(f"{create} --scripts https://contoso.example/setup.sh "
                         f"--shared-image-destinations {GALLERY}/{IMAGE}=westeurope")
    check("a script that cannot be fetched: Azure says so, and leaves a Failed template",
          code == 1 and "setup.sh" in text
          and az(f"image builder show -g {GROUP} -n {TEMPLATE}")["provisioningState"] == "Failed", (code, text))
    az(f"image builder delete -g {GROUP} -n {TEMPLATE}")

    az(f"{create} --defer")
    az(f"image builder customizer add -g {GROUP} -n {TEMPLATE} --customizer-name apply-updates --type shell "
       "--inline-script 'apt-get update' 'apt-get upgrade' --defer")
    az(f"image builder output add -g {GROUP} -n {TEMPLATE} --output-name out --gallery-name {GALLERY} "
       f"--gallery-image-definition {IMAGE}/versions/1.0.0 --gallery-replication-regions westeurope northeurope "
       "--artifact-tags by=az --defer")
    made = az(f"image builder update -g {GROUP} -n {TEMPLATE}")
    check("image builder create, customizer add, output add, update", made["provisioningState"] == "Succeeded", made)
    regions = made["distribute"][0]["replicationRegions"]
    check("its regions are those that were named", regions == ["westeurope", "northeurope"], regions)
    names = [it["name"] for it in az(f"image builder list -g {GROUP}")]
    check("image builder list", names == [TEMPLATE], names)
    shown = az(f"image builder show -g {GROUP} -n {TEMPLATE}")
    check("image builder show: the base is exact", shown["source"]["exactVersion"].startswith("22.04."), shown)

    az(f"image builder run -g {GROUP} -n {TEMPLATE} --no-wait")
    code, text = refusal(f"image builder run -g {GROUP} -n {TEMPLATE}")
    check("a second run at the same time is refused", code == 1 and "OperationNotAllowed" in text, (code, text))
    az(f"image builder cancel -g {GROUP} -n {TEMPLATE}")
    state = state_after(("Canceling",))
    check("image builder cancel", state == "Canceled", state)
    check("no runs, no outputs", az(f"image builder show-runs -g {GROUP} -n {TEMPLATE}") == [])

    began = time.monotonic()
    az(f"image builder run -g {GROUP} -n {TEMPLATE}")
    took = time.monotonic() - began
    check("image builder run waits for its end, which comes in seconds", took < 60, took)
    check("image builder show: Succeeded", state_after(()) == "Succeeded")
    runs = az(f"image builder show-runs -g {GROUP} -n {TEMPLATE}")
    check("image builder show-runs names the version",
          [it["artifactId"] for it in runs] == [f"{IMAGE_ID}/versions/1.0.0"], runs)
    code, text = refusal(f"image builder show -g {GROUP} -n none")
    check("a template that is not there: exit 3", code == 3 and "ResourceNotFound" in text, (code, text))


def state_after(passing):
    """The state of the last run, once it is none of `passing`."""
    for _ in range(30):
        state = az(f"image builder show -g {GROUP} -n {TEMPLATE}")["lastRunStatus"]["runState"]
        if state not in passing:
            break
        time.sleep(1)
    return state


def versions():
    names = [it["name"] for it in az(f"sig image-version list {OF_IMAGE}")]
    check("sig image-version list", names == ["1.0.0"], names)
    shown = az(f"sig image-version show {OF_IMAGE} -e 1.0.0 --expand ReplicationStatus")
    check("sig image-version show --expand ReplicationStatus",
          shown["replicationStatus"]["aggregatedState"] == "Completed", shown)

    az(f"sig image-version update {OF_IMAGE} -e 1.0.0 --set publishingProfile.excludeFromLatest=true "
       "publishingProfile.endOfLifeDate=2031-01-01")
    profile = az(f"sig image-version show {OF_IMAGE} -e 1.0.0")["publishingProfile"]
    check("sig image-version update deprecates: excluded, and an end of life",
          profile["excludeFromLatest"] is True and profile["endOfLifeDate"].startswith("2031-01-01"), profile)
    code, text = refusal(f"sig image-version update {OF_IMAGE} -e 1.0.0 --target-regions westeurope=1")
    check("a region cannot be taken away while the safety profile holds it",
          code == 1 and "OperationNotAllowed" in text, (code, text))
    az(f"sig image-version update {OF_IMAGE} -e 1.0.0 --allow-replicated-location-deletion true")
    az(f"sig image-version update {OF_IMAGE} -e 1.0.0 --target-regions westeurope=1")
    regions = az(f"sig image-version show {OF_IMAGE} -e 1.0.0")["publishingProfile"]["targetRegions"]
    check("once it is lifted, it can", [it["name"] for it in regions] == ["West Europe"], regions)

    made = az(f"sig image-version create {OF_IMAGE} -e 1.1.0 -l westeurope --replication-mode Shallow "
              f"--image-version {IMAGE_ID}/versions/1.0.0 --end-of-life-date 2031-01-01 --tags made=by-az")
    check("sig image-version create", made["provisioningState"] == "Succeeded"
          and made["tags"] == {"made": "by-az"}, made)
    code, text = refusal(f"sig image-version create {OF_IMAGE} -e 1.2.0 -l westeurope "
                         f"--image-version {IMAGE_ID}/versions/1.0.0 --end-of-life-date 2020-01-01")
    check("an end of life that is past is refused", code == 1 and "InvalidParameter" in text, (code, text))


def platform_images():
    listed = az(f"vm image list -l westeurope -p Canonical -f 0001-com-ubuntu-server-jammy -s 22_04-lts-gen2 --all")
    check("vm image list --all", listed and all(it["urn"].startswith(URN) for it in listed), listed)
    shown = az(f"vm image show -l westeurope --urn {URN}:latest")
    newest = max(listed, key=lambda it: [int(part) for part in it["version"].split(".")])
    check("vm image show: latest is the newest of the list", shown["name"] == newest["version"], shown["name"])
    one = az(f"vm image show -l westeurope --urn {URN}:{newest['version']}")
    check("vm image show of one version", one["hyperVGeneration"] == "V2", one)
    publishers = [it["name"] for it in az("vm image list-publishers -l westeurope")]
    check("vm image list-publishers", {"Canonical", "MicrosoftWindowsServer"} <= set(publishers), publishers)
    offers = [it["name"] for it in az("vm image list-offers -l westeurope -p Canonical")]
    check("vm image list-offers", "0001-com-ubuntu-server-jammy" in offers, offers)
    skus = [it["name"] for it in az("vm image list-skus -l westeurope -p Canonical -f 0001-com-ubuntu-server-jammy")]
    check("vm image list-skus", "22_04-lts-gen2" in skus, skus)


def machines():
    names = [it["name"] for it in az("vm list")]
    check("vm list", {"vm-jump", "vm-lab"} <= set(names), names)
    jump = az("vm show -g rg-platform-tools -n vm-jump")
    check("vm show tells the image", jump["storageProfile"]["imageReference"]["id"].endswith("windows-2022-base"), jump)
    details = az("vm show -d -g rg-platform-tools -n vm-jump")
    check("vm show -d says that it runs", details["powerState"] == "VM running", details)
    names = sorted(it["name"] for it in az(f"vmss list --subscription {SHOP}"))
    check("vmss list, sets without machines too", names == ["vmss-month-end", "vmss-web"], names)
    shown = az(f"vmss show --subscription {SHOP} -g rg-shop-production -n vmss-web")
    check("vmss show", shown["sku"]["capacity"] == 3, shown)
    instances = az(f"vmss list-instances --subscription {SHOP} -g rg-shop-production -n vmss-web")
    check("vmss list-instances", len(instances) == 3, instances)
    disks = az("disk list -g rg-platform-tools")
    check("disk list", any("vm-jump" in it["name"] for it in disks), disks)
    check("image list: there is no managed image", az("image list") == [])


def tags_and_resources():
    version = f"{IMAGE_ID}/versions/1.1.0"
    merged = az(f"tag update --resource-id {version} --operation Merge --tags owner=web")
    check("tag update --operation Merge", merged["properties"]["tags"] == {"made": "by-az", "owner": "web"}, merged)
    left = az(f"tag update --resource-id {version} --operation Delete --tags made=by-az")
    check("tag update --operation Delete", left["properties"]["tags"] == {"owner": "web"}, left)
    shown = az(f"tag list --resource-id {version}")
    check("tag list --resource-id", shown["properties"]["tags"] == {"owner": "web"}, shown)
    created = az(f"tag create --resource-id {version} --tags a=1 b=2")
    check("tag create replaces", created["properties"]["tags"] == {"a": "1", "b": "2"}, created)
    az(f"resource tag --ids {version} --tags team=images")
    check("resource tag", az(f"sig image-version show {OF_IMAGE} -e 1.1.0")["tags"] == {"team": "images"})
    found = az("resource list --tag team=images")
    check("resource list --tag", version in [it["id"] for it in found], found)
    listed = az(f"resource list -g {GROUP} --resource-type Microsoft.Compute/galleries/images/versions")
    check("resource list -g --resource-type: nested resources by all their names",
          sorted(it["name"] for it in listed) == [f"{GALLERY}/{IMAGE}/1.0.0", f"{GALLERY}/{IMAGE}/1.1.0"], listed)
    shown = az(f"resource show --ids {version}")
    check("resource show finds an api-version of a nested type", shown["id"] == version, shown)
    locations = [it["name"] for it in az("account list-locations")]
    check("account list-locations", {"westeurope", "northeurope"} <= set(locations), locations)
    kinds = az("provider show -n Microsoft.VirtualMachineImages --query registrationState")
    check("provider show", kinds == "Registered", kinds)
    locks = az(f"lock list -g {GROUP}")
    check("lock list: there are none", locks == [], locks)


def graph():
    body = json.dumps({"subscriptions": [SUBSCRIPTION, SHOP],
                       "query": "resources | where type =~ 'microsoft.compute/virtualmachines' | project name"})
    answer = az("rest --method post --url /providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01 "
                f"--body {shlex.quote(body)}")
    names = {it["name"] for it in answer["data"]}
    check("az rest asks Resource Graph about two subscriptions", {"vm-jump", "vm-shop-01"} <= names, answer)
    code, text = refusal("rest --method get --url /subscriptions/{subscriptionId}/providers/Microsoft.Web/sites?api-version=2024-04-01")
    check("what the desk does not have is named, in Azure's error shape",
          code == 1 and "InvalidResourceType" in text and "Microsoft.Web/sites" in text, (code, text))
    code, text = refusal("vm create -g rg-platform-tools -n vm-new --image Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2:latest "
                         "--generate-ssh-keys")
    check("vm create ends with an error of Azure's, not with a crash of az",
          code and "Traceback" not in text and "InvalidResourceType" in text, (code, text))


def kept_versions():
    """The numbers of the versions that were deleted and can be restored."""
    kept = az(f"rest --method get --url {GALLERY_ID}/softDeletedArtifactTypes/images/artifacts/{IMAGE}"
              "/versions?api-version=2026-03-03")
    return [it["name"] for it in kept["value"]]


def deletion():
    code, text = refusal(f"sig image-definition delete {OF_IMAGE}")
    check("a definition with versions cannot be deleted", code == 1 and "CannotDeleteResource" in text, (code, text))
    az(f"sig image-version delete {OF_IMAGE} -e 1.1.0")
    code, text = refusal(f"sig image-version show {OF_IMAGE} -e 1.1.0")
    check("sig image-version delete", code == 3 and "ResourceNotFound" in text, (code, text))
    check("the deleted version is kept", kept_versions() == ["1.1.0"])
    az(f"sig image-version undelete {OF_IMAGE} -e 1.1.0")
    check("sig image-version undelete", az(f"sig image-version show {OF_IMAGE} -e 1.1.0")["provisioningState"] == "Succeeded")
    az(f"sig image-version delete {OF_IMAGE} -e 1.1.0")
    az(f"resource delete --ids {IMAGE_ID}/versions/1.0.0")
    names = az(f"sig image-version list {OF_IMAGE}")
    check("resource delete", names == [], names)
    az(f"sig image-version delete {OF_IMAGE} -e 9.9.9")
    check("deleting what is not there is no error", True)
    code, text = refusal(f"sig image-definition delete {OF_IMAGE}")
    check("nor a definition whose deleted versions are kept", code == 1 and "CannotDeleteResource" in text, (code, text))
    for number in kept_versions():
        az(f"rest --method delete --url {IMAGE_ID}/versions/{number}?api-version=2026-03-03&bypassSoftDelete=true")
    for _ in range(30):
        if not kept_versions():
            break
        time.sleep(1)
    check("az rest purges them, past the soft-delete policy", kept_versions() == [])
    az(f"image builder delete -g {GROUP} -n {TEMPLATE}")
    check("image builder delete", az(f"image builder list -g {GROUP}") == [])
    az(f"sig image-definition delete {OF_IMAGE}")
    az(f"sig delete {IN_GALLERY}")
    check("sig delete", GALLERY not in [it["name"] for it in az("sig list")])
    az(f"group delete -n {GROUP} --yes")
    check("group delete", az(f"group exists -n {GROUP}") is False)


for part in (log_in, groups, gallery, templates, versions, platform_images, machines,
             tags_and_resources, graph, deletion, managed_identity):
    try:
        part()
    except Exception as error:  # one part that breaks off must not hide the others
        check(f"{part.__name__} goes to its end", False, f"{type(error).__name__}: {error}")

sys.exit(1 if failures else 0)
