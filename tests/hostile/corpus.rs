//! Every file of the fuzzer's corpora, through the very functions that the fuzzer calls: what it
//! once found does not come back, and no target rots. `fuzz/run` looks for more.

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is public where it is a library")]
mod fuzz;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The most that one corpus has, in bytes: it is read by people, and copied with the repository.
const LARGEST: u64 = 96 << 10;

/// As long as the fuzzer waits, and as much again for a build without optimisation beside others.
const PATIENCE: Duration = Duration::from_secs(60);

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    entries.map(|it| it.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn no_file_of_a_corpus_makes_its_target_panic_or_hang() {
    for (name, _) in fuzz::TARGETS {
        let mut files: Vec<PathBuf> = fs::read_dir(folder("corpus").join(name))
            .unwrap_or_else(|error| panic!("fuzz/corpus/{name}: {error}"))
            .map(|it| it.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "fuzz/corpus/{name} is empty");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            let (tell, told) = mpsc::channel();
            let run = thread::spawn(move || {
                fuzz::run(name, &bytes);
                tell.send(()).unwrap();
            });
            match told.recv_timeout(PATIENCE) {
                Ok(()) => run.join().unwrap(),
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("{} hangs", file.display()),
                Err(mpsc::RecvTimeoutError::Disconnected) => panic!("{} panics", file.display()),
            }
        }
    }
}

#[test]
fn every_target_has_its_program_and_its_corpus_and_a_corpus_is_small() {
    let targets: BTreeSet<String> = fuzz::TARGETS.iter().map(|(it, _)| (*it).to_owned()).collect();
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();

    assert_eq!(names(&folder("fuzz_targets")), targets);
    assert_eq!(names(&folder("corpus")), targets);
    assert!(names(&folder("words")).is_subset(&targets));
    for target in &targets {
        let program = folder("fuzz_targets").join(format!("{target}.rs"));
        assert!(fs::read_to_string(program).unwrap().contains(&format!("run(\"{target}\"")));
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is not built");
        let files = fs::read_dir(folder("corpus").join(target)).unwrap();
        let size: u64 = files.map(|it| it.unwrap().metadata().unwrap().len()).sum();
        assert!(size <= LARGEST, "fuzz/corpus/{target} has {size} bytes: `fuzz/run --minimise`");
    }
}
