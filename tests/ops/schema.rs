//! A validator of so much of JSON Schema as `openapi.json` uses. Members that are not described are errors.

use serde_json::Value;

/// Checks a value against a schema of the document.
#[track_caller]
pub fn check(document: &Value, schema: &str, value: &Value) {
    let schema = &document["components"]["schemas"][schema];
    assert!(schema.is_object(), "there is no such schema");
    if let Err(error) = validate(document, schema, value, "$") {
        panic!("{error}\n{value:#}");
    }
}

/// Checks a value against a schema.
pub fn validate(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let target = document.pointer(name.trim_start_matches('#'));
        let target = target.ok_or_else(|| format!("{at}: {name} is missing"))?;
        return validate(document, target, value, at);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &&Value| validate(document, choice, value, at).is_ok();
        return match choices.iter().filter(fits).count() {
            1 => Ok(()),
            n => Err(format!("{at}: {n} of the choices fit")),
        };
    }
    check_type(schema, value, at)?;
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        return Err(format!("{at}: {value} is none of {allowed:?}"));
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (n, each) in values.iter().enumerate() {
            validate(document, items, each, &format!("{at}[{n}]"))?;
        }
    }
    let Some(members) = value.as_object() else {
        return Ok(());
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        if !members.contains_key(name) {
            return Err(format!("{at}: {name} is missing"));
        }
    }
    for (name, member) in members {
        let at = format!("{at}.{name}");
        let described = schema["properties"].get(name);
        match (described, &schema["additionalProperties"]) {
            (Some(schema), _) => validate(document, schema, member, &at)?,
            (None, Value::Bool(true)) => {}
            (None, schema @ Value::Object(_)) => validate(document, schema, member, &at)?,
            _ => return Err(format!("{at} is not described")),
        }
    }
    Ok(())
}

fn check_type(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let is = |name: &Value| match name.as_str() {
        Some("string") => value.is_string(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some("null") => value.is_null(),
        _ => false,
    };
    let fits = match &schema["type"] {
        Value::Array(names) => names.iter().any(is),
        name => is(name),
    };
    match fits {
        true => Ok(()),
        false => Err(format!("{at}: {value} is no {}", schema["type"])),
    }
}

#[test]
fn validator_rejects_what_does_not_fit() {
    let document: Value = serde_json::json!({"components": {"schemas": {
        "A": {"type": "object", "required": ["a"], "properties": {
            "a": {"type": ["integer", "null"]},
            "b": {"$ref": "#/components/schemas/B"},
            "c": {"type": "array", "items": {"type": "string"}},
            "d": {"oneOf": [{"type": "string"}, {"type": "boolean"}]},
        }},
        "B": {"type": "string", "enum": ["x"]},
    }}});
    let schema = &document["components"]["schemas"]["A"];
    for (text, fits) in [
        (r#"{"a": 1, "b": "x", "c": ["y"], "d": true}"#, true),
        (r#"{"a": null}"#, true),
        (r#"{}"#, false),
        (r#"{"a": 1.5}"#, false),
        (r#"{"a": 1, "b": "y"}"#, false),
        (r#"{"a": 1, "c": [1]}"#, false),
        (r#"{"a": 1, "d": 1}"#, false),
        (r#"{"a": 1, "e": 1}"#, false),
        (r#"[]"#, false),
    ] {
        let value = serde_json::from_str(text).expect("json");
        assert_eq!(
            validate(&document, schema, &value, "$").is_ok(),
            fits,
            "{text}"
        );
    }
}
