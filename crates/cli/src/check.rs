//! `goldsmith check`: whether a catalog may be put in force, and what it says when it may.

use std::io;
use std::path::{Path, PathBuf};

use rules::ImageName;
use rules::catalog::{Base, Catalog, Image, Moment, PlatformImage, Schedule};
use serde_json::json;

use crate::load::{self, LoadError, Loaded};
use crate::problem::{Problem, Severity};
use crate::terminal::{Exit, Terminal};

/// The arguments of `goldsmith check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A catalog is a YAML file, or a folder whose *.yaml files are one catalog: one of them holds the\n\
head (catalog, gallery, build, consumers), and any may add images. Scripts are files beside it.\n\n\
examples:\n  \
    goldsmith check                      the folder `catalog`\n  \
    goldsmith check examples/catalog\n  \
    goldsmith check web.yaml --json      one line of JSON, for a pipeline\n  \
    goldsmith check --estate examples/estate.yaml\n\n\
exit codes: 0 no problem, 1 problems, 2 a file cannot be read")]
pub struct CheckArgs {
    /// The catalog: a file or a folder; `catalog` unless an estate is named.
    #[arg(env = "GOLDSMITH_CATALOG", value_name = "PATH")]
    pub path: Option<PathBuf>,
    /// An estate for the sandbox: a file.
    #[arg(long, value_name = "PATH")]
    pub estate: Option<PathBuf>,
    /// Answer with one line of JSON for each.
    #[arg(long)]
    pub json: bool,
}

/// Checks a catalog, an estate, or both.
///
/// # Errors
/// When the answer cannot be written.
pub fn run(args: &CheckArgs, terminal: &mut Terminal) -> io::Result<Exit> {
    let by_default = args.estate.is_none().then(|| PathBuf::from("catalog"));
    let mut ended = Exit::Done;
    if let Some(path) = args.path.clone().or(by_default) {
        ended = ended.max(check_catalog(&path, args.json, terminal)?);
    }
    if let Some(path) = &args.estate {
        ended = ended.max(check_estate(path, args.json, terminal)?);
    }
    Ok(ended)
}

fn check_catalog(path: &Path, json: bool, terminal: &mut Terminal) -> io::Result<Exit> {
    let outcome = load::catalog(path);
    if json {
        let (answer, exit) = match outcome {
            Ok(loaded) => (accepted(path, &loaded), Exit::Done),
            Err(error) => refused(path, &error),
        };
        terminal.print(&format!("{answer}\n"))?;
        return Ok(exit);
    }
    match accept(path, outcome, terminal) {
        Ok(loaded) => {
            terminal.print(&summary(path, &loaded.catalog, loaded.files.len()))?;
            Ok(Exit::Done)
        }
        Err(exit) => Ok(exit),
    }
}

fn check_estate(path: &Path, json: bool, terminal: &mut Terminal) -> io::Result<Exit> {
    let outcome = load::estate(path);
    if json {
        let (answer, exit) = match outcome {
            Ok(estate) => {
                let path = path.display().to_string();
                let answer =
                    json!({"ok": true, "path": path, "start": estate.start, "problems": []});
                (answer, Exit::Done)
            }
            Err(error) => refused(path, &error),
        };
        terminal.print(&format!("{answer}\n"))?;
        return Ok(exit);
    }
    match outcome {
        Ok(estate) => {
            let text = format!("{}: an estate that starts at {}\n", path.display(), estate.start);
            terminal.print(&text)?;
            Ok(Exit::Done)
        }
        Err(error) => Ok(say_error(path, &error, terminal)),
    }
}

/// The catalog, its warnings said; or, its problems said, how the command ends.
///
/// # Errors
/// `No` when the catalog has problems, `Failed` when it cannot be read.
pub fn accept(
    path: &Path,
    outcome: Result<Loaded, LoadError>,
    terminal: &mut Terminal,
) -> Result<Loaded, Exit> {
    match outcome {
        Ok(loaded) => {
            say(&loaded.warnings, terminal);
            Ok(loaded)
        }
        Err(error) => Err(say_error(path, &error, terminal)),
    }
}

/// Says why the file at `path` was not accepted, and how the command ends.
pub fn say_error(path: &Path, error: &LoadError, terminal: &mut Terminal) -> Exit {
    match error {
        LoadError::Refused(problems) => {
            say(problems, terminal);
            let errors = problems.iter().filter(|it| it.severity == Severity::Error).count();
            terminal.say(&format!("{}: {}\n", path.display(), counted(errors, "problem")));
            Exit::No
        }
        LoadError::Unreadable { message, hint } => {
            terminal.error(message, hint.as_deref());
            Exit::Failed
        }
    }
}

fn say(problems: &[Problem], terminal: &mut Terminal) {
    for problem in problems {
        let text = problem.render(terminal.fancy_talk, terminal.width);
        terminal.say(&format!("{text}\n"));
    }
}

fn accepted(path: &Path, loaded: &Loaded) -> serde_json::Value {
    let image = |it: &Image| {
        json!({
            "name": it.name,
            "base": it.base,
            "schedule": it.schedule,
            "regions": it.regions(),
        })
    };
    json!({
        "ok": true,
        "path": path.display().to_string(),
        "catalog": loaded.catalog.catalog,
        "images": loaded.catalog.images.iter().map(image).collect::<Vec<_>>(),
        "files": loaded.files.keys().collect::<Vec<_>>(),
        "problems": loaded.warnings.iter().map(Problem::to_json).collect::<Vec<_>>(),
    })
}

fn refused(path: &Path, error: &LoadError) -> (serde_json::Value, Exit) {
    let path = path.display().to_string();
    let (problems, exit) = match error {
        LoadError::Refused(problems) => {
            (problems.iter().map(Problem::to_json).collect::<Vec<_>>(), Exit::No)
        }
        LoadError::Unreadable { message, hint } => {
            let problem =
                json!({"severity": "error", "file": path, "message": message, "hint": hint});
            (vec![problem], Exit::Failed)
        }
    };
    (json!({"ok": false, "path": path, "problems": problems}), exit)
}

/// The images as a forest: under each platform image those built from it, under these their
/// children, with what rebuilds each and where it goes.
fn summary(path: &Path, catalog: &Catalog, files: usize) -> String {
    let mut rows: Vec<(String, String, String)> = Vec::new();
    let mut platforms: Vec<&PlatformImage> = Vec::new();
    for image in &catalog.images {
        if let Base::Platform(platform) = &image.base
            && !platforms.contains(&platform)
        {
            platforms.push(platform);
        }
    }
    for platform in platforms {
        let name = format!("{}/{}/{}", platform.publisher, platform.offer, platform.sku);
        rows.push((name, String::new(), String::new()));
        let roots = catalog.images.iter().filter(|it| it.base == Base::Platform(platform.clone()));
        branch(catalog, roots.collect(), "", &mut rows);
    }

    // A platform image's long name stands alone on its line, and widens no column.
    let width = |column: fn(&(String, String, String)) -> &String| {
        let filled = rows.iter().filter(|it| !it.2.is_empty());
        filled.map(|it| column(it).chars().count()).max().unwrap_or_default()
    };
    let (name_width, when_width) = (width(|it| &it.0), width(|it| &it.1));
    let mut text = format!(
        "{}: {}, {}; the catalog `{}` publishes to {} in {}\n\n",
        path.display(),
        counted(catalog.images.len(), "image"),
        counted(files, "file"),
        catalog.catalog,
        catalog.gallery.name,
        catalog.gallery.location
    );
    for (name, when, to) in &rows {
        let line = format!("{name:name_width$}  {when:when_width$}  {to}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn branch(
    catalog: &Catalog,
    images: Vec<&Image>,
    indent: &str,
    rows: &mut Vec<(String, String, String)>,
) {
    let count = images.len();
    for (position, image) in images.into_iter().enumerate() {
        let last = position + 1 == count;
        let (corner, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        rows.push((
            format!("{indent}{corner}{}", image.name),
            rebuilt(catalog, image),
            released(image),
        ));
        let children = catalog.children(&image.name).collect();
        branch(catalog, children, &format!("{indent}{below}"), rows);
    }
}

/// What rebuilds an image, besides a person.
fn rebuilt(catalog: &Catalog, image: &Image) -> String {
    let by_base = match &image.base {
        Base::Platform(_) => "new base".to_owned(),
        Base::Image(parent) => format!("base {}", moment(catalog, parent)),
    };
    match &image.schedule {
        None => by_base,
        Some(Schedule::PatchTuesday(it)) => {
            let days = match it.days_after {
                0 => String::new(),
                days => format!(" + {}", counted(days as usize, "day")),
            };
            format!("Patch Tuesday{days} {} {}, {by_base}", it.at, it.zone)
        }
        Some(Schedule::Cron(it)) => format!("{} {}, {by_base}", it.expression, it.zone),
    }
}

fn moment(catalog: &Catalog, parent: &ImageName) -> &'static str {
    match catalog.image(parent).map(|it| it.children_build_when).unwrap_or_default() {
        Moment::Passed => "has passed",
        Moment::FirstRing => "is in its first ring",
        Moment::Released => "is released",
    }
}

fn released(image: &Image) -> String {
    let rings = image.rings.iter().map(|ring| {
        let regions: Vec<&str> = ring.regions.iter().map(|it| it.as_str()).collect();
        let bake = match ring.bake_hours {
            0 => String::new(),
            hours => format!(" after {hours} h"),
        };
        let approval = if ring.approval { " when approved" } else { "" };
        format!("{}{bake}{approval}: {}", ring.name, regions.join(" "))
    });
    rings.collect::<Vec<_>>().join(" → ")
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
