//! Everything in Azure's wires that bites: what it is, where it is known from, and the tests that
//! prove the client and the sandbox right about it. A test that is renamed or lost fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::desk::root;

/// What proves one side.
enum Proof {
    /// A test, and the file that it is in.
    Test(&'static str, &'static str),
    /// Nothing has to be proven, because of this.
    Needless(&'static str),
}

use Proof::Needless;

/// One bite.
struct Bite {
    what: &'static str,
    /// The section of the notes on Azure, or the recording.
    from: &'static str,
    client: Proof,
    sandbox: Proof,
}

const fn bite(what: &'static str, from: &'static str, client: Proof, sandbox: Proof) -> Bite {
    Bite { what, from, client, sandbox }
}

const fn test(file: &'static str, test: &'static str) -> Proof {
    Proof::Test(file, test)
}

const API: &str = "crates/arm/src/api.rs";
const BODIES: &str = "crates/arm/tests/conversations/bodies.rs";
const C_CLOUDS: &str = "crates/arm/tests/conversations/clouds.rs";
const C_ERRORS: &str = "crates/arm/tests/conversations/errors.rs";
const C_GRAPH: &str = "crates/arm/tests/conversations/graph.rs";
const C_LISTS: &str = "crates/arm/tests/conversations/lists.rs";
const C_TEMPLATES: &str = "crates/arm/tests/conversations/templates.rs";
const C_VERSIONS: &str = "crates/arm/tests/conversations/versions.rs";
const DATE: &str = "crates/arm/src/date.rs";
const DEFINITIONS: &str = "crates/arm/tests/conversations/definitions.rs";
const GRAPH_RECORDED: &str = "crates/arm/src/graph/recorded.rs";
const ID: &str = "crates/arm/src/id.rs";
const IN_USE: &str = "crates/rules/src/in_use/tests.rs";
const PLATFORM: &str = "crates/arm/src/platform.rs";
const READABLE: &str = "crates/arm/src/readable.rs";
const RECORDED: &str = "crates/arm/tests/conversations/recorded.rs";
const RECORDINGS: &str = "crates/arm/tests/conversations/recordings.rs";
const REFUSAL: &str = "crates/arm/src/refusal.rs";
const SECRETS: &str = "crates/arm/tests/conversations/secrets.rs";
const STATE: &str = "crates/arm/src/state.rs";
const WAIT: &str = "crates/arm/src/wait.rs";
const WALK: &str = "tests/it/hard_answers.rs";

const ADMISSION: &str = "crates/sandbox/tests/azure/admission.rs";
const BUILDS: &str = "crates/sandbox/tests/azure/builds.rs";
const CLOUDS: &str = "crates/sandbox/tests/azure/clouds.rs";
const CHANGES: &str = "crates/sandbox/tests/azure/version_changes.rs";
const GALLERIES: &str = "crates/sandbox/tests/azure/galleries.rs";
const GRAPH: &str = "crates/sandbox/tests/azure/resource_graph.rs";
const MACHINES: &str = "crates/sandbox/tests/azure/machines.rs";
const MARKET: &str = "crates/sandbox/tests/azure/marketplace.rs";
const MOMENT: &str = "crates/sandbox/src/azure/moment.rs";
const SOFT: &str = "crates/sandbox/tests/azure/soft_delete.rs";
const TEMPLATES: &str = "crates/sandbox/tests/azure/templates.rs";
const VERSIONS: &str = "crates/sandbox/tests/azure/versions.rs";

/// The bites, in the order of their sentences.
#[rustfmt::skip]
const BITES: &[Bite] = &[
    bite("201, and then a Failed template whose two codes differ", "ib_create_failed_vmprofile", test(RECORDED, "a_template_that_was_created_and_then_failed_says_why"), test(TEMPLATES, "a_template_with_a_fault_is_created_and_then_fails")),
    bite("201, and then a Failed template: the run ends and the template is deleted", "ib_create_failed_vmprofile", test(WALK, "a_template_that_was_made_and_then_failed_ends_its_run_and_is_tidied"), test(TEMPLATES, "a_template_with_a_fault_is_created_and_then_fails")),
    bite("404 SubscriptionNotFound is said of a subscription that may not be read too", "arm.md 1", test(C_CLOUDS, "a_subscription_that_may_not_be_read_does_not_make_its_versions_gone"), test(ADMISSION, "what_is_not_there_is_named")),
    bite("429 OperationNotAllowed is a used-up quota of Compute, no forbidden operation", "throttling_policies", test(REFUSAL, "every_recorded_shape_is_read"), test(ADMISSION, "a_quota_runs_out_and_says_when_to_come_again")),
    bite("429 means busy with some providers", "errors", test(REFUSAL, "every_recorded_shape_is_read"), Needless("no provider that the sandbox plays was recorded saying so")),
    bite("DELETE and POST answer with both headers", "gallery_e2e", test(SECRETS, "a_signed_status_url_is_neither_followed_nor_logged_nor_shown"), test(VERSIONS, "a_deletion_takes_its_time_and_answers_with_both_headers")),
    bite("PUT answers with Azure-AsyncOperation only", "gallery_e2e", test(C_TEMPLATES, "a_made_template_is_told_from_one_that_was_there"), test(GALLERIES, "a_put_answers_with_the_async_header_alone_and_is_done_at_once")),
    bite("PUT of location and tags restores a deleted version", "gallery_soft_delete_2026-03-03", test(WALK, "a_version_is_put_only_after_the_same_step_has_read_it_since_a_put_restores"), test(SOFT, "a_put_of_location_and_tags_restores")),
    bite("PUT over an existing template is Conflict, over a failed one too", "arm.md 2", test(C_TEMPLATES, "a_template_over_an_existing_one_is_a_conflict"), test(TEMPLATES, "a_put_over_a_template_is_a_conflict_also_over_a_failed_one")),
    bite("PUT over our own template goes on with what is there", "arm.md 2", test(WALK, "a_template_of_ours_that_is_there_already_is_gone_on_with"), test(TEMPLATES, "a_put_over_a_template_is_a_conflict_also_over_a_failed_one")),
    bite("Resource Graph is minutes behind", "arm.md 4", test(WALK, "a_resource_graph_that_lags_behind_costs_no_version_that_is_in_use"), test(CLOUDS, "resource_graph_tells_what_was_there_some_minutes_ago")),
    bite("Resource Graph leaves out what may not be read, silently", "arm.md 4", test(C_GRAPH, "a_declared_subscription_that_nobody_sees_is_unreadable"), test(GRAPH, "what_may_not_be_read_is_silently_missing_and_refused_alone")),
    bite("Resource Graph says 403 when it may read nothing", "arm.md 4", test(C_GRAPH, "a_scope_that_is_forbidden_is_unreadable_and_no_error"), test(GRAPH, "what_may_not_be_read_is_silently_missing_and_refused_alone")),
    bite("Resource Graph says how long its quota needs in a header of its own", "resource_graph_queries", test(C_GRAPH, "a_throttled_question_says_when_the_quota_is_back"), test(GRAPH, "fifteen_queries_in_five_seconds_are_enough")),
    bite("Succeeded is not ready: Completed is, region by region", "arm.md 3", test("crates/rules/src/rings.rs", "a_region_that_is_not_completed_holds_its_whole_ring_and_is_named"), test(CLOUDS, "a_region_can_fail_although_its_version_succeeded_and_the_same_put_cures_it")),
    bite("a GET fails for a while during a long run, and the build does not", "arm.md 2", test(WALK, "a_look_that_fails_is_no_build_that_failed"), Needless("the walk's test changes the answers")),
    bite("a PATCH of a template may not drop a target", "arm.md 2", Needless("the client patches nothing: another template is made"), test(TEMPLATES, "a_patch_changes_tags_and_may_not_drop_a_target")),
    bite("a POST must say how long it is", "ib_run_managed_image", test(C_TEMPLATES, "a_run_is_posted_with_no_body"), Needless("the sandbox forgives it, as a router in the same process must")),
    bite("a bad query is refused with details of a form of their own", "errors", test(REFUSAL, "the_details_of_a_bad_query_are_named"), test(GRAPH, "a_bad_query_is_refused_with_its_place")),
    bite("a cancellation is answered 204 while the run is only Canceling", "ib_cancel", test(RECORDED, "a_cancelled_run_is_first_only_canceling_and_has_no_end"), test(BUILDS, "a_cancellation_is_answered_before_it_is_done")),
    bite("a changed flag takes two and a half minutes", "gallery_version_end_of_life_2026", Needless("nothing waits: the version is looked at until it is Succeeded"), test(CHANGES, "a_changed_attribute_takes_two_and_a_half_minutes")),
    bite("a cloud has none of our api-versions", "arm.md 0", test(C_CLOUDS, "a_cloud_with_none_of_our_api_versions_is_refused_politely"), test(ADMISSION, "an_unknown_api_version_is_refused_with_those_that_exist")),
    bite("a cloud lacks the newest api-version, and its refusal names none", "arm.md 0", test(C_CLOUDS, "a_refusal_that_names_no_api_version_leads_to_the_provider"), test(ADMISSION, "providers_tell_the_api_versions_of_nested_types_newest_first")),
    bite("a cloud lacks the newest api-version, and its refusal names the others", "arm.md 0", test(C_CLOUDS, "a_cloud_without_the_newest_api_version_is_asked_once_more_with_an_older_one"), test(CLOUDS, "a_cloud_that_lacks_an_api_version_names_those_that_it_has")),
    bite("a cloud lacks the newest api-versions from one end of the walk to the other", "arm.md 0", test(WALK, "a_cloud_without_the_newest_api_versions_is_walked_all_the_same"), test(CLOUDS, "a_cloud_that_lacks_an_api_version_names_those_that_it_has")),
    bite("a definition with soft-deleted versions cannot be deleted", "arm.md 3", Needless("the client deletes no definition"), test(SOFT, "a_definition_with_kept_versions_is_not_deleted")),
    bite("a deleted version keeps its number until it is gone for good", "arm.md 3", test(WALK, "the_number_of_a_soft_deleted_version_counts_as_taken"), test(SOFT, "a_kept_version_is_gone_after_its_grace_period")),
    bite("a deletion can bypass the soft one, since 2026-03-03 only", "arm.md 3", test(WALK, "a_deletion_is_never_told_to_bypass_the_soft_one"), test(CLOUDS, "an_older_api_version_does_not_know_how_to_bypass_the_soft_deletion")),
    bite("a distribution is live at once unless it says otherwise", "arm.md 6", test(BODIES, "a_template_says_what_is_meant"), test(BUILDS, "the_version_carries_what_image_builder_adds")),
    bite("a flag of a region that was never said is absent, not false", "gallery_e2e", test(C_VERSIONS, "a_flag_that_was_never_said_is_not_the_same_as_false"), test(VERSIONS, "how_the_two_exclusions_work_together_is_a_variant")),
    bite("a group's deletion answers with a new Location each time", "resource_group_delete_polling", Needless("the client deletes no group and follows no Location"), test(ADMISSION, "a_group_lives_and_dies")),
    bite("a list leads to itself", "arm.md 1", test(C_LISTS, "a_list_that_leads_to_itself_ends"), Needless("a fault of nobody that was seen")),
    bite("a machine at latest may not say which version it runs", "arm.md 4", test(IN_USE, "without_any_evidence_it_may_use_every_version_and_is_named"), test(MACHINES, "whether_a_machine_on_latest_tells_its_version_is_a_variant")),
    bite("a next link leads to another host", "arm.md 1", test(C_LISTS, "a_next_link_to_another_host_is_not_followed_and_not_shown"), Needless("the sandbox names its own address alone")),
    bite("a platform image with a plan needs the plan in the template", "arm.md 5", test(BODIES, "a_template_says_what_is_meant"), test(TEMPLATES, "a_template_with_a_fault_is_created_and_then_fails")),
    bite("a platform's list of versions is a bare array, or wrapped", "platform_images_list", test(DEFINITIONS, "platform_versions_come_as_a_bare_list_or_a_wrapped_one"), test(MARKET, "lists_are_bare_arrays_and_ids_begin_with_a_capital")),
    bite("a refusal on a later page is not half a list", "arm.md 1", test(C_LISTS, "a_refusal_on_a_later_page_is_not_half_a_list"), Needless("any answer may be a refusal")),
    bite("a region fails although its version Succeeded, and the same PUT cures it", "arm.md 3", test(WALK, "a_region_that_failed_in_a_version_that_succeeded_is_asked_for_again"), test(CLOUDS, "a_region_can_fail_although_its_version_succeeded_and_the_same_put_cures_it")),
    bite("a region fails, and its version with it", "arm.md 3", test(WALK, "a_region_that_failed_in_a_version_that_succeeded_is_asked_for_again"), test(CHANGES, "a_region_that_is_out_fails_and_a_repeated_request_cures_it")),
    bite("a region is removed only after the safety profile was lifted", "arm.md 3", test(WALK, "a_region_is_given_up_by_a_second_put_after_the_first_has_lifted_the_safety"), test(CHANGES, "a_region_is_removed_only_after_the_safety_profile_was_lifted")),
    bite("a run is Failed or PartiallySucceeded, and its version is there", "arm.md 6", test(WALK, "a_run_that_failed_and_published_all_the_same_is_never_offered_and_is_retired"), test(BUILDS, "a_failed_validation_may_publish_all_the_same")),
    bite("a run of several targets is PartiallySucceeded", "arm.md 2", test(WALK, "a_run_that_failed_and_published_all_the_same_is_never_offered_and_is_retired"), test(BUILDS, "one_of_two_targets_makes_a_partial_success")),
    bite("a scale set of size 0 uses its image", "arm.md 4", test(IN_USE, "a_scale_set_of_size_0_counts"), test(MACHINES, "a_scale_set_refers_to_its_image_also_at_size_zero")),
    bite("a second run is refused, and attached to", "arm.md 2", test(WALK, "a_run_that_is_refused_because_one_is_running_is_attached_to"), test(BUILDS, "a_second_run_is_refused_and_so_is_a_deletion")),
    bite("a state has a name that no document has", "gallery_soft_delete_2026-03-03", test(STATE, "a_state_that_nobody_told_us_of_is_kept_and_is_none_of_ours"), test(VERSIONS, "a_new_api_version_tells_validations_and_an_old_one_does_not")),
    bite("a state that nobody knows is waited out, never taken as good", "gallery_soft_delete_2026-03-03", test(WALK, "states_that_nobody_knows_are_waited_out_and_never_taken_as_good"), Needless("the walk's test changes the answers")),
    bite("a status URL is signed, some 3,100 characters long, and secret", "gallery_e2e", test(SECRETS, "a_signed_status_url_is_neither_followed_nor_logged_nor_shown"), test(VERSIONS, "status_addresses_are_long_signed_and_secret")),
    bite("a status operation expires, and the resource is the truth", "arm.md 1", test(WALK, "no_status_operation_is_ever_asked_for_so_an_expired_one_costs_nothing"), test(VERSIONS, "an_operation_is_forgotten_a_day_after_its_end")),
    bite("a template reads strictly: an unknown member is refused", "arm.md 6", test(BODIES, "microsofts_specifications_know_every_member_that_we_send"), test(TEMPLATES, "unknown_members_are_refused_since_2024")),
    bite("a template that runs may not be deleted", "arm.md 2", test(C_TEMPLATES, "a_deletion_goes_on_or_is_over"), test(BUILDS, "a_second_run_is_refused_and_so_is_a_deletion")),
    bite("a template's ids have resourcegroups in lower case", "ib_create_list_delete", test(C_TEMPLATES, "a_template_is_read"), test(TEMPLATES, "a_template_is_created_as_recorded")),
    bite("a token stands beside resultTruncated false", "resource_graph_queries", test(GRAPH_RECORDED, "the_recorded_token_is_followed_beside_resulttruncated_false_and_a_moved_total_is_told"), test(GRAPH, "pages_are_followed_by_their_token_although_nothing_is_truncated")),
    bite("a truncated answer without a token is not whole", "arm.md 4", test(C_GRAPH, "a_truncated_answer_without_a_token_is_not_complete"), test(GRAPH, "without_an_id_there_is_no_token_and_the_answer_is_truncated")),
    bite("a type that a cloud does not have is answered 404, and nothing is gone", "arm.md 0", test(C_CLOUDS, "a_type_that_a_cloud_does_not_have_is_not_taken_as_gone"), test(ADMISSION, "what_is_not_there_is_named")),
    bite("a validator's status is NotExecuted, which no document has", "gallery_soft_delete_2026-03-03", test(C_VERSIONS, "a_version_is_read_and_its_two_spellings_of_a_region_are_one"), test(VERSIONS, "a_new_api_version_tells_validations_and_an_old_one_does_not")),
    bite("a version can be kept from deletion before its end of life", "arm.md 3", test(C_VERSIONS, "a_version_protected_until_its_end_of_life_may_not_be_deleted"), test(VERSIONS, "a_version_can_be_kept_from_deletion_before_its_end_of_life")),
    bite("a version that is Creating has no disk", "gallery_e2e", test(C_VERSIONS, "a_version_that_is_being_created_has_no_disk_yet"), test(VERSIONS, "a_version_is_creating_for_as_long_as_recorded")),
    bite("an empty page has a next link", "paging_empty_pages", test(RECORDED, "the_match_on_the_second_of_six_pages_is_found"), test(CLOUDS, "a_filtered_list_of_resources_begins_and_ends_with_an_empty_page")),
    bite("an empty storage profile keeps the source, and makes no version", "gallery_e2e", test(C_VERSIONS, "an_update_says_every_regions_flag_and_keeps_the_source"), test(VERSIONS, "a_create_needs_a_source_that_is_there")),
    bite("an end of life must lie ahead", "errors", test(WALK, "an_end_of_life_that_is_sent_lies_ahead"), test(CHANGES, "an_end_of_life_must_lie_ahead")),
    bite("an exact version is latest until it is known", "ib_create_shared_image", test(C_TEMPLATES, "a_base_that_is_not_resolved_yet_has_no_exact_version"), test(TEMPLATES, "a_template_is_created_as_recorded")),
    bite("an image's id is the beginning of another's", "arm.md 4", test(IN_USE, "another_image_is_passed_over_even_when_its_name_begins_the_same"), test(GRAPH, "the_users_of_an_image_are_found")),
    bite("an instance of a scale set runs another version than the model names", "arm.md 4", test(C_GRAPH, "the_instances_of_a_scale_set_are_read_from_the_set"), test(MACHINES, "a_scale_set_refers_to_its_image_also_at_size_zero")),
    bite("an update of a deleted version is refused: it is marked for deletion", "arm.md 3", test(REFUSAL, "every_recorded_shape_is_read"), test(VERSIONS, "a_deletion_takes_its_time_and_answers_with_both_headers")),
    bite("dates have seven digits, or fewer, with an offset", "gallery_e2e", test(DATE, "every_recorded_number_of_digits_is_read_to_the_nanosecond"), test(MOMENT, "ticks_are_those_of_dotnet")),
    bite("dates of a run have nine digits", "ib_run_managed_image", test(C_TEMPLATES, "a_running_build_has_nine_digits_and_no_end"), test(BUILDS, "a_run_walks_through_its_states")),
    bite("definitions get other defaults from newer api-versions", "gallery_definition_defaults", test(DEFINITIONS, "a_made_definition_says_its_generation_and_security"), test(GALLERIES, "a_definition_gets_the_defaults_of_its_api_version")),
    bite("errors come wrapped, unwrapped, in capitals, as a lone Message, as text, as HTML, empty", "errors", test(RECORDINGS, "every_recorded_refusal_becomes_an_error_of_its_kind"), Needless("the sandbox speaks for the providers that wrap them")),
    bite("fewer rows arrive than there are", "resource_graph_queries", test(C_GRAPH, "fewer_rows_than_there_are_is_told"), test(CLOUDS, "rows_move_between_the_pages_of_resource_graph")),
    bite("ids change their case", "ib_create_list_delete", test(ID, "an_id_in_another_case_is_the_same_resource"), test(ADMISSION, "paths_are_matched_without_regard_to_case")),
    bite("latest of a platform is the highest by numbers, not by text", "platform_images_list", test(PLATFORM, "parts_are_compared_as_numbers"), test(MARKET, "the_order_by_name_is_one_of_texts")),
    bite("lists have the group in upper case", "gallery_list_upper_case_2020_java", test(ID, "an_id_in_another_case_is_the_same_resource"), test(GALLERIES, "lists_of_galleries_have_the_group_in_upper_case")),
    bite("lists of versions and templates span pages", "arm.md 1", test(WALK, "lists_in_pages_of_one_tell_the_same_story"), test(CLOUDS, "every_list_can_be_cut_into_pages")),
    bite("logs die with the template and its staging group", "arm.md 6", test(DEFINITIONS, "the_storage_account_of_a_staging_group_is_found"), test(TEMPLATES, "the_staging_group_holds_a_storage_account_and_dies_with_the_template")),
    bite("messages hold signed URLs", "arm.md 6", test(READABLE, "a_signature_in_a_url_is_not_shown"), test(BUILDS, "a_failing_step_fails_the_run_and_its_log_says_why")),
    bite("one body says East US 2 and eastus2", "gallery_version_replication_status", test(RECORDED, "both_spellings_of_a_region_in_one_answer_are_one_region"), test(VERSIONS, "one_body_spells_a_region_in_two_ways")),
    bite("replication is told with $expand alone, and not in lists", "gallery_version_replication_status", test(C_VERSIONS, "a_version_is_read_and_its_two_spellings_of_a_region_are_one"), test(VERSIONS, "replication_is_told_with_expand_alone")),
    bite("rows move between the pages of Resource Graph", "resource_graph_queries", test(C_GRAPH, "a_total_that_changes_between_pages_is_told"), test(CLOUDS, "rows_move_between_the_pages_of_resource_graph")),
    bite("soft-deleted versions are listed with their dates", "gallery_soft_delete_2026-03-03", test(DEFINITIONS, "soft_deleted_versions_are_listed"), test(SOFT, "a_deleted_version_is_listed_with_its_dates")),
    bite("targetRegions is a whole list, with the home region", "arm.md 3", test(WALK, "a_version_is_put_with_its_whole_list_of_regions_home_among_them_and_every_flag"), test(VERSIONS, "the_regions_must_contain_home_and_none_twice")),
    bite("the gateway gives up, and the write may have been passed on", "errors", test(C_ERRORS, "a_gateway_that_gave_up_may_have_passed_the_write_on"), Needless("a wire that loses answers is the desk's own (tests/it/faults.rs)")),
    bite("the same instant is written with Z and with +00:00", "gallery_version_replication_status", test(DATE, "the_same_instant_in_two_spellings_is_the_same"), test(VERSIONS, "a_version_can_be_kept_from_deletion_before_its_end_of_life")),
    bite("the source of a version never changes", "arm.md 3", test(C_VERSIONS, "an_update_says_every_regions_flag_and_keeps_the_source"), test(CHANGES, "the_source_the_storage_and_the_location_never_change")),
    bite("the wait is in the header, in the quota's header, or in the text", "errors", test(WAIT, "the_wait_is_read_from_the_header_the_quota_and_the_text"), test(ADMISSION, "a_quota_runs_out_and_says_when_to_come_again")),
    bite("values are echoed as null or added by the service", "ib_output_versioning", test(RECORDED, "what_the_service_adds_or_echoes_as_null_is_no_obstacle"), test(TEMPLATES, "a_versioning_that_was_sent_comes_back_as_null")),
    bite("what is sent with an older api-version is the same", "arm.md 0", test(API, "the_newest_that_both_speak_is_asked_for"), test(CLOUDS, "a_cloud_that_lacks_an_api_version_names_those_that_it_has")),
    bite("without a number Image Builder takes one of its own", "arm.md 6", test(BODIES, "a_template_says_what_is_meant"), test(BUILDS, "without_a_number_the_first_is_one_and_then_the_patch_rises")),
    bite("x-ms-failure-cause says whether ARM or the provider failed", "errors", test(REFUSAL, "who_has_failed_is_told"), test(ADMISSION, "an_api_version_is_required")),
    bite("year 1 is the end of what has not ended", "ib_run_managed_image", test(DATE, "the_year_one_means_not_yet"), test(BUILDS, "a_run_walks_through_its_states")),
    bite("year 9999 is a date", "platform_image_latest_2026", test(DATE, "the_end_of_the_year_9999_does_not_overflow"), test(MARKET, "one_version_tells_its_plan_and_the_end_of_time")),
];

/// Whether `file` has a test of this name.
fn is_there(file: &str, test: &str) -> bool {
    let text = fs::read_to_string(root().join(file)).unwrap_or_default();
    let mut before = "";
    for line in text.lines().map(str::trim) {
        let head = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        let name = head.and_then(|it| it.split('(').next());
        if name == Some(test)
            && (before.starts_with("#[test") || before.starts_with("#[tokio::test"))
        {
            return true;
        }
        before = line;
    }
    false
}

#[test]
fn each_bite_has_a_test_of_the_client_and_one_of_the_sandbox() {
    let mut missing = Vec::new();
    for Bite { what, client, sandbox, .. } in BITES {
        for proof in [client, sandbox] {
            match proof {
                Proof::Test(file, test) if is_there(file, test) => {}
                Proof::Test(file, test) => missing.push(format!("{what}: {file} has no {test}")),
                Needless(because) => assert!(because.len() > 10, "{what} needs a reason"),
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_bites_are_sorted_and_each_is_there_once() {
    let sentences: Vec<&str> = BITES.iter().map(|it| it.what).collect();
    let sorted: Vec<&str> =
        sentences.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();

    assert_eq!(sentences, sorted);
}

#[test]
fn each_bite_is_known_from_a_section_of_the_notes_or_from_a_recording() {
    let recordings = root().join("../shared/reference/recordings");
    if !recordings.is_dir() {
        println!("skipped: the recordings are not here");
        return;
    }
    for Bite { what, from, .. } in BITES {
        let is_recording = recordings.join(format!("{from}.json")).is_file();
        assert!(from.starts_with("arm.md ") || is_recording, "{what}: {from}");
    }
}

/// The test that each mutant is caught by, or the beginning of some, or a module of them; by the
/// mutant's name.
fn guards() -> BTreeMap<String, String> {
    let entries = fs::read_dir(root().join("tests/mutants")).unwrap();
    let patches = entries
        .map(|it| it.unwrap().path())
        .filter(|it| it.extension().is_some_and(|it| it == "patch"));
    let guard = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let caught = text.lines().find_map(|it| it.strip_prefix("# caught by: ")).unwrap();
        let test = caught.split([' ', ':']).next_back().unwrap().to_owned();
        (path.file_stem().unwrap().to_string_lossy().into_owned(), test)
    };
    patches.map(guard).collect()
}

/// The cures that `tests/mutants/` takes away are caught by tests that are there.
#[test]
fn each_mutant_names_a_test_that_is_there() {
    let mut files = Vec::new();
    for folder in ["crates", "functions", "tests", "src"] {
        crate::layout::rust_files(root().join(folder)).into_iter().for_each(|it| files.push(it));
    }
    let sources: Vec<String> = files.iter().map(|it| fs::read_to_string(it).unwrap()).collect();
    for (mutant, test) in guards() {
        let there = sources.iter().any(|it| it.contains(&format!("fn {test}")))
            || files.iter().any(|it| it.to_string_lossy().contains(&test));
        assert!(there && !test.is_empty(), "{mutant}: no test is called {test}");
    }
}

/// Tests of bites that no mutant names, by their file or their name, and why.
const WITHOUT_A_MUTANT: &[(&str, &str)] = &[(
    "a_resource_graph_that_lags_behind_costs_no_version_that_is_in_use",
    "the cure is how long a version has been hidden before it is deleted; no line is about lag",
)];

/// And the other way round: the cure of each bite can be taken away, and its test is seen to fail.
#[test]
fn each_test_of_a_bite_is_named_by_a_mutant() {
    let guards = guards();
    let (mut unnamed, mut needed) = (BTreeSet::new(), BTreeSet::new());
    for proof in BITES.iter().flat_map(|it| [&it.client, &it.sandbox]) {
        let Proof::Test(file, test) = proof else { continue };
        if guards.values().any(|it| test.starts_with(it.as_str())) {
            continue;
        }
        let exempt = |(of, _): &(&str, &str)| file.starts_with(of) || test == of;
        match WITHOUT_A_MUTANT.iter().position(exempt) {
            Some(exemption) => _ = needed.insert(exemption),
            None => _ = unnamed.insert(format!("{file}: {test}")),
        }
    }

    assert_eq!(unnamed, BTreeSet::new());
    let all: BTreeSet<usize> = (0..WITHOUT_A_MUTANT.len()).collect();
    assert_eq!(needed, all, "an exemption that nothing needs any more");
}

/// The budgets that messages are spaced over are those that Azure was recorded to have.
#[test]
fn the_budgets_of_the_rules_are_the_recorded_ones() {
    let path = root().join("../shared/reference/recordings/throttling_policies.json");
    let Ok(text) = fs::read_to_string(path) else {
        println!("skipped: Microsoft's recordings are not beside the repository");
        return;
    };
    let recorded: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut compared = 0;

    for (name, capacity, _) in rules::pace::PUBLISHED {
        let policy = &recorded["policies"][format!("Microsoft.Compute/{name}")];
        // The most that was ever left, after at least one request was taken.
        let Some(most_left) = policy["max_remaining_seen"].as_u64() else { continue };
        assert!(
            capacity > most_left && capacity <= most_left + 5,
            "{name}: {capacity}, {most_left}"
        );
        compared += 1;
    }

    assert!(compared >= 15, "only {compared} budgets were compared");
}
