//! Checks of the source text itself: what may name what, where unsafe code stands, how long lines
//! and files are, what every module says about itself.
//!
//! The checks are functions of paths and texts, so that each has a test that plants its violation.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Bottom to top: a module may name itself and what stands before it.
const LAYERS: &[&str] = &[
    "base",
    "codec",
    "crypto",
    "types",
    "store",
    "consensus",
    "chain",
    "wire",
    "p2p",
    "node",
    "disk",
    "workers",
    "reactor",
    "sim",
    "wallet",
    "rpc",
    "cli",
    "app",
    "main",
];

/// The last module without input or output; what follows are drivers and assembly.
const LAST_PURE: &str = "node";

/// Drivers know the node and nothing of each other.
const DRIVERS: &[&str] = &["disk", "workers", "reactor", "sim"];

/// What the order would allow and the design does not.
const APART: &[(&str, &str)] = &[
    // A log of (kind, bytes) that knew blocks would have to change with them.
    ("store", "types"),
    // Rules decide by headers given to them, wherever those are kept.
    ("consensus", "store"),
    // Bytes and messages mean the same whatever the chain holds.
    ("wire", "chain"),
];

/// Lines of one file outside its tests.
const FILE_LINES_MAX: usize = 900;
/// Characters of one line.
const LINE_CHARS_MAX: usize = 100;

/// Crates that are an async runtime or a part of one.
const RUNTIMES: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "async-executor",
    "async-io",
    "futures-executor",
    "glommio",
    "monoio",
];

/// Folders of a checkout that hold no text of ours.
const NOT_OURS: &[&str] = &["target", ".git", "vectors", "corpus", "artifacts", "seeds"];

/// Beginnings of absolute paths that exist on the machine of whoever wrote them only. They are
/// put together here so that this file does not break its own rule.
fn machine_paths() -> [String; 5] {
    ["work", "tmp", "root", "home", "farm"].map(|folder| format!("/{folder}/"))
}

/// One file: its path from the top of the checkout with `/`, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    /// The top-level module a source file belongs to; nothing outside `src/`.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// Whether all of it is tests.
    fn is_test(&self) -> bool {
        let parts: Vec<&str> = self.path.split('/').collect();
        parts
            .iter()
            .any(|part| matches!(*part, "tests" | "tests.rs" | "benches"))
    }

    /// The line on which the tests at its end begin, counted from 0.
    fn tests_begin(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let begins = |pair: &[&str]| {
            pair[0].trim() == "#[cfg(test)]"
                && pair[1].starts_with("mod ")
                && pair[1].ends_with('{')
        };
        lines.windows(2).position(begins).unwrap_or(lines.len())
    }
}

/// The text with everything inside comments, strings and character literals turned to blanks;
/// lines stay where they are.
fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end > at {
            out.extend(
                chars[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// The end of the comment, string or character literal that begins at `at`; `at` when none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let peek = |ahead: usize| chars.get(at + ahead).copied().unwrap_or('\0');
    let quoted = |from: usize, quote: char| {
        let mut end = from;
        while end < chars.len() && chars[end] != quote {
            end += if chars[end] == '\\' { 2 } else { 1 };
        }
        (end + 1).min(chars.len())
    };
    match (peek(0), peek(1)) {
        ('/', '/') => (at..chars.len())
            .find(|i| chars[*i] == '\n')
            .unwrap_or(chars.len()),
        ('/', '*') => {
            let (mut depth, mut end) = (1, at + 2);
            while end < chars.len() && depth > 0 {
                match (chars[end], chars.get(end + 1).copied().unwrap_or('\0')) {
                    ('/', '*') => (depth, end) = (depth + 1, end + 2),
                    ('*', '/') => (depth, end) = (depth - 1, end + 2),
                    _ => end += 1,
                }
            }
            end.min(chars.len())
        }
        ('"', _) => quoted(at + 1, '"'),
        ('r', '"' | '#') if at == 0 || !is_word(chars[at - 1]) || chars[at - 1] == 'b' => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            if peek(1 + hashes) != '"' {
                return at;
            }
            let close: Vec<char> = std::iter::once('"')
                .chain(std::iter::repeat_n('#', hashes))
                .collect();
            let body = at + 2 + hashes;
            let found = (body..chars.len()).find(|i| chars[*i..].starts_with(&close));
            found.map_or(chars.len(), |i| i + close.len())
        }
        // A lifetime has no closing quote after one character.
        ('\'', '\\') => quoted(at + 1, '\''),
        ('\'', _) if peek(2) == '\'' => at + 3,
        _ => at,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `word` stands in `code` as a word.
fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        !code[..at].ends_with(is_word) && !code[at + word.len()..].starts_with(is_word)
    })
}

/// The top-level modules that a piece of code names, with the line of each, counted from 0.
///
/// Seen are `crate::name`, `crate::{name, other::..}` and `super::super::name`, the way around.
fn modules_named(code: &str) -> Vec<(usize, String)> {
    let word = |text: &str| text.chars().take_while(|c| is_word(*c)).collect::<String>();
    let mut named = Vec::new();
    for root in ["crate::", "super::super::"] {
        for (at, _) in code.match_indices(root) {
            if code[..at].ends_with(is_word) {
                continue;
            }
            let line = code[..at].matches('\n').count();
            let rest = &code[at + root.len()..];
            let Some(group) = rest.strip_prefix('{') else {
                named.push((line, word(rest)));
                continue;
            };
            let (mut depth, mut first) = (0, true);
            for (offset, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => first = true,
                    c if is_word(c) && first => {
                        let line = line + group[..offset].matches('\n').count();
                        named.push((line, word(&group[offset..])));
                        first = false;
                    }
                    _ => {}
                }
            }
        }
    }
    named
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == module)
}

/// Whether `module` may name `other`.
fn may_name(module: &str, other: &str) -> bool {
    let both_drivers = DRIVERS.contains(&module) && DRIVERS.contains(&other);
    let (Some(mine), Some(theirs)) = (rank(module), rank(other)) else {
        return true;
    };
    module == other || (theirs < mine && !both_drivers && !APART.contains(&(module, other)))
}

/// Layer order, unsafe places, async, opting out of the bans, in one source file.
fn check_source(file: &File, errors: &mut Vec<String>) {
    let Some(module) = file.module() else { return };
    let mut report = |line: usize, what: String| {
        errors.push(format!("{}:{}: {what}", file.path, line + 1));
    };
    if rank(module).is_none() && module != "lib" {
        report(
            0,
            format!("{module} has no place in the order of layers in tests/tidy.rs"),
        );
    }
    let code = code_of(&file.text);
    if module != "lib" {
        for (line, name) in modules_named(&code) {
            if !may_name(module, &name) {
                report(line, format!("{module} must not name {name}"));
            }
        }
    }
    let pure = rank(module).is_some_and(|mine| mine <= rank(LAST_PURE).unwrap_or(0));
    let lines: Vec<&str> = file.text.lines().collect();
    for (number, line) in code.lines().enumerate() {
        if has_word(line, "unsafe") {
            if !unsafe_may_stand(&file.path) {
                report(
                    number,
                    "unsafe stands in disk/map.rs and crypto/*/lanes.rs only".into(),
                );
            }
            if !safety_is_said(&lines, number) {
                report(
                    number,
                    "unsafe without a SAFETY comment that says why it is sound".into(),
                );
            }
        }
        for word in ["async", "await", "tokio"] {
            if has_word(line, word) {
                report(number, format!("{word}: keel is synchronous"));
            }
        }
        for word in ["todo", "unimplemented"] {
            if line.contains(&format!("{word}!")) {
                report(number, format!("{word}! is a promise, not code"));
            }
        }
        let opts_out = line.contains("clippy::disallowed");
        if pure && opts_out && !file.is_test() && number < file.tests_begin() {
            report(
                number,
                format!("{module} is below the drivers and keeps the bans"),
            );
        }
    }
}

fn unsafe_may_stand(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(
        parts[..],
        ["src", "disk", "map.rs"] | ["src", "crypto", _, "lanes.rs"]
    )
}

/// Whether the line, or the comments and attributes just above it, say why unsafe code is sound.
fn safety_is_said(lines: &[&str], number: usize) -> bool {
    let said = |line: &str| line.contains("SAFETY:") || line.contains("# Safety");
    let above = lines[..number].iter().rev().map(|line| line.trim());
    said(lines[number])
        || above
            .take_while(|line| line.starts_with("//") || line.starts_with("#["))
            .any(said)
}

/// Whether a line names an absolute path that begins with `path`; `a/path/` is no such name.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path)
        .any(|(at, _)| !line[..at].ends_with(is_word))
}

/// Lengths of lines and files, and paths of one machine, in any text.
fn check_text(file: &File, errors: &mut Vec<String>) {
    let rust = file.path.ends_with(".rs");
    let machine_paths = machine_paths();
    for (number, line) in file.text.lines().enumerate() {
        if rust && line.chars().count() > LINE_CHARS_MAX && !line.contains("https://") {
            errors.push(format!(
                "{}:{}: the line has {} characters, more than {LINE_CHARS_MAX}",
                file.path,
                number + 1,
                line.chars().count()
            ));
        }
        for path in machine_paths.iter().filter(|path| has_path(line, path)) {
            errors.push(format!(
                "{}:{}: {path} is a path of one machine",
                file.path,
                number + 1
            ));
        }
    }
    let length = file.tests_begin();
    if rust && !file.is_test() && !file.path.starts_with("tests/") && length > FILE_LINES_MAX {
        errors.push(format!(
            "{}: {length} lines before its tests, more than {FILE_LINES_MAX}",
            file.path
        ));
    }
}

/// What each module says about itself: the doc of every `mod.rs`, and its line in the map.
fn check_map(files: &[File], errors: &mut Vec<String>) {
    let mut map: BTreeMap<&str, bool> = BTreeMap::new();
    let Some(lib) = files.iter().find(|file| file.path == "src/lib.rs") else {
        errors.push("src/lib.rs: missing; it holds the map".into());
        return;
    };
    for file in files {
        if let Some(module) = file
            .module()
            .filter(|module| !matches!(*module, "lib" | "main"))
        {
            map.insert(module, lib.text.contains(&format!("//! * [`{module}`]: ")));
        }
        if !file.path.starts_with("src/") || !file.path.ends_with("/mod.rs") || file.is_test() {
            continue;
        }
        let doc: String = file
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        if doc.is_empty() {
            errors.push(format!("{}: begins without a module doc", file.path));
        } else if file.path.matches('/').count() == 2 {
            for part in ["*Invariants*", "*Never*"] {
                if !doc.contains(part) {
                    errors.push(format!("{}: the module doc has no {part}", file.path));
                }
            }
        }
    }
    for (module, listed) in map {
        if !listed {
            errors.push(format!("src/lib.rs: the map has no line for {module}"));
        }
    }
}

/// The tests that pages name, as "test `name`", are there: a guard that is gone guards nothing.
fn check_named_tests(files: &[File], errors: &mut Vec<String>) {
    for page in files.iter().filter(|file| file.path.ends_with(".md")) {
        for named in page.text.split("test `").skip(1) {
            let name = named.split('`').next().unwrap_or_default();
            let function = format!("fn {name}(");
            if !files.iter().any(|file| file.text.contains(&function)) {
                errors.push(format!("{}: there is no test {name}", page.path));
            }
        }
    }
}

/// No async runtime among the packages of a lock file.
fn check_lock(text: &str, errors: &mut Vec<String>) {
    for runtime in RUNTIMES {
        if text
            .lines()
            .any(|line| line == format!("name = \"{runtime}\""))
        {
            errors.push(format!("Cargo.lock: {runtime} is an async runtime"));
        }
    }
}

fn check(files: &[File], lock: &str) -> Vec<String> {
    let mut errors = Vec::new();
    for file in files {
        check_source(file, &mut errors);
        check_text(file, &mut errors);
    }
    check_map(files, &mut errors);
    check_named_tests(files, &mut errors);
    check_lock(lock, &mut errors);
    errors
}

/// Every text file of the checkout below `folder`.
fn read_files(top: &Path, folder: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("a folder of the checkout can be read") {
        let path = entry.expect("an entry of a folder can be read").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            if !NOT_OURS.contains(&name) {
                read_files(top, &path, files);
            }
            continue;
        }
        let inside = path
            .strip_prefix(top)
            .expect("the walk stays below the top");
        let path = inside.to_string_lossy().replace('\\', "/");
        // What is not UTF-8 is data.
        if let Ok(text) = fs::read_to_string(top.join(inside)) {
            files.push(File { path, text });
        }
    }
}

#[test]
fn the_house_is_tidy() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in [
        "src", "tests", "bench", "fuzz", "docs", "contrib", ".ci", ".cargo",
    ] {
        let folder = top.join(folder);
        if folder.is_dir() {
            read_files(top, &folder, &mut files);
        }
    }
    for name in [
        "Cargo.toml",
        "Makefile",
        "README.md",
        "clippy.toml",
        "build.rs",
    ] {
        if let Ok(text) = fs::read_to_string(top.join(name)) {
            files.push(File {
                path: name.into(),
                text,
            });
        }
    }
    let lock = fs::read_to_string(top.join("Cargo.lock")).expect("Cargo.lock is committed");
    assert!(
        files.iter().any(|file| file.path == "src/lib.rs"),
        "the walk found no source"
    );
    let errors = check(&files, &lock);
    assert!(errors.is_empty(), "untidy:\n{}", errors.join("\n"));
}

/// The errors that one file causes in an otherwise tidy house.
fn errors_of(path: &str, text: &str) -> Vec<String> {
    let mut files = vec![File {
        path: path.into(),
        text: text.into(),
    }];
    if path != "src/lib.rs" {
        let module = files[0].module().unwrap_or("base");
        let text = format!("//! * [`{module}`]: a module\n");
        files.push(File {
            path: "src/lib.rs".into(),
            text,
        });
    }
    check(&files, "")
}

fn assert_caught(path: &str, text: &str, what: &str) {
    let errors = errors_of(path, text);
    assert_eq!(
        errors.len(),
        1,
        "one error expected in {text:?}: {errors:?}"
    );
    assert!(errors[0].contains(what), "{what:?} expected: {errors:?}");
}

fn assert_tidy(path: &str, text: &str) {
    assert_eq!(errors_of(path, text), Vec::<String>::new());
}

#[test]
fn a_name_against_the_order_is_caught() {
    assert_caught(
        "src/base/time.rs",
        "use crate::codec::Reader;",
        "base must not name codec",
    );
    assert_caught(
        "src/node/io.rs",
        "\nuse crate::reactor::Loop;",
        "io.rs:2: node must not name",
    );
    assert_caught(
        "src/codec/mod.rs.rs",
        "fn f() { crate::types::f() }",
        "must not name types",
    );
    let group = "use crate::{base::{Time, chain}, codec, node::Node};";
    assert_caught("src/types/ids.rs", group, "types must not name node");
    assert_caught(
        "src/chain/a.rs",
        "use crate::{\n    base,\n    sim,\n};",
        "a.rs:3: chain must",
    );
    assert_caught(
        "src/base/a.rs",
        "use super::super::node;",
        "base must not name node",
    );
    assert_caught("src/cli/run.rs", "use crate::app;", "cli must not name app");
}

#[test]
fn names_with_the_order_are_tidy() {
    assert_tidy(
        "src/node/io.rs",
        "use crate::{base::Time, node::Input, wire};",
    );
    assert_tidy(
        "src/app.rs",
        "use crate::disk; use crate::reactor; use crate::cli;",
    );
    assert_tidy(
        "src/base/time.rs",
        "//! See [`crate::node`].\n// crate::node\nuse crate::base;",
    );
    assert_tidy("src/base/time.rs", "const TEXT: &str = \"crate::node\";");
    assert_tidy(
        "src/base/time.rs",
        "const TEXT: &str = r#\"a \" crate::node\"#;",
    );
    assert_tidy(
        "src/base/time.rs",
        "/* crate::node /* nested */ unsafe */ fn f<'a>(x: &'a u8) {}",
    );
}

#[test]
fn modules_that_stand_apart_are_caught() {
    assert_caught(
        "src/store/log.rs",
        "use crate::types::Block;",
        "store must not name types",
    );
    assert_caught(
        "src/consensus/pow.rs",
        "use crate::store;",
        "consensus must not name store",
    );
    assert_caught(
        "src/wire/frame.rs",
        "use crate::chain;",
        "wire must not name chain",
    );
    for mine in DRIVERS {
        for other in DRIVERS.iter().filter(|other| *other != mine) {
            assert!(!may_name(mine, other), "{mine} may name {other}");
        }
        assert!(may_name(mine, "node") && may_name("app", mine));
    }
}

#[test]
fn a_module_without_a_place_is_caught() {
    assert_caught("src/extras/a.rs", "", "no place in the order");
    assert_caught("src/extras.rs", "", "no place in the order");
}

#[test]
fn unsafe_in_the_wrong_place_is_caught() {
    let text = "// SAFETY: it is a test.\nunsafe { f() }";
    assert_caught("src/base/a.rs", text, "a.rs:2: unsafe stands in");
    assert_caught("src/crypto/lanes.rs", text, "unsafe stands in");
    assert_caught("src/disk/other/map.rs", text, "unsafe stands in");
    assert_tidy("src/disk/map.rs", text);
    assert_tidy("src/crypto/sha256/lanes.rs", text);
    assert_tidy("src/base/a.rs", "// unsafe\n#![deny(unsafe_code)]");
}

#[test]
fn unsafe_without_a_reason_is_caught() {
    assert_caught(
        "src/disk/map.rs",
        "unsafe { f() }",
        "without a SAFETY comment",
    );
    let far = "// SAFETY: of f.\nf();\nunsafe { g() }";
    assert_caught("src/disk/map.rs", far, "map.rs:3: unsafe without");
    assert_tidy(
        "src/disk/map.rs",
        "/// Reads.\n///\n/// # Safety\n/// None.\n#[inline]\nunsafe fn f() {}",
    );
}

#[test]
fn async_is_caught() {
    assert_caught("src/base/a.rs", "async fn f() {}", "synchronous");
    assert_caught("src/base/a.rs", "f().await;", "synchronous");
    assert_tidy("src/base/a.rs", "// async\nfn asynchronous() {}");
    for runtime in RUNTIMES {
        let mut errors = Vec::new();
        check_lock(&format!("[[package]]\nname = \"{runtime}\"\n"), &mut errors);
        assert_eq!(errors.len(), 1, "{runtime}");
    }
    let mut errors = Vec::new();
    check_lock("name = \"smoltcp\"\n", &mut errors);
    assert!(errors.is_empty());
}

#[test]
fn promises_are_caught() {
    assert_caught("src/base/a.rs", &format!("{}!()", "todo"), "a promise");
    assert_caught(
        "src/base/a.rs",
        &format!("{}!()", "unimplemented"),
        "a promise",
    );
}

#[test]
fn opting_out_of_the_bans_is_caught_below_the_drivers() {
    let text = "#[expect(clippy::disallowed_methods, reason = \"why\")]";
    assert_caught("src/node/mod2.rs", text, "keeps the bans");
    assert_tidy("src/reactor/clock.rs", text);
    assert_tidy("src/node/tests.rs", text);
    assert_tidy(
        "src/node/a.rs",
        &format!("#[cfg(test)]\nmod tests {{\n{text}\n}}\n"),
    );
}

#[test]
fn long_lines_and_files_are_caught() {
    let line = format!("// {}", "é".repeat(LINE_CHARS_MAX - 3));
    assert_tidy("src/base/a.rs", &line);
    assert_caught("src/base/a.rs", &format!("{line}e"), "101 characters");
    assert_tidy("docs/formats.md", &line.repeat(2));
    let lines = "fn f();\n".repeat(FILE_LINES_MAX);
    assert_tidy("src/base/a.rs", &lines);
    assert_caught("src/base/a.rs", &format!("{lines}\n"), "901 lines");
    assert_tidy(
        "src/base/a.rs",
        &format!("{lines}#[cfg(test)]\nmod tests {{\n{lines}}}\n"),
    );
    assert_tidy("src/base/tests.rs", &lines.repeat(2));
}

#[test]
fn a_path_of_one_machine_is_caught() {
    for path in machine_paths() {
        assert_caught(
            "docs/guide.md",
            &format!("see {path}x"),
            "a path of one machine",
        );
        assert_caught(
            "src/base/a.rs",
            &format!("const A: &str = \"{path}x\";"),
            "one machine",
        );
        assert_tidy(
            "src/base/a.rs",
            &format!("const A: &str = \"keel{path}1\";"),
        );
    }
}

#[test]
fn a_module_that_says_nothing_is_caught() {
    assert_caught("src/base/mod.rs", "mod time;\n", "without a module doc");
    assert_caught(
        "src/base/mod.rs",
        "//! Time. *Never* reads a clock.\n",
        "no *Invariants*",
    );
    assert_caught(
        "src/base/mod.rs",
        "//! Time. *Invariants*: none.\n",
        "no *Never*",
    );
    assert_tidy(
        "src/base/mod.rs",
        "//! Time. *Invariants*: none.\n//! *Never* reads a clock.\n",
    );
    assert_caught(
        "src/crypto/ed25519/mod.rs",
        "fn f() {}\n",
        "without a module doc",
    );
    assert_tidy("src/crypto/ed25519/mod.rs", "//! Signatures.\n");
}

#[test]
fn a_module_that_the_map_lacks_is_caught() {
    let files = ["src/lib.rs", "src/base/time.rs", "src/main.rs"].map(|path| File {
        path: path.into(),
        text: "//! * [`codec`]: bytes\n".into(),
    });
    assert_eq!(
        check(&files, ""),
        ["src/lib.rs: the map has no line for base"]
    );
}

#[test]
fn a_named_test_that_is_gone_is_caught() {
    let files = |name: &str| {
        let page = ("docs/page.md", format!("Guarded by test `{name}`.\n"));
        let map = ("src/lib.rs", String::new());
        let test = ("tests/it/main.rs", "fn it_holds() {}\n".to_owned());
        [page, map, test].map(|(path, text)| File {
            path: path.into(),
            text,
        })
    };
    assert_eq!(check(&files("it_holds"), ""), [""; 0]);
    let errors = check(&files("it_held"), "");
    assert_eq!(errors, ["docs/page.md: there is no test it_held"]);
}
