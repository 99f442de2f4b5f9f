use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Serialize, Deserialize, JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Tree {
    /// The name, see [`Tree`], [`that`](crate::that()) and [the docs](https://example.org).
    ///
    /// More.
    name: String,
    children: Vec<Tree>,
    next: Option<Box<Tree>>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Flat {
    own: bool,
    #[serde(flatten)]
    more: More,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct More {
    /// A number.
    count: Option<u32>,
}

#[test]
fn a_type_that_contains_itself_has_options() {
    let schema = Schema::of::<Tree>();
    assert_eq!(schema.leaf("name").unwrap().doc, "The name, see `Tree`, `that` and the docs.\nMore.");
    assert!(schema.leaf("next.next.name").is_some());
    assert!(schema.leaves().count() < 100);
}

#[test]
fn editors_get_documentation_without_links() {
    let mut schema = Schema::of::<Tree>().json().clone();
    remove_links(&mut schema);
    assert_eq!(schema["properties"]["name"]["description"], "The name, see `Tree`, `that` and the docs.\n\nMore.");
}

#[test]
fn flattened_fields_are_options() {
    let schema = Schema::of::<Flat>();
    let leaf = schema.leaf("count").unwrap();
    assert_eq!((leaf.doc.as_str(), leaf.kinds.described().as_str()), ("A number.", "a whole number or null"));
    assert_eq!(schema.leaves().map(|leaf| leaf.path.as_str()).collect::<Vec<_>>(), ["own", "count"]);
}

#[test]
fn sections_keep_types_of_one_name_apart() {
    let with = |option: &str| {
        serde_json::json!({
            "properties": { "own": { "$ref": "#" }, "part": { "$ref": "#/$defs/Part" } },
            "$defs": { "Part": { "properties": { option: { "type": "string" } } } },
        })
    };
    let schema = Schema::of_sections("both", [("a".to_owned(), with("x")), ("b".to_owned(), with("y"))]);
    let has = |path: &str| schema.leaf(path).is_some();
    assert!(has("a.part.x") && has("b.part.y") && !has("a.part.y") && !has("b.part.x"), "{:#}", schema.json());
    assert!(has("b.own.part.y") && !has("b.own.a"));
}
