//! Resource Graph: queries over what our identity may read. What it may not read is missing,
//! silently; a page is continued by its token, whatever `resultTruncated` says (recorded).

mod lexer;
mod parser;
mod value;
mod expression;
mod evaluate;
mod effort;

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::{Refusal, Reply, Trouble};
use super::call::Call;
use super::records::Stored;
use super::template::{self, Template};
use super::version::{self, Version};
use super::{World, compute, group, moment, plain, route, soft_deleted};
use crate::estate::Subscription;
use crate::guid;
use evaluate::Table;
use expression::Meaningless;
use lexer::Unreadable;

/// The most rows of one page, and how many there are when nobody says.
const PAGE: usize = 1000;
/// The most bytes that the rows of one page take (the refusal in microsoft/ARI's issue 199).
const MOST_BYTES: u64 = 16 << 20;
/// Queries of one user in a window.
const QUOTA: u64 = 15;
/// What is left of them at least: an invocation takes no desk time, and one that asks for the users
/// of an image and for what may be read at all would else be refused whenever it comes.
const LEAST: u64 = 2;
/// The window of the quota, in seconds.
const WINDOW_SECS: i64 = 5;
/// Before this api-version the answer is a table unless something else is asked for.
const OBJECTS_SINCE: &str = "2021-03-01";

/// The columns of `resources`.
const COLUMNS: [&str; 16] = [
    "id",
    "name",
    "type",
    "tenantId",
    "kind",
    "location",
    "resourceGroup",
    "subscriptionId",
    "managedBy",
    "sku",
    "plan",
    "properties",
    "tags",
    "identity",
    "zones",
    "extendedLocation",
];

/// `POST /providers/Microsoft.ResourceGraph/resources`.
pub(super) fn query(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    if call.method != Method::POST {
        return Err(route::unknown(call));
    }
    let left = take_quota(world)?;
    let reply = match answer(world, call) {
        Ok(reply) => reply,
        Err(Trouble::Refused(refusal)) => refusal.reply(),
        Err(broken) => return Err(broken),
    };
    Ok(reply
        .header("x-ms-user-quota-remaining", left.to_string())
        .header("x-ms-user-quota-resets-after", "00:00:05")
        .header("x-ms-ratelimit-remaining-tenant-resource-requests", left.to_string()))
}

fn take_quota(world: &World<'_>) -> Result<u64, Trouble> {
    let window = world.now.timestamp().div_euclid(WINDOW_SECS);
    let used = world.records.value("quota.graph")?;
    let used = used.as_deref().and_then(|it| it.split_once(' '));
    let used = used.filter(|it| it.0 == window.to_string());
    let used: u64 = used.and_then(|it| it.1.parse().ok()).unwrap_or(0);
    let quota = world.estate.budget(QUOTA).max(LEAST);
    if used >= quota {
        let wait = (window + 1) * WINDOW_SECS - world.now.timestamp();
        let text = "Client application has been throttled and should not attempt to repeat the \
                    request until an amount of time has elapsed. Please see \
                    https://aka.ms/resourcegraph-throttling for help.";
        let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "RateLimiting", support(world))
            .detail(json!({ "code": "RateLimiting", "message": text }))
            .header("retry-after", wait.max(1).to_string())
            .header("x-ms-user-quota-remaining", "0")
            .header("x-ms-user-quota-resets-after", format!("00:00:{:02}", wait.max(1)));
        return Err(refusal.into());
    }
    world.records.set_value("quota.graph", &format!("{window} {}", used + 1))?;
    Ok(quota - used - 1)
}

/// The message of every refusal of Resource Graph (recorded).
fn support(world: &World<'_>) -> String {
    let time = moment::builder_operation(world.now);
    let correlation = guid::of(&["graph", &time]);
    format!(
        "Please provide below info when asking for support: timestamp = {time}, correlationId = \
         {correlation}."
    )
}

fn invalid(world: &World<'_>, detail: Value) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", support(world))
        .detail(json!({
            "code": "InvalidQuery",
            "message": "Query is invalid. Please refer to the documentation for the Azure Resource \
                        Graph service and fix the error before retrying.",
        }))
        .detail(detail)
}

fn unreadable(world: &World<'_>, fault: &Unreadable) -> Refusal {
    invalid(
        world,
        json!({
            "code": "ParserFailure",
            "message": "ParserFailure",
            "line": fault.line,
            "characterPositionInLine": fault.column,
            "token": fault.token,
            "expectedToken": fault.expected,
        }),
    )
}

fn too_large(world: &World<'_>, bytes: u64) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", support(world)).detail(json!({
        "code": "ResponsePayloadTooLarge",
        "message": format!(
            "Response payload size is {bytes}, and has exceeded the limit of {MOST_BYTES}. Please \
             consider querying less data at a time and make paginated call if needed."
        ),
    }))
}

fn meaningless(world: &World<'_>, fault: &Meaningless) -> Refusal {
    invalid(world, json!({ "code": "SemanticError", "message": fault.0 }))
}

fn answer(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    let asked = call.json()?;
    let text = asked["query"].as_str().unwrap_or_default();
    let parsed = parser::parse(text).map_err(|it| unreadable(world, &it))?;
    let scope = scope(world, &asked)?;
    let table = table(world, &parsed.table, &scope)?;
    let table = evaluate::run(&parsed, table).map_err(|it| meaningless(world, &it))?;

    let options = &asked["options"];
    let page = Page::of(world, options)?;
    let total = table.rows.len();
    let columns = table.columns;
    let rows: Vec<Vec<Value>> = table.rows.into_iter().skip(page.skip).take(page.top).collect();
    let reached = page.skip + rows.len();
    // Without an id there are no stable pages, and no token.
    let more = reached < total;
    let continues = more && columns.iter().any(|it| it == "id");

    let as_table = match options["resultFormat"].as_str() {
        Some(format) => format.eq_ignore_ascii_case("table"),
        None => call.api_version() < OBJECTS_SINCE,
    };
    let count = rows.len();
    let data = if as_table { as_a_table(&columns, rows) } else { as_objects(&columns, rows) };
    let bytes = length(&data)?;
    if bytes > MOST_BYTES {
        return Err(too_large(world, bytes).into());
    }
    let mut body = json!({
        "totalRecords": total,
        "count": count,
        "facets": [],
        "resultTruncated": if more && !continues { "true" } else { "false" },
    });
    // Moved, where `json!` would copy.
    body["data"] = data;
    if continues {
        let token = json!({
            "$id": "1",
            "MaxRows": page.top,
            "RowsToSkip": reached,
            "KustoClusterUrl": "https://arg-weu-one-sf.arg.core.windows.net",
        });
        body["$skipToken"] = json!(STANDARD.encode(token.to_string()));
    }
    Ok(Reply::ok(body))
}

/// How many bytes `value` takes as JSON.
fn length(value: &Value) -> serde_json::Result<u64> {
    struct Counted(u64);
    impl Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    serde_json::to_writer(&mut counted, value)?;
    Ok(counted.0)
}

/// Which rows are answered.
struct Page {
    skip: usize,
    top: usize,
}

impl Page {
    fn of(world: &World<'_>, options: &Value) -> Result<Page, Refusal> {
        let number = |value: &Value| value.as_u64().and_then(|it| usize::try_from(it).ok());
        let mut page = Page {
            skip: number(&options["$skip"]).unwrap_or(0),
            top: number(&options["$top"]).unwrap_or(PAGE),
        };
        if let Some(token) = options["$skipToken"].as_str().filter(|it| !it.is_empty()) {
            let decoded = STANDARD.decode(token).ok();
            let decoded: Option<Value> = decoded.and_then(|it| serde_json::from_slice(&it).ok());
            let Some(skip) = decoded.as_ref().and_then(|it| number(&it["RowsToSkip"])) else {
                let detail =
                    json!({ "code": "InvalidSkipToken", "message": "The $skipToken is invalid." });
                return Err(invalid(world, detail));
            };
            page.skip = skip;
            if options["$top"].is_null()
                && let Some(top) = decoded.as_ref().and_then(|it| number(&it["MaxRows"]))
            {
                page.top = top;
            }
        }
        if !(1..=PAGE).contains(&page.top) {
            let message = format!("$top must be in the range 1 to {PAGE}.");
            return Err(invalid(world, json!({ "code": "InvalidTop", "message": message })));
        }
        Ok(page)
    }
}

fn as_objects(columns: &[String], rows: Vec<Vec<Value>>) -> Value {
    let objects = rows.into_iter().map(|row| {
        let members = columns.iter().cloned().zip(row);
        Value::Object(members.collect())
    });
    objects.collect()
}

fn as_a_table(columns: &[String], rows: Vec<Vec<Value>>) -> Value {
    let kind = |index: usize| {
        let first = rows.iter().map(|row| &row[index]).find(|it| !it.is_null());
        match first {
            Some(Value::Number(_)) => "integer",
            Some(Value::Bool(_)) => "boolean",
            Some(Value::Object(_) | Value::Array(_)) => "object",
            Some(Value::String(_) | Value::Null) | None => "string",
        }
    };
    let heads: Vec<Value> = columns
        .iter()
        .enumerate()
        .map(|(index, name)| json!({ "name": name, "type": kind(index) }))
        .collect();
    json!({ "columns": heads, "rows": rows })
}

/// The subscriptions that are asked about and may be read: all of them when none is named.
///
/// # Errors
/// 403 when some are named and none of them may be read; those that may not are left out silently
/// when another one may.
fn scope<'a>(world: &World<'a>, asked: &Value) -> Result<Vec<&'a Subscription>, Refusal> {
    let texts = |member: &str| -> Vec<String> {
        let list = asked[member].as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_ascii_lowercase).collect()
    };
    let mut wanted = texts("subscriptions");
    let groups = texts("managementGroups");
    let named = !wanted.is_empty() || !groups.is_empty();
    for group in &world.estate.management_groups {
        if groups.contains(&group.name.to_ascii_lowercase()) {
            wanted.extend(group.subscriptions.iter().map(|it| it.to_ascii_lowercase()));
        }
    }
    let readable = world.estate.subscriptions.iter().filter(|it| it.readable);
    let scope: Vec<&Subscription> =
        readable.filter(|it| !named || wanted.contains(&it.id.to_ascii_lowercase())).collect();
    if scope.is_empty() {
        let text = "Access to the requested subscriptions or management groups is denied.";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "AccessDenied", support(world))
            .detail(json!({ "code": "AccessDenied", "message": text })));
    }
    Ok(scope)
}

fn table(world: &World<'_>, name: &str, scope: &[&Subscription]) -> Result<Table, Trouble> {
    let mut table = Table { columns: COLUMNS.map(str::to_owned).to_vec(), rows: Vec::new() };
    let groups = group::KIND.to_ascii_lowercase();
    let instances = compute::INSTANCE.to_ascii_lowercase();
    let kept = soft_deleted::KIND.to_ascii_lowercase();
    for subscription in scope {
        let id = format!("/subscriptions/{}", subscription.id);
        if name == "resourcecontainers" {
            table.rows.push(row(
                world,
                &container(subscription),
                "microsoft.resources/subscriptions",
            ));
        }
        // What has changed in the meantime is not known here yet.
        let then = world.at(world.now - world.graph_lag());
        let known = match world.estate.cloud.graph_lag_minutes {
            0 => world.records.below(&id)?,
            _ => world.records.below_as_of(&id, then.now)?,
        };
        for stored in known {
            let belongs = match name {
                "resources" => ![&groups, &instances, &kept].contains(&&stored.kind),
                "resourcecontainers" => stored.kind == groups,
                "computeresources" => stored.kind == instances,
                _ => {
                    let text = format!("The table '{name}' is not known here.");
                    return Err(meaningless(world, &Meaningless(text)).into());
                }
            };
            if !belongs {
                continue;
            }
            let kind = match name {
                "resourcecontainers" => "microsoft.resources/subscriptions/resourcegroups",
                _ => stored.kind.as_str(),
            };
            table.rows.push(row(world, &body(&then, &stored)?, kind));
        }
    }
    Ok(table)
}

fn container(subscription: &Subscription) -> Value {
    json!({
        "id": format!("/subscriptions/{}", subscription.id),
        "name": subscription.name,
        "properties": { "state": "Enabled" },
    })
}

fn row(world: &World<'_>, body: &Value, kind: &str) -> Vec<Value> {
    let id = body["id"].as_str().unwrap_or_default();
    let own = |column: &str| match column {
        "type" => json!(kind),
        "tenantId" => json!(world.estate.tenant),
        "subscriptionId" => json!(id.split('/').nth(2).unwrap_or_default()),
        "resourceGroup" => json!(plain::group_of(id).to_ascii_lowercase()),
        "kind" | "managedBy" | "location" => body.get(column).cloned().unwrap_or_else(|| json!("")),
        _ => body.get(column).cloned().unwrap_or(Value::Null),
    };
    COLUMNS.iter().map(|it| own(it)).collect()
}

/// The body of a stored resource, as a GET would answer it.
pub(super) fn body(world: &World<'_>, stored: &Stored) -> Result<Value, Trouble> {
    let kind = stored.kind.as_str();
    if kind == version::KIND.to_ascii_lowercase() {
        let version: Version = serde_json::from_str(&stored.record)?;
        return Ok(version.body(None));
    }
    if kind == template::KIND.to_ascii_lowercase() {
        let template: Template = serde_json::from_str(&stored.record)?;
        return Ok(template.body(world.now));
    }
    Ok(compute::told(world, serde_json::from_str(&stored.record)?, compute::Teller::Graph))
}
