//! `#[derive(Merge)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Field, Fields, Ident, Member, Result, parse_quote, spanned::Spanned};

use crate::input::{each_word, home, members, text};

/// How a field is merged.
#[derive(Clone, PartialEq, Eq)]
enum How {
    /// The field's type has its own rule.
    Own,
    /// The rule is a variant of `Rule`.
    Rule(Ident),
    /// It must be equal.
    Same,
}

struct Merged<'a> {
    field: &'a Field,
    member: Member,
    name: String,
    how: How,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        let name = &input.ident;
        return Err(syn::Error::new(name.span(), "`Merge` can be derived for structs only: implement the trait manually"));
    };
    let home = home(input, "merge", parse_quote!(::stormfire::metrics), "`sum`, `max`, `min`, `cat` and `same` belong")?;
    let fields = merged(&data.fields)?;
    if fields.iter().all(|merged| merged.how == How::Same) {
        let reason = "no field of this state is merged: it needs one with `#[merge(sum)]`, `max`, `min`, `cat`, or without an attribute";
        return Err(syn::Error::new(input.ident.span(), reason));
    }
    // Options first: values with other options are left alone.
    let (same, others): (Vec<_>, Vec<_>) = fields.iter().partition(|merged| merged.how == How::Same);
    let merges = same.into_iter().chain(others).map(|Merged { field, member, name, how }| {
        let span = field.ty.span();
        match how {
            How::Own => quote_spanned!(span=> #home::Merge::merge(&mut self.#member, &other.#member)?;),
            How::Rule(rule) => {
                quote_spanned!(span=> #home::merge::Field::join(&mut self.#member, &other.#member, #home::merge::Rule::#rule, #name)?;)
            }
            How::Same => quote_spanned! {span=>
                if ::core::cmp::PartialEq::ne(&self.#member, &other.#member) {
                    return ::core::result::Result::Err(#home::MergeError::differs(#name, &self.#member, &other.#member));
                }
            },
        }
    });
    let saves = fields.iter().map(|Merged { field, member, how, .. }| {
        let span = field.ty.span();
        match how {
            How::Own => quote_spanned!(span=> #home::Merge::save(&self.#member, parts);),
            How::Rule(_) => quote_spanned!(span=> parts.push(#home::merge::Field::to_part(&self.#member));),
            How::Same => quote!(),
        }
    });
    let loads = fields.iter().map(|Merged { field, member, how, .. }| {
        let span = field.ty.span();
        match how {
            How::Own => quote_spanned!(span=> #member: #home::Merge::load(&self.#member, parts)?),
            How::Rule(_) => quote_spanned!(span=> #member: #home::merge::Field::restored(&self.#member, parts.next()?)?),
            How::Same => quote!(#member: ::core::clone::Clone::clone(&self.#member)),
        }
    });
    let name = &input.ident;
    let (of_impl, of_type, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #of_impl #home::Merge for #name #of_type #bounds {
            fn merge(&mut self, other: &Self) -> ::core::result::Result<(), #home::MergeError> {
                #(#merges)*
                ::core::result::Result::Ok(())
            }

            fn save(&self, parts: &mut ::std::vec::Vec<#home::Part>) {
                #(#saves)*
            }

            fn load(&self, parts: &mut dyn ::core::iter::Iterator<Item = #home::Part>) -> ::core::option::Option<Self> {
                ::core::option::Option::Some(Self { #(#loads),* })
            }
        }
    })
}

fn merged(fields: &Fields) -> Result<Vec<Merged<'_>>> {
    let merged = |(field, member)| Ok(Merged { field, name: text(&member), member, how: how(field)? });
    fields.iter().zip(members(fields)).map(merged).collect()
}

fn how(field: &Field) -> Result<How> {
    let mut how = How::Own;
    each_word(&field.attrs, "merge", |meta| {
        let rule = |name: &str| How::Rule(Ident::new(name, meta.path.span()));
        how = match () {
            () if meta.path.is_ident("sum") => rule("Sum"),
            () if meta.path.is_ident("max") => rule("Max"),
            () if meta.path.is_ident("min") => rule("Min"),
            () if meta.path.is_ident("cat") => rule("Cat"),
            () if meta.path.is_ident("same") => How::Same,
            () => return Err(meta.error("expected `sum`, `max`, `min`, `cat` (all rows) or `same` (an option)")),
        };
        Ok(())
    })?;
    Ok(how)
}
