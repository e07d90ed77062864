use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sha2::{Digest, Sha256};

use super::*;
use crate::ops::console::join::{export, import};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops/console/assets")
}

/// Returns the files below a folder, as paths from `assets/`.
fn files_below(folder: &Path, from: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            files_below(&path, from, found);
        } else {
            let relative = path.strip_prefix(from).expect("it is below");
            found.push(
                relative
                    .to_str()
                    .expect("names are UTF-8")
                    .replace('\\', "/"),
            );
        }
    }
}

fn own_sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files_below(&folder(), &folder(), &mut found);
    let own = found
        .into_iter()
        .filter(|path| !path.starts_with("vendor/"));
    own.map(|path| {
        let text = fs::read_to_string(folder().join(&path)).expect("sources are text");
        (path, text)
    })
    .collect()
}

#[test]
fn modules_are_all_of_the_folder() {
    let sources = own_sources();
    let scripts = sources
        .iter()
        .map(|(path, _)| path.as_str())
        .filter(|path| path.ends_with(".js"));
    for path in scripts {
        let listed = |modules: &[(&str, &str)]| modules.iter().any(|(each, _)| *each == path);
        assert!(
            listed(PAGE_MODULES) || listed(LOGIN_MODULES),
            "{path} is in no list"
        );
    }
}

/// Returns the name of the file, by which modules import each other.
fn file(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[test]
fn modules_import_earlier_ones_and_what_these_export() {
    for modules in [PAGE_MODULES, LOGIN_MODULES] {
        let mut known: Vec<(&str, Vec<&str>)> = Vec::new();
        for (path, source) in modules {
            for line in source
                .lines()
                .filter(|line| line.trim_start().starts_with("import"))
            {
                let (names, from) = import(line).unwrap_or_else(|| panic!("{path}: {line}"));
                let (_, exports) = known
                    .iter()
                    .find(|(module, _)| *module == file(from))
                    .unwrap_or_else(|| {
                        panic!("{path} imports {from}, which does not come earlier")
                    });
                for name in names.split(',').map(str::trim) {
                    assert!(exports.contains(&name), "{path}: {from} has no {name}");
                }
            }
            let exported = source
                .lines()
                .filter(|line| line.trim_start().starts_with("export"));
            let names =
                exported.map(|line| export(line).unwrap_or_else(|| panic!("{path}: {line}")).0);
            let names: Vec<&str> = names.collect();
            for (module, others) in &known {
                assert_ne!(*module, file(path), "two modules have this name");
                let both = names.iter().find(|name| others.contains(name));
                assert_eq!(both, None, "{path} and {module} export it");
            }
            known.push((file(path), names));
        }
    }
}

/// Joined modules see all that earlier ones export, and a name of the browser would be hidden from them.
#[test]
fn modules_export_no_name_of_the_browser() {
    let browser = [
        "close",
        "document",
        "event",
        "fetch",
        "history",
        "innerWidth",
        "length",
        "location",
        "name",
        "open",
        "parent",
        "scroll",
        "status",
        "stop",
        "top",
        "window",
    ];
    for (path, source) in PAGE_MODULES.iter().chain(LOGIN_MODULES) {
        for (name, _) in source.lines().filter_map(export) {
            assert!(!browser.contains(&name), "{path} exports {name}");
        }
    }
}

#[test]
fn pages_refer_to_served_files_only() {
    for page in [index(), login()] {
        let body = page.body();
        let text = std::str::from_utf8(&body).expect("pages are text");
        let references = text
            .split("\"assets/")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap_or(""));
        let references: Vec<&str> = references.collect();
        assert!(
            references.len() >= 3,
            "{} has too few references",
            page.name()
        );
        for name in references {
            let asset = find(name).unwrap_or_else(|| panic!("{} refers to {name}", page.name()));
            assert!(!asset.body().is_empty());
        }
    }
    assert!(find("app.js").is_none());
}

#[test]
fn pages_have_no_inline_script_or_style_and_no_address_elsewhere() {
    for (path, text) in own_sources() {
        let text = text.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !text.contains("http://") && !text.contains("https://"),
            "{path} has an address elsewhere"
        );
        assert!(
            !text.contains("url(") && !text.contains("@import"),
            "{path} loads something"
        );
        if path.ends_with(".html") {
            assert!(
                !text.contains("<style") && !text.contains("style="),
                "{path} has inline styles"
            );
            assert!(
                !text.contains("<script>") && !text.contains(" on"),
                "{path} has inline scripts"
            );
            let absolute = ["href=\"/", "src=\"/", "action=\"/"]
                .iter()
                .any(|start| text.contains(start));
            assert!(!absolute, "{path} has an absolute address");
        }
    }
}

#[test]
fn scripts_make_no_markup_from_text() {
    let forbidden = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "srcdoc",
        "eval(",
        "new Function",
        "DOMParser",
        "createContextualFragment",
        "setAttribute(\"style\"",
        "javascript:",
    ];
    for (path, text) in own_sources() {
        for word in forbidden {
            assert!(!text.contains(word), "{path} contains {word}");
        }
    }
}

#[test]
fn vendored_files_have_their_checksums() {
    let folder = folder().join("vendor/uplot");
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).expect("the checksums are there");
    let mut files: Vec<&str> = Vec::new();
    for line in sums.lines() {
        let (sum, file) = line
            .split_once("  ")
            .expect("a line is a checksum and a name");
        let content = fs::read(folder.join(file)).expect("the file is there");
        let actual: String = Sha256::digest(&content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(actual, sum, "{file}");
        files.push(file);
    }
    assert_eq!(files, ["uPlot.iife.min.js", "LICENSE"]);
}

/// Returns the size after `gzip -9`, or `None` where there is no such program.
fn gzipped(body: &[u8]) -> Option<usize> {
    let mut gzip = Command::new("gzip")
        .arg("-9c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = gzip.stdin.take().expect("it is piped");
    let body = body.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&body).expect("gzip reads"));
    let output = gzip.wait_with_output().expect("gzip ends");
    writer.join().expect("the writer does not panic");
    Some(output.stdout.len())
}

#[test]
fn page_takes_80_kilobytes_gzipped_in_all() {
    let mut bodies: Vec<Bytes> = files().assets.iter().map(Asset::body).collect();
    bodies.extend([index().body(), login().body()]);
    let sizes: Option<Vec<usize>> = bodies.iter().map(|body| gzipped(body)).collect();
    let Some(sizes) = sizes else {
        eprintln!("SKIPPED: there is no gzip here");
        return;
    };
    let total: usize = sizes.iter().sum();
    println!("{total} bytes gzipped: {sizes:?}");
    assert!(total <= 80_000, "{total} bytes: {sizes:?}");
}

/// For a look at what is served: `CONSOLE_OUT=folder cargo test --lib --features ops -- --ignored served_files`, then
/// `node tests/console/fake.mjs --assets folder`.
#[test]
#[ignore = "writes files"]
fn served_files_are_written_to_a_folder() {
    let out = PathBuf::from(std::env::var("CONSOLE_OUT").expect("CONSOLE_OUT is a folder"));
    fs::create_dir_all(&out).expect("the folder can be made");
    for asset in files().assets.iter().chain([index(), login()]) {
        fs::write(out.join(asset.name()), asset.body()).expect("the folder can be written");
    }
}
