//! The parts of the input that all derives read: the crate to use, and the fields.

use syn::{Attribute, DeriveInput, Fields, Index, Member, Path, Result, meta::ParseNestedMeta};

/// Calls `each` for every word within the attributes of this name.
pub(crate) fn each_word(attributes: &[Attribute], name: &str, mut each: impl FnMut(ParseNestedMeta<'_>) -> Result<()>) -> Result<()> {
    attributes.iter().filter(|attribute| attribute.path().is_ident(name)).try_for_each(|attribute| attribute.parse_nested_meta(&mut each))
}

/// The module in which the trait is found, unless `crate = ..` names another one. `of_fields` says in an error which
/// words belong to a field.
pub(crate) fn home(input: &DeriveInput, attribute: &str, mut home: Path, of_fields: &str) -> Result<Path> {
    each_word(&input.attrs, attribute, |meta| {
        if !meta.path.is_ident("crate") {
            return Err(meta.error(format!("expected `crate = ..` here; {of_fields} to a field")));
        }
        home = meta.value()?.parse()?;
        Ok(())
    })?;
    Ok(home)
}

/// How each field is reached.
pub(crate) fn members(fields: &Fields) -> impl Iterator<Item = Member> {
    fields.iter().enumerate().map(|(index, field)| field.ident.clone().map_or_else(|| Member::Unnamed(Index::from(index)), Member::Named))
}

/// The name of a field in errors.
pub(crate) fn text(member: &Member) -> String {
    match member {
        Member::Named(name) => name.to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}
