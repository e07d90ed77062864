//! Joins the page's ES modules into one script when it is served for the first time, and shortens its style sheet.
//!
//! Small modules compress badly one by one, and each would be a request. Browsers run the modules in `assets/` as they are;
//! the joined script has the same code, each module in a function of its own, beside which its exports are. So later modules
//! need no imports. Indentation and lines that are only comments are left out. What this understands of ECMAScript is what the
//! modules use: imports of names, one in a line, and `export` in front of a function or a constant at the beginning of a
//! line. Tests check that they use nothing else, and that no two export the same name.

use std::fmt::Write;

/// Joins modules, `(path, source)`, of which each imports earlier ones only.
pub(super) fn join(modules: &[(&str, &str)]) -> String {
    let mut script = String::new();
    for (_, source) in modules {
        let (mut body, mut exports) = (String::new(), Vec::new());
        for line in source.lines().map(str::trim) {
            if line.is_empty() || line.starts_with("//") || import(line).is_some() {
                continue;
            }
            let exported = export(line);
            exports.extend(exported.map(|(name, _)| name));
            body.push_str(exported.map_or(line, |(_, rest)| rest));
            body.push('\n');
        }
        let names = exports.join(", ");
        if names.is_empty() {
            write!(script, "(() => {{\n{body}}})();\n")
        } else {
            write!(
                script,
                "const {{ {names} }} = (() => {{\n{body}return {{ {names} }};\n}})();\n"
            )
        }
        .expect("strings take all text");
    }
    script
}

/// Returns a style sheet without indentation and without lines that are only comments.
pub(super) fn compact(sheet: &str) -> String {
    let lines = sheet.lines().map(str::trim);
    let kept =
        lines.filter(|line| !(line.is_empty() || line.starts_with("/*") && line.ends_with("*/")));
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// Returns the names and the path of an import.
pub(super) fn import(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("import {")?;
    let (names, rest) = rest.split_once("} from \"")?;
    Some((names, rest.strip_suffix("\";")?))
}

/// Returns the name of an export, and the line without `export`.
pub(super) fn export(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("export ")?;
    let declared = rest.strip_prefix("async ").unwrap_or(rest);
    let named = ["function ", "const ", "class "]
        .into_iter()
        .find_map(|word| declared.strip_prefix(word))?;
    let end = named.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some((&named[..end], rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn join_puts_each_module_into_a_function_that_returns_its_exports() {
        let first =
            "// Adds.\nexport const ONE = 1;\nexport function add(a) {\n  return a + ONE;\n}\n";
        let second = "import { ONE, add } from \"../first.js\";\n\nadd(ONE);\n";
        let joined = join(&[("first.js", first), ("views/second.js", second)]);
        let expected = "const { ONE, add } = (() => {\nconst ONE = 1;\nfunction add(a) {\nreturn a + ONE;\n}\n\
                        return { ONE, add };\n})();\n\
                        (() => {\nadd(ONE);\n})();\n";
        assert_eq!(joined, expected);
    }

    #[test]
    fn export_knows_functions_constants_and_classes() {
        assert_eq!(
            export("export async function get(path) {"),
            Some(("get", "async function get(path) {"))
        );
        assert_eq!(
            export("export class ApiError extends Error {"),
            Some(("ApiError", "class ApiError extends Error {"))
        );
        assert_eq!(
            export("export const a_B1 = 2;"),
            Some(("a_B1", "const a_B1 = 2;"))
        );
        assert_eq!(export("export let a = 2;"), None);
        assert_eq!(export("const a = 2;"), None);
    }

    #[test]
    fn import_knows_names_in_one_line() {
        assert_eq!(
            import("import { h } from \"./dom.js\";"),
            Some((" h ", "./dom.js"))
        );
        assert_eq!(import("import \"./dom.js\";"), None);
        assert_eq!(import("import { h } from './dom.js';"), None);
    }

    #[test]
    fn compact_sheet_has_no_indentation_and_no_lines_of_comments() {
        let sheet = "/* Bars. */\n.bar {\n  top: 0; /* stays */\n}\n\n";
        assert_eq!(compact(sheet), ".bar {\ntop: 0; /* stays */\n}\n");
    }
}
