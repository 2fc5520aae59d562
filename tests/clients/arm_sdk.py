"""azure-mgmt-compute, -imagebuilder, -resourcegraph and -resource, Microsoft's libraries for Python,
live through the whole life of an image against `goldsmith up --tls`.

What it proves: their pollers, pagers, serializers and error classes understand what the desk answers,
and the desk understands what they send. Run it with tests/clients/run.
"""

import json
import os
import sys
import time
from datetime import datetime, timedelta, timezone

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.compute import models as compute_models
from azure.mgmt.imagebuilder import ImageBuilderClient
from azure.mgmt.imagebuilder import models as builder_models
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.resources import models as resource_models
from azure.mgmt.resourcegraph import ResourceGraphClient
from azure.mgmt.resourcegraph import models as graph_models

with open(os.environ["UP_READY"]) as ready:
    READY = json.loads(ready.readline())

SUBSCRIPTION = READY["subscription"]
GROUP, GALLERY, IMAGE, TEMPLATE = "rg-sdk", "galSdk", "web", "it-sdk"
UBUNTU = ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2")
failures = 0


def check(sentence, holds, seen=""):
    global failures
    failures += not holds
    print(f"ok {sentence}" if holds else f"FAIL {sentence} (seen: {seen})", flush=True)


class Token:
    """A bearer that is sent as it is."""

    def get_token(self, *_scopes, **_how):
        return AccessToken("a-token", int(time.time()) + 3600)


def client(kind, **how):
    return kind(
        Token(),
        **how,
        base_url=READY["https"],
        credential_scopes=["https://management.azure.com/.default"],
        connection_verify=READY["authority"],
        retry_total=0,
    )


groups = client(ResourceManagementClient, subscription_id=SUBSCRIPTION)
compute = client(ComputeManagementClient, subscription_id=SUBSCRIPTION)
builder = client(ImageBuilderClient, subscription_id=SUBSCRIPTION)
graph = client(ResourceGraphClient)
templates = builder.virtual_machine_image_templates
versions = compute.gallery_image_versions


def refused(action):
    """Status and code of the refusal that `action` meets."""
    try:
        action()
    except HttpResponseError as error:
        return error.status_code, error.error and error.error.code
    return None


def timed(poller):
    """The poller's result, and how long it took on the wall's clock."""
    began = time.monotonic()
    return poller.result(), time.monotonic() - began


def desk_time():
    """The desk's own clock, from the newest release that it has; near enough for dates."""
    rows = query("resources | where type =~ 'microsoft.compute/galleries/images/versions' "
                 "| project at = tostring(properties.publishingProfile.publishedDate)").data
    return max(datetime.fromisoformat(it["at"][:19]).replace(tzinfo=timezone.utc) for it in rows)


def query(text, **options):
    options = graph_models.QueryRequestOptions(**options) if options else None
    return graph.resources(graph_models.QueryRequest(query=text, options=options))


def group_lives():
    check("a group that is not there: HEAD says no", not groups.resource_groups.check_existence(GROUP))
    made = groups.resource_groups.create_or_update(GROUP, {"location": "westeurope", "tags": {"by": "sdk"}})
    check("a group is created", made.properties.provisioning_state == "Succeeded", made.as_dict())
    check("HEAD says yes, and leaves the connection whole", groups.resource_groups.check_existence(GROUP)
          and groups.resource_groups.get(GROUP).tags == {"by": "sdk"})
    check("the group is in the list", GROUP in [it.name for it in groups.resource_groups.list()])


def gallery_and_definition():
    gallery = compute_models.Gallery(
        location="westeurope",
        properties=compute_models.GalleryProperties(
            soft_delete_policy=compute_models.SoftDeletePolicy(is_soft_delete_enabled=True)),
    )
    made, took = timed(compute.galleries.begin_create_or_update(GROUP, GALLERY, gallery))
    check("a gallery is created through its poller",
          made.properties.provisioning_state == "Succeeded", made.as_dict())
    check("the poller is told to come back in a second, not in its own thirty", took < 15, took)
    check("the gallery's unique name ends in its own",
          made.properties.identifier.unique_name.endswith(f"-{GALLERY.upper()}"),
          made.properties.identifier.unique_name)
    names = [it.name for it in compute.galleries.list()]
    check("the subscription's galleries are listed", {GALLERY, "galContoso"} <= set(names), names)

    definition = compute_models.GalleryImage(
        location="westeurope",
        properties=compute_models.GalleryImageProperties(
            os_type="Linux", os_state="Generalized", hyper_v_generation="V2",
            identifier=compute_models.GalleryImageIdentifier(
                publisher="contoso", offer="sdk", sku="web")),
    )
    made = compute.gallery_images.begin_create_or_update(GROUP, GALLERY, IMAGE, definition).result()
    check("a definition is created", made.properties.identifier.sku == "web", made.as_dict())
    listed = [it.name for it in compute.gallery_images.list_by_gallery(GROUP, GALLERY)]
    check("the gallery lists its definition", listed == [IMAGE], listed)
    twin = compute.gallery_images.begin_create_or_update
    seen = refused(lambda: twin(GROUP, GALLERY, "twin", definition).result())
    check("two definitions cannot share publisher, offer and sku", seen and seen[0] == 409, seen)


def template(version="1.0.0", **properties):
    image = f"{gallery_id()}/images/{IMAGE}/versions/{version}"
    publisher, offer, sku = UBUNTU
    identity = (f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/"
                "Microsoft.ManagedIdentity/userAssignedIdentities/id-builder")
    return builder_models.ImageTemplate(
        location="westeurope",
        identity=builder_models.ImageTemplateIdentity(
            type="UserAssigned", user_assigned_identities={identity: {}}),
        properties=builder_models.ImageTemplateProperties(
            source=builder_models.ImageTemplatePlatformImageSource(
                publisher=publisher, offer=offer, sku=sku, version="latest"),
            customize=[builder_models.ImageTemplateShellCustomizer(
                name="apply-updates", inline=["apt-get update"])],
            distribute=[builder_models.ImageTemplateSharedImageDistributor(
                run_output_name="out", gallery_image_id=image, artifact_tags={"made": "here"},
                exclude_from_latest=True,
                target_regions=[builder_models.TargetRegion(name="westeurope", replica_count=1)])],
            **properties),
    )


def gallery_id():
    return (f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Compute/"
            f"galleries/{GALLERY}")


def template_lives():
    seen = refused(lambda: templates.begin_run(GROUP, TEMPLATE).result())
    check("a template that is not there cannot be run: 404", seen == (404, "ResourceNotFound"), seen)
    made, took = timed(templates.begin_create_or_update(GROUP, TEMPLATE, template()))
    check("a template is created through its poller",
          made.properties.provisioning_state == "Succeeded", made.as_dict())
    check("its base was pinned to an exact version",
          made.properties.source.exact_version.startswith("22.04."), made.properties.source.as_dict())
    seen = refused(lambda: templates.begin_create_or_update(GROUP, TEMPLATE, template()).result())
    check("a template cannot be put over: 409 Conflict", seen == (409, "Conflict"), seen)
    patched = templates.begin_update(GROUP, TEMPLATE, {"tags": {"team": "images"}}).result()
    check("its tags can be patched, through a poller", patched.tags == {"team": "images"}, patched.tags)
    check("it is in the group's list and in the subscription's",
          TEMPLATE in [it.name for it in templates.list_by_resource_group(GROUP)]
          and TEMPLATE in [it.name for it in templates.list()])


def build_is_canceled():
    running = templates.begin_run(GROUP, TEMPLATE)
    seen = refused(lambda: templates.begin_run(GROUP, TEMPLATE).result())
    check("a second run at the same time is refused: 409", seen and seen[0] == 409, seen)
    status = templates.get(GROUP, TEMPLATE).properties.last_run_status
    check("the template says that it runs", status.run_state == "Running", status.as_dict())
    templates.begin_cancel(GROUP, TEMPLATE).result()
    status = templates.get(GROUP, TEMPLATE).properties.last_run_status
    check("a canceled run is Canceling or Canceled", status.run_state in ("Canceling", "Canceled"),
          status.as_dict())
    try:
        running.result()
        seen = "no error"
    except HttpResponseError as error:
        seen = error.message
    check("the run's poller ends with the cancellation", "ancel" in seen, seen)
    status = templates.get(GROUP, TEMPLATE).properties.last_run_status
    check("the run is Canceled", status.run_state == "Canceled", status.as_dict())
    check("a canceled run has no outputs", not list(templates.list_run_outputs(GROUP, TEMPLATE)))
    seen = refused(lambda: templates.begin_cancel(GROUP, TEMPLATE).result())
    check("nothing that runs, nothing to cancel: 409", seen and seen[0] == 409, seen)


def build_ends():
    _, took = timed(templates.begin_run(GROUP, TEMPLATE))
    check("half an hour of building takes seconds of this poller", took < 60, took)
    run = templates.get(GROUP, TEMPLATE).properties.last_run_status
    check("the run has Succeeded, with an end", run.run_state == "Succeeded" and run.end_time,
          run.as_dict())
    outputs = list(templates.list_run_outputs(GROUP, TEMPLATE))
    check("its output names the version",
          [it.properties.artifact_id for it in outputs] == [f"{gallery_id()}/images/{IMAGE}/versions/1.0.0"],
          [it.as_dict() for it in outputs])
    one = templates.get_run_output(GROUP, TEMPLATE, "out")
    check("one output can be read", one.properties.provisioning_state == "Succeeded", one.as_dict())


def versions_change():
    version = versions.get(GROUP, GALLERY, IMAGE, "1.0.0", expand="ReplicationStatus")
    status = version.properties.replication_status
    check("replication status: Completed, each region with it",
          status.aggregated_state == "Completed"
          and [(it.region, it.progress) for it in status.summary] == [("westeurope", 100)],
          status.as_dict())
    check("the version carries the build's tags and is excluded from latest",
          version.tags.get("made") == "here"
          and version.properties.publishing_profile.exclude_from_latest is True, version.as_dict())

    def profile(**more):
        regions = [compute_models.TargetRegion(
            name=it, regional_replica_count=1, storage_account_type="Standard_LRS",
            exclude_from_latest=False) for it in ("westeurope", "northeurope")]
        return compute_models.GalleryImageVersionPublishingProfile(
            target_regions=regions, exclude_from_latest=False, **more)

    update = compute_models.GalleryImageVersionUpdate(
        properties=compute_models.GalleryImageVersionProperties(
            publishing_profile=profile(),
            storage_profile=compute_models.GalleryImageVersionStorageProfile()))
    update = versions.begin_update(GROUP, GALLERY, IMAGE, "1.0.0", update).result()
    regions = {it.name: it.exclude_from_latest for it in update.properties.publishing_profile.target_regions}
    check("PATCH adds a region and lifts the exclusion", regions == {"West Europe": False, "North Europe": False}
          and update.properties.publishing_profile.exclude_from_latest is False, update.as_dict())

    ahead = desk_time() + timedelta(days=400)
    deprecated = compute_models.GalleryImageVersion(
        location="westeurope", tags={"made": "here", "state": "deprecated"},
        properties=compute_models.GalleryImageVersionProperties(
            publishing_profile=profile(end_of_life_date=ahead),
            storage_profile=compute_models.GalleryImageVersionStorageProfile(
                source=version.properties.storage_profile.source)))
    done = versions.begin_create_or_update(GROUP, GALLERY, IMAGE, "1.0.0", deprecated).result()
    end = done.properties.publishing_profile.end_of_life_date
    check("PUT over it sets an end of life and tags", abs(end - ahead) < timedelta(seconds=1)
          and done.tags["state"] == "deprecated", done.as_dict())

    behind = compute_models.GalleryImageVersionUpdate(
        properties=compute_models.GalleryImageVersionProperties(
            publishing_profile=profile(end_of_life_date=datetime(2020, 1, 1, tzinfo=timezone.utc)),
            storage_profile=compute_models.GalleryImageVersionStorageProfile()))
    seen = refused(lambda: versions.begin_update(GROUP, GALLERY, IMAGE, "1.0.0", behind).result())
    check("an end of life that is past is refused: 400 InvalidParameter",
          seen == (400, "InvalidParameter"), seen)

    from_version = compute_models.GalleryImageVersion(
        location="westeurope",
        properties=compute_models.GalleryImageVersionProperties(
            publishing_profile=compute_models.GalleryImageVersionPublishingProfile(
                target_regions=[compute_models.TargetRegion(name="westeurope")], replication_mode="Shallow"),
            storage_profile=compute_models.GalleryImageVersionStorageProfile(
                source=compute_models.GalleryArtifactVersionFullSource(
                    id=f"{gallery_id()}/images/{IMAGE}/versions/1.0.0"))))
    versions.begin_create_or_update(GROUP, GALLERY, IMAGE, "1.1.0", from_version).result()
    listed = [it.name for it in versions.list_by_gallery_image(GROUP, GALLERY, IMAGE)]
    check("a version made from a version is listed beside it", sorted(listed) == ["1.0.0", "1.1.0"], listed)
    seen = refused(lambda: versions.begin_create_or_update(GROUP, GALLERY, IMAGE, "1.2", from_version).result())
    check("1.2 is no version number: 400", seen and seen[0] == 400, seen)


def tags_and_resources():
    scope = f"{gallery_id()}/images/{IMAGE}/versions/1.1.0"

    def patch(operation, tags):
        change = resource_models.TagsPatchResource(operation=operation, properties={"tags": tags})
        return groups.tags.begin_update_at_scope(scope, change).result().properties.tags

    check("tags merge", patch("Merge", {"a": "1", "b": "2"}) == {"a": "1", "b": "2"})
    check("tags are deleted by name", patch("Delete", {"a": "1"}) == {"b": "2"})
    check("tags are replaced", patch("Replace", {"c": "3"}) == {"c": "3"})
    check("the version shows them", versions.get(GROUP, GALLERY, IMAGE, "1.1.0").tags == {"c": "3"})
    check("tags can be read at their scope", groups.tags.get_at_scope(scope).properties.tags == {"c": "3"})

    kind = "Microsoft.Compute/galleries/images/versions"
    listed = groups.resources.list(filter=f"resourceType eq '{kind}'", expand="createdTime,changedTime,provisioningState")
    ours = [it for it in listed if it.id.startswith(gallery_id())]
    check("the resources of a type are listed, nested ones too, with what was expanded",
          sorted(it.name for it in ours) == ["galSdk/web/1.0.0", "galSdk/web/1.1.0"]
          and all(it.created_time and it.provisioning_state == "Succeeded" for it in ours),
          [it.as_dict() for it in ours])
    in_group = [it.type for it in groups.resources.list_by_resource_group(GROUP)]
    check("a group's resources are listed", {"Microsoft.Compute/galleries",
          "Microsoft.VirtualMachineImages/imageTemplates"} <= set(in_group), in_group)
    tagged = [it.id for it in groups.resources.list(filter="tagName eq 'c' and tagValue eq '3'")]
    check("resources are found by tag", tagged == [scope], tagged)
    named = [it.id for it in groups.resources.list(filter=f"resourceType eq '{kind}' and name eq '1.1.0' and resourceGroup eq '{GROUP}'")]
    check("resources are found by type, name and group", named == [scope], named)
    provider = groups.providers.get("Microsoft.Compute")
    nested = {it.resource_type: it.api_versions for it in provider.resource_types}
    check("a provider tells the api-versions of nested types, the newest first",
          nested[kind.split("/", 1)[1]][0] == "2026-03-03", nested)
    read = groups.resources.get_by_id(scope, api_version="2026-03-03")
    check("a resource can be read by its id", read.name == "1.1.0", read.as_dict())


def graph_answers():
    kind = "microsoft.compute/galleries/images/versions"
    everything = query(f"resources | where type =~ '{kind}' | project id | order by id asc")
    rows, token = [], None
    pages = 0
    while True:
        options = {"top": 3, "skip_token": token} if token else {"top": 3}
        page = query(f"resources | where type =~ '{kind}' | project id | order by id asc", **options)
        rows += [it["id"] for it in page.data]
        token, pages = page.skip_token, pages + 1
        if not token:
            break
    check("Resource Graph gives pages of three until there is no token",
          rows == [it["id"] for it in everything.data] and pages > 2, (pages, rows))
    check("it counts", query(f"resources | where type =~ '{kind}' | summarize n = count()").data[0]["n"] == len(rows))
    table = query("resources | where type =~ 'microsoft.compute/galleries' | project name", result_format="table")
    check("it answers with a table when it is asked for one", table.data["columns"][0]["name"] == "name"
          and [GALLERY] in table.data["rows"], table.data)
    seen = refused(lambda: query("resources | nonsense"))
    check("a query that means nothing is a 400", seen and seen[0] == 400, seen)


def platform_and_machines():
    publisher, offer, sku = UBUNTU
    images = compute.virtual_machine_images
    listed = images.list("westeurope", publisher, offer, sku)
    newest = images.list("westeurope", publisher, offer, sku, top=1, orderby="name desc")
    check("platform images: the newest is the last of the list", newest[0].name == listed[-1].name,
          [it.name for it in listed])
    one = images.get("westeurope", publisher, offer, sku, newest[0].name)
    check("one platform image tells its disk and its generation",
          one.properties.os_disk_image.operating_system == "Linux" and one.properties.hyper_v_generation == "V2", one.as_dict())
    names = [it.name for it in images.list_publishers("westeurope")]
    check("publishers are listed", publisher in names, names)
    check("offers and skus are listed",
          offer in [it.name for it in images.list_offers("westeurope", publisher)]
          and sku in [it.name for it in images.list_skus("westeurope", publisher, offer)])
    try:
        images.get("westeurope", publisher, offer, sku, "1.2.3")
        seen = "no error"
    except ResourceNotFoundError as error:
        seen = error.error.code
    check("a platform image that is not there: ResourceNotFoundError", seen == "NotFound", seen)

    machines = {it.name: it for it in compute.virtual_machines.list_all()}
    check("the machines of the subscription are listed", "vm-jump" in machines, list(machines))
    jump = compute.virtual_machines.get("rg-platform-tools", "vm-jump", expand="instanceView")
    check("a machine tells its image and that it runs",
          jump.properties.storage_profile.image_reference.exact_version == "1.8.0"
          and jump.properties.instance_view.statuses[-1].code == "PowerState/running", jump.as_dict())
    sets = client(ComputeManagementClient, subscription_id="b7e0a2c4-5d1f-4f0a-9c3e-2f6d8a1b9e70")
    found = [it.name for it in sets.virtual_machine_scale_sets.list_all()]
    check("scale sets are listed, those without machines too", sorted(found) == ["vmss-month-end", "vmss-web"], found)
    instances = list(sets.virtual_machine_scale_set_vms.list("rg-shop-production", "vmss-web"))
    check("a scale set tells its instances", len(instances) == 3, len(instances))


def errors_have_codes():
    def code(action):
        return refused(action)

    seen = code(lambda: compute.galleries.get(GROUP, "none"))
    check("a gallery that is not there: 404 ResourceNotFound", seen == (404, "ResourceNotFound"), seen)
    seen = code(lambda: compute.galleries.get("rg-none", "none"))
    check("a group that is not there: 404 ResourceGroupNotFound", seen == (404, "ResourceGroupNotFound"), seen)
    seen = code(lambda: groups.resources.get_by_id(gallery_id(), api_version="1999-01-01"))
    check("an api-version that never was: 400 NoRegisteredProviderFound",
          seen == (400, "NoRegisteredProviderFound"), seen)
    seen = code(lambda: compute.availability_sets.get(GROUP, "none"))
    check("what the desk does not have: 404 InvalidResourceType", seen == (404, "InvalidResourceType"), seen)
    other = client(ComputeManagementClient, subscription_id="d2a94b60-71c8-4e35-8f0d-9b5e6c7a8d19")
    seen = code(lambda: list(other.virtual_machines.list_all()))
    check("a subscription that may not be read: 404 SubscriptionNotFound", seen == (404, "SubscriptionNotFound"), seen)


def deletion_and_return():
    seen = refused(lambda: compute.gallery_images.begin_delete(GROUP, GALLERY, IMAGE).result())
    check("a definition with versions cannot be deleted: 409", seen and seen[0] == 409, seen)
    seen = refused(lambda: compute.galleries.begin_delete(GROUP, GALLERY).result())
    check("nor a gallery with definitions: 409", seen and seen[0] == 409, seen)

    versions.begin_delete(GROUP, GALLERY, IMAGE, "1.1.0").result()
    seen = refused(lambda: versions.get(GROUP, GALLERY, IMAGE, "1.1.0"))
    check("a deleted version is gone, says its poller and a 404", seen == (404, "ResourceNotFound"), seen)
    kept = list(compute.soft_deleted_resource.list_by_artifact_name(GROUP, GALLERY, "images", IMAGE))
    check("it is kept among the soft-deleted", [it.name for it in kept] == ["1.1.0"], [it.as_dict() for it in kept])
    back = compute_models.GalleryImageVersion(location="westeurope", tags={"came": "back"})
    back = versions.begin_create_or_update(GROUP, GALLERY, IMAGE, "1.1.0", back).result()
    check("a PUT of location and tags brings it back", back.properties.provisioning_state == "Succeeded"
          and back.tags == {"came": "back"}, back.as_dict())
    for number in ("1.1.0", "1.0.0"):
        versions.begin_delete(GROUP, GALLERY, IMAGE, number, bypass_soft_delete=True).result()
    kept = list(compute.soft_deleted_resource.list_by_artifact_name(GROUP, GALLERY, "images", IMAGE))
    check("nothing is kept of what was deleted past the policy", kept == [], [it.as_dict() for it in kept])
    versions.begin_delete(GROUP, GALLERY, IMAGE, "9.9.9").result()
    check("deleting what is not there is no error", True)

    compute.gallery_images.begin_delete(GROUP, GALLERY, IMAGE).result()
    compute.galleries.begin_delete(GROUP, GALLERY).result()
    templates.begin_delete(GROUP, TEMPLATE).result()
    check("template, definition and gallery are gone",
          TEMPLATE not in [it.name for it in templates.list()]
          and GALLERY not in [it.name for it in compute.galleries.list()])
    groups.resource_groups.begin_delete(GROUP).result()
    check("and so is the group", not groups.resource_groups.check_existence(GROUP))


for part in (group_lives, gallery_and_definition, template_lives, build_is_canceled, build_ends,
             versions_change, tags_and_resources, graph_answers, platform_and_machines,
             errors_have_codes, deletion_and_return):
    try:
        part()
    except Exception as error:  # one part that breaks off must not hide the others
        check(f"{part.__name__} goes to its end", False, f"{type(error).__name__}: {error}")

sys.exit(1 if failures else 0)
